package client_test

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hufu"
	"hufu/internal/client"
	"hufu/internal/testenv"
	"hufu/internal/transfer"
)

// dials counts the connections of a client.
type dials struct {
	mu    sync.Mutex
	conns []net.Conn
}

func (d *dials) tap(c net.Conn) net.Conn {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.conns = append(d.conns, c)
	return c
}

func (d *dials) all() []net.Conn {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.conns
}

// until waits for what is to happen soon.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(what)
		}
	}
}

// TestWarmUp: the lanes to a far server are opened ahead, taken before new ones
// are opened, and closed if nobody takes them; a near one is left alone.
func TestWarmUp(t *testing.T) {
	t.Parallel()
	alice := testenv.New(t, testenv.Options{}).Person("alice")
	var d dials
	r := alice.Remote(client.Options{Tap: d.tap})
	r.WarmUp(client.Down, 0) // how far it is nobody knows
	if err := r.LoggedIn(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.WarmUp(client.Down, 0)
	near := r.Lanes(t.Context(), 0)
	lane, err := r.Lane(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_ = lane.Close()
	if n := len(d.all()); n != 2 {
		t.Fatalf("%d connections to a near server, not the first and the lane that was asked for", n)
	}

	client.Far(r)
	far := r.Lanes(t.Context(), 0)
	if far <= near {
		t.Errorf("%d lanes near, %d far", near, far)
	}
	r.WarmUp(client.Down, 0)
	r.WarmUp(client.Down, 0) // once is enough
	until(t, "the lanes were not opened", func() bool { return len(d.all()) == 2+far })
	for range far - 1 {
		lane, err := r.Lane(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := lane.Flush(); err != nil {
			t.Error(err)
		}
		_ = lane.Close()
	}
	if n := len(d.all()); n != 2+far {
		t.Errorf("%d connections: the lanes opened ahead were not taken", n)
	}
	_ = r.Close()
	until(t, "the lane that nobody took stays open", func() bool {
		for _, c := range d.all() {
			if c.SetDeadline(time.Time{}) == nil {
				return false
			}
		}
		return true
	})
}

// slow is a connection whose first bytes take their time.
type slow struct {
	net.Conn
	once *sync.Once
}

func (s slow) Read(p []byte) (int, error) {
	s.once.Do(func() { time.Sleep(200 * time.Millisecond) })
	return s.Conn.Read(p)
}

// TestWarmUpFromTheFirstRoundTrip: a far server's lanes are dialled before
// anybody is logged in, and folders are listed over them until they are taken,
// even if one has to be waited for.
func TestWarmUpFromTheFirstRoundTrip(t *testing.T) {
	t.Parallel()
	alice := testenv.New(t, testenv.Options{}).Person("alice")
	var d dials
	var mu sync.Mutex
	said := map[net.Conn]*atomic.Int64{}
	r := alice.Remote(client.Options{Tap: func(c net.Conn) net.Conn {
		mu.Lock()
		defer mu.Unlock()
		if len(said) > 0 { // a lane
			return d.tap(slow{c, new(sync.Once)})
		}
		said[c] = new(atomic.Int64)
		return spoken{d.tap(c), said[c]}
	}})
	client.Far(r)
	r.WarmUp(client.Down, 0)
	if n := len(d.all()); n != 0 {
		t.Fatalf("%d connections before anybody asked for one", n)
	}
	if err := r.LoggedIn(t.Context()); err != nil {
		t.Fatal(err)
	}
	far := r.Lanes(t.Context(), 0)
	until(t, "the lanes were not opened", func() bool { return len(d.all()) == 1+far })
	quiet := func() int64 {
		mu.Lock()
		defer mu.Unlock()
		return said[d.all()[0]].Load()
	}
	before := quiet()
	client.Distant(r, time.Minute) // then half of it is enough for any lane
	if err := r.List(t.Context(), hufu.Path{}, func(hufu.Entry) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if quiet() != before {
		t.Error("a folder was listed over the first connection")
	}
	_ = r.Close()
}

// TestFarTransfer: large and small files over the lanes of a far link.
func TestFarTransfer(t *testing.T) {
	t.Parallel()
	alice := testenv.New(t, testenv.Options{}).Person("alice")
	var d dials
	r := alice.Remote(client.Options{Tap: d.tap})
	if err := r.LoggedIn(t.Context()); err != nil {
		t.Fatal(err)
	}
	client.Far(r)
	files := map[string][]byte{"large": bytes.Repeat([]byte("0123456789abcdef"), 3<<20)}
	for _, n := range []string{"a", "b", "c", "d", "e"} {
		files[n] = []byte("small " + n)
	}
	src := alice.Local("src")
	if err := os.Mkdir(src, 0o755); err != nil {
		t.Fatal(err)
	}
	for n, data := range files {
		if err := os.WriteFile(filepath.Join(src, n), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	run := func(c *client.Copy, err error, move func(*transfer.Engine, context.Context, []transfer.Source) error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		e := transfer.New(r, transfer.Options{Owner: "test", Report: func(rep transfer.Report) {
			if rep.Err != nil {
				t.Error(rep.Err)
			}
		}})
		if err := move(e, t.Context(), c.Sources); err != nil {
			t.Fatal(err)
		}
		if n := e.Stats.Transferred.Load(); n != int64(len(files)) {
			t.Errorf("%d files were transferred", n)
		}
	}
	r.WarmUp(client.Down, 0)
	far := r.Lanes(t.Context(), 0)
	until(t, "the lanes were not opened", func() bool { return len(d.all()) == 1+far })
	c, err := r.PreparePut(t.Context(), []string{src + "/"}, parse(t, "there"), client.How{Folder: true})
	run(c, err, (*transfer.Engine).Put)
	// Each by itself, and one that is not there: the others go on.
	fetch := []client.Fetch{{Path: parse(t, "there/none")}}
	for n := range files {
		fetch = append(fetch, client.Fetch{Path: parse(t, "there/"+n)})
	}
	back := alice.Local("back")
	c, err = r.PrepareGet(t.Context(), fetch, back+"/", client.How{})
	if err == nil && (len(c.Failures) != 1 || c.Failures[0].Remote.String() != "there/none") {
		t.Errorf("not found: %v", c.Failures)
	}
	run(c, err, (*transfer.Engine).Get)
	for n, want := range files {
		if got, err := os.ReadFile(filepath.Join(back, n)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s came back as %d bytes: %v", n, len(got), err)
		}
	}
}
