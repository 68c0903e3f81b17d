package session

import (
	"context"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"hufu"
	"hufu/internal/frame"
)

// chunks answers every request with a whole chunk.
func chunks(s **Server) handler {
	return handler{handle: func(_ context.Context, r *Request) error {
		defer (*s).Release(r)
		return (*s).Answer(reply(r), false, make([]byte, frame.MaxRaw))
	}}
}

// cutAsStalled waits until the server has ended, and says whether it did so in its
// time and for this reason.
func cutAsStalled(t *testing.T, start time.Time, over <-chan error) {
	t.Helper()
	err := <-over
	took := time.Since(start)
	if took < ClientStall || took > ClientStall+2*WorkingEvery+PartTimeout {
		t.Errorf("cut after %v", took)
	}
	if hufu.CodeOf(err) != "client_stalled" || hufu.KindOf(err) != hufu.KindUnavailable {
		t.Errorf("the reason is %v", err)
	}
}

// TestClientThatNeverReads: what is sent to it does not wait for ever.
func TestClientThatNeverReads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, far := newLink(roomy)
		_, over := run(far, chunks)
		client := byHand(t, near)
		start := time.Now()
		for range 3 {
			client.write(&frame.Read{Version: "v"}, false, nil)
		}
		cutAsStalled(t, start, over)
		_ = near.Close()
	})
}

// TestClientThatStopsInARequest: neither does the memory for what it has announced.
func TestClientThatStopsInARequest(t *testing.T) {
	t.Parallel()
	for name, sent := range map[string]int{"header": 1, "message": frame.HeaderSize + 1, "raw bytes": 500_000} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				near, far := newLink(roomy)
				_, over := run(far, echo)
				client := byHand(t, near)
				start := time.Now()
				if _, err := near.Write(client.bytes(put(), false, make([]byte, frame.MaxRaw))[:sent]); err != nil {
					t.Fatal(err)
				}
				cutAsStalled(t, start, over)
				_ = near.Close()
			})
		})
	}
}

// TestSlowIsNotStalled: a client that reads or sends little in a minute, but
// something, and one that owes nothing, are served however long it takes.
func TestSlowIsNotStalled(t *testing.T) {
	t.Parallel()
	t.Run("reading", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			near, far := newLink(roomy)
			_, over := run(far, chunks)
			client := byHand(t, near)
			start := time.Now()
			client.write(&frame.Read{Version: "v"}, false, nil)
			buf := make([]byte, 3<<10)
			for got := 0; got < frame.MaxRaw; { // 3 KiB in a second
				time.Sleep(time.Second)
				n, err := io.ReadFull(near, buf[:min(len(buf), frame.MaxRaw-got)])
				if got += n; err != nil {
					t.Fatalf("after %d bytes and %v: %v", got, time.Since(start), err)
				}
			}
			if took := time.Since(start); took < 4*ClientStall {
				t.Errorf("all is there after %v: nothing is tested", took)
			}
			_ = near.Close()
			<-over
		})
	})
	t.Run("sending", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			near, far := newLink(roomy)
			_, over := run(far, echo)
			client := byHand(t, near)
			whole := client.bytes(put(), false, make([]byte, 10_000))
			for chunk := range slices.Chunk(whole, 1000) {
				time.Sleep(ClientStall - WorkingEvery)
				if _, err := near.Write(chunk); err != nil {
					t.Fatal(err)
				}
			}
			for m, _ := client.read(); ; m, _ = client.read() {
				if _, ok := m.(*frame.PutAnswer); ok {
					break
				} else if m == nil {
					t.Fatal("cut")
				}
			}
			time.Sleep(time.Hour) // nothing is owed
			client.write(&frame.Stat{}, false, nil)
			if m, _ := client.read(); m == nil {
				t.Error("cut while it owed nothing")
			}
			_ = near.Close()
			<-over
		})
	})
}

// TestIdleHoldsNoBuffer: a client that has sent much and then nothing costs no
// buffer, and what was broken off for that goes on.
func TestIdleHoldsNoBuffer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, far := newLink(4 << 20)
		s, over := run(far, echo)
		client := byHand(t, near)
		answered := func() {
			t.Helper()
			for {
				m, _ := client.read()
				if _, working := m.(*frame.Working); working {
					continue
				}
				if _, ok := m.(*frame.PutAnswer); !ok {
					t.Fatalf("answered by %#v", m)
				}
				return
			}
		}
		for range 3 {
			client.write(put(), false, make([]byte, 500_000))
			answered()
			synctest.Wait()
			if !s.stream.ahead.Load() {
				t.Fatal("nothing is awaited in a buffer: nothing is tested")
			}
			time.Sleep(3 * WorkingEvery)
			synctest.Wait()
			if s.stream.ahead.Load() || s.stream.rbuf != nil {
				t.Error("it has a buffer while it waits")
			}
		}
		// A deadline that is set meanwhile holds.
		start := time.Now()
		s.Part(&hufu.Error{Op: "test", Kind: hufu.KindUnavailable})
		if <-over; time.Since(start) > PartTimeout {
			t.Errorf("parting took %v", time.Since(start))
		}
		_ = near.Close()
	})
}
