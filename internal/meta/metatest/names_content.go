package metatest

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"hufu"
	"hufu/internal/meta"
)

func content(t *testing.T, n *meta.Names, state int) meta.ID {
	t.Helper()
	id := meta.NewID()
	must(t, n.AddContent(t.Context(), meta.Content{ID: id, Size: 5, Layout: meta.LayoutSingle, State: state, Bytes: []byte("x\x00\xff")}))
	return id
}

func testContents(t *testing.T, n *meta.Names) {
	ctx := t.Context()
	id := content(t, n, meta.StateOpen)
	state := func(want int) {
		t.Helper()
		c, err := n.Content(ctx, id)
		if err != nil || c.State != want {
			t.Errorf("%+v %v, want state %d", c, err, want)
		}
	}
	step := func(f func(context.Context, ...meta.ID) (bool, error), want bool) {
		t.Helper()
		if ok, err := f(ctx, id); err != nil || ok != want {
			t.Errorf("%v %v, want %v", ok, err, want)
		}
	}
	must(t, n.Release(ctx, id)) // it has no name
	state(meta.StateOpen)
	step(n.Enliven, true)
	step(n.Enliven, false)
	step(n.Abandon, false)
	must(t, n.Remove(ctx, id))
	state(meta.StateLive)
	must(t, n.Release(ctx, id))
	state(meta.StateDead)
	step(n.Enliven, false)
	must(t, n.Release(ctx, id), n.ForgetContent(ctx, id))
	state(meta.StateDead)
	must(t, n.Remove(ctx, id))
	state(meta.StateRemoved)
	must(t, n.ForgetContent(ctx, id))
	state(0)
	id = content(t, n, meta.StateOpen)
	if c, err := n.Content(ctx, id); err != nil || string(c.Bytes) != "x\x00\xff" || c.Size != 5 || c.Layout != 1 {
		t.Errorf("%+v %v", c, err)
	}
	step(n.Abandon, true)
	step(n.Enliven, false)
	state(meta.StateDead)
}

// testMany: what takes several statements, the last of them shorter, is done once for each row.
func testMany(t *testing.T, n *meta.Names) {
	ctx, top := t.Context(), root(t, n, "users/alice")
	const count = 64 + 32 + 1
	var contents []meta.Content
	var entries []meta.Entry
	var ids []meta.ID
	names := []string{"not there"}
	for i := range count {
		c := meta.Content{ID: meta.NewID(), Size: int64(i), Layout: meta.LayoutInline, State: meta.StateOpen, Bytes: []byte{byte(i), 0}}
		name := fmt.Sprintf("f%d", i)
		contents, ids, names = append(contents, c), append(ids, c.ID), append(names, name)
		entries = append(entries, meta.Entry{Name: name, Kind: hufu.File, Child: c.ID, Size: c.Size, Version: meta.NewID()})
	}
	must(t, n.AddContent(ctx), n.PutEntry(ctx, top), n.AddContent(ctx, contents...), n.PutEntry(ctx, top, entries...))
	for i := range entries {
		entries[i].Mode = uint32(i)
	}
	must(t, n.PutEntry(ctx, top, entries...)) // replaces them
	found, err := n.Named(ctx, top, names)
	slices.SortFunc(found, func(a, b meta.Entry) int { return int(a.Size - b.Size) })
	if err != nil || !slices.Equal(found, entries) {
		t.Errorf("%d entries, or others, were found: %v", len(found), err)
	}
	if none, err := n.Named(ctx, meta.NewID(), names); err != nil || len(none) > 0 {
		t.Errorf("%d entries in another folder: %v", len(none), err)
	}
	states := func(want int) {
		t.Helper()
		for i, id := range ids {
			if c, err := n.Content(ctx, id); err != nil || c.State != want || !bytes.Equal(c.Bytes, contents[i].Bytes) {
				t.Errorf("content %d: %+v %v, want state %d", i, c, err, want)
			}
		}
	}
	if ok, err := n.Enliven(ctx, ids...); err != nil || !ok {
		t.Error(ok, err)
	}
	states(meta.StateLive)
	more := meta.Content{ID: meta.NewID(), State: meta.StateOpen}
	must(t, n.AddContent(ctx, more))
	if ok, err := n.Enliven(ctx, more.ID, ids[0]); err != nil || ok { // one has its name already
		t.Error(ok, err)
	}
	must(t, n.Release(ctx), n.Release(ctx, ids...))
	states(meta.StateDead)
	if ok, err := n.Abandon(ctx, append(ids, more.ID)...); err != nil || ok {
		t.Error(ok, err)
	}
}

func testDropThrough(t *testing.T, n *meta.Names) {
	ctx, top := t.Context(), root(t, n, "users/alice")
	one, two, other := content(t, n, meta.StateLive), content(t, n, meta.StateLive), content(t, n, meta.StateLive)
	for name, id := range map[string]meta.ID{"a": one, "b": two, "c": other, "d": one} { // one has a second name, and counts one only
		must(t, n.PutEntry(ctx, top, meta.Entry{Name: name, Kind: hufu.File, Child: id, Version: meta.NewID()}))
	}
	must(t, n.DropThrough(ctx, top, "b"))
	left, err := n.Entries(ctx, top, "", 10)
	must(t, err)
	states := func(want ...int) {
		t.Helper()
		for i, id := range []meta.ID{one, two, other} {
			if c, err := n.Content(ctx, id); err != nil || c.State != want[i] {
				t.Errorf("content %d: %+v %v, want %d", i, c, err, want[i])
			}
		}
	}
	if len(left) != 2 || left[0].Name != "c" {
		t.Errorf("left are %+v", left)
	}
	states(meta.StateDead, meta.StateDead, meta.StateLive)
	must(t, n.DropThrough(ctx, top, ""))
	states(meta.StateDead, meta.StateDead, meta.StateDead)
	if left, err := n.Entries(ctx, top, "", 10); err != nil || len(left) != 0 {
		t.Errorf("left are %+v %v", left, err)
	}
}

func testUploads(t *testing.T, n *meta.Names) {
	ctx, top := t.Context(), root(t, n, "users/alice")
	u := meta.Upload{ID: meta.NewID(), Tree: top, Key: [32]byte{1}, Place: [32]byte{2}, Path: "a/\xff", Size: 1 << 50, Source: "s", Owner: "alice/x"}
	second := u
	second.ID = meta.NewID()
	for i, up := range []meta.Upload{u, second} {
		if ok, err := n.AddUpload(ctx, up); err != nil || ok != (i == 0) {
			t.Errorf("upload %d: %v %v", i, ok, err)
		}
	}
	must(t, n.AddContent(ctx, meta.Content{ID: u.ID, State: meta.StateOpen}))
	into := meta.NewID()
	for _, find := range []func() ([]meta.Upload, error){
		func() ([]meta.Upload, error) { return n.UploadsByKey(ctx, top, u.Key) },
		func() ([]meta.Upload, error) { return n.UploadsByID(ctx, top, u.ID) },
		func() ([]meta.Upload, error) { return n.UploadsAt(ctx, top, u.Place) },
		func() ([]meta.Upload, error) { return n.IdleUploads(ctx, "me", -time.Hour, meta.ID{}, 5) },
		func() ([]meta.Upload, error) {
			if ok, err := n.SetInto(ctx, u.ID, into); err != nil || !ok {
				t.Errorf("%v %v", ok, err)
			}
			u.Into = into
			return n.UploadsInto(ctx, into, 10)
		},
	} {
		if got, err := find(); err != nil || len(got) != 1 || got[0] != u {
			t.Errorf("found %+v %v", got, err)
		}
	}
	if got, err := n.UploadsByID(ctx, meta.NewID(), u.ID); err != nil || len(got) != 0 {
		t.Errorf("in another tree: %+v %v", got, err)
	}
	if ok, err := n.DropUnbegun(ctx, u.ID, "me"); err != nil || ok {
		t.Errorf("%v %v", ok, err)
	}
	for _, want := range []bool{true, false} {
		if ok, err := n.DropUpload(ctx, u.ID); err != nil || ok != want {
			t.Errorf("%v %v, want %v", ok, err, want)
		}
	}
	if ok, err := n.SetInto(ctx, u.ID, into); err != nil || ok {
		t.Errorf("%v %v", ok, err)
	}
	if ok, err := n.AddUpload(ctx, second); err != nil || !ok {
		t.Errorf("%v %v", ok, err)
	}
	if ok, err := n.DropUnbegun(ctx, second.ID, "me"); err != nil || !ok {
		t.Errorf("%v %v", ok, err)
	}
}

func testUnits(t *testing.T, n *meta.Names) {
	ctx, id := t.Context(), content(t, n, meta.StateOpen)
	cvs := []byte(strings.Repeat("\x00\xff", 32*32))
	add := func(number int64, object string, want bool) {
		t.Helper()
		if ok, err := n.AddUnit(ctx, id, meta.Unit{Number: number, Object: object, CVs: cvs}); err != nil || ok != want {
			t.Errorf("unit %d: %v %v, want %v", number, ok, err, want)
		}
	}
	for _, i := range []int64{5, 0, 2, 3} {
		object := "g/0.1"
		if i == 2 || i == 3 {
			object = ""
		}
		add(i, object, true)
		add(i, "another", false)
	}
	units, err := n.Units(ctx, id, 1, 2)
	if err != nil || len(units) != 2 || units[0].Number != 2 || units[1].Number != 3 || string(units[0].CVs) != string(cvs) || units[0].Object != "" {
		t.Errorf("%d units, %v", len(units), err)
	}
	if units, err := n.Objects(ctx, id, 0, 9); err != nil || len(units) != 4 || units[0].Object != "g/0.1" {
		t.Errorf("%+v %v", units, err)
	}
	for from, want := range map[int64]int64{0: 0, 1: 5, 5: 5, 6: -1} {
		if next, err := n.NextUnit(ctx, id, from); err != nil || next != want {
			t.Errorf("after %d comes %d %v, want %d", from, next, err, want)
		}
	}
	must(t, n.Change(ctx, func(q meta.NameQueries) error {
		c, err := q.LockContent(ctx, id)
		if err != nil || c.Voided != 0 || c.State != meta.StateOpen {
			t.Errorf("%+v %v", c, err)
		}
		return q.VoidUnit(ctx, id, 2)
	}))
	if c, err := n.Content(ctx, id); err != nil || c.Voided != 1 {
		t.Errorf("%+v %v", c, err)
	}
	if count, err := n.CountUnits(ctx, id); err != nil || count != 3 {
		t.Errorf("%d units, %v", count, err)
	}
	_, err = n.Enliven(ctx, id)
	must(t, err)
	add(2, "late", false) // it is not open any more
}

// testLongNames: a value comes back whole or is refused, it is never cut.
func testLongNames(t *testing.T, n *meta.Names) {
	ctx, id := t.Context(), content(t, n, meta.StateOpen)
	whole := func(what string, got string, err error, want string) {
		t.Helper()
		if err == nil && got != want {
			t.Errorf("%s of %d bytes was cut to %d", what, len(want), len(got))
		}
	}
	for i, size := range []int{2048, 2049, 1 << 17} {
		cvs := strings.Repeat("c", size)
		_, err := n.AddUnit(ctx, id, meta.Unit{Number: int64(i), Object: "g/0.1", CVs: []byte(cvs)})
		if size == 2048 {
			must(t, err)
		}
		units, err2 := n.Units(ctx, id, int64(i), 1)
		must(t, err2)
		if (err == nil) != (len(units) == 1) {
			t.Errorf("a unit with %d bytes: %d units, %v", size, len(units), err)
			continue
		}
		if len(units) == 1 {
			whole("the chaining values", string(units[0].CVs), err, cvs)
		}
	}
	long := strings.Repeat("n", 1000)
	err := n.Change(ctx, func(q meta.NameQueries) error {
		return q.AddTree(ctx, "users/"+long, meta.Folder{ID: meta.NewID(), Mode: 0o755})
	})
	trees, err2 := n.Trees(ctx, "users/", "users0")
	must(t, err2)
	if (err == nil) != (len(trees) == 1) {
		t.Errorf("a tree with a long name: %d trees, %v", len(trees), err)
	} else if len(trees) == 1 {
		whole("the name of a tree", trees[0], err, "users/"+long)
	}
	u := meta.Upload{ID: meta.NewID(), Key: [32]byte{1}, Path: strings.Repeat("p", 70_000), Source: "s"}
	ok, err := n.AddUpload(ctx, u)
	found, err2 := n.UploadsByKey(ctx, u.Tree, u.Key)
	must(t, err2)
	if (err == nil) != (len(found) == 1) || ok != (err == nil) {
		t.Errorf("an upload with a long path: %v, %d uploads, %v", ok, len(found), err)
	} else if len(found) == 1 {
		whole("the path of an upload", found[0].Path, err, u.Path)
	}
}

func testClean(t *testing.T, n *meta.Names) {
	ctx, top := t.Context(), root(t, n, "users/alice")
	f := folder(t, n, top, "f")
	must(t, n.Detach(ctx, f))
	if gone, err := n.GoneFolders(ctx, 5); err != nil || len(gone) != 1 || gone[0] != f {
		t.Errorf("gone are %v %v", gone, err)
	}
	must(t, n.ForgetFolder(ctx, top), n.ForgetFolder(ctx, f))
	if f, err := n.Folder(ctx, top); err != nil || f.Gone {
		t.Errorf("the root: %+v %v", f, err)
	}
	if gone, err := n.GoneFolders(ctx, 5); err != nil || len(gone) != 0 {
		t.Errorf("gone are %v %v", gone, err)
	}
	staged, dead, uploaded := content(t, n, meta.StateOpen), content(t, n, meta.StateDead), content(t, n, meta.StateOpen)
	_, err := n.AddUpload(ctx, meta.Upload{ID: uploaded, Tree: top})
	must(t, err)
	if ids, err := n.Staged(ctx, -time.Hour, 5); err != nil || len(ids) != 1 || ids[0] != staged {
		t.Errorf("staged are %v %v", ids, err)
	}
	if all, err := n.Contents(ctx, meta.StateDead, -time.Hour, meta.Content{}, 5); err != nil || len(all) != 1 || all[0].ID != dead || all[0].Layout != 1 {
		t.Errorf("dead are %v %v", all, err)
	}
	if all, err := n.Contents(ctx, meta.StateDead, time.Hour, meta.Content{}, 5); err != nil || len(all) != 0 {
		t.Errorf("dead for an hour are %v %v", all, err)
	}
	must(t, n.ForgetStamps(ctx, -time.Hour))
}

// testPages: what is asked for page by page comes once, whatever is left of the pages before.
func testPages(t *testing.T, n *meta.Names) {
	ctx, top := t.Context(), root(t, n, "users/alice")
	var contents []meta.Content
	for i := range 7 {
		contents = append(contents, meta.Content{ID: meta.RandomID(), Size: int64(i), Layout: meta.LayoutSingle, State: meta.StateDead})
	}
	must(t, n.AddContent(ctx, contents[:4]...), n.AddContent(ctx, contents[4:]...))
	for i, c := range contents {
		_, err := n.AddUpload(ctx, meta.Upload{ID: c.ID, Tree: top, Key: [32]byte{byte(i)}})
		must(t, err)
	}
	for after, seen := (meta.Content{}), map[meta.ID]bool{}; ; {
		page, err := n.Contents(ctx, meta.StateDead, -time.Hour, after, 2)
		must(t, err)
		for _, c := range page {
			if seen[c.ID] || c.Changed < after.Changed {
				t.Errorf("%+v comes after %+v", c, after)
			}
			after, seen[c.ID] = c, true
		}
		if len(page) < 2 {
			if len(seen) != len(contents) {
				t.Errorf("%d contents", len(seen))
			}
			break
		}
	}
	var after meta.ID
	for count := 0; ; count++ {
		page, err := n.IdleUploads(ctx, "me", -time.Hour, after, 1)
		must(t, err)
		if len(page) == 0 {
			if count != len(contents) {
				t.Errorf("%d uploads", count)
			}
			return
		}
		if bytes.Compare(page[0].ID[:], after[:]) <= 0 {
			t.Errorf("%v comes after %v", page[0].ID, after)
		}
		after = page[0].ID
	}
}

// testClock: ages are by the clock of the database.
func testClock(t *testing.T, n *meta.Names) {
	ctx, id := t.Context(), content(t, n, meta.StateDead)
	for range 2 {
		at, err := n.Clock(ctx)
		must(t, err)
		if d := time.Since(at); d.Abs() > time.Hour {
			t.Errorf("the clock of the database is %v behind", d)
		}
		all, err := n.Contents(ctx, meta.StateDead, -time.Hour, meta.Content{}, 5)
		must(t, err)
		if len(all) != 1 || all[0].ID != id || time.UnixMilli(all[0].Changed).Sub(at).Abs() > time.Hour {
			t.Errorf("%+v, it is %v", all, at)
		}
	}
}
