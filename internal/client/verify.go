package client

import (
	"context"
	"path/filepath"
	"slices"
	"strings"

	"hufu"
)

// Verified is what came of one file of Verify.
type Verified struct {
	Path   hufu.Path
	Digest hufu.Digest // of the bytes the server has just read
	Err    error
}

// Verify has the server read the file p, or every file below the folder p, and
// compare with the digest it keeps; with local, also with that file or folder
// of this machine. It returns how many files were looked at.
func (r *Remote) Verify(ctx context.Context, p hufu.Path, local string, report func(Verified)) (int, error) {
	top, err := r.Stat(ctx, p)
	if err != nil {
		return 0, err
	}
	c := r.newCopy()
	defer func() { _ = c.Close() }()
	n := 0
	var visit func(p hufu.Path, e hufu.Entry, local string) error
	visit = func(p hufu.Path, e hufu.Entry, local string) error {
		switch e.Kind {
		case hufu.File:
			n++
			far, err := r.Digest(ctx, p)
			if err == nil && local != "" {
				err = c.compare(p, far, local)
			}
			if err != nil && (again(err) || hufu.KindOf(err).Exit() == 6 || ctx.Err() != nil) {
				return err
			}
			report(Verified{p, far.Digest, err})
			return nil
		case hufu.Folder:
			var entries []hufu.Entry
			if err := r.List(ctx, p, func(e hufu.Entry) error { entries = append(entries, e); return nil }); err != nil {
				return err
			}
			slices.SortFunc(entries, func(x, y hufu.Entry) int { return strings.Compare(x.Name, y.Name) })
			for _, e := range entries {
				q, err := p.Join(e.Name)
				if err != nil {
					return err
				}
				below := ""
				if local != "" {
					below = filepath.Join(local, e.Name)
				}
				if err := visit(q, e, below); err != nil {
					return err
				}
			}
		}
		return nil
	}
	err = visit(p, top, local)
	return n, err
}

func (c *Copy) compare(p hufu.Path, far hufu.Entry, local string) error {
	side, err := c.side(local)
	if err != nil {
		return err
	}
	near, err := side.Store.Digest(side.Path, nil)
	if err != nil {
		return err
	}
	if near.Digest != far.Digest {
		return &hufu.Error{
			Op: "verify", Path: p.Virtual(), Kind: hufu.KindIntegrity, Code: "digest_differs",
			Args: map[string]string{"want": near.Digest.String(), "got": far.Digest.String()},
		}
	}
	return nil
}
