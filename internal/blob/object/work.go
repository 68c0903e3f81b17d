package object

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/meta"
)

// maxTries is how often a change is begun again because a folder on its way was moved, made or
// removed before it was locked.
const maxTries = 50

var (
	errUnlocked = errors.New("a folder of the change is not locked")
	errAlone    = errors.New("the change needs a transaction of its own")
	errTaken    = errors.New("the clean-up has taken a staged file")
)

// work is one transaction on the names of a tree. The folders that it concerns are locked in the
// order of their ids; each path is followed again afterwards, and leads to a locked folder or the
// work is begun again.
type work struct {
	meta.NameQueries
	t      *Tree
	g      *blob.Guard
	alone  bool // the tree is locked: folders may be moved and removed
	locked map[meta.ID]meta.Folder
	ways   map[hufu.Path]meta.Place // that were followed after the locks
	touch  map[meta.ID]bool         // folders whose names have changed
	err    error                    // of the database: nothing of the transaction counts

	known  map[spot]meta.Entry // entries that were looked up together or will be written, without a kind if there is none
	single bool                // each content gets its name by a statement of its own
	after  pending
}

// spot is one name in a folder.
type spot struct {
	folder meta.ID
	name   string
}

// pending is what has been decided and is still to be written.
type pending struct {
	contents []meta.Content
	alive    []meta.ID
	entries  map[spot]meta.Entry
	released map[meta.ID]bool
}

// change runs do as one transaction, again if do returns errUnlocked.
func (t *Tree) change(ctx context.Context, op string, p hufu.Path, g *blob.Guard, do func(w *work) error) error {
	for range maxTries {
		refused := false
		err := t.s.names.ChangeIf(ctx, func(q meta.NameQueries) error {
			w := &work{
				NameQueries: q, t: t, g: g, locked: map[meta.ID]meta.Folder{}, ways: map[hufu.Path]meta.Place{}, touch: map[meta.ID]bool{},
				known: map[spot]meta.Entry{},
			}
			err := do(w)
			if err == nil && w.err == nil {
				err = w.flush(ctx)
			}
			if refused = w.err == nil && err != nil; refused {
				return err
			}
			if w.err != nil {
				return w.err
			}
			return w.touched(ctx)
		}, g.Last)
		switch {
		case !refused:
			return broken(ctx, op, p, err)
		case !errors.Is(err, errUnlocked):
			return err
		}
		if err := blob.Canceled(ctx, op, p); err != nil {
			return err
		}
	}
	return blob.Fail(op, p, hufu.KindUnavailable, "database_busy")
}

// failed notes an error of the database, after which the transaction can only be rolled back.
func (w *work) failed(ctx context.Context, op string, p hufu.Path, err error) error {
	if err != nil {
		w.err = err
	}
	return broken(ctx, op, p, err)
}

// lock locks folders, in the order of their ids.
func (w *work) lock(ctx context.Context, ids map[meta.ID]bool) error {
	all, err := w.LockFolders(ctx, slices.Collect(maps.Keys(ids))...)
	if err != nil {
		w.err = err
		return err //nolint:wrapcheck // the caller does
	}
	for _, f := range all {
		if !f.Gone {
			w.locked[f.ID] = f
		}
	}
	return nil
}

// way follows the path of a folder, once after the locks.
func (w *work) way(ctx context.Context, op string, p, at hufu.Path) (meta.Place, error) {
	if known, ok := w.ways[at]; ok {
		return known, nil
	}
	found, err := w.Look(ctx, w.t.root, spell(at), "")
	if err != nil {
		return found, w.failed(ctx, op, p, err)
	}
	w.ways[at] = found
	return found, nil
}

// forget forgets the ways that were followed before the locks.
func (w *work) forget() {
	if w.t.s.names.Shared() { // in SQLite nobody else has written since
		clear(w.ways)
	}
}

// folder returns the locked folder at.
func (w *work) folder(ctx context.Context, op string, p, at hufu.Path) (meta.Folder, error) {
	found, err := w.way(ctx, op, p, at)
	if err == nil {
		err = reached(op, p, at, found)
	}
	if err != nil {
		return meta.Folder{}, err
	}
	f, ok := w.locked[found.Folder]
	if !ok {
		return f, errUnlocked
	}
	return f, nil
}

// find returns the entry at p and the locked folder that holds it, none for the root.
func (w *work) find(ctx context.Context, op string, p hufu.Path) (dir meta.Folder, e meta.Entry, err error) {
	if p.IsRoot() {
		f, ok := w.locked[w.t.root]
		if !ok {
			return dir, e, errUnlocked
		}
		return dir, rootEntry(f), nil
	}
	if dir, err = w.folder(ctx, op, p, p.Parent()); err != nil {
		return dir, e, err
	}
	if e, err = w.entry(ctx, op, p, dir); err == nil && e.Kind == 0 {
		err = blob.Fail(op, p, hufu.KindNotFound, "")
	}
	return dir, e, err
}

// entry returns the entry p in dir, without a kind if there is none.
func (w *work) entry(ctx context.Context, op string, p hufu.Path, dir meta.Folder) (meta.Entry, error) {
	if e, ok := w.known[spot{dir.ID, p.Base()}]; ok {
		return e, nil
	}
	e, err := w.Entry(ctx, dir.ID, p.Base())
	return e, w.failed(ctx, op, p, err)
}

// look looks up together which entries have the names of the files and links in todo. Their folders
// must be locked. A change whose folder is not there finds that out later.
func (w *work) look(ctx context.Context, todo []*slot) error {
	names := map[meta.ID][]string{}
	for _, sl := range todo {
		if sl.new == nil {
			continue
		}
		dir, err := w.folder(ctx, sl.op, sl.path, sl.path.Parent())
		if w.err != nil {
			return w.err
		}
		at := spot{dir.ID, sl.path.Base()}
		if _, twice := w.known[at]; err != nil || twice {
			continue
		}
		w.known[at] = meta.Entry{}
		names[dir.ID] = append(names[dir.ID], at.name)
	}
	for id, list := range names {
		found, err := w.Named(ctx, id, list)
		if err != nil {
			w.err = err
			return err //nolint:wrapcheck // the caller does
		}
		for _, e := range found {
			w.known[spot{id, e.Name}] = e
		}
	}
	return nil
}

// flush writes what is pending, however many names it is, with a few statements. What was decided
// is written even if ctx has ended. The error is errTaken if a staged content is no longer open.
func (w *work) flush(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	todo := w.after
	w.after = pending{}
	byFolder := map[meta.ID][]meta.Entry{}
	for at, e := range todo.entries {
		byFolder[at.folder] = append(byFolder[at.folder], e)
	}
	released := slices.SortedFunc(maps.Keys(todo.released), meta.ID.Compare)
	err := w.AddContent(ctx, todo.contents...)
	open := true
	if err == nil && len(todo.alive) > 0 {
		open, err = w.Enliven(ctx, todo.alive...)
	}
	for id, list := range byFolder {
		if err == nil {
			slices.SortFunc(list, func(a, b meta.Entry) int { return cmp.Compare(a.Name, b.Name) })
			err = w.PutEntry(ctx, id, list...)
		}
	}
	if err == nil {
		err = w.Release(ctx, released...)
	}
	switch {
	case err != nil:
		w.err = err
		return err //nolint:wrapcheck // the caller does
	case !open:
		return errTaken
	}
	return nil
}

// touched gives the folders whose names have changed their time.
func (w *work) touched(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)                                                  // what was done before it ended is committed
	return w.Touch(ctx, time.Now().UnixNano(), slices.Collect(maps.Keys(w.touch))...) //nolint:wrapcheck // the caller does
}

// owners are those of one change.
type owners struct{ entry, folder string }

func (o owners) Owner() string       { return o.entry }
func (o owners) FolderOwner() string { return o.folder }

// ask asks the guard about the name p in the folder of this owner; old is the existing entry, or
// has no kind.
func (w *work) ask(ctx context.Context, p hufu.Path, folderOwner string, old meta.Entry, becomes hufu.EntryKind) error {
	o := owners{folder: folderOwner}
	if old.Kind != 0 {
		o.entry = old.By
	}
	if old.Kind == hufu.Link {
		o.entry = folderOwner
	}
	return w.g.Ask(ctx, blob.Change{Path: p, Old: old.Kind, New: becomes, Owners: o})
}

// reach returns the folder at, locked. It makes it and the missing ones above it if by is not nil.
func (w *work) reach(ctx context.Context, op string, p, at hufu.Path, by *string) (meta.Folder, error) {
	before, err := w.Look(ctx, w.t.root, spell(at), "")
	if err != nil {
		return meta.Folder{}, w.failed(ctx, op, p, err)
	}
	if before.Kind != hufu.Folder || by == nil && before.Depth < len(at.Segments()) {
		return meta.Folder{}, reached(op, p, at, before)
	}
	if err := w.lock(ctx, map[meta.ID]bool{before.Folder: true}); err != nil {
		return meta.Folder{}, broken(ctx, op, p, err)
	}
	now, err := w.Look(ctx, w.t.root, spell(at), "")
	if err != nil {
		return meta.Folder{}, w.failed(ctx, op, p, err)
	}
	dir, ok := w.locked[now.Folder]
	if !ok || now.Depth != before.Depth {
		return meta.Folder{}, errUnlocked
	}
	made := hufu.Path{}
	for i, name := range at.Segments() {
		if made, err = made.Join(name); err != nil {
			return meta.Folder{}, err //nolint:wrapcheck // a part of a path is one
		}
		if i < now.Depth {
			continue
		}
		if dir, err = w.newFolder(ctx, op, made, dir, blob.Meta{Mode: 0o755, By: *by}); err != nil {
			return meta.Folder{}, err
		}
	}
	return dir, nil
}

// newFolder makes the folder p in dir, where its name is free.
func (w *work) newFolder(ctx context.Context, op string, p hufu.Path, dir meta.Folder, m blob.Meta) (meta.Folder, error) {
	if err := w.ask(ctx, p, dir.By, meta.Entry{}, hufu.Folder); err != nil {
		return meta.Folder{}, err
	}
	f := meta.Folder{ID: meta.NewID(), Parent: dir.ID, Mode: m.Mode & 0o777, MTime: time.Now().UnixNano(), By: m.By}
	err := w.AddFolder(ctx, f)
	if err == nil {
		err = w.PutEntry(ctx, dir.ID, meta.Entry{Name: p.Base(), Kind: hufu.Folder, Child: f.ID, Version: f.ID})
	}
	w.touch[dir.ID] = true
	return f, w.failed(ctx, op, p, err)
}

// makeFolders returns the id of the folder at. It makes it and the missing ones above it.
func (t *Tree) makeFolders(ctx context.Context, op string, p, at hufu.Path, by string, g *blob.Guard) (id meta.ID, err error) {
	if id, err = t.folder(ctx, op, p, at); hufu.KindOf(err) != hufu.KindNotFound {
		return id, err
	}
	err = t.change(ctx, op, p, g, func(w *work) error {
		f, err := w.reach(ctx, op, p, at, &by)
		id = f.ID
		return err
	})
	return id, err
}
