package main

import (
	"context"

	"hufu"
	"hufu/internal/client"
)

// again continues a copy of one folder to a new name that was interrupted: the folder that is there is
// its own. It returns what is remembered of such a copy until it has ended, nil of any other.
func (c *copier) again(ctx context.Context, from []location, to location) (*client.Unfinished, error) {
	if len(from) != 1 || from[0].slash || from[0].path.IsRoot() || to.slash || to.path.IsRoot() || c.f.exact {
		return nil, nil
	}
	if e, err := c.r.Stat(ctx, from[0].path); err != nil || e.Kind != hufu.Folder {
		return nil, nil //nolint:nilerr // copying it meets the same error
	}
	u := c.r.UnfinishedCopy(from[0].path, to.path)
	c.resumed = c.inside && u.Begun()
	if c.inside = c.inside && !c.resumed; c.inside || c.f.dry {
		return nil, nil
	}
	return &u, u.Begin()
}
