package object

import (
	"cmp"
	"context"
	"sync"
	"sync/atomic"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/digest"
	"hufu/internal/meta"
)

// opener opens files. It remembers nothing.
type opener struct{ t *Tree }

// Opener returns a new Opener.
func (t *Tree) Opener() blob.Opener { return opener{t} }

func (o opener) Open(ctx context.Context, p hufu.Path, _ string) (blob.File, error) {
	f, err := o.t.openFile(ctx, "open", p)
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (opener) Close() {}

// unitPage is the number of units whose objects an open file looks up at once.
const unitPage = 256

// file is an open file. Its bytes never change; whether its name still has them is asked.
type file struct {
	s      *Trees
	p      hufu.Path
	row    meta.Entry
	atOnce bool // the bytes came with the name
	closed atomic.Bool

	mu     sync.Mutex // guards what follows
	inline []byte
	units  []meta.Unit // from number first on
	first  int64
}

// OpenTogether opens several files, those of one folder in one statement.
func (t *Tree) OpenTogether(ctx context.Context, paths []hufu.Path) (files []blob.File, errs []error) {
	files, errs = make([]blob.File, len(paths)), make([]error, len(paths))
	byFolder := map[hufu.Path][]int{}
	for i, p := range paths {
		byFolder[p.Parent()] = append(byFolder[p.Parent()], i)
	}
	for _, at := range byFolder {
		some := make([]hufu.Path, len(at))
		for k, i := range at {
			some[k] = paths[i]
		}
		opened, why := t.openFiles(ctx, "open", some)
		for k, i := range at {
			if errs[i] = why[k]; why[k] == nil {
				files[i] = opened[k]
			}
		}
	}
	return files, errs
}

func (t *Tree) openFile(ctx context.Context, op string, p hufu.Path) (*file, error) {
	files, errs := t.openFiles(ctx, op, []hufu.Path{p})
	return files[0], errs[0]
}

// openFiles opens files of one folder.
func (t *Tree) openFiles(ctx context.Context, op string, paths []hufu.Path) (files []*file, errs []error) {
	files, errs = make([]*file, len(paths)), make([]error, len(paths))
	var names []string
	for i, p := range paths {
		if errs[i] = cmp.Or(blob.Canceled(ctx, op, p), blob.CheckPath(op, p)); errs[i] == nil && p.IsRoot() {
			errs[i] = blob.Fail(op, p, hufu.KindWrongKind, "is_a_folder")
		}
		if errs[i] == nil {
			names = append(names, p.Base())
		}
	}
	if len(names) == 0 {
		return files, errs
	}
	found, err := t.s.names.LookFiles(ctx, t.root, spell(paths[0].Parent()), names...)
	for i, p := range paths {
		switch {
		case errs[i] != nil:
		case err != nil:
			errs[i] = broken(ctx, op, p, err)
		default:
			files[i], errs[i] = t.opened(op, p, found[0])
			found = found[1:]
		}
	}
	return files, errs
}

// opened returns the file p, which was found at w.
func (t *Tree) opened(op string, p hufu.Path, w meta.Place) (*file, error) {
	if err := there(op, p, w); err != nil {
		return nil, err
	}
	switch w.Entry.Kind {
	case hufu.Folder:
		return nil, blob.Fail(op, p, hufu.KindWrongKind, "is_a_folder")
	case hufu.Link:
		return nil, blob.Fail(op, p, hufu.KindWrongKind, "link_in_path")
	}
	return &file{s: t.s, p: p, row: w.Entry, atOnce: w.Bytes != nil, inline: w.Bytes, first: -1}, nil
}

func (f *file) Size() int64            { return f.row.Size }
func (f *file) Meta() blob.Meta        { e := f.Entry(); return blob.Meta{Mode: e.Mode, MTime: e.MTime} }
func (f *file) Entry() hufu.Entry      { return describe(f.row) }
func (f *file) Is(version string) bool { return version == f.row.Version.String() }

// ReadWithName reports whether the bytes came with the name, in one look at the database.
func (f *file) ReadWithName() bool { return f.atOnce }

// readable refuses a closed file and an ended context.
func (f *file) readable(ctx context.Context) error {
	if f.closed.Load() {
		return blob.Fail("read", f.p, hufu.KindInternal, "")
	}
	return blob.Canceled(ctx, "read", f.p)
}

func (f *file) Whole(ctx context.Context, buf []byte) ([]byte, error) {
	if f.Size() > hufu.ChunkSize {
		return nil, blob.Fail("read", f.p, hufu.KindChanged, "file_changed")
	}
	n, err := f.ReadAt(ctx, buf[:f.Size()], 0)
	return buf[:n], err
}

func (f *file) ReadAt(ctx context.Context, b []byte, off int64) (n int, err error) {
	if err := f.readable(ctx); err != nil {
		return 0, err
	}
	b = b[:max(0, min(int64(len(b)), f.Size()-off))]
	for n < len(b) {
		k, err := f.read(ctx, b[n:], off+int64(n))
		if err != nil {
			return n, f.unread(ctx, err)
		}
		n += k
	}
	return n, nil
}

// read reads up to the end of a unit.
func (f *file) read(ctx context.Context, b []byte, off int64) (int, error) {
	switch f.row.Layout {
	case meta.LayoutInline:
		all, err := f.bytes(ctx)
		if err == nil && int64(len(all)) != f.Size() {
			err = blob.Fail("read", f.p, hufu.KindIntegrity, "store_object_missing")
		}
		if err != nil {
			return 0, err
		}
		return copy(b, all[off:]), nil
	case meta.LayoutSingle:
		return len(b), f.s.bucket.Get(ctx, f.s.key(f.row.Child, single), off, b)
	}
	number := off / f.row.Layout
	u, err := f.unit(ctx, number)
	if err != nil {
		return 0, err
	}
	b = b[:min(int64(len(b)), (number+1)*f.row.Layout-off)]
	if u.Object == "" {
		clear(b)
		return len(b), nil
	}
	return len(b), f.s.bucket.Get(ctx, f.s.key(f.row.Child, u.Object), off-number*f.row.Layout, b)
}

// unread returns the error of a read: a file that was replaced has lost its bytes for that reason.
func (f *file) unread(ctx context.Context, err error) error {
	if kind := hufu.KindOf(err); kind == hufu.KindNotFound || kind == hufu.KindIntegrity {
		if err := f.check(ctx); err != nil {
			return err
		}
		return &hufu.Error{Op: "read", Path: f.p.String(), Kind: hufu.KindIntegrity, Code: hufu.CodeOf(err), Err: err}
	}
	return broken(ctx, "read", f.p, err)
}

// bytes returns the bytes of a file that are in its row.
func (f *file) bytes(ctx context.Context) ([]byte, error) {
	f.mu.Lock()
	all := f.inline
	f.mu.Unlock()
	if all != nil || f.Size() == 0 {
		return all, nil
	}
	c, err := f.s.names.Content(ctx, f.row.Child)
	if err != nil {
		return nil, err //nolint:wrapcheck // unread does
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.inline = c.Bytes
	return c.Bytes, nil
}

// unit returns the unit of this number.
func (f *file) unit(ctx context.Context, number int64) (meta.Unit, error) {
	f.mu.Lock()
	at, units := f.first, f.units
	f.mu.Unlock()
	begin := number - number%unitPage
	if at != begin {
		var err error
		if units, err = f.s.names.Objects(ctx, f.row.Child, begin, unitPage); err != nil {
			return meta.Unit{}, err //nolint:wrapcheck // unread does
		}
		f.mu.Lock()
		f.first, f.units = begin, units
		f.mu.Unlock()
	}
	if i := number - begin; i < int64(len(units)) && units[i].Number == number {
		return units[i], nil
	}
	return meta.Unit{}, blob.Fail("read", f.p, hufu.KindIntegrity, "store_object_missing")
}

func (f *file) ReadChunk(ctx context.Context, index int64, buf []byte) (data []byte, hole bool, cv digest.CV, err error) {
	if index < 0 || index >= digest.Chunks(f.Size()) {
		return nil, false, cv, blob.Fail("read", f.p, hufu.KindInvalid, "chunk_index")
	}
	if data, hole, cv, err = f.readChunk(ctx, index, buf); err == nil {
		err = f.check(ctx)
	}
	if err != nil {
		return nil, false, cv, err
	}
	return data, hole, cv, nil
}

// readChunk is ReadChunk without the last look at the name.
func (f *file) readChunk(ctx context.Context, index int64, buf []byte) (data []byte, hole bool, cv digest.CV, err error) {
	if err := f.readable(ctx); err != nil {
		return nil, false, cv, err
	}
	off, n := index*hufu.ChunkSize, digest.ChunkLen(f.Size(), index)
	if f.row.Layout >= hufu.ChunkSize {
		u, err := f.unit(ctx, off/f.row.Layout)
		if err != nil {
			return nil, false, cv, f.unread(ctx, err)
		}
		if u.Object == "" {
			return nil, true, digest.Zeros(n, index), nil
		}
	}
	data = buf[:n]
	if _, err := f.ReadAt(ctx, data, off); err != nil {
		return nil, false, cv, err
	}
	return data, false, digest.Chunk(data, index), nil
}

// NextData asks the database, unless the unit at off is known to have bytes.
func (f *file) NextData(off int64) int64 {
	if off >= f.Size() || f.row.Layout < hufu.ChunkSize || f.closed.Load() {
		return off
	}
	ctx, cancel := f.s.afterwards()
	defer cancel()
	number := off / f.row.Layout
	if u, err := f.unit(ctx, number); err != nil || u.Object != "" {
		return off
	}
	switch next, err := f.s.names.NextUnit(ctx, f.row.Child, number+1); {
	case err != nil:
		return off
	case next < 0:
		return f.Size()
	default:
		return next * f.row.Layout
	}
}

func (f *file) Check(ctx context.Context) error {
	if f.closed.Load() {
		return blob.Fail("check", f.p, hufu.KindInternal, "")
	}
	return f.check(ctx)
}

func (f *file) check(ctx context.Context) error {
	current, err := f.s.names.Current(ctx, f.row.Version)
	if err != nil {
		return broken(ctx, "check", f.p, err)
	}
	if !current {
		return blob.Fail("check", f.p, hufu.KindChanged, "file_changed")
	}
	return nil
}

func (f *file) Close() error {
	f.closed.Store(true)
	return nil
}
