package blob_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"hufu/internal/blob"
)

// TestRoomIsAwaited: who waits gets what is given back, those of one owner in their order; another owner
// does not wait for them. A wait ends with its context, and never begins for what no owner may hold.
func TestRoomIsAwaited(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := blob.NewRoom(12)
		if !r.Take("alice", 6) {
			t.Fatal("an owner alone has less than half")
		}
		if r.Await(t.Context(), "alice", 7) {
			t.Error("more than half was taken")
		}
		var served atomic.Int32
		var wg sync.WaitGroup
		for _, n := range []int64{5, 1} {
			wg.Go(func() {
				if r.Await(t.Context(), "alice", n) {
					served.Add(1)
				}
			})
			synctest.Wait()
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if r.Await(ctx, "alice", 1) {
			t.Error("one that came later was served first")
		}
		if r.Take("alice", 1) {
			t.Error("one that does not wait was served first")
		}
		if !r.Take("alice", 0) {
			t.Error("an empty file waits")
		}
		if !r.Take("bob", 2) {
			t.Error("another owner waits, too")
		}
		r.Give("bob", 2)
		r.Give("alice", 3) // not enough for 5, which keeps 1 waiting
		if synctest.Wait(); served.Load() != 0 {
			t.Error("one that came later was served first")
		}
		r.Give("alice", 3)
		wg.Wait()
		if served.Load() != 2 || r.Used() != 6 {
			t.Errorf("%d are served, %d bytes are taken", served.Load(), r.Used())
		}
		r.Give("alice", 6)
		if r.Used() != 0 || !r.Take("alice", 6) {
			t.Error("something is left")
		}
	})
}

// TestRoomOfOneThatLeaves: one who stops waiting does not keep those behind waiting.
func TestRoomOfOneThatLeaves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := blob.NewRoom(12)
		r.Take("alice", 4)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if r.Await(ctx, "alice", 5) {
				t.Error("there was room")
			}
		})
		synctest.Wait()
		wg.Go(func() {
			if !r.Await(t.Context(), "alice", 2) {
				t.Error("there was no room")
			}
		})
		synctest.Wait()
		cancel()
		wg.Wait()
	})
}
