package server

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"

	"hufu"
	"hufu/internal/blob/mem"
	"hufu/internal/frame"
)

func openTeach(t *testing.T) *Teach {
	t.Helper()
	w, err := OpenTeach(mem.NewTrees(mem.Options{}), "127.0.0.1:0", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	return w
}

func TestHT12TeachingListensOnLoopbackOnly(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"0.0.0.0:0", "[::]:0", ":0", "192.0.2.1:0", "localhost:0", "files.example:9998"} {
		w, err := OpenTeach(mem.NewTrees(mem.Options{}), address, slog.New(slog.DiscardHandler))
		if err == nil {
			_ = w.Close()
		}
		if hufu.CodeOf(err) != "teach_not_loopback" || hufu.KindOf(err).Exit() != 2 {
			t.Errorf("%s: %v", address, err)
		}
	}
	if a := openTeach(t).Address(); !strings.HasPrefix(a, "127.0.0.1:") {
		t.Errorf("listens at %s", a)
	}
}

// far is a connection that says that it comes from another computer.
type far struct{ net.Conn }

func (far) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 4711} }

type farListener struct{ net.Listener }

func (l farListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return far{c}, nil
}

// Whoever gets to the listener from elsewhere, however that came about, is
// not served.
func TestHT12TeachingRefusesOtherMachines(t *testing.T) {
	t.Parallel()
	w := openTeach(t)
	w.ln = farListener{w.ln}
	s := &Server{
		o: Options{Teach: w, Log: NewLog(io.Discard)}, codec: frame.NewCodec(),
		slots: make(chan struct{}, 4), conns: newConnections(),
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.ServeTeach(ctx, 0) })
	defer wg.Wait()
	defer cancel()
	c, err := net.Dial("tcp", w.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if n, err := c.Read(make([]byte, 1)); err == nil || n > 0 {
		t.Errorf("read %d bytes, %v", n, err)
	}
}

func TestTeachingAccounts(t *testing.T) {
	t.Parallel()
	w := openTeach(t)
	first, err := w.login("pupil", "one password")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.login("pupil", "another"); hufu.CodeOf(err) != "teach_wrong_password" {
		t.Errorf("another password: %v", err)
	}
	if _, err := w.login("../pupil", "x"); err == nil {
		t.Error("a name that is no name")
	}
	if user, err := w.resume(first); err != nil || user != "pupil" {
		t.Errorf("resume: %q, %v", user, err)
	}
	w.logout(first)
	if _, err := w.resume(first); hufu.CodeOf(err) != "login_ended" {
		t.Errorf("after logout: %v", err)
	}
}

// However often somebody logs in, the world stays small and goes on working.
func TestTeachingForgetsTheOldest(t *testing.T) {
	t.Parallel()
	w := openTeach(t)
	first, err := w.login("user-0", "password")
	if err != nil {
		t.Fatal(err)
	}
	for range 3 * maxPupilLogins {
		if _, err := w.login("user-0", "password"); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(w.pupils[0].tokens); n != maxPupilLogins {
		t.Errorf("%d logins of one account", n)
	}
	if _, err := w.resume(first); err == nil {
		t.Error("the oldest login is still good")
	}
	for i := range maxPupils {
		if _, err := w.login(fmt.Sprintf("user-%d", i+1), "password"); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(w.pupils); n != maxPupils {
		t.Errorf("%d accounts", n)
	}
	if _, err := w.login("user-0", "a new account"); err != nil {
		t.Errorf("the oldest account is still there: %v", err)
	}
}

// However much is put, the world stays small: the disk under it is the real
// one's.
func TestTeachingWorldFills(t *testing.T) {
	t.Parallel()
	w := openTeach(t)
	for range 4 {
		if err := w.reserve(MaxTaught / 4); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.reserve(1); hufu.CodeOf(err) != "teach_full" || hufu.KindOf(err) != hufu.KindQuota {
		t.Errorf("one byte more: %v", err)
	}
	if err := w.reserve(0); err != nil {
		t.Errorf("what takes nothing: %v", err)
	}
}
