package client

import (
	"context"
	"errors"
	"os"

	"hufu"
	"hufu/internal/transfer"
)

// PrepareSync settles a copy that makes the folder "to" of the server equal to the folder "from" of
// this computer or, if down is set, "from" equal to "to". The source must be there.
func (r *Remote) PrepareSync(ctx context.Context, near string, far hufu.Path, down bool, how How) (*Copy, error) {
	c := r.newCopy()
	s, err := c.syncSide(ctx, r, near, far, down, how)
	if err == nil {
		op := "put"
		if down {
			op = "get"
		}
		err = r.notInside(op, s)
	}
	if err == nil && !down {
		err = r.mayStand(ctx, s)
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	c.Sources = []transfer.Source{s}
	return c, nil
}

// syncSide checks both folders and opens the one of this computer.
func (c *Copy) syncSide(ctx context.Context, r *Remote, near string, far hufu.Path, down bool, how How) (s transfer.Source, err error) {
	s = transfer.Source{Far: far, Contents: true, Itself: !far.Signpost()}
	i, err := os.Stat(near)
	there, farErr := r.Stat(ctx, far)
	switch {
	case farErr != nil && hufu.KindOf(farErr) != hufu.KindNotFound:
		return s, farErr
	case down && farErr != nil:
		return s, &hufu.Error{Op: "sync", Path: far.Remote(), Kind: hufu.KindNotFound, Code: "sync_source_missing", Err: farErr}
	case farErr == nil && there.Kind != hufu.Folder:
		return s, notSyncFolder(far.Remote(), there.Kind)
	case down && err != nil && !errors.Is(err, os.ErrNotExist):
		return s, Missing("sync", near, err, "not_a_folder")
	case !down && errors.Is(err, os.ErrNotExist):
		return s, &hufu.Error{Op: "sync", Path: near, Kind: hufu.KindNotFound, Code: "sync_source_missing", Err: err}
	case !down && err != nil:
		return s, Missing("sync", near, err, "not_a_folder")
	case err == nil && !i.IsDir():
		return s, notSyncFolder(near, hufu.File)
	case down:
		if err := r.ownFolders().noTarget(near); err != nil {
			return s, err
		}
		s.Side, _, err = c.localFolder(near, how)
		return s, err
	}
	if s.Side, err = c.inside(near); err == nil {
		err = r.ownFolders().notOwn(s, false)
	}
	return s, err
}

func notSyncFolder(path string, kind hufu.EntryKind) error {
	return &hufu.Error{Op: "sync", Path: path, Kind: hufu.KindWrongKind, Code: "sync_not_folder", Args: map[string]string{"kind": kind.String()}}
}
