package server

import (
	"context"

	"hufu/internal/frame"
)

// copyFile copies a file within the server.
func (c *conn) copyFile(ctx context.Context, m *frame.Copy) (frame.Message, error) {
	buf, err := c.buffer(ctx)
	if err != nil {
		return nil, err
	}
	e, err := c.view.Copy(ctx, m.From.Path(), m.To.Path(), m.Version, m.Condition.Condition(), buf)
	if err != nil {
		return nil, err
	}
	return &frame.CopyAnswer{Entry: frame.WireEntry(e)}, nil
}
