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
	id, soon := content(t, n, meta.StateOpen), time.Now().Add(time.Hour)
	_, err := n.AddUpload(ctx, meta.Upload{ID: id, Tree: top})
	must(t, err)
	if dropped, err := n.DropIdle(ctx, id, time.Now().Add(-time.Hour)); err != nil || dropped {
		t.Errorf("a new upload has expired: %v", err)
	}
	opened := time.Now().UnixMilli()
	since := time.Now()
	for since.UnixMilli() <= opened { // a millisecond
		since = time.Now()
	}
	_, err = n.AddUnit(ctx, id, meta.Unit{Object: "g/0.1", CVs: make([]byte, 32)})
	must(t, err)
	if dropped, err := n.DropIdle(ctx, id, since); err != nil || dropped {
		t.Errorf("an upload that goes on has expired: %v", err)
	}
	if dropped, err := n.DropIdle(ctx, id, soon); err != nil || !dropped {
		t.Errorf("an idle upload has not expired: %v", err)
	}
	if dropped, err := n.DropIdle(ctx, id, soon); err != nil || dropped {
		t.Errorf("it has expired twice: %v", err)
	}
}
