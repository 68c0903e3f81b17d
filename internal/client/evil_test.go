package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"hufu"
	"hufu/internal/frame"
	"hufu/internal/profile"
	"hufu/internal/session"
)

// host is a server of the teaching world that answers as a test wants. It speaks
// the real protocol over a real connection.
type host struct {
	s      *session.Server
	answer func(ctx context.Context, s *session.Server, m frame.Message) error
}

func (h host) Idle(context.Context) error { return nil }

func (h host) Handle(ctx context.Context, r *session.Request) error {
	defer h.s.Release(r)
	if _, ok := r.Message.(*frame.Hello); ok {
		return h.s.Answer(&frame.HelloAnswer{
			Version: frame.Version, Features: []string{frame.FeatureCore, frame.FeatureTeach, frame.FeatureDevices}, LoggedIn: true,
			Requests: session.MaxRequests, Bytes: session.MaxAsked, Instance: make([]byte, 16),
		}, false, nil)
	}
	return h.answer(ctx, h.s, r.Message)
}

// visit is a client of such a server.
func visit(t *testing.T, answer func(context.Context, *session.Server, frame.Message) error) *Remote {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				stream := session.NewStream(c)
				s := session.NewServer(stream, stream, frame.NewCodec())
				_ = s.Serve(t.Context(), host{s, answer})
			})
		}
	})
	r, err := New(&profile.Profile{}, Options{Address: ln.Addr().String(), Plaintext: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = r.Close()
		_ = ln.Close()
		wg.Wait()
	})
	return r
}

// entries is frame number n of a listing.
func entries(n int) *frame.ListAnswer {
	a := &frame.ListAnswer{Entries: make([]frame.Entry, 256)}
	for i := range a.Entries {
		a.Entries[i] = frame.Entry{Name: fmt.Appendf(nil, "%d-%d", n, i), Kind: uint8(hufu.File), Version: "v"}
	}
	return a
}

// TestHT42EndlessAnswers: a server whose answers have no end costs a client a
// bounded amount of memory and time, and ends nothing but what it was asked.
func TestHT42EndlessAnswers(t *testing.T) { //nolint:paralleltest // measures the heap
	for name, next := range map[string]func(n int) frame.Message{
		"names":      func(n int) frame.Message { return entries(n) },
		"nothing":    func(int) frame.Message { return &frame.ListAnswer{} },
		"no devices": func(int) frame.Message { return &frame.DevicesAnswer{Devices: []frame.Device{}} },
		"empty runs": func(int) frame.Message { return &frame.OpenAnswer{Upload: "u", Unit: hufu.ChunkSize} },
		"runs too far": func(n int) frame.Message {
			return &frame.OpenAnswer{Upload: "u", Unit: hufu.ChunkSize, Runs: []frame.Run{{First: int64(n), CVs: make([]byte, 32)}}}
		},
		"runs backwards": func(n int) frame.Message {
			return &frame.OpenAnswer{Upload: "u", Unit: hufu.ChunkSize, Runs: []frame.Run{{First: int64(9 - n%2), CVs: make([]byte, 32)}}}
		},
	} {
		r := visit(t, func(ctx context.Context, s *session.Server, m frame.Message) error {
			if _, stat := m.(*frame.Stat); stat {
				return s.Answer(&frame.StatAnswer{Entry: frame.Entry{Kind: uint8(hufu.Folder)}}, false, nil)
			}
			for n := 0; ctx.Err() == nil; n++ {
				if err := s.Answer(next(n), true, nil); err != nil {
					return err
				}
			}
			return nil
		})
		r.maxForeseenBytes = 1 << 20
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		var err error
		want := "protocol"
		switch next(0).(type) {
		case *frame.ListAnswer:
			err = r.List(t.Context(), hufu.Path{}, func(hufu.Entry) error { t.Error("an entry"); return nil })
		case *frame.DevicesAnswer:
			_, _, err = r.Devices(t.Context())
		default:
			_, err = r.Open(t.Context(), aPath(t, "f"), 10*hufu.ChunkSize, "v")
		}
		if err == nil || hufu.CodeOf(err) != want {
			t.Errorf("%s: %v", name, err)
		}
		runtime.ReadMemStats(&after)
		if grown := int64(after.HeapSys) - int64(before.HeapSys); grown > 64<<20 {
			t.Errorf("%s: the heap has grown by %d bytes", name, grown)
		}
		if name == "names" { // what nobody has asked for yet ends as well
			c, err := r.loggedIn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			f := r.foreseeing(listRequest(hufu.Path{}))
			if err := errors.Join(f.send(c), c.Flush()); err != nil {
				t.Fatal(err)
			}
			<-c.Done()
			if err := f.wait(t.Context(), func(frame.Message) error { return nil }); !errors.Is(err, errNotKept) || len(f.answers) > 0 {
				t.Errorf("foreseen: %v", err)
			}
		}
		if _, err := r.Stat(t.Context(), hufu.Path{}); err != nil {
			t.Errorf("%s: what is asked then: %v", name, err)
		}
	}
}

// TestHT42EndlessPages: of pages without end a client keeps few, and pages with
// nothing in them, and pages that are larger than a page may be, are not believed.
func TestHT42EndlessPages(t *testing.T) { //nolint:paralleltest // measures the heap
	const pages = 3000    // 12 MB of targets
	var page atomic.Int64 // asked for: the client asks for the next one ahead
	var empty atomic.Bool
	r := visit(t, func(_ context.Context, s *session.Server, m frame.Message) error {
		if _, stat := m.(*frame.Stat); stat {
			return s.Answer(&frame.StatAnswer{Entry: frame.Entry{Kind: uint8(hufu.Folder)}}, false, nil)
		}
		n := page.Add(1)
		a := &frame.ListAnswer{Entries: []frame.Entry{}, Next: fmt.Appendf(nil, "%08d", n)}
		if n == pages {
			return s.Fail(&hufu.Error{Op: "list", Kind: hufu.KindNotFound})
		}
		if !empty.Load() {
			a.Entries = []frame.Entry{{Name: a.Next, Kind: uint8(hufu.Link), Target: make([]byte, frame.MaxTarget)}}
		}
		return s.Answer(a, false, nil)
	})
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var most uint64
	_, err := r.Verify(t.Context(), hufu.Path{}, "", nil, func(Verified) { t.Error("something was verified") })
	if hufu.KindOf(err) != hufu.KindNotFound {
		t.Error(err)
	}
	page.Store(0)
	used := 0
	err = r.List(t.Context(), hufu.Path{}, func(hufu.Entry) error {
		if used++; used == pages-1 {
			runtime.GC()
			runtime.ReadMemStats(&after)
			most = after.HeapAlloc
		}
		return nil
	})
	if hufu.KindOf(err) != hufu.KindNotFound {
		t.Error(err)
	}
	if most > before.HeapAlloc+4<<20 {
		t.Errorf("%d bytes before, %d after", before.HeapAlloc, most)
	}
	empty.Store(true)
	if err := r.List(t.Context(), hufu.Path{}, func(hufu.Entry) error { return nil }); hufu.CodeOf(err) != "answer_out_of_order" {
		t.Error(err)
	}
}

// aPath is s as a path.
func aPath(t *testing.T, s string) hufu.Path {
	t.Helper()
	p, err := hufu.ParsePath(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
