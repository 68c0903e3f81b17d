package object_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/blob/object"
	"hufu/internal/meta"
)

// TestAChangeOfAWholeFolderTakesFewStatements: a tree with many folders is removed and moved in time,
// however far away the database is.
func TestAChangeOfAWholeFolderTakesFewStatements(t *testing.T) {
	t.Parallel()
	const wide, deep = 8, 25
	const most = wide * deep // calls; two statements for each folder would be eight times as many
	may := func(context.Context, blob.Change) error { return nil }
	refuse := func(_ context.Context, c blob.Change) error {
		if c.Path.Base() == "zz" {
			return blob.Fail("remove", c.Path, hufu.KindPermission, "")
		}
		return nil
	}
	for name, c := range map[string]struct {
		g     blob.Guard
		moves bool
	}{
		"remove":         {blob.Guard{}, false},
		"remove, asked":  {blob.Guard{Deep: true, May: may}, false},
		"remove, denied": {blob.Guard{May: refuse}, false},
		"move, asked":    {blob.Guard{Deep: true, May: may}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := database(t)
			_, b := newFake(t)
			tree := tree(t, object.NewTrees(n, b, object.Options{Installation: "test"}))
			must(t, put(t, tree, "d/zz/file", []byte("x")))
			id := func(at string) meta.ID {
				top, err := n.Root(t.Context(), "users/alice")
				must(t, err)
				w, err := n.Look(t.Context(), top, at, "")
				must(t, err)
				return w.Folder
			}
			d := id("d/")
			var all []meta.ID
			must(t, n.Change(t.Context(), func(q meta.NameQueries) error {
				add := func(parent meta.ID, name string) meta.ID {
					f := meta.Folder{ID: meta.RandomID(), Parent: parent, By: "alice"} // in an order of their own
					must(t, q.AddFolder(t.Context(), f))
					must(t, q.PutEntry(t.Context(), parent, meta.Entry{Name: name, Kind: hufu.Folder, Child: f.ID, Version: f.ID}))
					all = append(all, f.ID)
					return f.ID
				}
				for i := range wide {
					in := add(d, fmt.Sprintf("w%02d", i))
					for j := range deep {
						add(in, fmt.Sprintf("d%02d", j))
					}
				}
				return nil
			}))
			calls := &atomic.Int64{}
			batch := tree.Batch(c.g)
			if c.moves {
				batch.Rename(t.Context(), path(t, "d"), path(t, "e"), always, "")
			} else {
				batch.Remove(t.Context(), path(t, "d"), true, "")
			}
			err := batch.Finish(traced{t.Context(), func() { calls.Add(1) }, []string{"(*Tx).QueryContext", "(*Tx).ExecContext"}})[0].Err
			if name == "remove, denied" {
				wantCode(t, err, hufu.KindPermission, "permission")
				rest, err := n.Entries(t.Context(), d, "", 10)
				if err != nil || len(rest) != 1 || rest[0].Name != "zz" {
					t.Errorf("%+v are left: %v", rest, err)
				}
			} else {
				must(t, err)
			}
			if got := calls.Load(); got > most || got == 0 {
				t.Errorf("%d calls for %d folders, want at most %d", got, len(all), most)
			}
			for _, id := range all {
				if f, err := n.Folder(t.Context(), id); err != nil || f.Gone == c.moves {
					t.Fatalf("%+v %v", f, err)
				}
			}
			if c.moves {
				if _, err := tree.Stat(t.Context(), path(t, "e/w07/d24")); err != nil {
					t.Error(err)
				}
			}
		})
	}
}
