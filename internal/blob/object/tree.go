package object

import (
	"cmp"
	"context"
	"errors"
	"math"
	"time"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/digest"
	"hufu/internal/meta"
)

// pageSize is the number of entries that are read at once.
const pageSize = 1000

// Tree is one tree. It is a blob.Tree.
type Tree struct {
	s    *Trees
	root meta.ID
}

var _ blob.Distant = (*Tree)(nil)

// spell writes a path as meta takes it.
func spell(p hufu.Path) string {
	if p.IsRoot() {
		return ""
	}
	return p.String() + "/"
}

// reached returns an error unless the way to the folder at has ended there.
func reached(op string, p, at hufu.Path, w meta.Place) error {
	switch {
	case w.Kind == hufu.Link:
		return blob.Fail(op, p, hufu.KindWrongKind, "link_in_path")
	case w.Kind != hufu.Folder:
		return blob.Fail(op, p, hufu.KindWrongKind, "not_a_folder")
	case w.Depth < len(at.Segments()):
		return blob.Fail(op, p, hufu.KindNotFound, "")
	}
	return nil
}

// find returns the entry at p.
func (t *Tree) find(ctx context.Context, op string, p hufu.Path) (meta.Entry, error) {
	if err := cmp.Or(blob.Canceled(ctx, op, p), blob.CheckPath(op, p)); err != nil {
		return meta.Entry{}, err
	}
	if p.IsRoot() {
		f, err := t.s.names.Folder(ctx, t.root)
		return rootEntry(f), broken(ctx, op, p, err)
	}
	w, err := t.s.names.Look(ctx, t.root, spell(p.Parent()), p.Base())
	if err != nil {
		return meta.Entry{}, broken(ctx, op, p, err)
	}
	return w.Entry, there(op, p, w)
}

// there returns an error unless w, the place of p, has an entry.
func there(op string, p hufu.Path, w meta.Place) error {
	if err := reached(op, p, p.Parent(), w); err != nil {
		return err
	}
	if w.Entry.Kind == 0 {
		return blob.Fail(op, p, hufu.KindNotFound, "")
	}
	return nil
}

// rootEntry describes a folder that no entry leads to.
func rootEntry(f meta.Folder) meta.Entry {
	return meta.Entry{Kind: hufu.Folder, Child: f.ID, Mode: f.Mode, MTime: f.MTime, By: f.By, Version: f.ID}
}

// folder returns the id of the folder at.
func (t *Tree) folder(ctx context.Context, op string, p, at hufu.Path) (meta.ID, error) {
	w, err := t.s.names.Look(ctx, t.root, spell(at), "")
	if err != nil {
		return meta.ID{}, broken(ctx, op, p, err)
	}
	return w.Folder, reached(op, p, at, w)
}

// describe turns a row into an entry.
func describe(e meta.Entry) hufu.Entry {
	out := hufu.Entry{
		Name: e.Name, Kind: e.Kind, Size: e.Size, MTime: time.Unix(0, e.MTime), Mode: e.Mode, Digest: e.Digest,
		Target: e.Target, By: e.By, Upload: e.Upload,
	}
	if e.Kind != hufu.Folder {
		out.Version = e.Version.String()
	}
	return out
}

// nanos returns a time as it is kept: the nearest one of the years 1678 to 2261.
func nanos(at time.Time) int64 {
	switch {
	case at.Before(time.Unix(0, math.MinInt64)):
		return math.MinInt64
	case at.After(time.Unix(0, math.MaxInt64)):
		return math.MaxInt64
	}
	return at.UnixNano()
}

// timeOf returns the time of an entry that is made with m.
func timeOf(m blob.Meta) int64 {
	if m.MTime.IsZero() {
		return time.Now().UnixNano()
	}
	return nanos(m.MTime)
}

// Stat describes the entry at p.
func (t *Tree) Stat(ctx context.Context, p hufu.Path) (hufu.Entry, error) {
	e, err := t.find(ctx, "stat", p)
	if err != nil {
		return hufu.Entry{}, err
	}
	return describe(e), nil
}

// List calls yield for the entries of the folder p that r asks for.
func (t *Tree) List(ctx context.Context, p hufu.Path, r blob.Page, yield func(hufu.Entry) error) (next string, err error) {
	const op = "list"
	if err := cmp.Or(blob.Canceled(ctx, op, p), blob.CheckPath(op, p)); err != nil {
		return "", err
	}
	dir, err := t.folder(ctx, op, p, p)
	if err != nil {
		return "", err
	}
	limit := r.Limit
	if limit <= 0 {
		limit = math.MaxInt
	}
	for n, bytes, last := 0, 0, r.After; ; {
		want := min(pageSize, limit-n) + 1 // one more tells whether there is a next page
		rows, err := t.s.names.Entries(ctx, dir, last, want)
		if err != nil {
			return "", broken(ctx, op, p, err)
		}
		more := len(rows) == want
		for i, e := range rows {
			if i == want-1 && n < limit {
				break // it begins the next query
			}
			bytes += len(e.Name) + len(e.Target)
			if n == limit || r.Limit > 0 && bytes > blob.PageBytes && n > 0 {
				return last, nil
			}
			if err := blob.Canceled(ctx, op, p); err != nil {
				return "", err
			}
			if err := yield(describe(e)); err != nil {
				return "", err
			}
			n, last = n+1, e.Name
		}
		if !more {
			return "", nil
		}
	}
}

// Lister returns a new Lister of the folder p. It remembers nothing.
func (t *Tree) Lister(p hufu.Path) blob.Lister { return lister{t, p} }

type lister struct {
	t *Tree
	p hufu.Path
}

func (l lister) List(ctx context.Context, r blob.Page, yield func(hufu.Entry) error) (next string, err error) {
	return l.t.List(ctx, l.p, r, yield)
}

func (lister) Close() {}

// Digest reads the whole file p and describes it with its digest.
func (t *Tree) Digest(ctx context.Context, p hufu.Path) (hufu.Entry, error) {
	const op = "digest"
	f, err := t.openFile(ctx, op, p)
	if err != nil {
		return hufu.Entry{}, err
	}
	defer func() { _ = f.Close() }()
	e := f.Entry()
	d, err := f.digest(ctx)
	if err != nil {
		return hufu.Entry{}, err
	}
	if !e.Digest.IsZero() {
		if e.Digest != d {
			return e, &hufu.Error{
				Op: op, Path: p.String(), Kind: hufu.KindIntegrity, Code: "stored_digest_differs",
				Args: map[string]string{"stored": e.Digest.String(), "computed": d.String()},
			}
		}
		return e, f.check(ctx)
	}
	there, err := t.s.names.SetDigest(ctx, f.row.Version, d)
	if err != nil {
		return hufu.Entry{}, broken(ctx, op, p, err)
	}
	if !there {
		return hufu.Entry{}, blob.Fail(op, p, hufu.KindChanged, "file_changed")
	}
	e.Digest = d
	return e, nil
}

// digest reads the whole file.
func (f *file) digest(ctx context.Context) (hufu.Digest, error) {
	buf := make([]byte, min(hufu.ChunkSize, f.Size()))
	if f.Size() <= hufu.ChunkSize {
		n, err := f.ReadAt(ctx, buf, 0)
		return digest.Sum(buf[:n]), err
	}
	var whole digest.Tree
	for i := range digest.Chunks(f.Size()) {
		_, _, cv, err := f.readChunk(ctx, i, buf)
		if err != nil {
			return hufu.Digest{}, err
		}
		whole.Push(cv)
	}
	return whole.Root(), nil
}

// Space reports no limit: a bucket has none.
func (t *Tree) Space(ctx context.Context) (free, total int64, err error) {
	return hufu.MaxFileSize, hufu.MaxFileSize, blob.Canceled(ctx, "space", hufu.Path{})
}

// Close does nothing.
func (t *Tree) Close() error { return nil }

// broken says during what the database or the bucket has failed. If the context has ended, that is
// why, unless a transaction may have been committed: the caller must not take that for one that was
// not.
func broken(ctx context.Context, op string, p hufu.Path, err error) error {
	if err == nil {
		return nil
	}
	if canceled := blob.Canceled(ctx, op, p); canceled != nil && !unsure(err) {
		return canceled
	}
	out := &hufu.Error{Op: op, Path: p.String(), Kind: hufu.KindOf(err), Err: err}
	if e, ok := errors.AsType[*hufu.Error](err); ok {
		out.Code, out.Args = e.Code, e.Args
	}
	return out
}

// unsure reports whether err is that of a transaction that may have been committed.
func unsure(err error) bool { return hufu.CodeOf(err) == "database_unsure" }
