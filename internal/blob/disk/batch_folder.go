package disk

import (
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
