package disk

import (
	"context"
	"errors"
	"syscall"

	"hufu"
)

// touched is what the operations of one commit changed, to be made durable:
// by syncfs, or else each folder by its handle.
type touched struct {
	s     *Store
	whole bool // syncfs is the way
	wait  bool // and something waits for it
	dirs  []dirHandle
	seen  map[[2]uint64]bool
}

// add takes over the handle of a folder in which a name changed.
func (t *touched) add(h dirHandle) error {
	n, err := h.self()
	if err != nil {
		h.close()
		return err
	}
	key := [2]uint64{n.dev, n.ino}
	switch {
	case t.whole && n.dev == t.s.dev:
		t.wait = true
		h.close()
	case t.seen[key]:
		h.close()
	default:
		if t.seen == nil {
			t.seen = make(map[[2]uint64]bool)
		}
		t.seen[key] = true
		t.dirs = append(t.dirs, h)
	}
	return nil
}

// sync makes what was set on f durable, now or with everything else.
func (t *touched) sync(f fileHandle, n *node) error {
	if t.whole && n.dev == t.s.dev {
		t.wait = true
		return nil
	}
	return t.s.syncFile(f)
}

func (t *touched) close() {
	for _, h := range t.dirs {
		h.close()
	}
}

// perform does the operations that follow the naming. Folders are looked up
// afresh for each: the one before may have moved them.
func (b *Batch) perform(ctx context.Context, sl *slot, t *touched) {
	var err error
	var op string
	switch sl.kind {
	case slotMeta:
		op, err = "set meta", b.setMeta(sl, t)
	case slotRemove:
		op, err = "remove", b.remove(ctx, sl, t)
	case slotRename:
		op, err = "rename", b.rename(sl, t)
	default:
		return
	}
	sl.kind = slotDone
	if err != nil {
		sl.fail(op, sl.path, err)
	}
}

func (b *Batch) setMeta(sl *slot, t *touched) error {
	p := sl.path
	if p.IsRoot() {
		f, err := b.s.root.openPlain(".")
		if err != nil {
			return err
		}
		return b.setOpen(f, sl, t)
	}
	d, err := b.s.parent(p)
	if err != nil {
		return err
	}
	defer b.s.release(d)
	n, err := d.stat(p.Base())
	if err != nil {
		return err
	}
	switch n.kind {
	case hufu.File, hufu.Folder:
		f, err := d.openMeta(p.Base())
		if err == nil {
			return b.setOpen(f, sl, t)
		}
		if b.s.o.Server && !here.windows || !errors.Is(err, syscall.EACCES) {
			return err
		}
		// Its owner may change the mode of a file that he may not read.
		if !sl.meta.MTime.IsZero() {
			if err := d.touchNamed(p.Base(), toStamp(sl.meta.MTime)); err != nil {
				return err
			}
		}
		if err := d.chmodNamed(p.Base(), sl.meta.Mode&0o777); err != nil {
			return err
		}
	case hufu.Link: // has no mode of its own
		if !sl.meta.MTime.IsZero() {
			if err := d.touchNamed(p.Base(), toStamp(sl.meta.MTime)); err != nil {
				return err
			}
		}
	default:
		return errNotFile
	}
	return nil
}

// setOpen takes over f.
func (b *Batch) setOpen(f fileHandle, sl *slot, t *touched) error {
	defer f.close()
	n, err := f.stat()
	if err != nil {
		return err
	}
	if n.kind != hufu.File && n.kind != hufu.Folder {
		return errNotFile
	}
	var r record
	if b.s.o.Server {
		var ok bool
		if r, ok = b.s.readRecord(f); !ok {
			r = record{}
		}
	}
	fits := r.fits(&n)
	if !sl.meta.MTime.IsZero() {
		if err := f.touch(toStamp(sl.meta.MTime)); err != nil {
			return err
		}
	}
	if b.s.o.Server {
		if n, err = f.stat(); err != nil {
			return err
		}
		r.Mode = sl.meta.Mode & 0o777
		if fits { // the bytes are the same, so the digest goes with the new time
			r.Sec, r.Nsec = n.mtime.sec, n.mtime.nsec
		}
		if err := b.s.setRecord(f, &r, &b.enc); err != nil {
			return err
		}
	} else if err := f.chmod(sl.meta.Mode & 0o777); err != nil {
		return err
	}
	if err := t.sync(f, &n); err != nil {
		return err
	}
	if b.s.o.Server && n.kind == hufu.File {
		if n, err = f.stat(); err != nil { // the record has moved its time
			return err
		}
		sl.res.Version = n.String()
	}
	return nil
}

func (b *Batch) remove(ctx context.Context, sl *slot, t *touched) error {
	p := sl.path
	d, err := b.s.k.openDir(b.s.root, p.Parent().String(), passFlags)
	if err != nil {
		return err
	}
	n, err := d.stat(p.Base())
	switch {
	case err != nil:
	case n.kind != hufu.Folder:
		err = d.unlink(p.Base())
	case sl.recursive:
		err = b.s.removeTree(ctx, d, p.Base(), sl, 0)
	default:
		err = b.s.removeEmpty(d, p)
	}
	if err != nil && !sl.recursive {
		d.close()
		return err
	}
	return first(err, t.add(d)) // part of a tree may be gone
}

// removeEmpty removes a folder that looks empty to everyone: unfinished
// uploads that nobody has open go with it.
func (s *Store) removeEmpty(d dirHandle, p hufu.Path) error {
	err := d.rmdir(p.Base())
	if !errors.Is(err, syscall.ENOTEMPTY) && !errors.Is(err, syscall.EEXIST) {
		return err
	}
	notEmpty := &hufu.Error{Op: "remove", Path: p.String(), Kind: hufu.KindNotEmpty, Err: err}
	sub, err := d.openSub(p.Base())
	if err != nil {
		return err
	}
	defer sub.close()
	var mine []string
	err = s.eachName(sub, func(name string) error {
		if !reserved(name) || s.inUse(name) {
			return notEmpty
		}
		mine = append(mine, name)
		return nil
	})
	if err != nil {
		return err
	}
	for _, name := range mine {
		if err := sub.unlink(name); err != nil && !errors.Is(err, syscall.ENOENT) {
			return notEmpty
		}
	}
	if err := d.rmdir(p.Base()); err != nil {
		return notEmpty
	}
	return nil
}

// removeTree removes a folder with everything in it, by handles, so that no
// link that is planted meanwhile is followed.
func (s *Store) removeTree(ctx context.Context, d dirHandle, name string, sl *slot, depth int) error {
	if err := canceled(ctx, "remove", sl.path); err != nil {
		return err
	}
	if depth > 2*hufu.MaxDepth {
		return &hufu.Error{Op: "remove", Path: sl.path.String(), Kind: hufu.KindUnsupported, Code: "folders_too_deep"}
	}
	sub, err := d.openSub(name)
	if err != nil {
		return err
	}
	defer sub.close()
	var names []string
	if err := s.eachName(sub, func(name string) error { names = append(names, name); return nil }); err != nil {
		return err
	}
	for _, name := range names {
		n, err := sub.stat(name)
		if err == nil && sl.may != nil && !reserved(name) {
			err = s.mayGo(sub, name, &n, sl.may)
		}
		switch {
		case err != nil:
		case n.kind == hufu.Folder:
			err = s.removeTree(ctx, sub, name, sl, depth+1)
		default:
			err = sub.unlink(name)
		}
		if err != nil && !errors.Is(err, syscall.ENOENT) {
			return err
		}
	}
	return d.rmdir(name)
}

func (s *Store) mayGo(d dirHandle, name string, n *node, may func(hufu.Entry) error) error {
	sc := s.dirents.Get().(*scratch)
	defer s.dirents.Put(sc)
	e := n.entry(name)
	if err := s.describe(d, name, n, &e, sc.record); err != nil {
		return err
	}
	return may(e)
}

func (s *Store) eachName(d dirHandle, yield func(string) error) error {
	sc := s.dirents.Get().(*scratch)
	defer s.dirents.Put(sc)
	return d.names(sc.dirents, yield)
}

func (b *Batch) rename(sl *slot, t *touched) error {
	from, err := b.s.k.openDir(b.s.root, sl.path.Parent().String(), passFlags)
	if err != nil {
		return err
	}
	n, err := from.stat(sl.path.Base())
	if err != nil {
		from.close()
		return err
	}
	to, err := b.s.k.openDir(b.s.root, sl.to.Parent().String(), passFlags)
	if err != nil {
		from.close()
		return fail("rename", sl.to, writing, err)
	}
	if sl.path == sl.to {
		err = b.s.ontoItself(sl, to, &n)
	} else {
		var done placed
		done, err = b.s.place("rename", sl.to, source{tmp: noFile, dir: from, name: sl.path.Base()}, to, sl.cond)
		sl.res.Created = done.created
	}
	if err == nil && b.s.o.Server && n.kind != hufu.Folder {
		if now, statErr := to.stat(sl.to.Base()); statErr == nil && now.ino == n.ino && now.dev == n.dev {
			sl.res.Version = now.entry("").Version
		}
	}
	return first(err, t.add(from), t.add(to))
}

// ontoItself judges the condition of a rename that changes nothing.
func (s *Store) ontoItself(sl *slot, d dirHandle, n *node) error {
	switch v, ok := parseVersion(sl.cond.Version); {
	case n.kind == hufu.Folder || sl.cond.Kind == hufu.IfAbsent:
		return s.occupied("rename", sl.to, d)
	case sl.cond.Kind == hufu.IfVersion && (!ok || !s.moved.same(v, n.version)):
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
