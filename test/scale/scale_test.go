//go:build e2e && linux

// Package scale is hufu with much to do: large trees and files in flat memory,
// hundreds of clients, and what goes wrong in the middle of a long transfer.
package scale

import (
	"bytes"
	crand "crypto/rand"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"hufu/test/built"
)

const (
	mib = 1 << 20
	// flat is what neither program may ever have resident, in bytes.
	flat = 150_000_000
)

var bin string

func TestMain(m *testing.M) { built.Main(m, &bin) }

// world is a server and somebody, who may be behind a slow network.
type world struct {
	*testing.T
	dir    string
	server *built.Server
	slow   *built.Slow // nil: directly
	alice  built.Person
}

func newWorld(t *testing.T, dir string, rate int64) *world {
	t.Helper()
	w := &world{T: t, dir: dir}
	var err error
	w.server, err = built.NewServer(bin, filepath.Join(dir, "data"))
	w.must(err)
	w.server.LogFile = filepath.Join(t.TempDir(), "log")
	t.Cleanup(func() { _ = w.server.Kill() })
	w.must(w.server.Start())
	address := ""
	if rate > 0 {
		w.slow, err = built.NewSlow(w.server.Address, rate)
		w.must(err)
		t.Cleanup(w.slow.Close)
		address = w.slow.Address
	}
	w.alice, err = w.server.Enroll(filepath.Join(t.TempDir(), "alice"), "alice", address)
	w.must(err)
	return w
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// home is a path in alice's home.
func (w *world) home(name string) string { return filepath.Join(w.alice.Home, name) }

// served is a path of alice's at the server.
func (w *world) served(name string) string {
	return filepath.Join(w.server.Data, "files", "users", "alice", name)
}

// fill makes a file of random bytes in alice's home.
func (w *world) fill(name string, size int64) string {
	w.Helper()
	path := w.home(name)
	w.must(os.MkdirAll(filepath.Dir(path), 0o755))
	f, err := os.Create(path)
	w.must(err)
	_, err = io.CopyN(f, crand.Reader, size)
	w.must(err)
	w.must(f.Close())
	return path
}

func (w *world) b3sum(path string) string {
	w.Helper()
	out, err := exec.Command("b3sum", "--no-names", path).Output()
	w.must(err)
	return strings.TrimSpace(string(out))
}

// run is a command of alice's that is under way.
type run struct {
	w     *world
	cmd   *exec.Cmd
	out   bytes.Buffer
	errs  bytes.Buffer
	done  chan struct{}
	code  int
	began time.Time
	took  time.Duration
}

func (w *world) start(args ...string) *run {
	w.Helper()
	r := &run{w: w, cmd: w.alice.Command(w.Context(), args...), done: make(chan struct{}), began: time.Now()}
	r.cmd.Stdout, r.cmd.Stderr = &r.out, &r.errs
	w.must(r.cmd.Start())
	go func() {
		defer close(r.done)
		r.code, _ = built.Code(r.cmd, r.cmd.Wait())
		r.took = time.Since(r.began)
	}()
	return r
}

// end waits for a command, which must end with code.
func (r *run) end(code int) built.Result {
	r.w.Helper()
	select {
	case <-r.done:
	case <-time.After(5 * time.Minute):
		_ = r.cmd.Process.Kill()
		r.w.Fatalf("%v does not end\n%s", r.cmd.Args, r.w.server.Log())
	}
	res := built.Result{Code: r.code, Out: r.out.String(), Err: r.errs.String()}
	if res.Code != code {
		r.w.Fatalf("%v: want exit status %d: %s", r.cmd.Args[1:], code, tail(res.String()))
	}
	return res
}

func tail(s string) string { return s[max(0, len(s)-4000):] }

// do runs a command to its end.
func (w *world) do(code int, args ...string) built.Result {
	w.Helper()
	return w.start(args...).end(code)
}

// whole says whether the served file is there, and fails unless it is then one
// of the versions.
func (w *world) whole(path string, versions ...string) bool {
	w.Helper()
	if _, err := os.Stat(path); err != nil {
		return false
	}
	sum := w.b3sum(path)
	if slices.Contains(versions, sum) {
		return true
	}
	w.Errorf("%s is there and is no version of its source", path)
	return true
}

// TestTreeAndLargeFileInFlatMemory moves the source of Go and one large file
// both ways.
func TestTreeAndLargeFileInFlatMemory(t *testing.T) {
	w := newWorld(t, t.TempDir(), 0)
	root, err := exec.Command("go", "env", "GOROOT").Output()
	w.must(err)
	src := filepath.Join(strings.TrimSpace(string(root)), "src")
	size := int64(512 * mib)
	if os.Getenv("HUFU_LARGE") != "" {
		size = 4096 * mib
	}
	large := w.fill("large", size)

	step := func(what string, args ...string) {
		t.Helper()
		r := w.start(append(args, "--json")...)
		peak := built.WatchPeak(r.cmd.Process.Pid)
		s, err := r.end(0).Summary()
		w.must(err)
		client, server := peak(), built.Peak(w.server.Pid())
		t.Logf("%-10s %6d files, %5d MiB in %6.2f s (%4.0f MiB/s); resident at most: client %d MB, server %d MB",
			what, s.Transferred, s.Sent/mib, s.Seconds, float64(s.Sent)/mib/s.Seconds, client/1e6, server/1e6)
		if client == 0 || server == 0 || client > flat || server > flat {
			t.Errorf("%s: client %d and server %d bytes resident, allowed are %d", what, client, server, flat)
		}
	}
	step("put tree", "put", src, ":/go/")
	step("get tree", "get", ":/go/src", "back/")
	if out, err := exec.Command("diff", "-r", "--no-dereference", src, w.home("back/src")).CombinedOutput(); err != nil {
		t.Errorf("diff: %v\n%s", err, tail(string(out)))
	}
	s, err := w.do(0, "put", "--json", src, ":/go/").Summary()
	w.must(err)
	t.Logf("put again  %6d there already, in %.2f s", s.Same, s.Seconds)
	if s.Transferred != 0 || s.Sent != 0 {
		t.Errorf("the same again: %+v", s)
	}
	step("put large", "put", large, ":/")
	step("get large", "get", ":/large", "back/")
	if w.b3sum(large) != w.b3sum(w.home("back/large")) {
		t.Error("the large file differs")
	}
}
