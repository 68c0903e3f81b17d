package metatest

import (
	"context"
	"errors"
	"sync"
	"testing"

	"hufu"
	"hufu/internal/meta"
)

func testNamesAllOrNothing(t *testing.T, n *meta.Names) {
	ctx, top := t.Context(), root(t, n, "users/alice")
	no := errors.New("no")
	err := n.Change(ctx, func(q meta.NameQueries) error {
		must(t, q.PutEntry(ctx, top, meta.Entry{Name: "f", Kind: hufu.File, Version: meta.NewID()}))
		if e, err := q.Entry(ctx, top, "f"); err != nil || e.Kind != hufu.File {
			t.Errorf("its own change: %+v %v", e, err)
		}
		return no
	})
	if e, again := n.Entry(ctx, top, "f"); !errors.Is(err, no) || again != nil || e.Kind != 0 {
		t.Errorf("%v: %+v %v", err, e, again)
	}
}

// testNamesCanceled: a transaction does not begin for an ended context, and one whose context ends
// may still commit what it has done.
func testNamesCanceled(t *testing.T, n *meta.Names) {
	top := root(t, n, "users/alice")
	ctx, cancel := context.WithCancel(t.Context())
	must(t, n.Change(ctx, func(q meta.NameQueries) error {
		err := q.PutEntry(ctx, top, meta.Entry{Name: "f", Kind: hufu.File, Version: meta.NewID()})
		cancel()
		return err
	}))
	if e, err := n.Entry(t.Context(), top, "f"); err != nil || e.Kind != hufu.File {
		t.Errorf("%+v %v", e, err)
	}
	err := n.Change(ctx, func(meta.NameQueries) error { t.Error("it has begun"); return nil })
	if hufu.KindOf(err) != hufu.KindCanceled {
		t.Error(err)
	}
}

// testFoldersInTurn: two changes that lock the same folder do not overlap.
func testFoldersInTurn(t *testing.T, n *meta.Names) {
	ctx, top := t.Context(), root(t, n, "users/alice")
	must(t, n.PutEntry(ctx, top, meta.Entry{Name: "f", Kind: hufu.File, Version: meta.NewID()}))
	const workers, each = 6, 10
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range each {
				if err := n.Change(ctx, func(q meta.NameQueries) error {
					if _, err := q.LockFolder(ctx, top); err != nil {
						return err //nolint:wrapcheck // a test
					}
					e, err := q.Entry(ctx, top, "f")
					if err != nil {
						return err //nolint:wrapcheck // a test
					}
					e.Size++
					return q.PutEntry(ctx, top, e)
				}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if e, err := n.Entry(ctx, top, "f"); err != nil || e.Size != workers*each {
		t.Errorf("%d of %d changes were made, %v", e.Size, workers*each, err)
	}
}

// testAnyOrder: changes that lock in another order still end, one after the other.
func testAnyOrder(t *testing.T, n *meta.Names) {
	ctx, top := t.Context(), root(t, n, "users/alice")
	a, b := folder(t, n, top, "a"), folder(t, n, top, "b")
	var wg sync.WaitGroup
	for i := range 2 {
		wg.Go(func() {
			for range 3 {
				one, two := a, b
				if i == 1 {
					one, two = b, a
				}
				if err := n.Change(ctx, func(q meta.NameQueries) error {
					if _, err := q.LockFolder(ctx, one); err != nil {
						return err //nolint:wrapcheck // a test
					}
					_, err := q.LockFolder(ctx, two)
					return err //nolint:wrapcheck // a test
				}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}
