package object

import (
	"cmp"
	"context"
	"math/bits"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/meta"
)

func (w *work) remove(ctx context.Context, p hufu.Path, recursive bool, version string) error {
	const op = "remove"
	dir, e, err := w.find(ctx, op, p)
	if err != nil {
		return err
	}
	if e.Kind == hufu.Folder && recursive && !w.alone {
		return errAlone
	}
	err = expected(op, p, e, version)
	if err == nil {
		err = w.ask(ctx, p, dir.By, e, 0)
	}
	if err == nil && recursive && w.g.Deep && e.Kind == hufu.Folder {
		err = w.askBelow(ctx, p, e)
	}
	switch {
	case err != nil:
		return err
	case e.Kind != hufu.Folder:
		err = w.DropEntry(ctx, dir.ID, e.Name)
		if err == nil && e.Kind == hufu.File {
			err = w.Release(ctx, e.Child)
		}
		w.touch[dir.ID] = true
		return w.failed(ctx, op, p, err)
	case recursive:
		return w.removeAll(ctx, p, dir, e)
	}
	if _, ok := w.locked[e.Child]; !ok {
		return errUnlocked
	}
	inside, err := w.Entries(ctx, e.Child, "", 1)
	if err != nil {
		return w.failed(ctx, op, p, err)
	}
	busy := len(inside) > 0 || w.t.s.uploading(e.Child)
	if !busy {
		if busy, err = w.HeldInto(ctx, e.Child, w.t.s.grip); err != nil {
			return w.failed(ctx, op, p, err)
		}
	}
	if busy {
		return blob.Fail(op, p, hufu.KindNotEmpty, "")
	}
	return w.detach(ctx, p, dir, e.Name, []meta.ID{e.Child})
}

// detach removes the name of a folder, and marks it and those below it. What is in them is left to
// the clean-up.
func (w *work) detach(ctx context.Context, p hufu.Path, dir meta.Folder, name string, below []meta.ID) error {
	err := w.DropEntry(ctx, dir.ID, name)
	if err == nil {
		err = w.Detach(ctx, below...)
	}
	for _, id := range below {
		delete(w.locked, id)
	}
	clear(w.ways) // a later change of the group must not find its way into what is gone
	w.touch[dir.ID] = true
	return w.failed(ctx, "remove", p, err)
}

// removeAll removes the folder e of dir and everything in it. If the guard refuses something, or
// ctx ends, what comes before it in the order of names is removed: so the statements go on after
// ctx.
func (w *work) removeAll(ctx context.Context, p hufu.Path, dir meta.Folder, e meta.Entry) error {
	below, err := w.below(ctx, "remove", p, e.Child)
	if err != nil {
		return err
	}
	later := context.WithoutCancel(ctx)
	if w.g.May == nil {
		return cmp.Or(blob.Canceled(ctx, "remove", p), w.detach(later, p, dir, e.Name, below))
	}
	s := sweep{w: w, ctx: ctx, removes: true}
	refused := s.folder(p, e.Child, e.By, 0)
	if refused == nil {
		refused = cmp.Or(blob.Canceled(ctx, "remove", p), w.ask(ctx, p, dir.By, e, 0))
	}
	if w.err != nil || refused == nil {
		return cmp.Or(w.err, w.detach(later, p, dir, e.Name, below))
	}
	for _, cut := range s.cuts {
		if err := w.cut(later, p, cut); err != nil {
			return err
		}
	}
	return refused
}

// cut removes the first entries of a folder.
func (w *work) cut(ctx context.Context, p hufu.Path, c cut) error {
	const op = "remove"
	for after, more := "", true; more; {
		page, err := w.Entries(ctx, c.folder, after, pageSize)
		if err != nil {
			return w.failed(ctx, op, p, err)
		}
		more = len(page) == pageSize
		var folders []meta.ID
		for _, e := range page {
			if after = e.Name; after > c.last {
				more = false
				break
			}
			if e.Kind == hufu.Folder {
				folders = append(folders, e.Child)
			}
		}
		below, err := w.below(ctx, op, p, folders...)
		if err == nil {
			err = w.failed(ctx, op, p, w.Detach(ctx, below...))
		}
		if err != nil {
			return err
		}
	}
	w.touch[c.folder] = true
	return w.failed(ctx, op, p, w.DropThrough(ctx, c.folder, c.last))
}

// askBelow asks the guard about everything in the folder e, whose subfolders must be locked.
func (w *work) askBelow(ctx context.Context, p hufu.Path, e meta.Entry) error {
	if w.g.May == nil {
		return nil
	}
	if _, err := w.below(ctx, "look", p, e.Child); err != nil {
		return err
	}
	s := sweep{w: w, ctx: ctx}
	return s.folder(p, e.Child, e.By, 0)
}

// sweep asks the guard about everything in a folder.
type sweep struct {
	w       *work
	ctx     context.Context //nolint:containedctx // of this one call
	removes bool            // each folder is asked about once more when all in it was
	cuts    []cut           // how far it came, from the inside out

	ahead map[meta.ID][]meta.Entry // of folders that were read before their turn, all of their entries
	kept  int                      // entries in ahead
	alone map[meta.ID]bool         // folders that are too large to be read ahead
}

// The bounds of reading ahead: folders of one question, and entries that are kept.
const (
	maxAhead = 64
	maxKept  = 10 * pageSize
)

// cut is the last entry of a folder that may be removed.
type cut struct {
	folder meta.ID
	last   string
}

// folder asks about the entries of the folder id at p, in order. An entry too deep for a path has
// the path of the nearest folder that is not.
func (s *sweep) folder(p hufu.Path, id meta.ID, by string, depth int) error {
	if depth > 2*hufu.MaxDepth {
		return blob.Fail("look", p, hufu.KindUnsupported, "folders_too_deep")
	}
	last := ""
	for more := true; more; {
		page, err := s.page(id, last)
		if err != nil {
			return s.w.failed(s.ctx, "look", p, err)
		}
		more = len(page) == pageSize
		for i, e := range page {
			if err := s.readAhead(page[i:]); err != nil {
				return s.w.failed(s.ctx, "look", p, err)
			}
			if err := s.entry(p, e, by, depth); err != nil {
				if last != "" {
					s.cuts = append(s.cuts, cut{id, last})
				}
				return err
			}
			last = e.Name
		}
	}
	return nil
}

func (s *sweep) entry(p hufu.Path, e meta.Entry, by string, depth int) error {
	q, err := p.Join(e.Name)
	if err != nil {
		q = p
	}
	err = cmp.Or(blob.Canceled(s.ctx, "look", q), s.w.ask(s.ctx, q, by, e, 0))
	if err == nil && e.Kind == hufu.Folder {
		err = s.folder(q, e.Child, e.By, depth+1)
		if err == nil && s.removes {
			err = cmp.Or(blob.Canceled(s.ctx, "look", q), s.w.ask(s.ctx, q, by, e, 0))
		}
	}
	return err
}

// page returns the entries of a folder that follow last.
func (s *sweep) page(id meta.ID, last string) ([]meta.Entry, error) {
	if page, ok := s.ahead[id]; ok && last == "" {
		delete(s.ahead, id)
		s.kept -= len(page)
		return page, nil
	}
	return s.w.Entries(context.WithoutCancel(s.ctx), id, last, pageSize) //nolint:wrapcheck // folder does
}

// readAhead reads what is in the folders among these entries with one question for many of them, if
// the first entry is a folder that was not read yet. All of them are locked, so nothing changes
// until their turn.
func (s *sweep) readAhead(entries []meta.Entry) error {
	if _, there := s.ahead[entries[0].Child]; there || s.alone[entries[0].Child] || entries[0].Kind != hufu.Folder || s.kept > maxKept {
		return nil
	}
	var ids []meta.ID
	for _, e := range entries {
		if _, there := s.ahead[e.Child]; !there && !s.alone[e.Child] && e.Kind == hufu.Folder && len(ids) < maxAhead {
			ids = append(ids, e.Child)
		}
	}
	ids = ids[:1<<(bits.Len(uint(len(ids)))-1)] // a power of two, so that a database prepares few different statements
	if len(ids) == 1 {
		return nil // it is read in its turn
	}
	found, err := s.w.EntriesOf(context.WithoutCancel(s.ctx), ids, pageSize)
	if err != nil {
		return err //nolint:wrapcheck // folder does
	}
	if s.ahead == nil {
		s.ahead, s.alone = map[meta.ID][]meta.Entry{}, map[meta.ID]bool{}
	}
	of := map[meta.ID][]meta.Entry{}
	for _, e := range found {
		of[e.Folder] = append(of[e.Folder], e.Entry)
	}
	for _, id := range ids {
		if n := len(found); n < pageSize || id.Compare(found[n-1].Folder) < 0 { // none is left out
			s.ahead[id] = of[id]
			s.kept += len(of[id])
		} else if id == found[n-1].Folder { // the answer ends in it; those after it are asked about again
			s.alone[id] = true
		}
	}
	return nil
}
