package disk

import (
	"errors"
	"strings"
	"syscall"

	"hufu/internal/blob/disk/sys"
)

// reopen opens the folder d at path.
func (b *batch) reopen(d *batchDir, path string) error {
	h, err := b.s.k.OpenDir(b.s.root, path, sys.PassFlags)
	if err != nil {
		return err
	}
	n, err := h.Self() // this may be another folder by now
	if err == nil && d.dirty && (n.Dev != d.dev || n.Ino != d.ino) {
		err = syscall.ENOENT // the names that the batch has changed are in a folder that was moved or removed
	}
	if err != nil {
		h.Close()
		return err
	}
	d.dev, d.ino, d.lock = n.Dev, n.Ino, b.s.locks.forNode(&n)
	d.h = h
	b.open++
	return nil
}

// moved returns where the folder at path is after the renames of the batch.
func (b *batch) moved(path string) string {
	for i := range b.slots {
		sl := &b.slots[i]
		if sl.kind != slotDone || sl.res.Err != nil || sl.to.IsRoot() {
			continue // no rename, or one that was not made
		}
		if rest, ok := strings.CutPrefix(path, sl.path.String()); ok && (rest == "" || rest[0] == '/') {
			path = sl.to.String() + rest
		}
	}
	return path
}

// inFolder calls clean with the handle of folder i, to remove or put back a reserved name there. In
// a user's own tree it also finds the folder if another program has renamed it. It returns false
// if the folder cannot be opened. What stays under a reserved name is then removed by the next
// listing of a server, or in a user's own tree by the next process, from the trail.
func (b *batch) inFolder(i int, clean func(sys.Dir)) bool {
	h, err := b.handle(i)
	if err == nil {
		clean(h)
		return true
	}
	d := &b.dirs[i]
	switch {
	case !errors.Is(staleIfMissing(err), errStale):
		b.trail.keep()
		return false
	case b.s.o.Server || d.lost:
		return false
	}
	h, ok := b.s.findMoved(d.path, func(h sys.Dir) bool {
		n, err := h.Self()
		return err == nil && n.Dev == d.dev && n.Ino == d.ino
	})
	if !ok {
		d.lost = true
		return false
	}
	defer h.Close()
	clean(h)
	return true
}
