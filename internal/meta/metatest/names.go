package metatest

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"hufu"
	"hufu/internal/meta"
)

// RunNames tests the names of a database. fresh is that of Run.
func RunNames(t *testing.T, fresh func(t *testing.T) string) {
	for name, test := range map[string]func(t *testing.T, n *meta.Names){
		"trees":     testTrees,
		"paths":     testPaths,
		"entries":   testEntries,
		"listing":   testListing,
		"folders":   testFolders,
		"contents":  testContents,
		"drop":      testDropThrough,
		"many":      testMany,
		"uploads":   testUploads,
		"units":     testUnits,
		"long":      testLongNames,
		"clean":     testClean,
		"check":     testCheck,
		"pages":     testPages,
		"clock":     testClock,
		"lease":     testLease,
		"idle":      testIdle,
		"holders":   testHolders,
		"handover":  testHandover,
		"all":       testNamesAllOrNothing,
		"canceled":  testNamesCanceled,
		"in_turn":   testFoldersInTurn,
		"any_order": testAnyOrder,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, names(t, open(t, fresh(t))))
		})
	}
}

func names(t *testing.T, db *meta.DB) *meta.Names {
	t.Helper()
	n, err := db.Names()
	must(t, err)
	t.Cleanup(func() { must(t, n.Close()) })
	return n
}

// folder makes a folder in parent.
func folder(t *testing.T, n *meta.Names, parent meta.ID, name string) meta.ID {
	t.Helper()
	id := meta.NewID()
	must(t, n.Change(t.Context(), func(q meta.NameQueries) error {
		return errors.Join(q.AddFolder(t.Context(), meta.Folder{ID: id, Parent: parent, Mode: 0o755, MTime: 7, By: "alice"}),
			q.PutEntry(t.Context(), parent, meta.Entry{Name: name, Kind: hufu.Folder, Child: id, Version: id}))
	}))
	return id
}

func root(t *testing.T, n *meta.Names, tree string) meta.ID {
	t.Helper()
	must(t, n.Change(t.Context(), func(q meta.NameQueries) error {
		return q.AddTree(t.Context(), tree, meta.Folder{ID: meta.NewID(), Mode: 0o755})
	}))
	id, err := n.Root(t.Context(), tree)
	must(t, err)
	if id.IsZero() {
		t.Fatal("no tree")
	}
	return id
}

func testTrees(t *testing.T, n *meta.Names) {
	ctx := t.Context()
	if id, err := n.Root(ctx, "users/alice"); err != nil || !id.IsZero() {
		t.Errorf("%v %v", id, err)
	}
	roots := make([]meta.ID, 6)
	var wg sync.WaitGroup
	for i := range roots {
		wg.Go(func() { roots[i] = root(t, n, "users/alice") })
	}
	wg.Wait()
	for _, id := range roots {
		if id != roots[0] {
			t.Error("a tree has two roots")
		}
	}
	if f, err := n.Folder(ctx, roots[0]); err != nil || f.Gone || f.Mode != 0o755 {
		t.Errorf("the root is %+v, %v", f, err)
	}
	root(t, n, "shared/b")
	root(t, n, "shared/a\xff")
	if all, err := n.Trees(ctx, "shared/", "shared0"); err != nil || !slices.Equal(all, []string{"shared/a\xff", "shared/b"}) {
		t.Errorf("%q %v", all, err)
	}
	first, err := n.Installation(ctx, "one")
	must(t, err)
	if again, err := n.Installation(ctx, "two"); err != nil || first != "one" || again != "one" {
		t.Errorf("installations %q, %q, %v", first, again, err)
	}
}

func testPaths(t *testing.T, n *meta.Names) {
	ctx, top := t.Context(), root(t, n, "users/alice")
	look := func(path, name string, depth int, kind hufu.EntryKind, last meta.ID, found hufu.EntryKind) {
		t.Helper()
		p, err := n.Look(ctx, top, path, name)
		must(t, err)
		if p.Depth != depth || p.Kind != kind || kind == hufu.Folder && p.Folder != last || p.Entry.Kind != found || found != 0 && p.Entry.Name != name {
			t.Errorf("%.40q and %q: %+v", path, name, p)
		}
	}
	a := folder(t, n, top, "a")
	b := folder(t, n, a, "b\xff\n '\\%_")
	must(t, n.PutEntry(ctx, b, meta.Entry{Name: "f", Kind: hufu.File, Child: meta.NewID(), Version: meta.NewID()}))
	must(t, n.PutEntry(ctx, b, meta.Entry{Name: "l", Kind: hufu.Link, Target: "a", Version: meta.NewID()}))
	look("", "a", 0, hufu.Folder, top, hufu.Folder)
	look("", "A", 0, hufu.Folder, top, 0)
	look("a/", "", 1, hufu.Folder, a, 0)
	look("a/b\xff\n '\\%_/", "f", 2, hufu.Folder, b, hufu.File)
	look("a/b\xff\n '\\%_/", "f ", 2, hufu.Folder, b, 0)
	look("a/b/", "f", 1, hufu.Folder, a, 0)
	look("a/b\xff\n '\\%_/f/x/y/", "z", 3, hufu.File, meta.ID{}, 0)
	look("a/b\xff\n '\\%_/l/x/", "z", 3, hufu.Link, meta.ID{}, 0)
	look("x/y/", "z", 0, hufu.Folder, top, 0)
	deep, path := top, ""
	for range hufu.MaxDepth - 1 {
		deep = folder(t, n, deep, "d")
		path += "d/"
	}
	look(path, "f", hufu.MaxDepth-1, hufu.Folder, deep, 0)
	long, path := top, ""
	for range 16 {
		name := strings.Repeat("é", 127) + "x"
		long = folder(t, n, long, name)
		path += name + "/"
	}
	look(path, "f", 16, hufu.Folder, long, 0)
}

func testEntries(t *testing.T, n *meta.Names) {
	ctx, top := t.Context(), root(t, n, "users/alice")
	want := meta.Entry{
		Name: "n\x01\xff", Kind: hufu.File, Child: meta.NewID(), Size: 1 << 50, Layout: 8 << 20, Mode: 0o777, MTime: -1 << 62,
		Digest: hufu.Digest{31: 1}, Target: "", By: strings.Repeat("é", 300), Upload: "id", Version: meta.NewID(),
	}
	must(t, n.PutEntry(ctx, top, want))
	if got, err := n.Entry(ctx, top, want.Name); err != nil || got != want {
		t.Errorf("got  %+v %v\nwant %+v", got, err, want)
	}
	if p, err := n.Look(ctx, top, "", want.Name); err != nil || p.Entry != want {
		t.Errorf("got  %+v %v\nwant %+v", p, err, want)
	}
	inline := meta.Entry{Name: "inline", Kind: hufu.File, Child: meta.NewID(), Size: 3, Layout: meta.LayoutInline, Version: meta.NewID()}
	must(t, n.Change(ctx, func(q meta.NameQueries) error {
		return errors.Join(q.AddContent(ctx, meta.Content{ID: inline.Child, Size: 3, Layout: meta.LayoutInline, State: meta.StateLive, Bytes: []byte("a\x00\xff")}), q.PutEntry(ctx, top, inline))
	}))
	found, err := n.LookFiles(ctx, top, "", inline.Name, "none", want.Name)
	if err != nil || len(found) != 3 || found[0].Entry != inline || string(found[0].Bytes) != "a\x00\xff" || found[1].Entry.Kind != 0 || found[1].Folder != top || found[2].Entry != want || found[2].Bytes != nil {
		t.Errorf("got  %+v %v", found, err)
	}
	if found, err := n.LookFiles(ctx, top, "no/way/", "a", "b"); err != nil || len(found) != 2 || found[1].Depth != 0 || found[1].Entry.Kind != 0 {
		t.Errorf("got  %+v %v", found, err)
	}
	link := meta.Entry{Name: want.Name, Kind: hufu.Link, Target: strings.Repeat("t\x00", 2048), Version: meta.NewID()}
	must(t, n.PutEntry(ctx, top, link)) // replaces it
	if got, err := n.Entry(ctx, top, want.Name); err != nil || got != link {
		t.Errorf("got  %+v %v\nwant %+v", got, err, link)
	}
	current := func(v meta.ID) bool {
		ok, err := n.Current(ctx, v)
		must(t, err)
		return ok
	}
	if current(want.Version) || !current(link.Version) {
		t.Error("the version is not the last one")
	}
	if ok, err := n.SetDigest(ctx, want.Version, want.Digest); err != nil || ok {
		t.Errorf("a digest of a version that is gone: %v %v", ok, err)
	}
	if ok, err := n.SetDigest(ctx, link.Version, want.Digest); err != nil || !ok {
		t.Errorf("%v %v", ok, err)
	}
	if ok, err := n.SetDigest(ctx, link.Version, want.Digest); err != nil || !ok { // it changes nothing, and is there
		t.Errorf("%v %v", ok, err)
	}
	must(t, n.DropEntry(ctx, top, want.Name))
	if got, err := n.Entry(ctx, top, want.Name); err != nil || got.Kind != 0 {
		t.Errorf("%+v %v", got, err)
	}
}

func testListing(t *testing.T, n *meta.Names) {
	ctx, top := t.Context(), root(t, n, "users/alice")
	all := []string{"\x01", "A", "a", "a ", "a\x00", "b", "\xff"}
	for _, name := range all {
		must(t, n.PutEntry(ctx, top, meta.Entry{Name: name, Kind: hufu.File, Child: meta.NewID(), Version: meta.NewID()}))
	}
	f := folder(t, n, top, "folder")
	all = append(all, "folder")
	slices.Sort(all)
	var got []string
	for after := ""; ; {
		page, err := n.Entries(ctx, top, after, 3)
		must(t, err)
		for _, e := range page {
			got = append(got, e.Name)
			if e.Name == "folder" && (e.Child != f || e.Mode != 0o755 || e.MTime != 7 || e.By != "alice") {
				t.Errorf("the folder is %+v", e)
			}
			after = e.Name
		}
		if len(page) < 3 {
			break
		}
	}
	if !slices.Equal(got, all) {
		t.Errorf("listed %q", got)
	}
}

func testFolders(t *testing.T, n *meta.Names) {
	ctx, top := t.Context(), root(t, n, "users/alice")
	a := folder(t, n, top, "a")
	b := folder(t, n, a, "b")
	c := folder(t, n, b, "c")
	below := func(id meta.ID, want ...meta.ID) {
		t.Helper()
		got, err := n.Subfolders(ctx, id)
		must(t, err)
		slices.SortFunc(got, func(x, y meta.ID) int { return strings.Compare(x.String(), y.String()) })
		slices.SortFunc(want, func(x, y meta.ID) int { return strings.Compare(x.String(), y.String()) })
		if !slices.Equal(got, want) {
			t.Errorf("below are %v, want %v", got, want)
		}
	}
	below(top, top, a, b, c)
	must(t, n.MoveFolder(ctx, c, top), n.SetFolder(ctx, c, 0o700, -5), n.Touch(ctx, 9, b))
	below(a, a, b)
	if f, err := n.Folder(ctx, c); err != nil || f.Parent != top || f.Mode != 0o700 || f.MTime != -5 || f.Gone {
		t.Errorf("%+v %v", f, err)
	}
	version := meta.NewID()
	must(t, n.PutEntry(ctx, b, meta.Entry{Name: "f", Kind: hufu.File, Child: meta.NewID(), Version: version}), n.Detach(ctx, b))
	below(a, a)
	if ok, err := n.Current(ctx, version); err != nil || ok {
		t.Errorf("a file of a removed folder is there: %v", err)
	}
	if f, err := n.LockFolder(ctx, b); err != nil || !f.Gone {
		t.Errorf("%+v %v", f, err)
	}
	if f, err := n.LockFolder(ctx, meta.NewID()); err != nil || !f.Gone {
		t.Errorf("%+v %v", f, err)
	}
	must(t, n.Change(ctx, func(q meta.NameQueries) error {
		all, err := q.LockFolders(ctx, c, meta.NewID(), b, top)
		found := map[meta.ID]meta.Folder{}
		for _, f := range all {
			found[f.ID] = f
		}
		if len(all) != 3 || found[top].ID != top || found[top].Gone || !found[b].Gone || found[c].Mode != 0o700 || found[c].Gone {
			t.Errorf("%+v", all)
		}
		return err
	}))
}
