package disk

import (
	"context"
	"errors"
	"syscall"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/blob/disk/sys"
)

// touched holds what the operations of one commit changed and must be made
// durable: by syncfs, or else each folder by its handle.
type touched struct {
	s          *Store
	whole      bool // use syncfs
	needSyncfs bool // whole, and something waits for it
	dirs       []sys.Dir
	seen       map[[2]uint64]bool
	failed     error // of syncing a part of dirs early, when maxFolders were open

	fresh  []freshName // to be marked durable once this is synced
	passed map[hufu.Path]bool
}

// add takes ownership of the handle of a folder in which a name changed.
func (t *touched) add(h sys.Dir) error {
	n, err := h.Self()
	if err != nil {
		h.Close()
		return err
	}
	key := [2]uint64{n.Dev, n.Ino}
	switch {
	case t.whole && n.Dev == t.s.dev:
		t.needSyncfs = true
		h.Close()
	case t.seen[key]:
		h.Close()
	default:
		if len(t.dirs) >= maxFolders {
			t.failed = t.syncFolders()
			t.close()
			t.dirs = t.dirs[:0]
			clear(t.seen)
		}
		if t.seen == nil {
			t.seen = make(map[[2]uint64]bool)
		}
		t.seen[key] = true
		t.dirs = append(t.dirs, h)
	}
	return nil
}

// sync makes the attributes set on f durable, now or with everything else.
func (t *touched) sync(f sys.File, n *sys.Node) error {
	if t.whole && n.Dev == t.s.dev {
		t.needSyncfs = true
		return nil
	}
	return t.s.syncFile(f)
}

// syncNamed makes a change to the attributes of a name in d durable, where the name is a link or
// cannot be opened. A link cannot be opened to be synced, and syncing the folder does not reach
// it: only syncfs is sure. A system without syncfs gets a sync of the folder, the best that it
// offers.
func (t *touched) syncNamed(d sys.Dir) error {
	n, err := d.Self()
	if err != nil {
		return err
	}
	if t.s.has.Syncfs && n.Dev == t.s.dev {
		t.whole, t.needSyncfs = true, true
		return nil
	}
	h, err := t.s.k.OpenDir(d, "", sys.PassFlags)
	if err != nil {
		return err
	}
	return t.add(h)
}

// syncFolders syncs the folders in dirs; add leaves out those that syncfs covers.
func (t *touched) syncFolders() error { return first(t.failed, t.s.sync.folders(t.dirs)) }

func (t *touched) close() {
	for _, h := range t.dirs {
		h.Close()
	}
}

// perform does the operations that follow the naming. Folders are looked up
// again for each operation: an earlier one may have moved them.
func (b *batch) perform(ctx context.Context, sl *slot, t *touched) {
	var err error
	var op string
	switch sl.kind {
	case slotMeta:
		op, err = "set meta", b.setMeta(ctx, sl, t)
	case slotRemove:
		op, err = "remove", b.remove(ctx, sl, t)
	case slotRename:
		op, err = "rename", b.rename(ctx, sl, t)
	default:
		return
	}
	sl.kind = slotDone
	if err != nil {
		sl.fail(op, sl.path, err)
	}
}

func (b *batch) setMeta(ctx context.Context, sl *slot, t *touched) error {
	p := sl.path
	if p.IsRoot() {
		f, err := b.s.root.OpenPlain(".")
		if err != nil {
			return err
		}
		return b.setOpen(ctx, f, sl, t)
	}
	d, err := b.s.openParent(p)
	if err != nil {
		return err
	}
	defer b.s.release(d)
	n, err := d.Stat(p.Base())
	if err != nil {
		return err
	}
	switch n.Kind {
	case hufu.File, hufu.Folder:
		f, err := d.OpenMeta(p.Base())
		if err == nil {
			return b.setOpen(ctx, f, sl, t)
		}
		if b.s.o.Server && !sys.Here.Windows || !errors.Is(err, syscall.EACCES) {
			return err
		}
		// An owner who may not read a file, or on Windows open a folder for writing, may still
		// change its mode.
		return b.setNamed(ctx, sl, d, n.Kind, t)
	case hufu.Link:
		return b.setNamed(ctx, sl, d, n.Kind, t)
	}
	return errNotFile
}

// setNamed sets time and mode of an entry that cannot be opened and must still be of this kind; a
// link has no mode of its own.
func (b *batch) setNamed(ctx context.Context, sl *slot, d sys.Dir, kind hufu.EntryKind, t *touched) error {
	lock, err := b.s.lockOf(d)
	if err != nil {
		return err
	}
	unlock, err := lock.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	name := sl.path.Base()
	n, err := d.Stat(name)
	if err == nil && n.Kind != kind {
		err = changed("set meta", sl.path, "target_changed")
	}
	if err == nil {
		err = b.s.expected("set meta", sl.path, sl.want, &n)
	}
	if err == nil {
		err = b.guard.Ask(ctx, b.s.change(sl.path, d, name, n.Kind, n.Kind))
	}
	if err == nil && !sl.meta.MTime.IsZero() {
		err = aboutNoName(d.TouchNamed(name, sys.ToStamp(sl.meta.MTime)))
	}
	if err == nil && kind != hufu.Link {
		err = d.ChmodNamed(name, sl.meta.Mode&0o777)
	}
	if err != nil {
		return err
	}
	return first(t.syncNamed(d), t.above(sl.path.Parent()))
}

// setOpen sets the attributes of f, which it closes.
func (b *batch) setOpen(ctx context.Context, f sys.File, sl *slot, t *touched) error {
	defer f.Close()
	n, err := f.Stat()
	if err != nil {
		return err
	}
	if n.Kind != hufu.File && n.Kind != hufu.Folder {
		return errNotFile
	}
	if n, err = b.setAttributes(ctx, f, sl, &n); err != nil {
		return err
	}
	if err := first(t.sync(f, &n), t.above(sl.path.Parent())); err != nil {
		return err
	}
	if b.s.o.Server && n.Kind == hufu.File {
		if n, err = f.Stat(); err != nil { // the record has changed its time
			return err
		}
		sl.res.Version = n.String()
	}
	return nil
}

// setAttributes judges the change, sets mode and time of f, and returns the new node of f. at
// identifies f; only its device and inode are used.
func (b *batch) setAttributes(ctx context.Context, f sys.File, sl *slot, at *sys.Node) (n sys.Node, err error) {
	if err := b.s.hook("record-wait"); err != nil {
		return n, err
	}
	lock := b.s.records.of(at)
	lock.Lock()
	defer lock.Unlock()
	if n, err = f.Stat(); err != nil {
		return n, err
	}
	var r record
	if b.s.o.Server {
		if r, _, err = b.s.readRecord(f); err != nil {
			return n, err
		}
	}
	if err := b.s.hook("record-read"); err != nil {
		return n, err
	}
	if err := b.s.expected("set meta", sl.path, sl.want, &n); err != nil {
		return n, err
	}
	// The open file stays the same, even if its name changes.
	if err := b.guard.Ask(ctx, blob.Change{Path: sl.path, Old: n.Kind, New: n.Kind, Owners: &owners{s: b.s, d: sys.NoDir, by: &r.By}}); err != nil {
		return n, err
	}
	fits := r.fits(&n)
	if !sl.meta.MTime.IsZero() {
		if err := f.Touch(sys.ToStamp(sl.meta.MTime)); err != nil {
			return n, aboutNoName(err)
		}
	}
	if !b.s.o.Server {
		return n, f.Chmod(sl.meta.Mode & 0o777)
	}
	if n, err = f.Stat(); err != nil {
		return n, err
	}
	r.Mode = sl.meta.Mode & 0o777
	if fits { // the bytes are the same, so the digest is kept with the new time
		r.Sec, r.Nsec = n.Mtime.Sec, n.Mtime.Nsec
	}
	return n, b.s.setRecord(f, &r, &b.enc)
}

func (b *batch) remove(ctx context.Context, sl *slot, t *touched) error {
	p := sl.path
	d, err := b.s.k.OpenDir(b.s.root, p.Parent().String(), sys.PassFlags)
	if err != nil {
		return err
	}
	lock, err := b.s.lockOf(d)
	folder := false
	if err == nil {
		folder, err = b.s.removeName(ctx, d, lock, p, p.Base(), sl.want, &b.guard)
	}
	if folder && sl.recursive {
		if b.guard.Deep {
			err = b.s.askBelow(ctx, d, p, p.Base(), &b.guard, nil, 0)
		}
		if err == nil {
			err = b.s.removeTree(ctx, d, lock, p, p.Base(), &b.guard, 0)
		}
	} else if folder {
		err = b.s.removeFolder(ctx, d, lock, p, p.Base(), &b.guard, func() error { return b.s.removeEmpty(d, p) })
	}
	if err != nil && !sl.recursive {
		d.Close()
		return err
	}
	return first(err, t.add(d)) // part of a tree may be gone
}

// expected returns an error unless n is the version that the change is meant
// for.
func (s *Store) expected(op string, p hufu.Path, want string, n *sys.Node) error {
	if want == "" {
		return nil
	}
	if n.Kind == hufu.Folder {
		return folderInTheWay(op, p)
	}
	if v, ok := sys.ParseVersion(want); !ok || !s.ownWrites.same(v, n.Version) {
		return changed(op, p, "target_changed")
	}
	return nil
}

// removeName removes name from the folder d, whose lock is lock, if it has the wanted version. It
// reports whether the entry is a folder, which it does not remove.
func (s *Store) removeName(ctx context.Context, d sys.Dir, lock folderLock, p hufu.Path, name, want string, g *blob.Guard) (folder bool, err error) {
	unlock, err := lock.lock(ctx)
	if err != nil {
		return false, err
	}
	defer unlock()
	n, err := d.Stat(name)
	if err == nil {
		err = s.expected("remove", p, want, &n)
	}
	if err != nil {
		return false, err
	}
	if !reserved(name) {
		if err := g.Ask(ctx, s.change(p, d, name, n.Kind, 0)); err != nil {
			return false, err
		}
	}
	if n.Kind == hufu.Folder {
		return true, nil
	}
	return false, d.Unlink(name)
}

// removeFolder removes a folder by calling remove, if the guard allows it.
func (s *Store) removeFolder(ctx context.Context, d sys.Dir, lock folderLock, p hufu.Path, name string, g *blob.Guard, remove func() error) error {
	unlock, err := lock.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if !reserved(name) {
		if err := g.Ask(ctx, s.change(p, d, name, hufu.Folder, 0)); err != nil {
			return err
		}
	}
	if err = remove(); err == nil {
		s.forget(d, name)
	}
	return err
}

// removeEmpty removes a folder that looks empty to users: a listing shows no name in it. Staging
// files of uploads that are not open are removed as well; on a server their journals stay until
// Expire. In a user's own tree the folder stays if another process may be using a hidden name.
func (s *Store) removeEmpty(d sys.Dir, p hufu.Path) error {
	err := d.Rmdir(p.Base())
	if !errors.Is(err, syscall.ENOTEMPTY) && !errors.Is(err, syscall.EEXIST) {
		return err
	}
	notEmpty := &hufu.Error{Op: "remove", Path: p.String(), Kind: hufu.KindNotEmpty, Err: err}
	sub, err := d.OpenSub(p.Base())
	if err != nil {
		return err
	}
	defer sub.Close()
	var mine []string
	err = s.eachName(sub, func(name string) error {
		if !s.hidden(name) || s.inUse(name) {
			return notEmpty
		}
		mine = append(mine, name)
		return nil
	})
	if err != nil {
		return err
	}
	for _, name := range mine {
		if err := s.removeUnused(sub, name); err != nil && !errors.Is(err, syscall.ENOENT) {
			return notEmpty
		}
	}
	if err := d.Rmdir(p.Base()); err != nil {
		return notEmpty
	}
	return nil
}

func (b *batch) rename(ctx context.Context, sl *slot, t *touched) error {
	from, err := b.s.k.OpenDir(b.s.root, sl.path.Parent().String(), sys.PassFlags)
	if err != nil {
		return err
	}
	if _, err := from.Stat(sl.path.Base()); err != nil {
		from.Close()
		return err
	}
	to, err := b.s.k.OpenDir(b.s.root, sl.to.Parent().String(), sys.PassFlags)
	if err != nil {
		from.Close()
		return fail("rename", sl.to, writing, err)
	}
	err = b.move(ctx, sl, from, to, t)
	return first(err, t.add(from), t.add(to), t.above(sl.to.Parent()))
}

// move renames an entry once both folders are open.
func (b *batch) move(ctx context.Context, sl *slot, from, to sys.Dir, t *touched) error {
	s, name := b.s, sl.path.Base()
	held, err := s.locks.hold(ctx)
	if err != nil {
		return err
	}
	defer held.release()
	for _, d := range []sys.Dir{from, to} {
		if err := held.take(ctx, d); err != nil {
			return err
		}
	}
	n, err := from.Stat(name)
	if err == nil {
		err = s.expected("rename", sl.path, sl.want, &n)
	}
	if err != nil {
		return err
	}
	if err := b.guard.Ask(ctx, s.change(sl.path, from, name, n.Kind, 0)); err != nil {
		return err
	}
	if n.Kind == hufu.Folder && b.guard.Deep {
		if err := s.askBelow(ctx, from, sl.path, name, &b.guard, held, 0); err != nil {
			return err
		}
	}
	if sl.path == sl.to {
		err = s.ontoItself(sl, to, &n)
	} else {
		moved := func(bool) {}
		if n.Kind == hufu.Folder {
			if moved, err = t.moving(from, name, to, sl.to.Base()); err != nil {
				return err
			}
		}
		var done placed
		src := source{tmp: sys.NoFile, dir: from, name: name, kind: n.Kind, trail: b.trail}
		done, err = s.placeLocked(ctx, "rename", sl.to, src, to, sl.cond, &b.guard)
		moved(err == nil)
		sl.res.Created = done.created
	}
	if err != nil || !s.o.Server || n.Kind == hufu.Folder {
		return err
	}
	if n, err = to.Stat(sl.to.Base()); err == nil { // renaming has changed its time
		sl.res.Version = n.Entry("").Version
	}
	return err
}

// ontoItself judges the condition of a rename that changes nothing.
func (s *Store) ontoItself(sl *slot, d sys.Dir, n *sys.Node) error {
	switch v, ok := sys.ParseVersion(sl.cond.Version); {
	case n.Kind == hufu.Folder || sl.cond.Kind == hufu.IfAbsent:
		return s.occupied("rename", sl.to, d)
	case sl.cond.Kind == hufu.IfVersion && (!ok || !s.ownWrites.same(v, n.Version)):
		return changed("rename", sl.to, "target_changed")
	}
	return nil
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
