package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"hufu"
	"hufu/internal/digest"
	"hufu/internal/transfer"
)

// catAhead is how many chunks are requested before they are written. catTries is how many
// lanes may be lost since a chunk was last written; the next loss ends Cat.
const (
	catAhead = 8
	catTries = 3
)

// Cat writes the bytes of one file of the server to w, as fast as limit allows. Each chunk is verified
// before it is written, and the whole file before Cat returns nil. After an error w
// has the first bytes of one version of the file.
func (r *Remote) Cat(ctx context.Context, p hufu.Path, w io.Writer, limit *transfer.Limit) error {
	e, err := r.Stat(ctx, p)
	if err != nil {
		return err
	}
	switch e.Kind {
	case hufu.File:
	case hufu.Folder:
		return &hufu.Error{Op: "get", Path: p.Remote(), Kind: hufu.KindWrongKind, Code: "is_a_folder"}
	case hufu.Link:
		return &hufu.Error{Op: "get", Path: p.Remote(), Kind: hufu.KindWrongKind, Code: "link_in_path"}
	default:
		return &hufu.Error{Op: "get", Path: p.Remote(), Kind: hufu.KindWrongKind, Code: "not_a_file"}
	}
	c := cat{p: p, e: e, w: w, limit: limit, large: transfer.IsLarge(e)}
	if c.chunks = digest.Chunks(e.Size); !c.large {
		c.chunks = 1
	}
	for tries := 0; ; tries++ {
		before := c.next
		if err = c.on(ctx, r); err == nil {
			return nil
		}
		if c.next > before {
			tries = 0
		}
		if !errors.Is(err, transfer.ErrLost) || ctx.Err() != nil || tries >= catTries {
			return at(p, err)
		}
	}
}

// cat is one file on its way to a writer.
type cat struct {
	p      hufu.Path
	e      hufu.Entry
	w      io.Writer
	limit  *transfer.Limit
	large  bool
	chunks int64
	next   int64 // to be written
	tree   digest.Tree
}

// piece is one chunk, verified, or a whole small file.
type piece struct {
	data []byte
	cv   digest.CV
	err  error
}

// on continues over a new lane.
func (c *cat) on(ctx context.Context, r *Remote) error {
	l, err := r.Lane(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = l.Close() }()
	answers := make(chan piece, catAhead) // room for all that is asked for
	for asked := c.next; c.next < c.chunks; c.next++ {
		for ; asked < c.chunks && asked-c.next < catAhead; asked++ {
			if err := c.ask(ctx, l, asked, answers); err != nil {
				return fmt.Errorf("%w: %w", transfer.ErrLost, err)
			}
		}
		if err := l.Flush(); err != nil {
			return fmt.Errorf("%w: %w", transfer.ErrLost, err)
		}
		select {
		case a := <-answers:
			if a.err != nil {
				return a.err
			}
			if err := written(c.w, a.data); err != nil {
				return err
			}
			if c.large {
				c.tree.Push(a.cv)
			}
		case <-ctx.Done():
			return &hufu.Error{Op: "get", Kind: hufu.KindCanceled, Err: context.Cause(ctx)}
		}
	}
	if root := c.e.Digest; c.large && !root.IsZero() && c.tree.Root() != root {
		return differs(root, c.tree.Root())
	}
	return nil
}

func differs(want, got hufu.Digest) error {
	return &hufu.Error{Op: "get", Kind: hufu.KindIntegrity, Code: "digest_differs", Args: map[string]string{"want": want.String(), "got": got.String()}}
}

// ask requests one chunk. The bytes are copied, because writing them may take long
// and the lane must not wait for it.
func (c *cat) ask(ctx context.Context, l transfer.Lane, index int64, answers chan<- piece) error {
	if !c.large {
		c.limit.Wait(ctx, l, int(c.e.Size))
		return l.Get(c.p, c.e, func(e hufu.Entry, data []byte, err error) {
			if d := digest.Sum(data); err == nil && d != e.Digest {
				err = differs(e.Digest, d)
			}
			answers <- piece{data: bytes.Clone(data), err: err}
		})
	}
	size := digest.ChunkLen(c.e.Size, index)
	c.limit.Wait(ctx, l, size)
	return l.Read(c.p, c.e.Version, index, size, func(chunk transfer.Chunk, err error) {
		a := piece{cv: chunk.Want, err: err}
		switch {
		case err != nil:
		case chunk.Hole:
			a.data, chunk.Got = make([]byte, size), digest.Zeros(size, index)
		default:
			a.data = bytes.Clone(chunk.Data)
		}
		switch {
		case a.err != nil:
		case len(a.data) != size:
			a.err = &hufu.Error{Op: "get", Kind: hufu.KindProtocol, Code: "chunk_length"}
		case chunk.Got != chunk.Want:
			a.err = &hufu.Error{Op: "get", Kind: hufu.KindIntegrity, Code: "chunk_differs"}
		}
		answers <- a
	})
}
