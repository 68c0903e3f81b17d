//go:build e2e && linux

package kill

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"hufu/internal/blob/object"
	"hufu/test/built"
	"hufu/test/nodes"
)

// crew is a world of three nodes, their database and their store, all of which can be killed.
type crew struct {
	world
	engines *nodes.Engines
	place   nodes.Place
	raw     *sql.DB
	way     *nodes.FaultyStore // from the nodes to the store
	link    *nodes.Balancer    // from the nodes to the database
	name    *nodes.Balancer    // from the clients to the nodes
	servers []*built.Server
}

func newCrew(t *testing.T) *crew {
	t.Helper()
	w := &crew{world: world{T: t}}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	w.random = rand.New(rand.NewPCG(seed, 0))
	var err error
	w.engines, err = nodes.Start()
	w.must(err)
	t.Cleanup(w.engines.Stop)
	w.place, err = w.engines.Place(t.Context())
	w.must(err)
	w.raw, err = w.engines.Database.Open(w.place.Database)
	w.must(err)
	t.Cleanup(func() { _ = w.raw.Close() })
	w.way, err = nodes.NewFaultyStore(w.engines.Store.Address)
	w.must(err)
	t.Cleanup(w.way.Close)
	w.link, err = nodes.NewBalancer("")
	w.must(err)
	t.Cleanup(w.link.Close)
	w.must(w.link.Lead(w.engines.Database.Address))
	w.name, err = nodes.NewBalancer("")
	w.must(err)
	t.Cleanup(w.name.Close)
	config := w.engines.Config(w.place, w.link.Address, w.way.Address, w.name.Address)
	w.servers, err = nodes.Make(bin, filepath.Join(t.TempDir(), "node"), config, 3)
	w.must(err)
	var to []string
	for _, s := range w.servers {
		t.Cleanup(func() { _ = s.Kill() })
		w.must(s.Start())
		to = append(to, s.Address)
	}
	w.server = w.servers[0]
	w.must(w.name.Lead(to...))
	w.alice, err = w.server.Enroll(filepath.Join(t.TempDir(), "alice"), "alice", w.name.Address)
	w.must(err)
	return w
}

// moment is one thing that befalls the crew for a time.
type moment struct {
	what  string
	begin func() error
	end   func() error
}

// moments are all of them, in no order.
func (w *crew) moments() (all []moment) {
	frozen := func(signal func(syscall.Signal) error) (begin, end func() error) {
		return func() error { return signal(syscall.SIGSTOP) }, func() error { return signal(syscall.SIGCONT) }
	}
	add := func(what string, begin, end func() error) { all = append(all, moment{what, begin, end}) }
	for i, s := range w.servers {
		add(fmt.Sprint("kill node ", i), s.Kill, s.Start)
	}
	s := w.servers[w.random.IntN(len(w.servers))]
	begin, end := frozen(func(n syscall.Signal) error { return syscall.Kill(s.Pid(), n) })
	add("freeze a node", begin, end)
	add("kill the database", w.engines.Database.Crash, w.engines.Database.Again)
	begin, end = frozen(w.engines.Database.Signal)
	add("freeze the database", begin, end)
	add("cut off the database", func() error { w.link.Refuse(); return nil }, func() error { return w.link.Lead(w.engines.Database.Address) })
	add("kill the store", func() error { w.engines.Store.Kill(); return nil }, w.engines.Store.Again)
	begin, end = frozen(w.engines.Store.Signal)
	add("freeze the store", begin, end)
	add("cut connections to the database again and again", func() error { w.link.Delay(20 * time.Millisecond); return nil }, func() error {
		for range 20 { // sometimes while the answer to COMMIT is on its way
			time.Sleep(time.Duration(w.random.Float64() * float64(100*time.Millisecond)))
			w.link.Cut()
		}
		w.link.Delay(0)
		return nil
	})
	add("the database takes 30 ms longer", func() error { w.link.Delay(30 * time.Millisecond); return nil }, func() error { w.link.Delay(0); return nil })
	for _, f := range nodes.Faults {
		add("store: "+string(f), func() error { w.way.Fault(f); return nil }, func() error {
			defer w.way.Fault(nodes.None)
			return built.Eventually(string(f), func() bool { return w.way.Met() > 1 })
		})
	}
	w.random.Shuffle(len(all), func(i, k int) { all[i], all[k] = all[k], all[i] })
	return all
}

// sized is how large the file with a number is: half are small, some of them in a row of the
// database and some an object, and half are of 3 MiB.
func sized(i int) int {
	if i%2 == 0 {
		return i * 97 % 20_000
	}
	return 3<<20 + i%5
}

func content(i int) []byte {
	var seed [32]byte
	copy(seed[:], fmt.Sprint("file ", i))
	b := make([]byte, sized(i))
	_, _ = rand.NewChaCha8(seed).Read(b)
	return b
}

// TestKillAmongNodes: while nodes, their database and their store are killed, frozen and cut off from
// one another, files are put. Each of them is there whole afterwards, once and nothing else.
func TestKillAmongNodes(t *testing.T) {
	puts, rounds, some := 100, 1, 10
	if os.Getenv("HUFU_LARGE") != "" {
		puts, rounds, some = 2000, 6, math.MaxInt // each of the moments six times
	}
	w := newCrew(t)
	// Each name that is given, and given again, leaves a row here.
	for _, s := range []string{
		"CREATE TABLE given (name BYTEA, version BYTEA)",
		"CREATE FUNCTION note() RETURNS trigger AS 'BEGIN INSERT INTO given VALUES (NEW.name, NEW.version); RETURN NULL; END' LANGUAGE plpgsql",
		"CREATE TRIGGER noted AFTER INSERT OR UPDATE ON entries FOR EACH ROW EXECUTE FUNCTION note()",
	} {
		_, err := w.raw.ExecContext(t.Context(), s)
		w.must(err)
	}
	began := time.Now()
	var next, again atomic.Int64
	var befallen atomic.Bool
	var take sync.Mutex // the numbers have no gap
	var wg sync.WaitGroup
	there := make(chan int, 1) // a file that was acknowledged
	read := 0
	wg.Go(func() {
		for i := range there {
			read += w.get(i)
		}
	})
	var writers sync.WaitGroup
	for range 5 {
		writers.Go(func() {
			for !t.Failed() {
				take.Lock()
				i := int(next.Load())
				if i >= puts && befallen.Load() {
					take.Unlock()
					return
				}
				next.Add(1)
				take.Unlock()
				again.Add(int64(w.put(i)))
				select {
				case there <- i:
				default: // one is being read
				}
			}
		})
	}
	moments := 0
	for range rounds {
		all := w.moments() // shuffled
		for _, m := range all[:min(some, len(all))] {
			if t.Failed() {
				break
			}
			time.Sleep(time.Duration(w.random.Float64() * float64(300*time.Millisecond)))
			if err := m.begin(); err != nil {
				t.Errorf("%s: %v", m.what, err)
			}
			long := time.Second
			if rounds > 1 && moments%10 == 0 {
				long = time.Minute
			}
			time.Sleep(time.Duration(w.random.Float64() * float64(long)))
			if err := m.end(); err != nil {
				t.Errorf("%s: %v", m.what, err)
			}
			moments++
		}
	}
	befallen.Store(true)
	writers.Wait()
	close(there)
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	n := int(next.Load())
	t.Logf("%d files, %d moments, %d puts tried again, %d files read meanwhile, in %v", n, moments, again.Load(), read, time.Since(began).Round(time.Second))
	w.whole(n)
	w.clean(n)
}

// put puts the file with a number until that is acknowledged, and returns how often it had to be
// tried again.
func (w *crew) put(i int) (again int) {
	file := filepath.Join(w.alice.Home, fmt.Sprint("f", i))
	if err := os.WriteFile(file, content(i), 0o600); err != nil {
		w.Error(err)
		return 0
	}
	defer func() { _ = os.Remove(file) }()
	for ; ; again++ {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
		r, err := built.Run(w.alice.Command(ctx, "put", "--json", file, ":/"))
		late := ctx.Err()
		cancel()
		switch {
		case late != nil:
			w.Errorf("put of file %d does not end: %v", i, r)
			return again
		case err != nil || r.Code != 0 && r.Code != 5:
			w.Errorf("put of file %d: %v %v", i, r, err)
			return again
		case r.Code == 0:
			return again
		}
	}
}

// get reads a file that was acknowledged, and returns 1 if that succeeds. It does not have to, but
// the bytes are never others.
func (w *crew) get(i int) int {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	file := filepath.Join(w.alice.Home, "read")
	defer func() { _ = os.Remove(file) }()
	r, err := built.Run(w.alice.Command(ctx, "get", fmt.Sprint(":/f", i), file))
	got, missing := os.ReadFile(file)
	switch {
	case err != nil || ctx.Err() != nil:
		w.Errorf("get of file %d does not end: %v %v", i, r, err)
	case r.Code == 0 && bytes.Equal(got, content(i)):
		return 1
	case r.Code != 5 && r.Code != 8 || missing == nil: // 8 if a bit was another one
		w.Errorf("get of file %d left %d bytes: %v", i, len(got), r)
	}
	return 0
}

// whole looks at n files that were acknowledged.
func (w *crew) whole(n int) {
	w.Helper()
	r, err := w.alice.Run("get", ":/", "all/")
	if w.must(err); r.Code != 0 {
		w.Fatal(r)
	}
	list, err := os.ReadDir(filepath.Join(w.alice.Home, "all"))
	if w.must(err); len(list) != n {
		w.Errorf("%d names for %d files", len(list), n)
	}
	for i := range n {
		got, err := os.ReadFile(filepath.Join(w.alice.Home, "all", fmt.Sprint("f", i)))
		if err != nil || !bytes.Equal(got, content(i)) {
			w.Errorf("file %d came back with %d bytes of %d: %v", i, len(got), sized(i), err)
		}
	}
	rows, err := w.raw.QueryContext(w.Context(), "SELECT convert_from(name, 'UTF8'), count(*) FROM given GROUP BY name HAVING count(*) > 1")
	w.must(err)
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var name string
		var times int
		w.must(rows.Scan(&name, &times))
		w.Errorf("%s was put %d times", name, times)
	}
	w.must(rows.Err())
}

// clean looks at the store: all that n files need is there, and after the grace time nothing else.
func (w *crew) clean(n int) {
	w.Helper()
	fsck := func(args ...string) (sum struct{ Files, Objects, Damaged, Unused, Removed int }) {
		w.Helper()
		r, err := w.server.Admin(append([]string{"fsck", "--json"}, args...)...)
		if w.must(err); r.Code != 0 {
			w.Fatal(r)
		}
		lines := strings.Split(strings.TrimSpace(r.Out), "\n")
		w.must(json.Unmarshal([]byte(lines[len(lines)-1]), &sum))
		if sum.Files != n || sum.Damaged != 0 {
			w.Errorf("fsck %v of %d files: %v", args, n, r)
		}
		return sum
	}
	fsck()
	// The grace time is over: it is set to nothing, and a month passes for what the database notes.
	file := filepath.Join(w.server.Data, "hufud.toml")
	text, err := os.ReadFile(file)
	w.must(errors.Join(err, os.WriteFile(file, append(text, "grace = \"0s\"\n"...), 0o600)))
	garbage := fsck().Unused
	month := (31 * 24 * time.Hour).Milliseconds()
	pass := func() {
		w.Helper()
		for _, s := range []string{"contents SET changed_at = changed_at - $1", "uploads SET opened_at = opened_at - $1", "leases SET ends = ends - $1"} {
			_, err := w.raw.ExecContext(w.Context(), "UPDATE "+s, month)
			w.must(err)
		}
		w.must(errors.Join(w.server.Kill(), w.server.Start())) // it cleans up now
	}
	want := 1 // the owner of the bucket
	for i := range n {
		const unit, inline = 1 << 20, 7 << 10
		if sized(i) > inline {
			want += (sized(i) + unit - 1) / unit
		}
	}
	bucket, err := object.Open(w.place.Bucket)
	w.must(err)
	defer bucket.Close()
	have := 0
	for end := time.Now().Add(3 * time.Minute); ; {
		pass()
		time.Sleep(time.Second) // the clean-up runs
		fsck("--repair")
		have = 0
		w.must(bucket.Keys(w.Context(), "", func(string, int64) error { have++; return nil }))
		if clean := have <= want && fsck().Unused == 0; clean || time.Now().After(end) {
			break
		}
	}
	if have != want {
		w.Errorf("%d objects for %d files, which need %d", have, n, want)
	}
	w.Logf("%d objects, and %d that no file had were removed", want, garbage)
}
