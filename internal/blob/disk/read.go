package disk

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"syscall"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/blob/disk/sys"
	"hufu/internal/digest"
)

// Stat describes the entry at p; a link is described, not followed. The digest
// is set only if the stored one belongs to the current size and time.
func (s *Store) Stat(ctx context.Context, p hufu.Path) (hufu.Entry, error) {
	if err := canceled(ctx, "stat", p); err != nil {
		return hufu.Entry{}, err
	}
	if err := check("stat", p); err != nil {
		return hufu.Entry{}, err
	}
	sc := s.dirents.Get().(*scratch)
	defer s.dirents.Put(sc)
	if p.IsRoot() {
		n, err := s.root.Self()
		if err != nil {
			return hufu.Entry{}, fail("stat", p, reading, err)
		}
		e := n.Entry("")
		if err := s.describe(s.root, ".", &n, &e, sc.record); err != nil {
			return hufu.Entry{}, fail("stat", p, reading, err)
		}
		return e, nil
	}
	d, err := s.openParent(p)
	if err != nil {
		return hufu.Entry{}, fail("stat", p, reading, err)
	}
	defer s.release(d)
	e, err := s.statAt(d, p.Base(), sc.record, blob.Page{})
	return e, fail("stat", p, reading, err)
}

// statAt describes the entry name of d, as far as r asks for it.
func (s *Store) statAt(d sys.Dir, name string, buf []byte, r blob.Page) (hufu.Entry, error) {
	n, err := d.Stat(name)
	if err != nil {
		return hufu.Entry{}, err
	}
	e := n.Entry(name)
	if r.Brief && n.Kind == hufu.File && s.o.Server {
		if e.Mode = 0; r.Modes { // that on the disk means nothing
			e.Mode = s.mode(d, name, &n, buf)
		}
		return e, nil
	}
	return e, s.describe(d, name, &n, &e, buf)
}

// List calls yield for the entries of the folder p that r asks for. It stops at
// the first error of yield, or when ctx ends. Entries that vanish meanwhile are
// left out.
func (s *Store) List(ctx context.Context, p hufu.Path, r blob.Page, yield func(hufu.Entry) error) (next string, err error) {
	if r.Limit > 0 {
		l := &lister{s: s, p: p, once: true}
		return l.List(ctx, r, yield)
	}
	return "", s.listAll(ctx, p, r, yield)
}

// listAll calls yield for everything in the folder p, in any order.
func (s *Store) listAll(ctx context.Context, p hufu.Path, r blob.Page, yield func(hufu.Entry) error) error {
	if err := check("list", p); err != nil {
		return err
	}
	d, err := s.k.OpenDir(s.root, p.String(), sys.ReadFlags)
	if err != nil {
		return fail("list", p, reading, err)
	}
	defer d.Close()
	sc := s.dirents.Get().(*scratch)
	defer s.dirents.Put(sc)
	var stop error
	err = d.Names(sc.dirents, func(name string) error {
		if stop = canceled(ctx, "list", p); stop != nil {
			return stop
		}
		if s.hidden(name) {
			s.sweep(d, name)
			return nil
		}
		e, err := s.statAt(d, name, sc.record, r)
		switch {
		case err == nil:
			stop = yield(e)
			return stop
		case errors.Is(err, syscall.ENOENT):
			return nil
		}
		return err
	})
	if stop != nil {
		return stop
	}
	return fail("list", p, reading, err)
}

// file is one version of a file, open for reading.
type file struct {
	s     *Store
	path  hufu.Path
	mu    sync.RWMutex // guards h against Close: the number of a closed descriptor is soon reused for another file
	h     sys.File
	n     sys.Node
	once  sync.Once
	entry hufu.Entry // zero until once has run
}

// opener opens files one after the other and looks up their folder again only when it changes. It
// is not for concurrent use.
type opener struct {
	s    *Store
	path hufu.Path // of the folder
	d    sys.Dir
	held bool // d is open
}

// Opener returns a new Opener.
func (s *Store) Opener() blob.Opener { return &opener{s: s} }

// Close releases the folder; the Opener may be used again.
func (o *opener) Close() {
	if o.held {
		o.s.release(o.d)
		o.held = false
	}
}

// Open opens the regular file p; see blob.Opener.
func (o *opener) Open(ctx context.Context, p hufu.Path, version string) (blob.File, error) {
	return o.open(ctx, p, version)
}

func (o *opener) open(ctx context.Context, p hufu.Path, version string) (*file, error) {
	s := o.s
	if err := first(canceled(ctx, "open", p), check("open", p)); err != nil {
		return nil, err
	}
	if p.IsRoot() {
		return nil, fail("open", p, reading, errIsDir)
	}
	if up := p.Parent(); !o.held || o.path != up {
		o.Close()
		d, err := s.openParent(p)
		if err != nil {
			return nil, fail("open", p, reading, err)
		}
		o.path, o.d, o.held = up, d, true
	}
	h, n, ok := openKnown(o.d, p.Base(), version)
	if !ok {
		var err error
		if h, n, err = openChecked(o.d, p.Base()); err != nil {
			return nil, fail("open", p, reading, err)
		}
	}
	if s.waitForTick(&n) {
		var err error
		if n, err = h.Stat(); err != nil {
			h.Close()
			return nil, fail("open", p, reading, err)
		}
	}
	return &file{s: s, path: p, h: h, n: n}, nil
}

// openKnown opens the regular file name if it is still the version that the caller knows. Otherwise
// it returns false, and nothing stays open.
func openKnown(d sys.Dir, name, version string) (sys.File, sys.Node, bool) {
	if version == "" {
		return sys.NoFile, sys.Node{}, false
	}
	f, err := d.OpenPlain(name)
	if err != nil {
		return sys.NoFile, sys.Node{}, false
	}
	n, err := f.Stat()
	if err != nil || plainFile(n) != nil || !n.Is(version) {
		f.Close()
		return sys.NoFile, n, false
	}
	return f, n, true
}

// openChecked opens the regular file name. It checks the kind before it opens:
// opening a FIFO, even for a moment, would wake a process at its other end.
func openChecked(d sys.Dir, name string) (sys.File, sys.Node, error) {
	n, err := d.Stat(name)
	if err == nil {
		err = plainFile(n)
	}
	if err != nil {
		return sys.NoFile, n, err
	}
	f, err := d.OpenPlain(name)
	if err != nil {
		return sys.NoFile, n, err
	}
	if n, err = f.Stat(); err == nil {
		err = plainFile(n)
	}
	if err != nil {
		f.Close()
		return sys.NoFile, n, err
	}
	return f, n, nil
}

// Size returns the size in bytes of the version that was opened.
func (f *file) Size() int64 { return f.n.Size }

// Meta returns the permissions on disk and the modification time.
func (f *file) Meta() blob.Meta { return blob.Meta{Mode: f.n.Perm, MTime: f.n.Mtime.Time()} }

// Entry describes the version that was opened. The first call reads the record,
// and must come before Close.
func (f *file) Entry() hufu.Entry {
	f.once.Do(func() {
		f.mu.RLock()
		defer f.mu.RUnlock()
		f.entry = f.n.Entry(f.path.Base())
		if f.s.o.Server && f.h.Ok() {
			if r, found, _ := f.s.readRecord(f.h); found {
				r.apply(&f.entry, &f.n)
			}
		}
	})
	return f.entry
}

// ReadAt reads until b is full or the file ends; at the end it returns the
// bytes read and no error. A file that is shorter than when it was opened has
// changed. A file that has not changed but does not end at its size gets an
// error with the code size_untrue: files of /proc and /sys are such.
func (f *file) ReadAt(ctx context.Context, b []byte, off int64) (int, error) {
	if err := canceled(ctx, "read", f.path); err != nil {
		return 0, err
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	if !f.h.Ok() {
		return 0, &hufu.Error{Op: "read", Path: f.path.String(), Kind: hufu.KindInternal, Err: errClosed}
	}
	left := max(0, f.n.Size-off)
	n, ended, err := f.h.ReadUntil(b, off, f.n.Size)
	if err != nil {
		return n, fail("read", f.path, reading, aboutNoName(err))
	}
	end := int64(n)
	if !ended && end == left && off <= f.n.Size { // so it should end here
		var more [1]byte
		over, err := f.h.ReadAt(more[:], off+end)
		if err != nil {
			return n, fail("read", f.path, reading, aboutNoName(err))
		}
		end += int64(over)
	}
	if end > left || end < min(int64(len(b)), left) {
		return n, f.endsElsewhere()
	}
	return n, nil
}

// endsElsewhere returns the error for a file that does not end at its size; the
// caller holds mu.
func (f *file) endsElsewhere() error {
	if n, err := f.h.Stat(); err != nil || !f.s.ownWrites.same(f.n.Version, n.Version) {
		return changed("read", f.path, "file_changed")
	}
	return &hufu.Error{
		Op: "read", Path: f.path.String(), Kind: hufu.KindUnreadable, Code: sizeUntrue,
		Args: map[string]string{"size": strconv.FormatInt(f.n.Size, 10)},
	}
}

// sizeUntrue is the code for a file that holds more or fewer bytes than its
// size.
const sizeUntrue = "size_untrue"

// Whole reads a small file into buf, which has space for a chunk. A file that
// holds more than its size is read to its end, if that fits too; one that holds
// less may be damaged and is refused. Check must follow.
func (f *file) Whole(ctx context.Context, buf []byte) ([]byte, error) {
	if f.n.Size > hufu.ChunkSize {
		return nil, changed("read", f.path, "file_changed")
	}
	n, err := f.ReadAt(ctx, buf[:min(int64(len(buf)), f.n.Size+1)], 0) // one more: then one read shows the end
	if hufu.CodeOf(err) != sizeUntrue || int64(n) < f.n.Size {
		return buf[:n], err
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	if !f.h.Ok() {
		return nil, &hufu.Error{Op: "read", Path: f.path.String(), Kind: hufu.KindInternal, Err: errClosed}
	}
	var more [1]byte
	n, readErr := f.h.ReadAt(buf[:hufu.ChunkSize], 0)
	if readErr == nil && n == hufu.ChunkSize {
		if n, readErr = f.h.ReadAt(more[:], hufu.ChunkSize); n > 0 {
			return nil, err
		}
		n = hufu.ChunkSize
	}
	return buf[:n], fail("read", f.path, reading, aboutNoName(readErr))
}

// pieceSize is the number of bytes of a chunk that are read before they are
// hashed: few enough for the processor's cache.
const pieceSize = 64 << 10

// ReadChunk reads chunk index of the version that was opened into buf, which
// has space for a whole chunk, and hashes it meanwhile. A hole has no data.
func (f *file) ReadChunk(ctx context.Context, index int64, buf []byte) (data []byte, hole bool, cv digest.CV, err error) {
	if index < 0 || index >= digest.Chunks(f.n.Size) {
		return nil, false, cv, &hufu.Error{Op: "read", Path: f.path.String(), Kind: hufu.KindInvalid, Code: "chunk_index"}
	}
	off, n := index*hufu.ChunkSize, digest.ChunkLen(f.n.Size, index)
	if f.NextData(off) >= off+int64(n) {
		if off+int64(n) == f.n.Size {
			_, err = f.ReadAt(ctx, nil, f.n.Size) // nothing may follow
		}
		if err == nil {
			err = f.Check(ctx)
		}
		return nil, true, digest.Zeros(n, index), err
	}
	if err := f.Check(ctx); err != nil {
		return nil, false, cv, err
	}
	data = buf[:n]
	var h digest.Filling
	h.Start(index)
	for have := 0; have < n; {
		next := min(have+pieceSize, n)
		if _, err := f.ReadAt(ctx, data[have:next], off+int64(have)); err != nil {
			return nil, false, cv, err
		}
		have = next
		h.To(data[:have])
	}
	return data, false, h.Chunk(data), f.Check(ctx)
}

// Is reports whether the file, as it was opened, is the named version: the
// same, or the one that storing its digest has made of it.
func (f *file) Is(name string) bool {
	if f.n.Is(name) {
		return true
	}
	v, ok := sys.ParseVersion(name)
	return ok && f.s.ownWrites.same(v, f.n.Version)
}

// Check returns KindChanged if the file is no longer the version that was opened: it was written,
// truncated, replaced, removed or renamed, or its mode or time was set.
func (f *file) Check(context.Context) error {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if !f.h.Ok() {
		return &hufu.Error{Op: "check", Path: f.path.String(), Kind: hufu.KindInternal, Err: errClosed}
	}
	n, err := f.h.Stat()
	if err != nil {
		return fail("check", f.path, reading, err)
	}
	if !f.s.ownWrites.same(f.n.Version, n.Version) {
		return changed("check", f.path, "file_changed")
	}
	return nil
}

// NextData returns the first offset at or after off that may hold anything but
// zeros, or the size if there is none. If holes cannot be detected it returns
// off.
func (f *file) NextData(off int64) int64 {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if !f.h.Ok() || off >= f.n.Size {
		return off
	}
	at, err := f.h.SeekData(off)
	switch {
	case errors.Is(err, syscall.ENXIO):
		return f.n.Size
	case err != nil:
		return off
	}
	return min(at, f.n.Size)
}

// Close closes the file. A second Close does nothing.
func (f *file) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.h.Close()
	f.h = sys.NoFile
	return nil
}

var errClosed = errors.New("used after Close")

// Digest reads the whole file, unless ctx ends before, and returns its entry
// with the digest, which the server stores. KindIntegrity means that a stored
// digest disagrees with the bytes although size and time are the same: they
// were changed silently, by the disk or by a user.
func (s *Store) Digest(ctx context.Context, p hufu.Path) (hufu.Entry, error) {
	if err := canceled(ctx, "digest", p); err != nil {
		return hufu.Entry{}, err
	}
	o := &opener{s: s}
	defer o.Close()
	f, err := o.open(ctx, p, "")
	if err != nil {
		return hufu.Entry{}, err
	}
	defer func() { _ = f.Close() }()
	e := f.Entry()
	d, size, err := f.digest(ctx)
	if err != nil {
		return hufu.Entry{}, err
	}
	e.Size = size
	if err := f.Check(ctx); err != nil {
		return hufu.Entry{}, err
	}
	switch {
	case e.Digest == d:
		return e, nil
	case !e.Digest.IsZero():
		return e, &hufu.Error{
			Op: "digest", Path: p.String(), Kind: hufu.KindIntegrity, Code: "stored_digest_differs",
			Args: map[string]string{"stored": e.Digest.String(), "computed": d.String()},
		}
	}
	e.Digest = d
	if s.o.Server {
		e.Version = f.keepDigest(d)
	}
	return e, nil
}

// digest hashes the whole file and returns the number of bytes.
func (f *file) digest(ctx context.Context) (hufu.Digest, int64, error) {
	buf := f.s.chunks.Get().(*[]byte)
	defer f.s.chunks.Put(buf)
	if f.n.Size <= hufu.ChunkSize {
		data, err := f.Whole(ctx, *buf)
		return digest.Sum(data), int64(len(data)), err
	}
	var t digest.Tree
	for index := range digest.Chunks(f.n.Size) {
		if err := canceled(ctx, "digest", f.path); err != nil {
			return hufu.Digest{}, 0, err
		}
		_, _, cv, err := f.ReadChunk(ctx, index, *buf) // a hole is not read
		if err != nil {
			return hufu.Digest{}, 0, err
		}
		t.Push(cv)
		if err := f.s.hook("digest-chunk"); err != nil {
			return hufu.Digest{}, 0, err
		}
	}
	return t.Root(), f.n.Size, nil
}
