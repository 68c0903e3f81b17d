package server

import (
	"context"
	"time"

	"hufu"
	"hufu/internal/frame"
	"hufu/internal/session"
)

// turn waits for the turn of a request that reads whole files. A server that is stopping begins none.
func (c *conn) turn(ctx context.Context) error {
	if c.s.draining.Load() {
		return stopping()
	}
	if err := c.s.long.take(ctx, c); err != nil {
		return err
	}
	if c.s.draining.Load() {
		c.s.long.release(c)
		return stopping()
	}
	return nil
}

// copyFile copies a file within the server, when its turn comes.
func (c *conn) copyFile(ctx context.Context, m *frame.Copy) (frame.Message, error) {
	if err := c.turn(ctx); err != nil {
		return nil, err
	}
	defer c.s.long.release(c)
	buf := session.TakeChunk()
	defer buf.Give()
	var mtime *time.Time
	if m.MTime != nil {
		at := frame.Time(*m.MTime)
		mtime = &at
	}
	e, err := c.view.Copy(ctx, m.From.Path(), m.To.Path(), m.Version, m.Condition.Condition(), m.Mode, mtime, buf[:])
	if err != nil {
		return nil, err
	}
	return &frame.CopyAnswer{Entry: frame.WireEntry(e)}, nil
}

// digest reads a whole file for its digest, when its turn comes.
func (c *conn) digest(ctx context.Context, p hufu.Path) (frame.Message, error) {
	if err := c.turn(ctx); err != nil {
		return nil, err
	}
	defer c.s.long.release(c)
	e, err := c.view.Digest(ctx, p)
	return &frame.DigestAnswer{Entry: frame.WireEntry(e)}, err
}
