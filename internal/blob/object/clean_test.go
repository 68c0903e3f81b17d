package object_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/blob/object"
	"hufu/internal/meta"
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

// TestOneObjectThatCannotBeDeletedKeepsNoOther: the rest is deleted each time, and the one is tried
// again. If the store is away, the clean-up ends.
func TestOneObjectThatCannotBeDeletedKeepsNoOther(t *testing.T) {
	t.Parallel()
	n := database(t)
	f, b := newFake(t)
	s := object.NewTrees(n, b, object.Options{Installation: "test", Inline: -1})
	tree := tree(t, s)
	const files = 120 // more than one page of them
	batch := tree.Batch(blob.Guard{})
	for i := range files {
		batch.Put(t.Context(), path(t, fmt.Sprint(i)), []byte("x"), blob.Meta{}, always)
	}
	for _, r := range batch.Finish(t.Context()) {
		must(t, r.Err)
	}
	for i := range files {
		batch.Remove(t.Context(), path(t, fmt.Sprint(i)), false, "")
	}
	for _, r := range batch.Finish(t.Context()) {
		must(t, r.Err)
	}
	dead, err := n.Contents(t.Context(), meta.StateDead, -time.Minute, meta.Content{}, 1)
	must(t, err)
	stuck := dead[0].ID.String() // the oldest
	asked := 0
	f.fails(func(r *http.Request) bool {
		asked++
		return r.Method == http.MethodDelete && strings.Contains(r.URL.Path, stuck)
	})
	for _, want := range []int{files - 1, 0} {
		deleted, err := s.Clean(t.Context(), -time.Minute)
		wantCode(t, err, hufu.KindUnavailable, "store_unreachable")
		if keys := f.keys(); deleted != want || len(keys) != 1 || !strings.Contains(keys[0], stuck) {
			t.Errorf("%d objects were deleted, %q are left", deleted, keys)
		}
	}
	asked = 0
	f.fails(func(*http.Request) bool { asked++; return true })
	deleted, err := s.Clean(t.Context(), -time.Minute)
	if wantCode(t, err, hufu.KindUnavailable, "store_unreachable"); deleted != 0 || asked > 2 {
		t.Errorf("%d objects were deleted with %d requests", deleted, asked)
	}
	f.fails(nil)
	if deleted, err := s.Clean(t.Context(), -time.Minute); err != nil || deleted != 1 || len(f.keys()) > 0 {
		t.Errorf("%d objects were deleted, %q are left: %v", deleted, f.keys(), err)
	}
}

// TestUploadsThatAreOpenKeepNoneFromExpiring: however many they are, here or in another process.
func TestUploadsThatAreOpenKeepNoneFromExpiring(t *testing.T) {
	t.Parallel()
	n := database(t)
	_, b := newFake(t)
	o := object.Options{Installation: "test"}
	s := object.NewTrees(n, b, o)
	other := object.NewTrees(n, b, o)
	here, elsewhere := tree(t, s), tree(t, other)
	data := content(1<<20+1, 'd')
	want := 0
	for i := range 130 {
		u := open(t, here, fmt.Sprint(i), data)
		switch i % 3 {
		case 0:
			must(t, send(t, u, data, 0))
			must(t, u.Close())
			want++
		case 1:
			v, err := elsewhere.FindUpload(t.Context(), u.Info().ID, blob.Guard{})
			must(t, err)
			defer func() { _ = v.Close() }()
			must(t, send(t, v, data, 0))
			must(t, u.Close())
		}
	}
	if expired, err := s.Expire(t.Context(), -time.Hour); expired != want || err != nil {
		t.Errorf("%d uploads have expired, want %d: %v", expired, want, err)
	}
}

// TestAgesAreByTheClockOfTheDatabase: a server whose clock is years behind deletes nothing that is
// new, nor lets others do so.
func TestAgesAreByTheClockOfTheDatabase(t *testing.T) {
	t.Parallel()
	_, b := newFake(t)
	file := filepath.Join(t.TempDir(), "hufu.db")
	var id meta.ID
	with := func(do func(n *meta.Names)) {
		db, err := meta.Open(t.Context(), meta.File(file))
		must(t, err)
		n, err := db.Names()
		must(t, err)
		do(n)
		must(t, n.Close())
		must(t, db.Close())
	}
	with(func(*meta.Names) {})            // makes the tables
	synctest.Test(t, func(t *testing.T) { // here it is the year 2000
		with(func(n *meta.Names) {
			s := object.NewTrees(n, b, object.Options{Installation: "test"})
			tree, err := s.User(t.Context(), "alice")
			must(t, err)
			u, err := tree.OpenUpload(t.Context(), blob.UploadKey{Path: path(t, "f"), Size: 2 << 20, Owner: "alice/x"}, blob.Guard{})
			must(t, err)
			id, _ = meta.ParseID(u.Info().ID)
			must(t, s.Close())
			must(t, n.AddContent(t.Context(), meta.Content{ID: meta.NewID(), State: meta.StateOpen}, meta.Content{ID: meta.NewID(), State: meta.StateDead}))
		})
	})
	with(func(n *meta.Names) {
		ctx := t.Context()
		idle, err := n.IdleUploads(ctx, "", time.Hour, meta.ID{}, 5)
		must(t, err)
		dropped, err := n.DropIdle(ctx, id, "", time.Hour)
		must(t, err)
		staged, err := n.Staged(ctx, time.Hour, 5)
		must(t, err)
		dead, err := n.Contents(ctx, meta.StateDead, time.Hour, meta.Content{}, 5)
		must(t, err)
		if len(idle)+len(staged)+len(dead) > 0 || dropped {
			t.Errorf("years old are %v, %v and %v, dropped %v", idle, staged, dead, dropped)
		}
		if staged, err = n.Staged(ctx, -time.Hour, 5); err != nil || len(staged) != 1 {
			t.Errorf("%v %v", staged, err)
		}
	})
}

// TestCleanUpOfAFolderWithManyUploads: the uploads into a removed folder end, a page at a time, and then the
// folder goes.
func TestCleanUpOfAFolderWithManyUploads(t *testing.T) {
	t.Parallel()
	n := database(t)
	_, b := newFake(t)
	s := object.NewTrees(n, b, object.Options{Installation: "test"})
	tree := tree(t, s)
	must(t, put(t, tree, "d/f", []byte("x")))
	root, err := n.Root(t.Context(), "users/alice")
	must(t, err)
	d, err := n.Look(t.Context(), root, "d/", "")
	must(t, err)
	const uploads = 250
	must(t, n.Change(t.Context(), func(q meta.NameQueries) error {
		for range uploads {
			id := meta.RandomID()
			u := meta.Upload{ID: id, Tree: root, Key: [32]byte(append(id[:], id[:]...)), Path: "d/u", Size: 2 << 20, Source: "v", Owner: "alice/x"}
			if _, err := q.AddUpload(t.Context(), u); err != nil {
				return err
			}
			if _, err := q.SetInto(t.Context(), id, d.Folder); err != nil {
				return err
			}
		}
		return nil
	}))
	batch := tree.Batch(blob.Guard{})
	batch.Remove(t.Context(), path(t, "d"), true, "")
	must(t, batch.Finish(t.Context())[0].Err)
	_, err = s.Clean(t.Context(), time.Hour)
	must(t, err)
	must(t, n.Change(t.Context(), func(q meta.NameQueries) error {
		left, err := q.UploadsInto(t.Context(), d.Folder, uploads)
		if len(left) > 0 {
			t.Errorf("%d uploads are left", len(left))
		}
		return err
	}))
	if gone, err := n.GoneFolders(t.Context(), 10); err != nil || len(gone) > 0 {
		t.Errorf("%d folders are left: %v", len(gone), err)
	}
}
