package disk

import (
	"context"
	"errors"
	"sync"
	"syscall"

	"hufu"
	"hufu/internal/blob"
)

// Batch gathers small changes and makes them durable together. It is for one
// goroutine. What was put is not under its name before Commit.
type Batch struct {
	s     *Store
	slots []slot
	dirs  []batchDir
	index map[string]int // path of a folder to its place in dirs
	last  int            // the folder used last, -1 if none
	open  int            // descriptors held by dirs
	made  []madeFolder
	found []freshName // folders that were to be made and were there
	trail *trail
	// prepared says that Prepare has come, whole that it used syncfs.
	prepared, whole bool

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
	dir       int        // where the staged thing lies
	tmp       fileHandle // a put, while it is open
	name      string     // of a put that has a reserved one
	counted   bool       // tmp is one of the descriptors
	path, to  hufu.Path
	meta      blob.Meta
	cond      hufu.Condition
	want      string // version of what is to be removed, altered or moved; "" for any
	node      node
	done      placed // a name was taken, and is not known to be durable
	named     bool
	target    string // of a link
	res       blob.Result
}

// batchDir is a folder that the batch has come across. Its handle lives as
// long as the batch at most, so that a folder moved away is not written to for
// long.
type batchDir struct {
	path  hufu.Path
	h     dirHandle // noDir: closed to save descriptors, opened again at need
	dev   uint64
	ino   uint64
	lock  *sync.RWMutex
	noTmp bool // O_TMPFILE does not work here
	dirty bool // a name in it is new or gone
}

// madeFolder is a folder that the batch has made, in dirs[in].
type madeFolder struct {
	in    int
	name  string
	fresh freshName
}

// maxFolders bounds the folders that a batch holds open.
const maxFolders = 128

// Batch begins a batch whose changes ask g.
func (s *Store) Batch(g blob.Guard) blob.Batch {
	return &Batch{s: s, guard: g, index: make(map[string]int), last: -1, trail: s.newTrail()}
}

func (b *Batch) add(sl slot) int {
	if len(b.slots) == 0 {
		b.since = b.s.sync.failures()
	}
	b.slots = append(b.slots, sl)
	b.prepared = false
	return len(b.slots) - 1
}

// Put stages a whole file: it is written before Put returns, and data may be
// used again. It gets its name at Commit, if cond holds. Missing parents are
// made.
func (b *Batch) Put(ctx context.Context, p hufu.Path, data []byte, m blob.Meta, cond hufu.Condition) int {
	i := b.add(slot{kind: slotPut, path: p, meta: m, cond: cond, tmp: noFile})
	sl := &b.slots[i]
	if err := b.stage(ctx, sl, data); err != nil {
		b.drop(sl)
		sl.fail("put", p, err)
		return i
	}
	return i
}

func (sl *slot) fail(op string, p hufu.Path, err error) {
	sl.kind = slotDone
	sl.res = blob.Result{Err: fail(op, p, writing, err)}
}

// stage writes the bytes and everything else that belongs to the file itself.
func (b *Batch) stage(ctx context.Context, sl *slot, data []byte) error {
	if err := checkTarget("put", sl.path); err != nil {
		return err
	}
	var err error
	if sl.dir, err = b.parent(ctx, sl.path.Parent(), sl.meta.By); err != nil {
		return err
	}
	mode := b.s.fileMode(sl.meta.Mode)
	if err := b.newFile(sl, mode); err != nil {
		return err
	}
	if err := b.s.hook("put-created"); err != nil {
		return err
	}
	if err := sl.tmp.writeAt(data, 0); err != nil {
		return err
	}
	if sl.node, err = b.s.finish(sl.tmp, mode, &sl.meta, &b.enc); err != nil {
		return err
	}
	if sl.name != "" && !sl.counted { // found again by its name
		if !b.s.has.syncfs { // while it is open an error of writing it back is not lost
			err = b.s.syncFile(sl.tmp)
		}
		b.shutTmp(sl)
	}
	return first(err, b.s.hook("put-written"))
}

// newFile makes the staged file, if possible one without a name: nothing is
// left of it after a crash.
func (b *Batch) newFile(sl *slot, mode uint32) error {
	d, err := b.handle(sl.dir)
	if err != nil {
		return err
	}
	dir := &b.dirs[sl.dir]
	sl.counted = b.s.o.Descriptors.take()
	if !dir.noTmp && sl.counted {
		if sl.tmp, err = b.s.k.tmpfile(d, mode); err == nil {
			return nil
		}
		if !errors.Is(err, syscall.EOPNOTSUPP) {
			b.uncount(sl)
			return err
		}
		dir.noTmp = true
	}
	sl.name = b.s.staged.add()
	b.trail.note(sl.path.Parent(), step{Name: []byte(sl.name)})
	if sl.tmp, err = d.create(sl.name, mode); err != nil {
		b.s.staged.remove(sl.name)
		sl.name = ""
		b.uncount(sl)
		return err
	}
	return nil
}

// uncount gives the descriptor of a staged file back.
func (b *Batch) uncount(sl *slot) {
	if sl.counted {
		b.s.o.Descriptors.give()
		sl.counted = false
	}
}

// shutTmp closes a staged file.
func (b *Batch) shutTmp(sl *slot) {
	if !sl.tmp.ok() {
		return
	}
	sl.tmp.close()
	sl.tmp = noFile
	b.uncount(sl)
}

// finish sets mode, time and record of a file that is written, in this order:
// the record holds the time as the disk really keeps it.
func (s *Store) finish(f fileHandle, mode uint32, m *blob.Meta, enc *[]byte) (node, error) {
	if !m.MTime.IsZero() {
		if err := f.touch(toStamp(m.MTime)); err != nil {
			return node{}, err
		}
	}
	n, err := f.stat()
	if err != nil {
		return node{}, err
	}
	if n.perm != mode { // the umask, or a default ACL
		if err := f.chmod(mode); err != nil {
			return node{}, err
		}
		n.perm = mode
	}
	if !s.o.Server {
		return n, nil
	}
	r := record{Mode: m.Mode & 0o777, Size: n.size, Sec: n.mtime.sec, Nsec: n.mtime.nsec, By: m.By}
	r.setUpload(m.Upload)
	if !m.Digest.IsZero() {
		r.Digest = m.Digest[:]
	}
	return n, s.setRecord(f, &r, enc)
}

// drop forgets what a slot has staged.
func (b *Batch) drop(sl *slot) {
	b.shutTmp(sl)
	if sl.name != "" {
		if d, err := b.handle(sl.dir); err == nil {
			b.s.drop(d, sl.name, &sl.node)
		}
		b.s.staged.remove(sl.name)
		sl.name = ""
	}
}

// parent finds or opens the folder at path, making what is missing: by is who
// puts it there.
func (b *Batch) parent(ctx context.Context, path hufu.Path, by string) (int, error) {
	if b.last >= 0 && b.dirs[b.last].path == path {
		return b.last, nil
	}
	if i, ok := b.index[path.String()]; ok {
		b.last = i
		return i, nil
	}
	h, err := b.s.k.openDir(b.s.root, path.String(), passFlags)
	if errors.Is(err, syscall.ENOENT) && !path.IsRoot() {
		if err := b.makeDir(ctx, path, by); err != nil {
			return 0, err
		}
		h, err = b.s.k.openDir(b.s.root, path.String(), passFlags)
	}
	if err != nil {
		return 0, err
	}
	n, err := h.self()
	if err != nil {
		h.close()
		return 0, err
	}
	return b.keep(batchDir{path: path, h: h, dev: n.dev, ino: n.ino, lock: b.s.locks.forNode(&n)}), nil
}

func (b *Batch) keep(d batchDir) int {
	if b.open >= maxFolders {
		for i := range b.dirs { // who is needed again is opened again
			b.shut(&b.dirs[i])
		}
	}
	b.open++
	b.dirs = append(b.dirs, d)
	b.last = len(b.dirs) - 1
	b.index[d.path.String()] = b.last
	return b.last
}

func (b *Batch) shut(d *batchDir) {
	if d.h.ok() {
		d.h.close()
		d.h = noDir
		b.open--
	}
}

// handle is the open folder i.
func (b *Batch) handle(i int) (dirHandle, error) {
	d := &b.dirs[i]
	if d.h.ok() {
		return d.h, nil
	}
	h, err := b.s.k.openDir(b.s.root, d.path.String(), passFlags)
	if err != nil {
		return noDir, err
	}
	n, err := h.self() // perhaps another folder by now
	if err != nil {
		h.close()
		return noDir, err
	}
	d.dev, d.ino, d.lock = n.dev, n.ino, b.s.locks.forNode(&n)
	d.h = h
	b.open++
	return h, nil
}

// makeDir makes the folder at path and those above it that are missing.
func (b *Batch) makeDir(ctx context.Context, path hufu.Path, by string) error {
	up, err := b.parent(ctx, path.Parent(), by)
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

// newFolder makes the folder at path, in the folder up with the handle d,
// unless something stands there.
func (b *Batch) newFolder(ctx context.Context, up int, d dirHandle, path hufu.Path, m *blob.Meta) (created bool, err error) {
	lock := b.dirs[up].lock
	lock.RLock()
	defer lock.RUnlock()
	if err := b.guard.Ask(ctx, b.s.change(path, d, path.Base(), 0, hufu.Folder)); err != nil {
		return false, err
	}
	k := folderName{b.dirs[up].dev, b.dirs[up].ino, path.Base()}
	losses := b.s.fresh.begin(k)
	err = d.mkdir(path.Base(), b.s.folderMode(m.Mode))
	fresh := b.s.fresh.end(k, losses, err == nil)
	if errors.Is(err, syscall.EEXIST) {
		b.dirs[up].dirty = true // another may have made it, and not synced it
		b.found = append(b.found, fresh)
		_, _, err := b.s.fresh.look(k)
		return false, err
	}
	if err != nil {
		return false, err
	}
	b.dirs[up].dirty = true
	b.made = append(b.made, madeFolder{up, path.Base(), fresh})
	if b.s.o.Server {
		return true, b.recordFolder(d, path.Base(), m)
	}
	return true, nil
}

// Mkdir makes a folder at once; it is durable after Commit. A folder that is
// there already is left as it is, and Created says so. On a person's tree the
// owner keeps all rights to it until SetMeta gives it its final mode.
func (b *Batch) Mkdir(ctx context.Context, p hufu.Path, m blob.Meta, parents bool) int {
	i := b.add(slot{kind: slotDone, path: p, meta: m, tmp: noFile})
	res, err := b.mkdir(ctx, p, &m, parents)
	if err != nil {
		res = blob.Result{Err: fail("make folder", p, writing, err)}
	}
	b.slots[i].res = res
	return i
}

func (b *Batch) mkdir(ctx context.Context, p hufu.Path, m *blob.Meta, parents bool) (blob.Result, error) {
	if err := checkTarget("make folder", p); err != nil {
		return blob.Result{}, err
	}
	if !parents {
		h, err := b.s.k.openDir(b.s.root, p.Parent().String(), passFlags)
		if err != nil {
			return blob.Result{}, err
		}
		h.close()
	}
	up, err := b.parent(ctx, p.Parent(), m.By)
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
		n, err := d.stat(p.Base())
		if err != nil {
			return blob.Result{}, err
		}
		if n.kind != hufu.Folder {
			return blob.Result{}, &hufu.Error{Op: "make folder", Path: p.String(), Kind: hufu.KindExists, Code: "target_exists"}
		}
	}
	return blob.Result{Created: created}, nil
}

// Symlink stages a symbolic link: target is data and never looked at. Missing
// parents are made.
func (b *Batch) Symlink(ctx context.Context, p hufu.Path, target string, m blob.Meta, cond hufu.Condition) int {
	i := b.add(slot{kind: slotLink, path: p, target: target, meta: m, cond: cond, tmp: noFile})
	sl := &b.slots[i]
	err := checkTarget("make link", p)
	if err == nil {
		sl.dir, err = b.parent(ctx, p.Parent(), m.By)
	}
	if err != nil {
		sl.fail("make link", p, err)
	}
	return i
}

// SetMeta gives a file, folder or link the mode and time of m, at Commit,
// after everything that came before it in the batch. Digest, user and upload
// stay what they are.
func (b *Batch) SetMeta(_ context.Context, p hufu.Path, m blob.Meta, version string) int {
	return b.later("set meta", slot{kind: slotMeta, path: p, meta: m, want: version, tmp: noFile}, check("set meta", p))
}

// Remove takes a name away at Commit. A folder with something in it goes only
// if recursive; the first thing that the guard refuses ends that: what stood
// before it may be gone, it and the folder are not.
func (b *Batch) Remove(_ context.Context, p hufu.Path, recursive bool, version string) int {
	return b.later("remove", slot{kind: slotRemove, path: p, recursive: recursive, want: version, tmp: noFile}, checkTarget("remove", p))
}

// Rename moves from to to at Commit, if cond holds there.
func (b *Batch) Rename(_ context.Context, from, to hufu.Path, cond hufu.Condition, version string) int {
	err := checkTarget("rename", from)
	if err == nil {
		err = checkTarget("rename", to)
	}
	if err == nil && to != from && to.Below(from) {
		err = &hufu.Error{Op: "rename", Path: to.String(), Kind: hufu.KindInvalid, Code: "rename_into_itself"}
	}
	return b.later("rename", slot{kind: slotRename, path: from, to: to, cond: cond, want: version, tmp: noFile}, err)
}

func (b *Batch) later(op string, sl slot, err error) int {
	i := b.add(sl)
	if err != nil {
		b.slots[i].fail(op, sl.path, err)
	}
	return i
}
