//go:build e2e && linux

package databases

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"hufu/internal/client"
	"hufu/internal/profile"
	"hufu/internal/transfer"
	"hufu/test/built"
)

// spreadOver makes three servers that clients reach over links of a rate, and alice, who has enrolled at
// the first one. links are those to the servers.
func spreadOver(t *testing.T, e *engine, rate int64) (s *nodes, links []*built.Slow, alice built.Person, database string) {
	t.Helper()
	database = e.create(t)
	s = newNodesOn(t, e.at(e.address, database), 3, "")
	for _, n := range s.all {
		slow, err := built.NewSlow(n.Address, rate)
		must(t, err)
		t.Cleanup(slow.Close)
		links = append(links, slow)
		advertise(t, n, slow.Address)
	}
	knowEachOther(t, e, database, len(s.all))
	return s, links, s.enroll(s.all[0], "alice", links[0].Address), database
}

// advertise makes a server say that it is reached at an address.
func advertise(t *testing.T, n *built.Server, address string) {
	t.Helper()
	n.Serve("--advertise", address)
	must(t, n.Kill(), n.Start())
}

// knowEachOther waits until n servers tell clients of one another: each has looked at the rows of all, and
// then written its own once more.
func knowEachOther(t *testing.T, e *engine, database string, n int) {
	t.Helper()
	db, looked := e.in(t, database), map[string]int64{}
	must(t, built.Eventually("the servers know one another", func() bool {
		rows, err := db.QueryContext(t.Context(), "SELECT encode(id, 'hex'), beat_at, (SELECT max(started_at) FROM nodes) FROM nodes")
		must(t, err)
		defer func() { _ = rows.Close() }()
		live := 0
		for rows.Next() {
			var id string
			var beat, started int64
			must(t, rows.Scan(&id, &beat, &started))
			if first, ok := looked[id]; ok && beat > first {
				live++
			} else if !ok && beat > started {
				looked[id] = beat
			}
		}
		return rows.Err() == nil && live == n
	}))
}

// random makes a file of n bytes in a person's home.
func random(t *testing.T, p built.Person, name string, n int) []byte {
	t.Helper()
	content := make([]byte, n)
	_, _ = rand.Read(content)
	must(t, os.WriteFile(filepath.Join(p.Home, name), content, 0o600))
	return content
}

// begin runs a command, which goes on.
func begin(t *testing.T, p built.Person, args ...string) (over <-chan built.Result, kill context.CancelFunc) {
	t.Helper()
	ctx, kill := context.WithCancel(t.Context())
	t.Cleanup(kill)
	cmd, c := p.Command(ctx, args...), make(chan built.Result, 1)
	go func() {
		r, err := built.Run(cmd)
		if err != nil {
			r.Err += err.Error()
		}
		c <- r
	}()
	return c, kill
}

// carry waits until each link has carried n bytes more than before.
func carry(t *testing.T, what string, n int64, links ...*built.Slow) {
	t.Helper()
	before := make([]int64, len(links))
	for i, l := range links {
		before[i] = l.Passed()
	}
	must(t, built.Eventually(what, func() bool {
		for i, l := range links {
			if l.Passed()-before[i] < n {
				return false
			}
		}
		return true
	}))
}

// storedBy returns how many units each run of a server has stored.
func storedBy(t *testing.T, e *engine, database string) map[string]int {
	t.Helper()
	rows, err := e.in(t, database).QueryContext(t.Context(), "SELECT split_part(convert_from(object, 'UTF8'), '/', 1), count(*) FROM units GROUP BY 1")
	must(t, err)
	defer func() { _ = rows.Close() }()
	stored := map[string]int{}
	for rows.Next() {
		var grip string
		var n int
		must(t, rows.Scan(&grip, &n))
		stored[grip] = n
	}
	must(t, rows.Err())
	return stored
}

// quiet checks that a command has succeeded and said nothing on the way.
func quiet(t *testing.T, r built.Result) built.Summary {
	t.Helper()
	if r.Code != 0 || r.Err != "" {
		t.Fatal(r)
	}
	sum, err := r.Summary()
	must(t, err)
	return sum
}

// TestSpread: one file goes over all servers at once, up and down. One that is killed on the way, be it
// that to which the client has connected first, costs nothing but chunks that go again, and no word. What
// two have received before they were killed is there at the third, which the same command finds by
// itself.
func TestSpread(t *testing.T) {
	t.Parallel()
	e, err := postgres()
	must(t, err)
	const size, some = 208 << 20, 8 << 20
	// Slow enough that a server that is reached at the second attempt still carries its part.
	s, links, alice, database := spreadOver(t, e, 20<<20)
	content := random(t, alice, "large", size)

	over, _ := begin(t, alice, "put", "--json", "large", ":/")
	must(t, built.Eventually("a put over three servers", func() bool { return len(storedBy(t, e, database)) == 3 }))
	must(t, s.all[1].Kill())
	sum := quiet(t, <-over)
	t.Logf("put: %d MiB more than the file, %.1f s", (sum.Sent-size)>>20, sum.Seconds)
	stored := storedBy(t, e, database)
	if sum := 0; len(stored) != 3 {
		t.Errorf("stored are %v", stored)
	} else {
		for _, n := range stored {
			sum += n
		}
		if sum != size>>20 {
			t.Errorf("stored are %v", stored)
		}
	}

	must(t, s.all[1].Start())
	knowEachOther(t, e, database, len(s.all))
	over, _ = begin(t, alice, "get", "--json", ":/large", "got")
	carry(t, "a get over three servers", some, links...)
	must(t, s.all[0].Kill())
	sum = quiet(t, <-over)
	t.Logf("get: %d MiB more than the file, %.1f s", (sum.Sent-size)>>20, sum.Seconds)
	if got, err := os.ReadFile(filepath.Join(alice.Home, "got")); err != nil || !bytes.Equal(got, content) {
		t.Error("another file came back:", err)
	}

	// Begun over three servers, finished over the last one, after the others were killed.
	must(t, s.all[0].Start())
	knowEachOther(t, e, database, 3)
	content = random(t, alice, "second", 64<<20)
	over, kill := begin(t, alice, "put", "--json", "second", ":/")
	before := storedBy(t, e, database)
	must(t, built.Eventually("another put over three servers", func() bool {
		all := 0
		for grip, n := range storedBy(t, e, database) {
			if n >= before[grip]+4 {
				all++
			}
		}
		return all == 3
	}))
	kill()
	<-over
	must(t, s.all[0].Kill(), s.all[1].Kill())
	r, err := alice.Run("put", "--json", "second", ":/")
	must(t, err)
	if sum := quiet(t, r); sum.Resumed < 6<<20 || sum.Resumed+sum.Sent < int64(len(content)) {
		t.Errorf("%d MiB were there, %d MiB were sent", sum.Resumed>>20, sum.Sent>>20)
	}
	r, err = alice.Run("get", "--json", ":/second", "second-got")
	must(t, err)
	quiet(t, r)
	if got, err := os.ReadFile(filepath.Join(alice.Home, "second-got")); err != nil || !bytes.Equal(got, content) {
		t.Error("another file came back:", err)
	}

	// Revoked at one, the client learns it whichever it is connected to. All servers run again: for one
	// that was killed a moment ago the command would wait in vain, and say so.
	must(t, s.all[0].Start(), s.all[1].Start())
	knowEachOther(t, e, database, len(s.all))
	over, _ = begin(t, alice, "put", "large", ":/again")
	carry(t, "another put over three servers", 4<<20, links...)
	s.ok(s.all[0].Admin("cert", "revoke", "--user", "alice"))
	if r := <-over; r.Code != 6 || !strings.Contains(r.Err, "revoked") {
		t.Error(r)
	}
}

// TestAFrozenServer: a server that stops answering in the middle of a put or a get delays its end by some
// seconds only, and costs no word. When it wakes, the file is still the same.
func TestAFrozenServer(t *testing.T) {
	t.Parallel()
	e, err := postgres()
	must(t, err)
	const size, some = 128 << 20, 8 << 20
	s, links, alice, database := spreadOver(t, e, 20<<20)
	content := random(t, alice, "large", size)
	for _, args := range [][]string{{"put", "--json", "large", ":/"}, {"get", "--json", ":/large", "got"}} {
		over, _ := begin(t, alice, args...)
		carry(t, args[0]+" over three servers", some, links...)
		must(t, syscall.Kill(s.all[1].Pid(), syscall.SIGSTOP))
		begun := time.Now()
		sum := quiet(t, <-over)
		took := time.Since(begun)
		must(t, syscall.Kill(s.all[1].Pid(), syscall.SIGCONT))
		t.Logf("%s: %.1f s, %v of them with a frozen server, %d MiB more than the file", args[0], sum.Seconds, took, (sum.Sent-size)>>20)
		if took > 25*time.Second { // a lane counts as lost after 30 s
			t.Errorf("%s: %v with a frozen server", args[0], took)
		}
		knowEachOther(t, e, database, len(s.all))
	}
	if got, err := os.ReadFile(filepath.Join(alice.Home, "got")); err != nil || !bytes.Equal(got, content) {
		t.Error("another file came back:", err)
	}
}

// TestAServerThatJoins: a program that stays connected uses it for its next transfer.
func TestAServerThatJoins(t *testing.T) {
	t.Parallel()
	e, err := postgres()
	must(t, err)
	database := e.create(t)
	s := newNodesOn(t, e.at(e.address, database), 1, "")
	alice := s.enroll(s.all[0], "alice", s.all[0].Address)
	p, err := profile.Load(profile.Dirs{Config: filepath.Join(alice.Home, ".config", "hufu"), State: filepath.Join(alice.Home, ".local", "state", "hufu")}, profile.Default)
	must(t, err)
	r, err := client.New(p, client.Options{})
	must(t, err, r.LoggedIn(t.Context()))
	defer func() { _ = r.Close() }()
	s.all = append(s.all, s.further("node1"))
	must(t, s.all[1].Start())
	knowEachOther(t, e, database, 2)
	must(t, built.Eventually("it is used", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		used := false
		r.Spread(ctx, 2, func(l transfer.Lane, _ bool) { // one lane to each server
			if l.Node() == s.told(s.all[1]) {
				used = true
				cancel()
			}
		})
		return used
	}))
}

// TestServersThatCannotBeUsed: an address that leads nowhere, to something that says nothing, or to a
// server of somebody else costs a transfer nothing, and its user hears nothing of it. That server learns
// nothing, either.
func TestServersThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	e, err := postgres()
	must(t, err)
	programs, err := bin()
	must(t, err)
	database := e.create(t)
	s := newNodesOn(t, e.at(e.address, database), 4, "")
	foreign, err := built.NewServer(programs, filepath.Join(s.dir, "foreign"))
	must(t, err, foreign.Start())
	defer func() { must(t, foreign.Kill()) }()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer func() { _ = silent.Close() }()
	heard := make(chan struct{}, 100)
	go func() {
		for {
			c, err := silent.Accept()
			if err != nil {
				return
			}
			heard <- struct{}{}
			go func() { _, _ = io.Copy(io.Discard, c) }()
		}
	}()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err, closed.Close())
	advertise(t, s.all[1], foreign.Address)
	advertise(t, s.all[2], silent.Addr().String())
	advertise(t, s.all[3], closed.Addr().String())
	knowEachOther(t, e, database, len(s.all))
	alice := s.enroll(s.all[0], "alice", s.all[0].Address)
	slow, err := built.NewSlow(s.all[0].Address, 40<<20)
	must(t, err)
	defer slow.Close()
	s.moved(alice, s.all[0].Address, slow.Address)
	content := random(t, alice, "large", 48<<20)
	r, err := alice.Run("put", "--json", "large", ":/")
	must(t, err)
	quiet(t, r)
	used := func(s *built.Slow) string { return fmt.Sprintf(`{"address":%q,"bytes":%d}`, s.Address, len(content)) }
	unused := func(at, code string) string {
		return fmt.Sprintf(`{"address":%q,"bytes":0,"error":"network","code":%q,`, at, code)
	}
	for _, words := range []string{used(slow), unused(closed.Addr().String(), "cannot_connect")} {
		if !strings.Contains(r.Out, words) {
			t.Errorf("%s is missing in %s", words, r.Out)
		}
	}
	if r, err = alice.Run("doctor"); err != nil || !strings.Contains(r.Out, "The node "+closed.Addr().String()+" of this server cannot be used: Cannot connect to") {
		t.Error(r, err)
	}
	if r, err = alice.Run("get", "--json", ":/large", "got"); err == nil {
		quiet(t, r)
	}
	if got, readErr := os.ReadFile(filepath.Join(alice.Home, "got")); err != nil || readErr != nil || !bytes.Equal(got, content) {
		t.Error("another file came back:", err, readErr)
	}
	<-heard // it was tried
	if must(t, built.Eventually("the other server is tried", func() bool { return strings.Contains(foreign.Log(), "127.0.0.1:") })); strings.Contains(foreign.Log(), "alice") {
		t.Error("a server of somebody else has learnt who the client is:\n" + foreign.Log())
	}
}
