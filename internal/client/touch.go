package client

import (
	"context"
	"time"

	"hufu"
	"hufu/internal/digest"
	"hufu/internal/frame"
)

// touchTries is how often Touch tries to set the time of an entry that others change meanwhile.
const touchTries = 5

// Touch sets the modification time of the entry p and keeps its mode. If there is no entry, it
// creates an empty file, provided that create is set and the folder above it exists. made reports
// whether it did.
func (r *Remote) Touch(ctx context.Context, p hufu.Path, mtime time.Time, create bool) (made bool, err error) {
	for range touchTries {
		e, statErr := r.Stat(ctx, p)
		switch {
		case hufu.KindOf(statErr) == hufu.KindNotFound && create:
			if _, err := r.Stat(ctx, p.Parent()); err != nil {
				return false, err // put would create it
			}
			err = r.putEmpty(ctx, p, mtime)
			if hufu.KindOf(err) != hufu.KindExists { // otherwise it was created meanwhile
				return err == nil, err
			}
			continue
		case statErr != nil:
			return false, statErr
		case e.MTime.Equal(mtime):
			return false, nil
		}
		_, err = call[*frame.SetMetaAnswer](ctx, r, &frame.SetMeta{
			Path: frame.WirePath(p), Mode: e.Mode & 0o777, MTime: frame.Nanos(mtime), Version: e.Version,
		})
		if hufu.KindOf(err) != hufu.KindChanged { // otherwise it has another mode, perhaps
			return false, at(p, err)
		}
	}
	return false, at(p, err)
}

// putEmpty creates an empty file.
func (r *Remote) putEmpty(ctx context.Context, p hufu.Path, mtime time.Time) error {
	none := digest.Sum(nil)
	_, maybe, err := repeated[*frame.PutAnswer](ctx, r, &frame.Put{
		Path: frame.WirePath(p), Mode: 0o644, MTime: frame.Nanos(mtime), Digest: none[:],
		Condition: frame.WireCondition(hufu.Condition{Kind: hufu.IfAbsent}),
	}, func() {})
	if maybe && hufu.KindOf(err) == hufu.KindExists {
		if e, statErr := r.Stat(ctx, p); statErr == nil && e.Kind == hufu.File && e.Size == 0 && e.MTime.Equal(mtime) {
			return nil // by the try whose answer was lost
		}
	}
	return at(p, err)
}
