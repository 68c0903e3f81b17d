package disk

import (
	"context"
	"errors"
	"slices"
	"syscall"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/blob/disk/sys"
)

// Prepare makes the bytes of the staged files durable.
//
// The order on disk is: bytes durable, names taken, names durable. So a name that a crash leaves
// has all its bytes, and everything that was acknowledged exists.
func (b *batch) Prepare(ctx context.Context) {
	b.prepared = true
	if err := canceled(ctx, "commit", hufu.Path{}); err != nil {
		b.giveUpAll(err)
		return
	}
	b.whole = b.s.sync.preferWhole(b.weight())
	b.syncData(b.whole)
}

// Finish gives everything its final name and returns when all of it is durable,
// with one result for each slot, in order. Staged files and links come first,
// then the other changes in the order of the calls. The results are valid until
// the batch is used again.
func (b *batch) Finish(ctx context.Context) []blob.Result {
	defer b.reset()
	if !b.prepared {
		b.Prepare(ctx)
	}
	if err := canceled(ctx, "commit", hufu.Path{}); err != nil {
		b.giveUpAll(err)
		b.keepMade()
		return b.results()
	}
	for i := range b.slots {
		b.name(ctx, &b.slots[i])
	}
	t := &touched{s: b.s, whole: b.whole}
	defer t.close()
	err := b.syncClosed(t)
	if err != nil {
		b.takeBack(ctx)
	} else {
		for i := range b.slots {
			b.perform(ctx, &b.slots[i], t)
		}
		err = b.s.hook("batch-named")
		if err == nil {
			if err = b.syncNames(t); err != nil {
				b.takeBack(ctx)
			} else {
				err = b.s.hook("batch-durable")
			}
		}
	}
	if err != nil {
		b.failNamed(err)
	}
	b.removeReplaced()
	return b.results()
}

// takeBack undoes the puts, links and new folders whose names could not be made durable: a second
// fsync would report success, and a reader of the name would trust it. Removals, renames and
// changes of attributes are not undone; their results are the error.
func (b *batch) takeBack(ctx context.Context) {
	ctx = context.WithoutCancel(ctx)
	for i := range b.slots {
		sl := &b.slots[i]
		if !sl.named {
			continue
		}
		sl.named = false
		if !b.inFolder(sl.dir, func(d sys.Dir) { b.s.undoPlace(d, sl.path.Base(), &sl.node, sl.done, b.trail) }) {
			b.forgetReplaced(sl)
		}
	}
	for _, m := range slices.Backward(b.made) {
		if d, err := b.handle(m.in); err == nil {
			// Fails, harmlessly, if something is in it by now or the name is no folder's. Another
			// empty folder that has the name by now is removed.
			_ = b.s.removeFolder(ctx, d, b.dirs[m.in].lock, under(b.dirs[m.in].path, m.name), m.name, &b.guard, func() error { return d.Rmdir(m.name) })
		}
	}
}

// removeReplaced removes the replaced files.
func (b *batch) removeReplaced() {
	for i := range b.slots {
		sl := &b.slots[i]
		if !sl.named || sl.done.old == "" {
			continue
		}
		if !b.inFolder(sl.dir, func(d sys.Dir) { b.s.removeReplaced(d, sl.done) }) {
			b.forgetReplaced(sl)
		}
		sl.done.old = ""
	}
}

// forgetReplaced forgets a replaced file that cannot be reached.
func (b *batch) forgetReplaced(sl *slot) {
	b.s.staged.remove(sl.done.old)
	b.s.replaced.remove(sl.done.old)
}

func (b *batch) results() []blob.Result {
	b.res = b.res[:0]
	for i := range b.slots {
		b.res = append(b.res, b.slots[i].res)
	}
	return b.res
}

// weight returns the number of fsyncs that the batch would take.
func (b *batch) weight() int {
	n := len(b.dirs)
	for i := range b.slots {
		if k := b.slots[i].kind; k == slotPut || k == slotMeta {
			n++
		}
	}
	return n
}

func (b *batch) giveUpAll(err error) {
	for i := range b.slots {
		b.giveUp(&b.slots[i], err)
	}
}

// giveUp fails a slot that has no name yet, or a created folder whose name is
// not durable.
func (b *batch) giveUp(sl *slot, err error) {
	if sl.kind == slotDone && sl.res.Err != nil {
		return
	}
	b.drop(sl)
	sl.fail("commit", sl.path, err)
}

// failNamed fails each slot that has its name but may not be durable. After a failed sync, a slot
// that found an entry at its name gets this error instead. That entry may come from an earlier
// try and not be durable, so the answer must not confirm that it exists.
func (b *batch) failNamed(err error) {
	for i := range b.slots {
		sl := &b.slots[i]
		found := hufu.KindOf(sl.res.Err) == hufu.KindExists || hufu.KindOf(sl.res.Err) == hufu.KindChanged
		if sl.res.Err == nil || found && errors.Is(err, errSync) {
			sl.res = blob.Result{Err: fail("make durable", sl.path, writing, err)}
		}
	}
}

// syncData makes the staged bytes durable.
func (b *batch) syncData(whole bool) {
	err := b.s.hook("batch-staged")
	var alone []*slot // open files to be synced one by one
	wait := false
	for i := range b.slots {
		sl := &b.slots[i]
		switch {
		case sl.kind != slotPut:
		case err != nil:
			b.giveUp(sl, err)
		case sl.tmp.Ok() && (!whole || sl.node.Dev != b.s.dev): // another file system may be mounted there
			alone = append(alone, sl)
		case b.s.has.Syncfs && sl.node.Dev == b.s.dev:
			wait = true
		} // else it was synced before it was closed
	}
	if wait {
		if err := b.s.sync.everything(b.since); err != nil {
			for i := range b.slots {
				if b.slots[i].kind == slotPut {
					b.giveUp(&b.slots[i], err)
				}
			}
			return
		}
	}
	for i, err := range b.s.sync.parallel(len(alone), func(i int) error { return b.s.syncFile(alone[i].tmp) }) {
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

// name gives a staged file or link its final name.
func (b *batch) name(ctx context.Context, sl *slot) {
	if sl.kind != slotPut && sl.kind != slotLink {
		return
	}
	done, err := b.place(ctx, sl)
	if err == nil {
		sl.done, sl.named = done, true
		err = b.s.hook("batch-name")
	}
	if err != nil {
		b.giveUp(sl, err)
		return
	}
	sl.res = blob.Result{Created: done.created}
	if sl.kind == slotPut && b.s.o.Server {
		sl.res.Version = b.version(sl)
	}
	b.shutTmp(sl)
	sl.kind = slotDone
}

func (b *batch) place(ctx context.Context, sl *slot) (placed, error) {
	d, err := b.handle(sl.dir)
	if err != nil {
		return placed{}, err
	}
	b.dirs[sl.dir].dirty = true
	lock := b.dirs[sl.dir].lock
	src := source{tmp: sl.tmp, dir: d, name: sl.name, kind: hufu.File, trail: b.trail}
	if sl.name != "" {
		src.tmp = sys.NoFile
	}
	if sl.kind == slotLink {
		src.kind = hufu.Link
		if sl.cond.Kind == hufu.IfAbsent {
			err := b.newLink(ctx, sl, d, lock)
			return placed{created: err == nil}, err
		}
		sl.name = b.s.staged.add()
		src.name = sl.name
		b.trail.note(sl.path.Parent(), step{Name: []byte(sl.name)})
		if err := b.makeLink(d, sl.name, sl); err != nil {
			return placed{}, err
		}
	}
	done, err := b.s.takeName(ctx, "put", sl.path, src, d, lock, sl.cond, &b.guard)
	if err == nil {
		if sl.name != "" && done.old == "" {
			b.s.staged.remove(sl.name)
		}
		sl.name = ""
	}
	return done, err
}

// makeLink makes a link under name with the time of the slot. After an error it removes the link,
// because name may be the final one.
func (b *batch) makeLink(d sys.Dir, name string, sl *slot) error {
	if err := d.Symlink(sl.target, name); err != nil {
		return err
	}
	err := b.s.hook("link-made")
	if err == nil && !sl.meta.MTime.IsZero() {
		err = aboutNoName(d.TouchNamed(name, sys.ToStamp(sl.meta.MTime)))
	}
	if err == nil {
		sl.node, err = d.Stat(name)
	}
	if err != nil {
		_ = d.Unlink(name)
	}
	return err
}

// newLink makes a link under a name that must be free.
func (b *batch) newLink(ctx context.Context, sl *slot, d sys.Dir, lock folderLock) error {
	unlock, err := lock.share(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	name := sl.path.Base()
	if err := b.guard.Ask(ctx, b.s.change(sl.path, d, name, 0, hufu.Link)); err != nil {
		return err
	}
	err = b.makeLink(d, name, sl)
	if errors.Is(err, syscall.EEXIST) {
		return b.s.occupied("make link", sl.path, d)
	}
	return err
}

// version returns the version of the file that was put, or "" if its name is
// already gone. Naming changed the time of the inode, so it is read again.
func (b *batch) version(sl *slot) string {
	var n sys.Node
	var err error
	if sl.tmp.Ok() {
		n, err = sl.tmp.Stat()
	} else if d, derr := b.handle(sl.dir); derr == nil {
		n, err = d.Stat(sl.path.Base())
	}
	if err != nil || n.Ino != sl.node.Ino {
		return ""
	}
	return n.String()
}

// If any changed folder that must be synced by itself was closed, syncClosed syncs all such
// folders now: a later rename of this batch may move the folder, and then its path no longer
// leads to it. If all are open, they are synced at the end.
func (b *batch) syncClosed(t *touched) error {
	var alone []int
	closed := false
	for i := range b.dirs {
		d := &b.dirs[i]
		if d.dirty && (!t.whole || d.dev != b.s.dev) {
			alone = append(alone, i)
			closed = closed || !d.h.Ok()
		}
	}
	if !closed {
		return nil
	}
	for some := range slices.Chunk(alone, maxFolders) {
		if err := b.syncFolders(some); err != nil {
			return err
		}
		for _, i := range some {
			b.dirs[i].synced = true
		}
	}
	return nil
}

// syncNames makes the names durable, and those of the folders above them.
func (b *batch) syncNames(t *touched) error {
	for i := range b.dirs {
		if b.dirs[i].dirty {
			if err := t.above(b.dirs[i].path); err != nil {
				return err
			}
		}
	}
	var alone []int // folders to be synced one by one
	wait := t.needSyncfs
	for i := range b.dirs {
		d := &b.dirs[i]
		switch {
		case !d.dirty || d.synced || t.seen[[2]uint64{d.dev, d.ino}]:
		case t.whole && d.dev == b.s.dev:
			wait = true
		default:
			alone = append(alone, i)
		}
	}
	if wait {
		if err := b.s.sync.everything(b.since); err != nil {
			return err
		}
	}
	if err := t.syncFolders(); err != nil {
		return err
	}
	for some := range slices.Chunk(alone, maxFolders) {
		if err := b.syncFolders(some); err != nil {
			return err
		}
	}
	if err := b.s.sync.since(b.since); err != nil {
		return err
	}
	b.s.fresh.durable(t.fresh...)
	b.s.fresh.durable(b.found...)
	for _, m := range b.made {
		b.s.fresh.durable(m.fresh)
	}
	return nil
}

// syncFolders makes the names in these folders durable, at most maxFolders of them.
func (b *batch) syncFolders(indexes []int) error {
	b.makeRoomFor(len(indexes), func(i int) int { return indexes[i] })
	var dirs []sys.Dir
	for _, i := range indexes {
		h, err := b.handle(i)
		if err != nil { // with ENOENT no folder has this path now: removed or moved
			return err
		}
		dirs = append(dirs, h)
	}
	return b.s.sync.folders(dirs)
}

// Discard drops everything that is staged. Created folders stay.
func (b *batch) Discard() {
	for i := range b.slots {
		b.drop(&b.slots[i])
	}
	b.keepMade()
	b.reset()
}

// keepMade makes the folders durable that were created for a discarded batch:
// others may have found them. If that fails, the store remembers it.
func (b *batch) keepMade() {
	if len(b.made) == 0 {
		return
	}
	t := &touched{s: b.s, whole: b.s.sync.preferWhole(len(b.made))}
	defer t.close()
	_ = b.syncNames(t)
}

func (b *batch) reset() {
	b.trail.finish()
	b.prepared = false
	for i := range b.dirs {
		b.shut(&b.dirs[i])
	}
	clear(b.slots)
	b.slots, b.dirs, b.made, b.found, b.last = b.slots[:0], b.dirs[:0], b.made[:0], b.found[:0], -1
	clear(b.index)
}
