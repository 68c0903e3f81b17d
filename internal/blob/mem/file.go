package mem

import (
	"cmp"
	"context"
	"slices"
	"sync/atomic"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/digest"
)

// content is the bytes of a file. They never change.
type content struct {
	size  int64
	index []int64  // of the chunks that are no holes, ascending
	data  [][]byte // of each of them
	refs  int      // held by a name or a batch, and by open files
}

func newContent(data []byte) *content {
	c := &content{size: int64(len(data)), refs: 1}
	for part := range slices.Chunk(slices.Clone(data), hufu.ChunkSize) {
		c.index, c.data = append(c.index, int64(len(c.index))), append(c.data, part)
	}
	return c
}

func (c *content) cost() int64 {
	n := int64(len(c.data)) * chunkCost
	for _, d := range c.data {
		n += int64(len(d))
	}
	return n
}

// release drops one reference; the memory of the bytes is returned with the
// last one.
func (t *Tree) release(c *content) {
	if c.refs--; c.refs == 0 {
		t.o.Room.give(c.cost())
	}
}

// chunk returns the bytes of chunk i, nil for a hole.
func (c *content) chunk(i int64) []byte {
	if at, ok := slices.BinarySearch(c.index, i); ok {
		return c.data[at]
	}
	return nil
}

func (c *content) readAt(b []byte, off int64) (n int) {
	for n < len(b) && off < c.size {
		i, at := off/hufu.ChunkSize, int(off%hufu.ChunkSize)
		k := min(len(b)-n, digest.ChunkLen(c.size, i)-at)
		if data := c.chunk(i); data != nil {
			copy(b[n:n+k], data[at:])
		} else {
			clear(b[n : n+k])
		}
		n, off = n+k, off+int64(k)
	}
	return n
}

// file is an open file.
type file struct {
	t      *Tree
	p      hufu.Path
	n      *node
	bytes  *content
	entry  hufu.Entry
	closed atomic.Bool
}

// opener opens files.
type opener struct{ t *Tree }

// Opener returns a new Opener.
func (t *Tree) Opener() blob.Opener { return opener{t} }

func (o opener) Open(ctx context.Context, p hufu.Path, _ string) (blob.File, error) {
	f, err := o.t.open(ctx, "open", p)
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (opener) Close() {}

func (t *Tree) open(ctx context.Context, op string, p hufu.Path) (*file, error) {
	if err := cmp.Or(blob.Canceled(ctx, op, p), blob.CheckPath(op, p)); err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	_, n, err := t.find(op, p)
	switch {
	case err != nil:
		return nil, err
	case n.kind == hufu.Folder:
		return nil, blob.Fail(op, p, hufu.KindWrongKind, "is_a_folder")
	case n.kind == hufu.Link:
		return nil, blob.Fail(op, p, hufu.KindWrongKind, "link_in_path")
	}
	n.bytes.refs++
	return &file{t: t, p: p, n: n, bytes: n.bytes, entry: n.entry(p.Base())}, nil
}

func (f *file) Size() int64            { return f.bytes.size }
func (f *file) Meta() blob.Meta        { return blob.Meta{Mode: f.entry.Mode, MTime: f.entry.MTime} }
func (f *file) Entry() hufu.Entry      { return f.entry }
func (f *file) Is(version string) bool { return version == f.entry.Version }

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

func (f *file) ReadAt(ctx context.Context, b []byte, off int64) (int, error) {
	if err := f.readable(ctx); err != nil {
		return 0, err
	}
	return f.bytes.readAt(b, off), nil
}

func (f *file) ReadChunk(ctx context.Context, index int64, buf []byte) (data []byte, hole bool, cv digest.CV, err error) {
	if index < 0 || index >= digest.Chunks(f.Size()) {
		return nil, false, cv, blob.Fail("read", f.p, hufu.KindInvalid, "chunk_index")
	}
	if err := cmp.Or(f.readable(ctx), f.Check(ctx)); err != nil {
		return nil, false, cv, err
	}
	chunk := f.bytes.chunk(index)
	if chunk == nil {
		return nil, true, digest.Zeros(digest.ChunkLen(f.Size(), index), index), nil
	}
	data = buf[:copy(buf, chunk)]
	return data, false, digest.Chunk(data, index), f.Check(ctx)
}

func (f *file) NextData(off int64) int64 {
	at, _ := slices.BinarySearch(f.bytes.index, off/hufu.ChunkSize)
	if off >= f.Size() || at == len(f.bytes.index) {
		return max(off, f.Size())
	}
	return max(off, f.bytes.index[at]*hufu.ChunkSize)
}

func (f *file) Check(context.Context) error {
	f.t.mu.Lock()
	defer f.t.mu.Unlock()
	switch {
	case f.closed.Load():
		return blob.Fail("check", f.p, hufu.KindInternal, "")
	case f.n.version != f.entry.Version:
		return blob.Fail("check", f.p, hufu.KindChanged, "file_changed")
	}
	return nil
}

func (f *file) Close() error {
	if f.closed.CompareAndSwap(false, true) {
		f.t.mu.Lock()
		defer f.t.mu.Unlock()
		f.t.release(f.bytes)
	}
	return nil
}
