package disk

import (
	"context"
	"errors"
	"syscall"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/blob/disk/sys"
)

// batch gathers small changes and makes them durable together. It is for one goroutine. A file
// becomes visible only in Finish.
type batch struct {
	s        *Store
	slots    []slot
	dirs     []batchDir
	index    map[string]int // index in dirs of a folder, by its path
	last     int            // the folder used last, -1 if none
	open     int            // descriptors held by dirs
	made     []madeFolder
	found    []freshName // folders that Mkdir found to exist
	trail    *trail
	prepared bool // Prepare was called after the last change
	whole    bool // bytes and names are made durable by syncfs

	since int64 // failures of the syncer before anything was staged
	enc   []byte
	res   []blob.Result
	guard blob.Guard
}

type slotKind uint8

const (
	slotDone slotKind = iota // performed or failed, the result stands
	slotPut
	slotLink
	slotMeta
	slotRemove
	slotRename
)

type slot struct {
	kind      slotKind
	recursive bool
	dir       int      // index in dirs of the folder of the staged file or link
	tmp       sys.File // the staged file of a put, while it is open
	name      string   // the reserved name of the staged file or link, if it has one
	counted   bool     // tmp is counted in Options.Descriptors
	path, to  hufu.Path
	meta      blob.Meta
	cond      hufu.Condition
	want      string // version of the entry to remove, change or move; "" for any
	node      sys.Node
	named     bool   // the file or link has its final name, which may not be durable yet
	done      placed // the result of taking that name
	target    string // of a link
	res       blob.Result
}

// batchDir is a folder that the batch uses. Its handle is closed with the batch
// at the latest, so that a folder that was moved away is not written to for
// long.
type batchDir struct {
	path  hufu.Path
	h     sys.Dir // NoDir: closed to save descriptors, opened again at need
	dev   uint64
	ino   uint64
	lock  folderLock
	noTmp bool // O_TMPFILE does not work here
	dirty bool // a name in it is new or gone, or staged
	lost  bool // it was looked for and not found

	synced bool // its names were made durable before the changes that may move it
}

// madeFolder is a folder that the batch has created, in dirs[in].
type madeFolder struct {
	in    int
	name  string
	fresh freshName
}

// maxFolders bounds the open folders of a batch: at most so many in dirs, and as many more in
// touched.
const maxFolders = 128

// Batch returns an empty batch. Guard g is asked before each change.
func (s *Store) Batch(g blob.Guard) blob.Batch {
	return &batch{s: s, guard: g, index: make(map[string]int), last: -1, trail: s.newTrail()}
}

func (b *batch) add(sl slot) int {
	if len(b.slots) == 0 {
		b.since = b.s.sync.failures()
	}
	b.slots = append(b.slots, sl)
	b.prepared = false
	return len(b.slots) - 1
}

// Put stages a whole file: it is written before Put returns, and data may be
// reused. The file gets its name in Finish if cond holds. Missing parents are
// created.
func (b *batch) Put(ctx context.Context, p hufu.Path, data []byte, m blob.Meta, cond hufu.Condition) int {
	i := b.add(slot{kind: slotPut, path: p, meta: m, cond: cond, tmp: sys.NoFile})
	sl := &b.slots[i]
	if err := b.stage(ctx, sl, data); err != nil {
		b.drop(sl)
		sl.fail("put", p, err)
	}
	return i
}

func (sl *slot) fail(op string, p hufu.Path, err error) {
	sl.kind = slotDone
	sl.res = blob.Result{Err: fail(op, p, writing, err)}
}

// stage writes the bytes of a slot, and its mode, time and record.
func (b *batch) stage(ctx context.Context, sl *slot, data []byte) error {
	if err := checkTarget("put", sl.path); err != nil {
		return err
	}
	var err error
	if sl.dir, err = b.openOrMakeFolder(ctx, sl.path.Parent(), sl.meta.By); err != nil {
		return err
	}
	mode := b.s.fileMode(sl.meta.Mode)
	if err := b.newFile(sl, mode); err != nil {
		return err
	}
	if err := b.s.hook("put-created"); err != nil {
		return err
	}
	if err := sl.tmp.WriteAt(data, 0); err != nil {
		return err
	}
	if sl.node, err = b.s.setFileMeta(sl.tmp, mode, &sl.meta, &b.enc); err != nil {
		return err
	}
	if sl.name != "" && !sl.counted { // no descriptor to spare: it is closed now, and opened again by its name
		if !b.s.has.Syncfs || sl.node.Dev != b.s.dev { // an fsync after another open may not report an earlier failed writeback
			err = b.s.syncFile(sl.tmp)
		}
		b.shutTmp(sl)
	}
	return first(err, b.s.hook("put-written"))
}

// newFile creates the staged file, if possible one without a name: a crash
// leaves nothing of it.
func (b *batch) newFile(sl *slot, mode uint32) error {
	d, err := b.handle(sl.dir)
	if err != nil {
		return err
	}
	dir := &b.dirs[sl.dir]
	sl.counted = b.s.o.Descriptors.take()
	if !dir.noTmp && sl.counted {
		if sl.tmp, err = b.s.k.Tmpfile(d, mode); err == nil {
			return nil
		}
		if !errors.Is(err, syscall.EOPNOTSUPP) {
			b.uncount(sl)
			return err
		}
		dir.noTmp = true
	}
	sl.name = b.s.staged.add()
	dir.dirty = true
	b.trail.note(sl.path.Parent(), step{Name: []byte(sl.name)})
	if sl.tmp, err = d.Create(sl.name, mode); err != nil {
		b.s.staged.remove(sl.name)
		sl.name = ""
		b.uncount(sl)
		return err
	}
	return nil
}

// uncount returns the descriptor of a staged file to the pool.
func (b *batch) uncount(sl *slot) {
	if sl.counted {
		b.s.o.Descriptors.give()
		sl.counted = false
	}
}

// shutTmp closes a staged file.
func (b *batch) shutTmp(sl *slot) {
	if !sl.tmp.Ok() {
		return
	}
	sl.tmp.Close()
	sl.tmp = sys.NoFile
	b.uncount(sl)
}

// setFileMeta sets time, mode and record of a file that was written. The record comes last: it
// holds the time as the disk really keeps it.
func (s *Store) setFileMeta(f sys.File, mode uint32, m *blob.Meta, enc *[]byte) (sys.Node, error) {
	if !m.MTime.IsZero() {
		if err := f.Touch(sys.ToStamp(m.MTime)); err != nil {
			return sys.Node{}, aboutNoName(err)
		}
	}
	n, err := f.Stat()
	if err != nil {
		return sys.Node{}, err
	}
	if n.Perm != mode { // the umask, or a default ACL
		if err := f.Chmod(mode); err != nil {
			return sys.Node{}, err
		}
		n.Perm = mode
	}
	if !s.o.Server {
		return n, nil
	}
	r := record{Mode: m.Mode & 0o777, Size: n.Size, Sec: n.Mtime.Sec, Nsec: n.Mtime.Nsec, By: m.By}
	r.setUpload(m.Upload)
	if !m.Digest.IsZero() {
		r.Digest = m.Digest[:]
	}
	return n, s.setRecord(f, &r, enc)
}

// drop discards what a slot has staged.
func (b *batch) drop(sl *slot) {
	b.shutTmp(sl)
	if sl.name != "" {
		b.inFolder(sl.dir, func(d sys.Dir) { b.s.drop(d, sl.name, &sl.node) })
		b.s.staged.remove(sl.name)
		sl.name = ""
	}
}

// openOrMakeFolder returns the index of the folder at path, which it opens, or creates; by is
// recorded as its creator.
func (b *batch) openOrMakeFolder(ctx context.Context, path hufu.Path, by string) (int, error) {
	if b.last >= 0 && b.dirs[b.last].path == path {
		return b.last, nil
	}
	if i, ok := b.index[path.String()]; ok {
		b.last = i
		return i, nil
	}
	h, err := b.s.k.OpenDir(b.s.root, path.String(), sys.PassFlags)
	if errors.Is(err, syscall.ENOENT) && !path.IsRoot() {
		if err := b.makeDir(ctx, path, by); err != nil {
			return 0, err
		}
		h, err = b.s.k.OpenDir(b.s.root, path.String(), sys.PassFlags)
	}
	if err != nil {
		return 0, err
	}
	n, err := h.Self()
	if err != nil {
		h.Close()
		return 0, err
	}
	return b.keep(batchDir{path: path, h: h, dev: n.Dev, ino: n.Ino, lock: b.s.locks.forNode(&n)}), nil
}

// If opening n more folders would exceed maxFolders, makeRoom first closes all folders that the
// batch has open. Handles that were got before are invalid then; handle opens a folder again.
func (b *batch) makeRoom(n int) {
	if b.open+n > maxFolders {
		for i := range b.dirs {
			b.shut(&b.dirs[i])
		}
	}
}

// makeRoomFor makes room to hold n folders open at once; at returns the index in dirs of each. Those
// that are open already are not counted again.
func (b *batch) makeRoomFor(n int, at func(i int) int) {
	closed := 0
	for i := range n {
		if !b.dirs[at(i)].h.Ok() {
			closed++
		}
	}
	b.makeRoom(closed)
}

func (b *batch) keep(d batchDir) int {
	b.makeRoom(1)
	b.open++
	b.dirs = append(b.dirs, d)
	b.last = len(b.dirs) - 1
	b.index[d.path.String()] = b.last
	return b.last
}

func (b *batch) shut(d *batchDir) {
	if d.h.Ok() {
		d.h.Close()
		d.h = sys.NoDir
		b.open--
	}
}

// handle returns the handle of folder i, which it opens again if it was closed. Each later call
// of handle or openOrMakeFolder may close it. To hold several at once, call makeRoomFor first. If a
// folder in which the batch has changed names is neither at its path nor where the batch has moved
// it, the error is ENOENT.
func (b *batch) handle(i int) (sys.Dir, error) {
	d := &b.dirs[i]
	if d.h.Ok() {
		return d.h, nil
	}
	b.makeRoom(1)
	path := d.path.String()
	err := b.reopen(d, path)
	if d.dirty && errors.Is(staleIfMissing(err), errStale) {
		if now := b.moved(path); now != path {
			err = b.reopen(d, now)
		}
	}
	if err != nil {
		return sys.NoDir, err
	}
	return d.h, nil
}

// makeDir creates the folder at path and any missing folders above it.
func (b *batch) makeDir(ctx context.Context, path hufu.Path, by string) error {
	up, err := b.openOrMakeFolder(ctx, path.Parent(), by)
	if err != nil {
		return err
	}
	d, err := b.handle(up)
	if err != nil {
		return err
	}
	_, err = b.newFolder(ctx, up, d, path, &blob.Meta{Mode: 0o755, By: by})
	return err
}

// newFolder creates the folder at path, in the folder up with the handle d,
// unless the name is taken.
func (b *batch) newFolder(ctx context.Context, up int, d sys.Dir, path hufu.Path, m *blob.Meta) (created bool, err error) {
	unlock, err := b.dirs[up].lock.share(ctx)
	if err != nil {
		return false, err
	}
	defer unlock()
	if err := b.guard.Ask(ctx, b.s.change(path, d, path.Base(), 0, hufu.Folder)); err != nil {
		return false, err
	}
	k := folderName{b.dirs[up].dev, b.dirs[up].ino, path.Base()}
	losses := b.s.fresh.begin(k)
	err = d.Mkdir(path.Base(), b.s.folderMode(m.Mode))
	fresh := b.s.fresh.end(k, losses, err == nil)
	if errors.Is(err, syscall.EEXIST) {
		b.dirs[up].dirty = true // another batch may have created it without syncing it
		b.found = append(b.found, fresh)
		_, _, err := b.s.fresh.look(k)
		return false, err
	}
	if err != nil {
		return false, err
	}
	b.dirs[up].dirty = true
	b.made = append(b.made, madeFolder{up, path.Base(), fresh})
	err = b.s.hook("folder-made")
	if err == nil && b.s.o.Server {
		err = b.recordFolder(d, path.Base(), m)
	}
	if err != nil {
		_ = d.Rmdir(path.Base()) // without a record nobody owns it; Rmdir fails, and it stays, if something is in it already
		return false, err
	}
	return true, nil
}

// Mkdir creates a folder immediately; it is durable after Finish. An existing folder is left
// unchanged; then Created is false. In a user's own tree the owner keeps all rights to it until
// SetMeta sets its final mode.
func (b *batch) Mkdir(ctx context.Context, p hufu.Path, m blob.Meta, parents bool) int {
	i := b.add(slot{kind: slotDone, path: p, meta: m, tmp: sys.NoFile})
	res, err := b.mkdir(ctx, p, &m, parents)
	if err != nil {
		res = blob.Result{Err: fail("make folder", p, writing, err)}
	}
	b.slots[i].res = res
	return i
}

func (b *batch) mkdir(ctx context.Context, p hufu.Path, m *blob.Meta, parents bool) (blob.Result, error) {
	if err := checkTarget("make folder", p); err != nil {
		return blob.Result{}, err
	}
	if !parents {
		h, err := b.s.k.OpenDir(b.s.root, p.Parent().String(), sys.PassFlags)
		if err != nil {
			return blob.Result{}, err
		}
		h.Close()
	}
	up, err := b.openOrMakeFolder(ctx, p.Parent(), m.By)
	if err != nil {
		return blob.Result{}, err
	}
	d, err := b.handle(up)
	if err != nil {
		return blob.Result{}, err
	}
	created, err := b.newFolder(ctx, up, d, p, m)
	if err != nil {
		return blob.Result{}, err
	}
	if !created {
		n, err := d.Stat(p.Base())
		if err != nil {
			return blob.Result{}, err
		}
		if n.Kind != hufu.Folder {
			return blob.Result{}, &hufu.Error{Op: "make folder", Path: p.String(), Kind: hufu.KindExists, Code: "target_exists"}
		}
	}
	return blob.Result{Created: created}, nil
}

// Symlink stages a symbolic link: target is data and never resolved. Missing
// parents are created.
func (b *batch) Symlink(ctx context.Context, p hufu.Path, target string, m blob.Meta, cond hufu.Condition) int {
	i := b.add(slot{kind: slotLink, path: p, target: target, meta: m, cond: cond, tmp: sys.NoFile})
	sl := &b.slots[i]
	err := checkTarget("make link", p)
	if err == nil {
		sl.dir, err = b.openOrMakeFolder(ctx, p.Parent(), m.By)
	}
	if err != nil {
		sl.fail("make link", p, err)
	}
	return i
}

// SetMeta sets the mode and time of a file, folder or link to those of m in
// Finish, after all earlier changes of the batch. Digest, user and upload are
// not changed.
func (b *batch) SetMeta(_ context.Context, p hufu.Path, m blob.Meta, version string) int {
	return b.later("set meta", slot{kind: slotMeta, path: p, meta: m, want: version, tmp: sys.NoFile}, check("set meta", p))
}

// Remove removes a name in Finish. A folder that is not empty is removed only
// if recursive. The first refusal of the guard stops the removal: entries
// before it may be gone; the refused entry and the folder remain.
func (b *batch) Remove(_ context.Context, p hufu.Path, recursive bool, version string) int {
	return b.later("remove", slot{kind: slotRemove, path: p, recursive: recursive, want: version, tmp: sys.NoFile}, checkTarget("remove", p))
}

// Rename moves from to to in Finish, if cond holds at to.
func (b *batch) Rename(_ context.Context, from, to hufu.Path, cond hufu.Condition, version string) int {
	err := checkTarget("rename", from)
	if err == nil {
		err = checkTarget("rename", to)
	}
	if err == nil && to != from && to.Below(from) {
		err = &hufu.Error{Op: "rename", Path: to.String(), Kind: hufu.KindInvalid, Code: "rename_into_itself"}
	}
	return b.later("rename", slot{kind: slotRename, path: from, to: to, cond: cond, want: version, tmp: sys.NoFile}, err)
}

func (b *batch) later(op string, sl slot, err error) int {
	i := b.add(sl)
	if err != nil {
		b.slots[i].fail(op, sl.path, err)
	}
	return i
}
