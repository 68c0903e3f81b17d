package object_test

import (
	"net/http"
	"testing"
	"time"

	"hufu/internal/blob/object"
)

// TestOneCleansUpAtATime: while a process has the lease, another does nothing. If it is frozen and
// loses the lease, the other goes on in its place, and it does no harm when it wakes.
func TestOneCleansUpAtATime(t *testing.T) {
	t.Parallel()
	for _, lease := range []time.Duration{time.Hour, time.Nanosecond} {
		n := database(t)
		f, b := newFake(t)
		o := object.Options{Installation: "test", Lease: lease}
		s, other := object.NewTrees(n, b, o), object.NewTrees(n, b, o)
		tree := tree(t, s)
		for _, p := range []string{"a", "b", "c"} {
			must(t, put(t, tree, p, content(20_000, 'x')))
			remove(t, tree, p)
		}
		must(t, put(t, tree, "keep", content(20_000, 'k')))
		frozen := false
		f.before = func(r *http.Request) {
			if r.Method != http.MethodDelete || frozen {
				return
			}
			frozen = true
			deleted, err := other.Clean(t.Context(), -time.Minute)
			if want := map[bool]int{false: 0, true: 3}[lease < time.Second]; err != nil || deleted != want {
				t.Errorf("with a lease of %v the other has deleted %d objects, want %d: %v", lease, deleted, want, err)
			}
			must(t, put(t, tree, "a", content(20_000, 'a')))
		}
		if _, err := s.Clean(t.Context(), -time.Minute); err != nil || !frozen {
			t.Errorf("frozen %v: %v", frozen, err)
		}
		if deleted, err := other.Clean(t.Context(), -time.Minute); err != nil || deleted != 0 || len(f.keys()) != 2 {
			t.Errorf("%d objects are deleted, %q are left: %v", deleted, f.keys(), err)
		}
		holds(t, tree, "a", content(20_000, 'a'))
		holds(t, tree, "keep", content(20_000, 'k'))
	}
}
