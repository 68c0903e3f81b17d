package session

import (
	"bytes"
	"context"
	"testing"
	"testing/synctest"
	"time"

	"hufu"
	"hufu/internal/frame"
)

// TestWaitingHoldsNothing: an end that waits for the other one has no buffers, also
// after it had large messages and chunks, and a server no goroutine but its reader.
func TestWaitingHoldsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, far := newLink(roomy)
		s, over := run(far, func(s **Server) handler {
			return handler{handle: func(_ context.Context, r *Request) error {
				defer (*s).Release(r)
				if _, list := r.Message.(*frame.List); !list {
					return (*s).Answer(&frame.GetAnswer{}, false, bytes.Clone(r.Raw))
				}
				a := &frame.ListAnswer{Entries: make([]frame.Entry, 100)}
				for i := range a.Entries {
					a.Entries[i] = frame.WireEntry(hufu.Entry{Name: "a name that takes some room", Kind: hufu.File})
				}
				return (*s).Answer(a, false, nil)
			}}
		})
		c := dial(near)
		waits := func(w *wire) {
			t.Helper()
			time.Sleep(3 * WorkingEvery)
			synctest.Wait()
			if w.br != nil || w.bw != nil || w.filling != nil || cap(w.head) > maxKeptHead || cap(w.body) > maxKeptHead {
				t.Errorf("it holds br %v, bw %v, filling %v, a head of %d bytes and a body of %d", w.br != nil, w.bw != nil, w.filling != nil, cap(w.head), cap(w.body))
			}
			if w.stream.rbuf != nil || w.stream.wbuf != nil {
				t.Error("its stream holds a buffer")
			}
		}
		for _, m := range []frame.Message{
			&frame.List{Path: path(t, "d")},
			&frame.Get{Path: path(t, "f")},
			&frame.List{Path: path(t, "d")},
		} {
			if _, err := c.Do(t.Context(), m); err != nil {
				t.Fatal(err)
			}
			waits(c.wire)
			waits(s.wire)
			if s.first != nil || s.working {
				t.Errorf("its queue is empty: %v, a goroutine waits for it: %v", s.first == nil, s.working)
			}
		}
		_ = c.Close()
		<-over
	})
}
