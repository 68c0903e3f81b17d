package client

import (
	"context"
	"io"
	"path/filepath"

	"hufu"
	"hufu/internal/digest"
)

// LocalCat writes the bytes of the file at path on this computer to w. After an error w
// has the first bytes of one version of the file. If the digest of that version is recorded,
// the bytes are compared with it before LocalCat returns nil. A link is not followed.
func LocalCat(ctx context.Context, d Disk, path string, w io.Writer) error {
	dir, base := filepath.Split(path)
	p, err := hufu.Path{}.Join(base)
	if err != nil {
		return err
	}
	tree, err := d.Open(filepath.Clean(dir), "")
	if err != nil {
		return err
	}
	defer func() { _ = tree.Close() }()
	o := tree.Opener()
	defer o.Close()
	f, err := o.Open(ctx, p, "")
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	recorded := f.Entry().Digest
	size := f.Size()
	if size <= hufu.ChunkSize {
		data, err := f.Whole(ctx, make([]byte, hufu.ChunkSize))
		if err == nil {
			err = f.Check(ctx)
		}
		if err != nil {
			return err
		}
		if got := digest.Sum(data); !recorded.IsZero() && got != recorded {
			return differs(recorded, got)
		}
		return written(w, data)
	}
	var all digest.Tree
	buf := make([]byte, hufu.ChunkSize)
	for index := range digest.Chunks(size) {
		data, hole, cv, err := f.ReadChunk(ctx, index, buf)
		if err != nil {
			return err
		}
		if hole {
			data = buf[:digest.ChunkLen(size, index)]
			clear(data)
		}
		if err := written(w, data); err != nil {
			return err
		}
		all.Push(cv)
	}
	if err := f.Check(ctx); err != nil {
		return err
	}
	if got := all.Root(); !recorded.IsZero() && got != recorded {
		return differs(recorded, got)
	}
	return nil
}

// written writes data to the output of a cat.
func written(w io.Writer, data []byte) error {
	if _, err := w.Write(data); err != nil {
		return &hufu.Error{Op: "write output", Kind: hufu.KindUnreadable, Code: "output_lost", Err: err}
	}
	return nil
}
