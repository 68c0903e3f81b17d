package object

import (
	"context"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/meta"
)

// prepare locks what the changes concern: the folders that hold their names, and the folders among
// the entries themselves.
func (w *work) prepare(ctx context.Context, todo []*slot) error {
	ids := map[meta.ID]bool{}
	for _, sl := range todo {
		for _, at := range sl.folders {
			found, err := w.way(ctx, sl.op, sl.path, at)
			if err != nil {
				return err
			}
			if reached(sl.op, sl.path, at, found) == nil {
				ids[found.Folder] = true
			}
		}
		if !sl.looks {
			continue
		}
		if sl.path.IsRoot() {
			ids[w.t.root] = true
			continue
		}
		found, err := w.Look(ctx, w.t.root, spell(sl.path.Parent()), sl.path.Base())
		if err != nil {
			return w.failed(ctx, sl.op, sl.path, err)
		}
		if found.Entry.Kind == hufu.Folder {
			ids[found.Entry.Child] = true
		}
	}
	defer w.forget()
	return w.lock(ctx, ids)
}

// prepareAlone locks what a change of a whole folder concerns: the tree, and with the folder all of
// those below it if each of them is asked about or removed.
func (w *work) prepareAlone(ctx context.Context, sl *slot) error {
	w.alone = true
	if err := w.LockTree(ctx, w.t.root); err != nil {
		return w.failed(ctx, sl.op, sl.path, err)
	}
	ids := map[meta.ID]bool{}
	for _, at := range sl.folders {
		found, err := w.way(ctx, sl.op, sl.path, at)
		if err != nil {
			return err
		}
		if reached(sl.op, sl.path, at, found) == nil {
			ids[found.Folder] = true
		}
	}
	found, err := w.Look(ctx, w.t.root, spell(sl.path.Parent()), sl.path.Base())
	if err != nil {
		return w.failed(ctx, sl.op, sl.path, err)
	}
	switch {
	case found.Entry.Kind != hufu.Folder:
	case sl.op == "rename" && !w.g.Deep:
		ids[found.Entry.Child] = true
	default:
		below, err := w.Subfolders(ctx, found.Entry.Child)
		if err != nil {
			return w.failed(ctx, sl.op, sl.path, err)
		}
		for _, id := range below {
			ids[id] = true
		}
	}
	defer w.forget()
	return w.lock(ctx, ids)
}

// below returns these folders and all folders below them, if all of them are locked.
func (w *work) below(ctx context.Context, op string, p hufu.Path, ids ...meta.ID) ([]meta.ID, error) {
	all, err := w.Subfolders(ctx, ids...)
	if err != nil {
		return nil, w.failed(ctx, op, p, err)
	}
	for _, id := range all {
		if _, ok := w.locked[id]; !ok {
			return nil, errUnlocked
		}
	}
	return all, nil
}

// expected returns an error unless e is the version that a change is meant for.
func expected(op string, p hufu.Path, e meta.Entry, version string) error {
	switch {
	case version == "" || e.Kind != hufu.Folder && e.Version.String() == version:
		return nil
	case e.Kind == hufu.Folder:
		return blob.Fail(op, p, hufu.KindWrongKind, "folder_in_the_way")
	}
	return blob.Fail(op, p, hufu.KindChanged, "target_changed")
}

// place gives row the name p if c and the guard allow it, and reports whether the name was free.
// n is the staged file or link, or nil if row is an entry that has a name already.
func (w *work) place(ctx context.Context, op string, p hufu.Path, row *meta.Entry, c hufu.Condition, n *staged) (created bool, err error) {
	dir, err := w.folder(ctx, op, p, p.Parent())
	if err != nil {
		return false, err
	}
	old, err := w.entry(ctx, op, p, dir)
	if err != nil {
		return false, err
	}
	if err := w.permit(ctx, op, p, dir, old, row.Kind, c); err != nil {
		return false, err
	}
	if err := w.settled(ctx, op, p, dir, old); err != nil {
		return false, err
	}
	if n != nil && row.Kind == hufu.File {
		if err := w.enliven(ctx, op, p, n); err != nil {
			return false, err
		}
	}
	return old.Kind == 0, w.write(ctx, op, p, dir, old, row)
}

// permit judges the condition and asks the guard whether the name p may become this kind.
func (w *work) permit(ctx context.Context, op string, p hufu.Path, dir meta.Folder, old meta.Entry, becomes hufu.EntryKind, c hufu.Condition) error {
	switch { // these say more than a refusal
	case old.Kind == hufu.Folder:
		return blob.Fail(op, p, hufu.KindWrongKind, "folder_in_the_way")
	case old.Kind != 0 && c.Kind == hufu.IfAbsent:
		return blob.Fail(op, p, hufu.KindExists, "target_exists")
	}
	if err := w.ask(ctx, p, dir.By, old, becomes); err != nil {
		return err
	}
	switch {
	case c.Kind == hufu.IfVersion && (old.Kind == 0 || old.Version.String() != c.Version):
		return blob.Fail(op, p, hufu.KindChanged, "target_changed")
	case c.Kind != hufu.IfAbsent && c.Kind != hufu.IfVersion && c.Kind != hufu.Always:
		return blob.Fail(op, p, hufu.KindInvalid, "condition_form")
	case old.Kind != 0 && becomes == hufu.Folder:
		return blob.Fail(op, p, hufu.KindWrongKind, "not_a_folder")
	}
	return nil
}

// enliven gives the content of a staged file its name.
func (w *work) enliven(ctx context.Context, op string, p hufu.Path, n *staged) error {
	switch {
	case !n.stored:
		w.after.contents = append(w.after.contents, meta.Content{ID: n.row.Child, Size: n.row.Size, Layout: n.row.Layout, State: meta.StateLive, Bytes: n.data})
		return nil
	case !w.single:
		w.after.alive = append(w.after.alive, n.row.Child)
		return nil
	}
	open, err := w.Enliven(ctx, n.row.Child)
	if err != nil {
		return w.failed(ctx, op, p, err)
	}
	if !open { // it was staged for so long that the clean-up has taken it
		return blob.Fail(op, p, hufu.KindUnavailable, "store_unreachable")
	}
	return nil
}

// write gives row the name p instead of old, and a version that no entry had before. The database
// is told in flush.
func (w *work) write(ctx context.Context, op string, p hufu.Path, dir meta.Folder, old meta.Entry, row *meta.Entry) error {
	row.Name = p.Base()
	if row.Kind != hufu.Folder {
		row.Version = meta.NewID()
	}
	w.touch[dir.ID] = true
	at := spot{dir.ID, row.Name}
	w.known[at] = *row
	if w.after.entries == nil {
		w.after.entries, w.after.released = map[spot]meta.Entry{}, map[meta.ID]bool{}
	}
	w.after.entries[at] = *row
	if old.Kind == hufu.File {
		w.after.released[old.Child] = true
	}
	return nil
}

// settled writes what is pending if the name p in dir, or the content of its entry, is part of it.
func (w *work) settled(ctx context.Context, op string, p hufu.Path, dir meta.Folder, old meta.Entry) error {
	_, twice := w.after.entries[spot{dir.ID, p.Base()}]
	if !twice && !w.after.released[old.Child] {
		return nil
	}
	err := w.flush(ctx)
	if w.err != nil {
		return broken(ctx, op, p, w.err)
	}
	return err
}

func (w *work) setMeta(ctx context.Context, p hufu.Path, m blob.Meta, version string) (res blob.Result, err error) {
	const op = "set meta"
	dir, e, err := w.find(ctx, op, p)
	if err == nil {
		err = expected(op, p, e, version)
	}
	if err == nil {
		err = w.ask(ctx, p, dir.By, e, e.Kind)
	}
	if err != nil {
		return res, err
	}
	if !m.MTime.IsZero() {
		e.MTime = nanos(m.MTime)
	}
	if e.Kind == hufu.Folder {
		delete(w.touch, e.Child) // earlier changes of the group come before this time
		return res, w.failed(ctx, op, p, w.SetFolder(ctx, e.Child, m.Mode&0o777, e.MTime))
	}
	e.Version = meta.NewID()
	if e.Kind != hufu.Link { // it has no mode of its own
		e.Mode, res.Version = m.Mode&0o777, e.Version.String()
	}
	return res, w.failed(ctx, op, p, w.PutEntry(ctx, dir.ID, e))
}

func (w *work) rename(ctx context.Context, from, to hufu.Path, c hufu.Condition, version string) (res blob.Result, err error) {
	const op = "rename"
	dir, e, err := w.find(ctx, op, from)
	if err != nil {
		return res, err
	}
	if e.Kind == hufu.Folder && from != to && !w.alone {
		return res, errAlone
	}
	if _, err = w.folder(ctx, op, to, to.Parent()); err == nil {
		err = expected(op, from, e, version)
	}
	if err == nil {
		err = w.ask(ctx, from, dir.By, e, 0)
	}
	if err == nil && w.g.Deep && e.Kind == hufu.Folder && from != to {
		err = w.askBelow(ctx, from, e)
	}
	switch {
	case err != nil:
		return res, err
	case from != to:
		return w.move(ctx, from, to, dir, e, c)
	case e.Kind == hufu.Folder:
		return res, blob.Fail(op, to, hufu.KindWrongKind, "folder_in_the_way")
	case c.Kind == hufu.IfAbsent:
		return res, blob.Fail(op, to, hufu.KindExists, "target_exists")
	case c.Kind == hufu.IfVersion && c.Version != e.Version.String():
		return res, blob.Fail(op, to, hufu.KindChanged, "target_changed")
	}
	res.Version = e.Version.String()
	return res, nil
}

// move moves the entry e of dir from one name to another.
func (w *work) move(ctx context.Context, from, to hufu.Path, dir meta.Folder, e meta.Entry, c hufu.Condition) (res blob.Result, err error) {
	const op = "rename"
	if res.Created, err = w.place(ctx, op, to, &e, c, nil); err != nil {
		return res, err
	}
	if err := w.DropEntry(ctx, dir.ID, from.Base()); err != nil {
		return res, w.failed(ctx, op, from, err)
	}
	w.touch[dir.ID] = true
	if e.Kind != hufu.Folder {
		res.Version = e.Version.String()
		return res, nil
	}
	into, err := w.folder(ctx, op, to, to.Parent())
	if err != nil {
		return res, err
	}
	return res, w.failed(ctx, op, to, w.MoveFolder(ctx, e.Child, into.ID))
}
