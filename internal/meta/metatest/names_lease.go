package metatest

import (
	"testing"
	"time"

	"hufu/internal/meta"
)

// testLease: one has the work, until it gives it back or its time is over.
func testLease(t *testing.T, n *meta.Names) {
	ctx := t.Context()
	take := func(name, holder string, length time.Duration, want bool) {
		t.Helper()
		if got, err := n.Lease(ctx, name, holder, length); err != nil || got != want {
			t.Errorf("%s has %s: %v %v", holder, name, got, err)
		}
	}
	take("clean", "a", time.Hour, true)
	take("clean", "b", time.Hour, false)
	take("other", "b", time.Hour, true)
	take("clean", "a", time.Hour, true)
	must(t, n.Yield(ctx, "clean", "b"))
	take("clean", "b", time.Hour, false)
	must(t, n.Yield(ctx, "clean", "a"))
	take("clean", "b", -time.Second, true) // over at once
	take("clean", "a", time.Hour, true)
	take("clean", "b", time.Hour, false)
	take("other", "a", time.Hour, false)
}

// testIdle: an upload that goes on does not expire, although it was idle when it was looked for.
func testIdle(t *testing.T, n *meta.Names) {
	ctx, top := t.Context(), root(t, n, "users/alice")
	idle := 50 * time.Millisecond
	clock := func() time.Time {
		at, err := n.Clock(ctx)
		must(t, err)
		return at
	}
	drop := func(id meta.ID, idle time.Duration) bool {
		dropped, err := n.DropIdle(ctx, id, "me", idle)
		must(t, err)
		return dropped
	}
	for quick, i := false, byte(0); !quick; i++ { // again if somebody held the database up
		id := content(t, n, meta.StateOpen)
		_, err := n.AddUpload(ctx, meta.Upload{ID: id, Tree: top, Key: [32]byte{i}})
		must(t, err)
		if drop(id, time.Hour) {
			t.Error("a new upload has expired")
		}
		for opened := clock(); clock().Sub(opened) <= 2*idle; {
			time.Sleep(idle / 10)
		}
		began := clock()
		_, err = n.AddUnit(ctx, id, meta.Unit{Object: "g/0.1", CVs: make([]byte, 32)})
		must(t, err)
		dropped := drop(id, idle)
		if quick = clock().Sub(began) < idle; !quick {
			idle = min(2*idle, 10*time.Second)
			continue
		}
		if dropped {
			t.Error("an upload that goes on has expired")
		}
		if !drop(id, -time.Hour) {
			t.Error("an idle upload has not expired")
		}
		if drop(id, -time.Hour) {
			t.Error("it has expired twice")
		}
	}
}
