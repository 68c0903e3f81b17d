package object

import (
	"context"
	"strings"
	"time"

	"hufu"
	"hufu/internal/digest"
	"hufu/internal/meta"
)

// object returns the end of the key of an object of the group.
func (c *check) object(o Stored) string { return strings.TrimPrefix(o.Key, c.s.key(c.id, "")) }

// length returns the length of an object of a content.
func length(r meta.Checked, number int64) int64 {
	if r.Layout == meta.LayoutSingle {
		return r.Size
	}
	return min(r.Layout, r.Size-number*r.Layout)
}

// unused handles an object of the group that no file has: its content is a file without it, or has
// no row any more.
func (c *check) unused(ctx context.Context, o Stored) error {
	age := c.now.Sub(o.Modified)
	if age < min(settled, c.o.Grace) {
		return nil
	}
	f := Finding{Problem: ObjectUnused, Content: c.id.String(), Object: o.Key, Have: o.Size, Since: o.Modified}
	if c.o.Repair && age >= c.o.Grace {
		if err := c.s.bucket.Delete(ctx, o.Key); err != nil {
			return err
		}
		f.Removed = true
	}
	return c.report(f)
}

// look looks at one object of a file, and reports it if it is not there or has another length.
func (c *check) look(ctx context.Context, r meta.Checked, object string, want int64) error {
	f := Finding{Problem: ObjectLength, Content: r.ID.String(), Object: c.s.key(r.ID, object), Want: want}
	have, err := c.s.bucket.Size(ctx, f.Object)
	switch {
	case hufu.CodeOf(err) == "store_object_missing":
		f.Problem = ObjectMissing
	case err != nil:
		return err
	case have == want:
		return nil
	}
	f.Have = have
	// The file may have been removed, and its objects with it, before they were looked for.
	now, err := c.s.names.CheckContent(ctx, r.ID)
	if err != nil || now.State != meta.StateLive {
		return err //nolint:wrapcheck // Check does
	}
	paths, inTree, err := c.paths(ctx, r.ID)
	if err != nil || !inTree && now.Names > 0 {
		return err // all its folders are removed: nobody misses it
	}
	f.Paths = paths
	return c.report(f)
}

// done ends the first row, whose objects were all listed.
func (c *check) done(ctx context.Context, r *meta.Checked) (err error) {
	found := c.found
	c.found = 0
	row := *r
	c.rows = c.rows[1:]
	if row.State != meta.StateLive {
		return c.late(row)
	}
	c.sum.Files++
	if row.Refs != row.Names {
		f := Finding{Problem: WrongReferences, Content: row.ID.String(), Want: row.Refs, Have: row.Names}
		if f.Paths, _, err = c.paths(ctx, row.ID); err == nil {
			err = c.report(f)
		}
		if err != nil {
			return err
		}
	}
	switch row.Layout {
	case meta.LayoutInline:
		return nil
	case meta.LayoutSingle:
		if found > 0 {
			return nil
		}
		return c.look(ctx, row, single, row.Size)
	}
	units, objects, err := c.s.names.CheckUnits(ctx, row.ID)
	if err != nil {
		return err //nolint:wrapcheck // Check does
	}
	per := row.Layout / hufu.ChunkSize
	if want := (digest.Chunks(row.Size) + per - 1) / per; units != want {
		now, err := c.s.names.CheckContent(ctx, row.ID)
		if err != nil || now.State != meta.StateLive {
			return err //nolint:wrapcheck // Check does
		}
		f := Finding{Problem: UnitsMissing, Content: row.ID.String(), Want: want, Have: units}
		if f.Paths, _, err = c.paths(ctx, row.ID); err == nil {
			err = c.report(f)
		}
		if err != nil {
			return err
		}
	}
	if found >= objects {
		return nil
	}
	for from, more := int64(0), true; more; {
		page, err := c.s.names.Objects(ctx, row.ID, from, checkPage)
		if err != nil {
			return err //nolint:wrapcheck // Check does
		}
		more = len(page) == checkPage
		for _, u := range page {
			if from = u.Number + 1; u.Object == "" {
				continue
			}
			if err := c.look(ctx, row, u.Object, length(row, u.Number)); err != nil {
				return err
			}
		}
	}
	return nil
}

// late reports a content that has been in its state for longer than the clean-up leaves it there.
func (c *check) late(r meta.Checked) error {
	limit := c.o.Grace
	switch {
	case r.State == meta.StateOpen && r.Uploads > 0:
		return nil // it ends, or expires
	case r.State == meta.StateOpen:
		limit = max(limit, stagedFor)
	case r.State == meta.StateRemoved:
		limit = latePut
	}
	since := time.UnixMilli(r.Changed)
	if c.now.Sub(since) < limit+checkSlack {
		return nil
	}
	return c.report(Finding{Problem: Overdue, Content: r.ID.String(), State: r.State, Since: since})
}

// names compares each entry with what it leads to.
func (c *check) names(ctx context.Context) error {
	for folder, after := (meta.ID{}), ""; ; {
		page, err := c.s.names.CheckNames(ctx, folder, after, checkPage)
		if err != nil {
			return err //nolint:wrapcheck // Check does
		}
		for _, e := range page {
			folder, after = e.Folder, e.Name
			f := Finding{Problem: NameWithoutFile, Content: e.Child.String(), State: e.State, Want: e.Size, Have: e.ContentSize}
			switch {
			case e.Gone:
				continue // it waits for the clean-up
			case e.Kind == hufu.File && (e.State != meta.StateLive || e.Size != e.ContentSize || e.Layout != e.ContentLayout):
			case e.Kind == hufu.Folder && (!e.Leads || e.Parent != e.Folder):
				f = Finding{Problem: FolderMissing, Content: e.Child.String()}
			case !e.In:
				f.Problem, f.Content = FolderMissing, e.Folder.String()
			default:
				continue
			}
			at, _, err := c.where(ctx, e.Folder)
			if err != nil {
				return err
			}
			f.Paths = []string{at + "/" + e.Name}
			if err := c.report(f); err != nil {
				return err
			}
		}
		if len(page) < checkPage {
			return nil
		}
	}
}

// folders finds folders that no way leads to, and removed ones that are still there.
func (c *check) folders(ctx context.Context) error {
	for after := (meta.ID{}); ; {
		page, err := c.s.names.CheckFolders(ctx, after, checkPage)
		if err != nil {
			return err //nolint:wrapcheck // Check does
		}
		for _, f := range page {
			since := time.UnixMilli(f.GoneAt)
			switch after = f.ID; {
			case f.GoneAt == 0:
				c.sum.Folders++
				if f.Names != 1 {
					err = c.report(Finding{Problem: FolderLost, Content: f.ID.String(), Want: 1, Have: f.Names})
				}
			case c.now.Sub(since) > checkSlack:
				err = c.report(Finding{Problem: Overdue, Content: f.ID.String(), State: meta.StateDead, Since: since})
			}
			if err != nil {
				return err
			}
		}
		if len(page) < checkPage {
			return nil
		}
	}
}

// uploads finds unfinished uploads whose content takes no more units.
func (c *check) uploads(ctx context.Context) error {
	for after := (meta.ID{}); ; {
		page, err := c.s.names.CheckUploads(ctx, after, checkPage)
		if err != nil {
			return err //nolint:wrapcheck // Check does
		}
		for _, u := range page {
			if after = u.ID; u.State == meta.StateOpen {
				continue
			}
			if err := c.report(Finding{Problem: UploadLost, Content: u.ID.String(), Paths: []string{u.Path}, State: u.State}); err != nil {
				return err
			}
		}
		if len(page) < checkPage {
			return nil
		}
	}
}

// paths returns the paths of a content, and whether one of them is in a tree: what is in a removed
// folder has none.
func (c *check) paths(ctx context.Context, id meta.ID) (paths []string, inTree bool, err error) {
	all, err := c.s.names.NamesOf(ctx, id, maxPaths)
	if err != nil {
		return nil, false, err //nolint:wrapcheck // Check does
	}
	for _, n := range all {
		at, there, err := c.where(ctx, n.Folder)
		if err != nil {
			return nil, false, err
		}
		if there {
			paths, inTree = append(paths, at+"/"+n.Name), true
		}
	}
	return paths, inTree, nil
}

// where returns the path of a folder, which begins with the name of its tree, and whether it is in
// that. Folders may move meanwhile: then the path is one that has been there in part.
func (c *check) where(ctx context.Context, folder meta.ID) (path string, there bool, err error) {
	for range 2 * hufu.MaxDepth {
		a, err := c.s.names.Above(ctx, folder)
		switch {
		case err != nil:
			return "", false, err //nolint:wrapcheck // Check does
		case a.Gone:
			return "?" + path, false, nil
		case a.Tree != "":
			return a.Tree + path, true, nil
		case a.Name == "":
			return "?" + path, true, nil // no entry leads to it
		}
		folder, path = a.Parent, "/"+a.Name+path
	}
	return "?" + path, true, nil
}
