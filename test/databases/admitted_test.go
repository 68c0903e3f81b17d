//go:build e2e && linux

package databases

import (
	"context"
	"os"
	"sync"
	"testing"
	"time"

	"hufu"
	"hufu/internal/meta"
)

// TestNothingIsWithdrawnBetweenTheLastLookAndCommit: what the last look of a change of names has
// found is still so when the change becomes visible. Whoever takes trust away waits for the changes
// that were looked at before, and not for those after.
func TestNothingIsWithdrawnBetweenTheLastLookAndCommit(t *testing.T) {
	each(t, func(t *testing.T, e *engine) {
		ctx, at := t.Context(), e.fresh(t)
		db, other := open(t, at), open(t, at)
		names, err := db.Names()
		must(t, err)
		t.Cleanup(func() { must(t, names.Close()) })
		_, err = names.Installation(ctx, "this")
		must(t, err)
		top := meta.NewID()
		must(t, names.AddTree(ctx, "users/alice", meta.Folder{ID: top, Mode: 0o755}))
		withdraw := func(ctx context.Context) error {
			return other.PutUser(ctx, meta.User{Name: "alice", Created: moment, Locked: time.Now()})
		}
		put := func(name string, admit func(context.Context) error) error {
			return names.ChangeIf(ctx, func(q meta.NameQueries) error {
				return q.PutEntry(ctx, top, meta.Entry{Name: name, Kind: hufu.File, Version: meta.NewID()})
			}, admit)
		}
		has := func(name string) bool {
			found, err := names.Entry(ctx, top, name)
			must(t, err)
			return found.Kind == hufu.File
		}
		before, err := other.Version(ctx)
		must(t, err)
		must(t, put("f", func(ctx context.Context) error {
			late, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			if withdraw(late) == nil {
				t.Error("the user was locked before a change that had been admitted")
			}
			if v, err := db.Version(ctx); err != nil || v != before { // others still look
				t.Error(v, err)
			}
			return nil
		}))
		if !has("f") {
			t.Error("it was not committed")
		}

		// Many changes, without a gap, do not keep it out.
		over, stop := context.WithCancel(ctx)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for over.Err() == nil {
					if err := put("g", func(ctx context.Context) error { _, err := db.Version(ctx); return err }); err != nil {
						t.Error(err)
					}
				}
			})
		}
		for range 3 {
			must(t, withdraw(ctx))
		}
		stop()
		wg.Wait()

		if os.Getenv("HUFU_LARGE") == "" {
			return
		}
		// A process that is frozen after its last look is waited for, but not for ever, and its
		// change is lost.
		err = put("late", func(ctx context.Context) error { return withdraw(context.WithoutCancel(ctx)) })
		if err == nil || has("late") {
			t.Error("a change was committed after the user had been locked:", err)
		}
	})
}
