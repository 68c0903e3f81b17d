//go:build e2e && linux

package databases

import (
	"sync"
	"testing"

	"hufu"
	"hufu/internal/meta"
	"hufu/internal/meta/metatest"
)

func TestNames(t *testing.T) {
	each(t, func(t *testing.T, e *engine) { metatest.RunNames(t, e.fresh) })
}

// TestAnUnsureChangeOfNamesIsLookedUp: whether or not COMMIT has reached the server when the
// connection breaks, Change finds out what happened, and makes the change once.
func TestAnUnsureChangeOfNamesIsLookedUp(t *testing.T) {
	each(t, func(t *testing.T, e *engine) {
		for name, lost := range map[string]bool{"lost": true, "arrived": false} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				ctx, l := t.Context(), e.link(t)
				src, err := meta.Parse(e.at(l.address, e.create(t))+"?sslmode=disable", "")
				if err != nil {
					t.Fatal(err)
				}
				db, err := meta.Open(ctx, src)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = db.Close() }()
				n, err := db.Names()
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = n.Close() }()
				top, runs := meta.NewID(), 0
				err = n.Change(ctx, func(q meta.NameQueries) error {
					if runs++; runs == 1 {
						l.breakAt("COMMIT", lost)
						l.before("COMMIT", func() { l.breakAt("", false) }) // only the first one
					}
					return q.PutEntry(ctx, top, meta.Entry{Name: "f", Kind: hufu.File, Version: meta.NewID()})
				})
				entry, look := n.Entry(ctx, top, "f")
				if look != nil {
					t.Fatal(look)
				}
				if there := entry.Kind == hufu.File; there != (err == nil) {
					t.Errorf("there: %v, and the answer is %v", there, err)
				}
				if want := map[bool]int{true: 2, false: 1}[lost]; err != nil || runs != want {
					t.Errorf("it ran %d times, want %d: %v", runs, want, err)
				}
			})
		}
	})
}

// TestManyUnsureChangesAtOnce: when all connections of the names break during COMMIT at once, each
// change still finds out what happened.
func TestManyUnsureChangesAtOnce(t *testing.T) {
	each(t, func(t *testing.T, e *engine) {
		const all = 32 // connections of the names
		ctx, l := t.Context(), e.link(t)
		db := open(t, e.at(l.address, e.create(t))+"?sslmode=disable")
		n, err := db.Names()
		must(t, err)
		defer func() { must(t, n.Close()) }()
		var begun, over sync.WaitGroup
		begun.Add(all)
		for range all {
			over.Go(func() {
				first := sync.OnceFunc(func() {
					begun.Done()
					begun.Wait()
					l.breakAt("COMMIT", false) // not before: BEGIN says READ COMMITTED
				})
				if err := n.Change(ctx, func(meta.NameQueries) error { first(); return nil }); err != nil {
					t.Error(err)
				}
			})
		}
		over.Wait()
	})
}
