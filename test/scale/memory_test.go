//go:build e2e && linux

package scale

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"hufu"
	"hufu/internal/client"
	"hufu/internal/profile"
	"hufu/test/built"
)

// TestOpenedPetabytes: what clients announce takes no memory of the server, over
// as many connections as one device may have, and on the teaching listener, where
// nobody has proven himself.
func TestOpenedPetabytes(t *testing.T) {
	const connections, opens, most = 256, 40, 100 * mib
	w := newWorld(t, t.TempDir(), 0)
	w.must(w.server.Kill())
	w.server.Serve("--teach-plaintext") // at another port if that one is taken
	w.must(w.server.Start())
	began := built.Peak(w.server.Pid())
	p, err := profile.Load(profile.Dirs{Config: w.home(".config/hufu"), State: w.home(".local/state/hufu")}, profile.Default)
	w.must(err)
	secure, err := client.New(p, client.Options{})
	w.must(err)
	hello, err := secure.Connect(t.Context())
	w.must(err)
	w.must(secure.Close())
	teach := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), hello.Teach).String()

	for _, world := range []struct {
		name string
		o    client.Options
	}{{"proven", client.Options{}}, {"teaching", client.Options{Plaintext: true, Address: teach}}} {
		var all sync.WaitGroup
		ready, leave := make(chan error, connections), make(chan struct{})
		var refused, opened int
		var mu sync.Mutex
		for n := range connections {
			all.Go(func() {
				r, err := client.New(p, world.o)
				if err == nil {
					defer func() { _ = r.Close() }()
					if world.o.Plaintext {
						err = r.Login(t.Context(), fmt.Sprint("pupil", n%64), "a password")
					}
				}
				for i := range opens {
					if err != nil {
						break
					}
					var to hufu.Path
					if to, err = hufu.ParsePath(fmt.Sprintf("f%d-%d", n, i)); err == nil {
						_, err = r.Open(t.Context(), to, hufu.MaxFileSize, "v")
					}
					mu.Lock()
					if hufu.CodeOf(err) == "uploads_full" {
						refused, err = refused+1, nil
					} else {
						opened++
					}
					mu.Unlock()
				}
				ready <- err
				<-leave
			})
		}
		for range connections {
			err = errors.Join(err, <-ready)
		}
		w.must(err)
		peak := built.Peak(w.server.Pid())
		t.Logf("%s: %d uploads of 1 PiB were opened over %d connections, %d refused; resident at most %d MiB, %d before", world.name, opened, connections, refused, peak/mib, began/mib)
		if peak > most {
			t.Errorf("%d MiB resident, allowed are %d", peak/mib, most/mib)
		}
		if opened < connections {
			t.Errorf("only %d uploads were opened", opened)
		}
		close(leave)
		all.Wait()
	}
	if journals, err := filepath.Glob(filepath.Join(w.server.Data, "uploads", "*", "*", "*")); err != nil || len(journals) > 0 {
		t.Errorf("uploads that were only opened have left %q, %v", journals, err)
	}
}

// TestManyNames: a folder with very many names is listed and fetched, and put
// again; memory is bounded by their number.
func TestManyNames(t *testing.T) {
	names := 100_000
	if os.Getenv("HUFU_LARGE") != "" {
		names = 1_000_000
	}
	dir, err := os.MkdirTemp("/dev/shm", "hufu-scale-") //nolint:usetesting // not where TempDir is
	if err != nil {                                     // no file system in memory: it takes longer
		dir = t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	w := newWorld(t, dir, 0)
	w.must(os.MkdirAll(w.served("many"), 0o700))
	for i := range names {
		w.must(os.WriteFile(w.served(fmt.Sprintf("many/a name of some length, number %d", i)), nil, 0o600))
	}
	most := int64(flat + 1300*names) // see docs/performance.md
	step := func(args ...string) built.Result {
		t.Helper()
		r := w.start(args...)
		peak := built.WatchPeak(r.cmd.Process.Pid)
		res := r.end(0)
		client, server := peak(), built.Peak(w.server.Pid())
		t.Logf("%-8s %v; resident at most: client %d MB, server %d MB", args[0], r.took.Round(time.Millisecond), client/1e6, server/1e6)
		if client == 0 || client > most || server > most {
			t.Errorf("%s: client %d and server %d bytes resident, allowed are %d", args[0], client, server, most)
		}
		return res
	}
	if n := strings.Count(step("ls", "--json", ":/many").Out, "\n"); n != names {
		t.Errorf("%d names are listed", n)
	}
	back := filepath.Join(dir, "back")
	s, err := step("get", "--json", ":/many", back+"/").Summary()
	w.must(err)
	if s.Transferred != int64(names) {
		t.Errorf("%d files were fetched", s.Transferred)
	}
	s, err = step("put", "--json", filepath.Join(back, "many"), ":/").Summary()
	w.must(err)
	if s.Same != int64(names) {
		t.Errorf("%d files were there already", s.Same)
	}
}
