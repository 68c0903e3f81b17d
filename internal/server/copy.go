package server

import (
	"context"

	"hufu"
	"hufu/internal/frame"
	"hufu/internal/session"
)

// copyFile copies a file within the server, when its turn comes.
func (c *conn) copyFile(ctx context.Context, m *frame.Copy) (frame.Message, error) {
	if err := c.s.long.take(ctx, c); err != nil {
		return nil, err
	}
	defer c.s.long.release(c)
	buf := session.TakeChunk()
	defer buf.Give()
	e, err := c.view.Copy(ctx, m.From.Path(), m.To.Path(), m.Version, m.Condition.Condition(), buf[:])
	if err != nil {
		return nil, err
	}
	return &frame.CopyAnswer{Entry: frame.WireEntry(e)}, nil
}

// digest reads a whole file for its digest, when its turn comes.
func (c *conn) digest(ctx context.Context, p hufu.Path) (frame.Message, error) {
	if err := c.s.long.take(ctx, c); err != nil {
		return nil, err
	}
	defer c.s.long.release(c)
	e, err := c.view.Digest(ctx, p)
	return &frame.DigestAnswer{Entry: frame.WireEntry(e)}, err
}
