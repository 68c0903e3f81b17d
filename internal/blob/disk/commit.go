package disk

import (
	"context"
	"errors"
	"slices"
	"syscall"

	"hufu"
)

// Commit gives everything its final name and returns when all of it is
// durable, one Result for each slot, in order. First come the staged files and
// links, then the other operations in the order in which they were asked for.
// The results are good until the batch is used again.
//
// The order on disk: bytes durable, names taken, names durable. Whatever name
// a crash leaves therefore has all its bytes, and what was acknowledged is
// there.
func (b *Batch) Commit(ctx context.Context) []Result {
	defer b.reset()
	if err := canceled(ctx, "commit", hufu.Path{}); err != nil {
		for i := range b.slots {
			b.giveUp(&b.slots[i], err)
		}
		return b.results()
	}
	whole := b.s.sync.preferWhole(b.weight())
	b.syncData(whole)
	for i := range b.slots {
		b.name(&b.slots[i])
	}
	t := &touched{s: b.s, whole: whole}
	defer t.close()
	for i := range b.slots {
		b.perform(ctx, &b.slots[i], t)
	}
	if err := b.s.hook("batch-named"); err != nil {
		b.failNamed(err)
		return b.results()
	}
	if err := b.syncNames(t); err != nil {
		b.failNamed(err)
	} else if err := b.s.hook("batch-durable"); err != nil {
		b.failNamed(err)
	}
	return b.results()
}

func (b *Batch) results() []Result {
	b.res = b.res[:0]
	for i := range b.slots {
		b.res = append(b.res, b.slots[i].res)
	}
	return b.res
}

// weight is how many fsyncs the batch would take.
func (b *Batch) weight() int {
	n := len(b.dirs)
	for i := range b.slots {
		if k := b.slots[i].kind; k == slotPut || k == slotMeta {
			n++
		}
	}
	return n
}

// giveUp fails a slot that has no name yet.
func (b *Batch) giveUp(sl *slot, err error) {
	if sl.kind == slotDone {
		return
	}
	b.drop(sl)
	sl.fail("commit", sl.path, err)
}

// failNamed fails what has its name but is not known to be durable.
func (b *Batch) failNamed(err error) {
	for i := range b.slots {
		if sl := &b.slots[i]; sl.res.Err == nil {
			sl.res = Result{Err: fail("make durable", sl.path, writing, err)}
		}
	}
}

// syncData makes the staged bytes durable.
func (b *Batch) syncData(whole bool) {
	err := b.s.hook("batch-staged")
	var alone []*slot // to be synced one by one
	wait := false
	for i := range b.slots {
		sl := &b.slots[i]
		switch {
		case sl.kind != slotPut:
		case err != nil:
			b.giveUp(sl, err)
		case !whole || sl.node.dev != b.s.dev: // another file system is mounted there
			alone = append(alone, sl)
		default:
			wait = true
		}
	}
	if wait {
		if err := b.s.sync.everything(); err != nil {
			for i := range b.slots {
				if b.slots[i].kind == slotPut {
					b.giveUp(&b.slots[i], err)
				}
			}
			return
		}
	}
	dirs := make([]dirHandle, len(alone))
	for i, sl := range alone {
		if sl.name != "" {
			dirs[i], _ = b.handle(sl.dir)
		}
	}
	for i, err := range b.s.sync.parallel(len(alone), func(i int) error { return alone[i].sync(dirs[i]) }) {
		if err != nil {
			b.giveUp(alone[i], err)
		}
	}
	if err := b.s.hook("batch-synced"); err != nil {
		for i := range b.slots {
			if b.slots[i].kind == slotPut {
				b.giveUp(&b.slots[i], err)
			}
		}
	}
}

func (sl *slot) sync(d dirHandle) error {
	if sl.name == "" {
		return sl.tmp.sync()
	}
	f, err := d.openPlain(sl.name)
	if err != nil {
		return err
	}
	defer f.close()
	return f.sync()
}

// name gives a staged file or link its final name.
func (b *Batch) name(sl *slot) {
	if sl.kind != slotPut && sl.kind != slotLink {
		return
	}
	created, err := b.place(sl)
	if err == nil {
		err = b.s.hook("batch-name")
	}
	if err != nil {
		b.giveUp(sl, err)
		return
	}
	sl.res = Result{Created: created}
	if sl.kind == slotPut && b.s.o.Server {
		sl.res.Version = b.version(sl)
	}
	b.shutTmp(sl)
	sl.kind = slotDone
}

func (b *Batch) place(sl *slot) (bool, error) {
	d, err := b.handle(sl.dir)
	if err != nil {
		return false, err
	}
	b.dirs[sl.dir].dirty = true
	src := source{tmp: sl.tmp, dir: d, name: sl.name}
	if sl.kind == slotLink {
		if sl.cond.Kind == hufu.IfAbsent { // takes the name only if it is free
			err := d.symlink(sl.target, sl.path.Base())
			if errors.Is(err, syscall.EEXIST) {
				return false, b.s.occupied("make link", sl.path, d)
			}
			if err == nil && !sl.meta.MTime.IsZero() {
				err = d.touchNamed(sl.path.Base(), toStamp(sl.meta.MTime))
			}
			return err == nil, err
		}
		sl.name = stagingName(newID())
		src.name = sl.name
		if err := d.symlink(sl.target, sl.name); err != nil {
			sl.name = ""
			return false, err
		}
		if !sl.meta.MTime.IsZero() {
			if err := d.touchNamed(sl.name, toStamp(sl.meta.MTime)); err != nil {
				return false, err
			}
		}
	}
	created, err := b.s.place("put", sl.path, src, d, sl.cond)
	if err == nil {
		sl.name = ""
	}
	return created, err
}

// version names what was put, "" where its name has gone already. Naming has
// moved the time of its inode, so it is asked for again.
func (b *Batch) version(sl *slot) string {
	var n node
	var err error
	if sl.tmp.ok() {
		n, err = sl.tmp.stat()
	} else if d, derr := b.handle(sl.dir); derr == nil {
		n, err = d.stat(sl.path.Base())
	}
	if err != nil || n.ino != sl.node.ino {
		return ""
	}
	return n.String()
}

// syncNames makes the names durable.
func (b *Batch) syncNames(t *touched) error {
	dirs, wait := slices.Clone(t.dirs), t.wait
	for i := range b.dirs {
		d := &b.dirs[i]
		switch {
		case !d.dirty:
		case t.whole && d.dev == b.s.dev:
			wait = true
		default:
			h, err := b.handle(i)
			if errors.Is(err, syscall.ENOENT) {
				continue // removed by this very batch
			}
			if err != nil {
				return err
			}
			dirs = append(dirs, h)
		}
	}
	if wait {
		if err := b.s.sync.everything(); err != nil {
			return err
		}
	}
	return b.s.sync.folders(dirs)
}
