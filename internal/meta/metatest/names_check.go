package metatest

import (
	"errors"
	"fmt"
	"maps"
	"testing"

	"hufu"
	"hufu/internal/meta"
)

// testCheck: a check sees each row once, a page at a time, with what refers to it.
func testCheck(t *testing.T, n *meta.Names) {
	ctx, top := t.Context(), root(t, n, "users/alice")
	d := folder(t, n, top, "d\xff%")
	var want []meta.ID
	for i := range 5 {
		id := content(t, n, meta.StateLive)
		want = append(want, id)
		must(t, n.PutEntry(ctx, []meta.ID{top, d}[i%2], meta.Entry{Name: fmt.Sprintf("f%d", i), Kind: hufu.File, Child: id, Size: 7, Layout: 1, Version: id}))
	}
	lost := meta.NewID() // a name whose content is gone, and one that leads to no folder
	must(t, errors.Join(n.PutEntry(ctx, d, meta.Entry{Name: "lost", Kind: hufu.File, Child: lost, Version: lost}),
		n.PutEntry(ctx, d, meta.Entry{Name: "nowhere", Kind: hufu.Folder, Child: lost, Version: lost}),
		n.PutEntry(ctx, d, meta.Entry{Name: "two", Kind: hufu.File, Child: want[0], Version: lost})))
	open := content(t, n, meta.StateOpen)
	added, err := n.AddUpload(ctx, meta.Upload{ID: open, Tree: top, Path: "up", Key: [32]byte{1}})
	must(t, err)
	for i := range int64(40) {
		object := fmt.Sprintf("g/%d.1", i)
		if i == 3 {
			object = ""
		}
		_, err := n.AddUnit(ctx, open, meta.Unit{Number: i, Object: object, CVs: make([]byte, 32)})
		must(t, err)
	}

	var got []meta.Checked
	for after := (meta.ID{}); ; after = got[len(got)-1].ID {
		page, err := n.CheckContents(ctx, after, 2)
		must(t, err)
		if got = append(got, page...); len(page) < 2 {
			break
		}
	}
	found := map[meta.ID]meta.Checked{}
	for _, c := range got {
		found[c.ID] = c
	}
	if c := found[open]; !added || len(got) != 6 || len(found) != 6 || c.Uploads != 1 || c.Names != 0 || c.State != meta.StateOpen {
		t.Fatalf("%+v", got)
	}
	for i, id := range want {
		if c := found[id]; c.Refs != 1 || c.Names != map[bool]int64{true: 2, false: 1}[i == 0] || c.Uploads != 0 || c.Changed == 0 {
			t.Errorf("%d: %+v", i, c)
		}
		if c, err := n.CheckContent(ctx, id); err != nil || c.ID != id || c.Names != found[id].Names || c.Layout != 1 {
			t.Errorf("%+v %v", c, err)
		}
	}
	if c, err := n.CheckContent(ctx, lost); err != nil || c.State != 0 {
		t.Errorf("%+v %v", c, err)
	}
	if units, objects, err := n.CheckUnits(ctx, open); err != nil || units != 40 || objects != 39 {
		t.Errorf("%d units, %d objects: %v", units, objects, err)
	}
	numbers := []int64{50, 3}
	for i := range int64(35) {
		numbers = append(numbers, 39-i)
	}
	if units, err := n.UnitsOf(ctx, open, numbers); err != nil || len(units) != 36 {
		t.Errorf("%d units: %v", len(units), err)
	}

	var names []meta.CheckedName
	for at, after := (meta.ID{}), ""; ; {
		page, err := n.CheckNames(ctx, at, after, 2)
		must(t, err)
		names = append(names, page...)
		if len(page) < 2 {
			break
		}
		at, after = page[1].Folder, page[1].Name
	}
	seen := map[string]meta.CheckedName{}
	for _, e := range names {
		seen[e.Name] = e
	}
	if len(names) != 9 || len(seen) != 9 {
		t.Errorf("%d entries: %+v", len(names), names)
	}
	if e := seen["f1"]; !e.In || e.Gone || e.Folder != d || e.State != meta.StateLive || e.ContentLayout != 1 || e.Layout != 1 || e.Size != 7 || e.Child != want[1] {
		t.Errorf("%+v", e)
	}
	if e := seen["d\xff%"]; !e.Leads || e.Parent != top || e.Kind != hufu.Folder {
		t.Errorf("%+v", e)
	}
	if e := seen["lost"]; e.State != 0 || e.Kind != hufu.File {
		t.Errorf("%+v", e)
	}
	if e := seen["nowhere"]; e.Leads || !e.Parent.IsZero() {
		t.Errorf("%+v", e)
	}

	alone := meta.NewID()
	must(t, errors.Join(n.AddFolder(ctx, meta.Folder{ID: alone, Parent: d}), n.Detach(ctx, alone)))
	folders, err := n.CheckFolders(ctx, meta.ID{}, 9)
	leads := map[meta.ID]int64{}
	for _, f := range folders {
		leads[f.ID] = f.Names
		if (f.GoneAt > 0) != (f.ID == alone) {
			t.Errorf("%+v", f)
		}
	}
	if err != nil || !maps.Equal(leads, map[meta.ID]int64{top: 1, d: 1, alone: 0}) {
		t.Errorf("%+v %v", folders, err)
	}
	uploads, err := n.CheckUploads(ctx, meta.ID{}, 9)
	if err != nil || len(uploads) != 1 || uploads[0] != (meta.CheckedUpload{ID: open, Path: "up", State: meta.StateOpen}) {
		t.Errorf("%+v %v", uploads, err)
	}
	if all, err := n.NamesOf(ctx, want[0], 9); err != nil || len(all) != 2 {
		t.Errorf("%+v %v", all, err)
	}
	for id, want := range map[meta.ID]meta.Location{
		top: {Tree: "users/alice"}, d: {Parent: top, Name: "d\xff%"}, alone: {Parent: d, Gone: true}, lost: {Gone: true},
	} {
		if got, err := n.Above(ctx, id); err != nil || got != want {
			t.Errorf("%+v %v, want %+v", got, err, want)
		}
	}
}
