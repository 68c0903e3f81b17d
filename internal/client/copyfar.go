package client

import (
	"context"
	"slices"

	"hufu"
	"hufu/internal/frame"
)

// CopyFar has the server copy the file e at from to the name to, and describes the new file. Its
// bytes do not travel.
func (r *Remote) CopyFar(ctx context.Context, from hufu.Path, e hufu.Entry, to hufu.Path, c hufu.Condition) (hufu.Entry, error) {
	hello, err := r.Connect(ctx)
	if err != nil {
		return hufu.Entry{}, err
	}
	if !slices.Contains(hello.Features, frame.FeatureCopy) {
		return hufu.Entry{}, &hufu.Error{Op: "copy", Path: from.Remote(), Kind: hufu.KindUnsupported, Code: "copy_unknown"}
	}
	a, maybe, err := repeated[*frame.CopyAnswer](ctx, r, &frame.Copy{
		From: frame.WirePath(from), To: frame.WirePath(to), Condition: frame.WireCondition(c), Version: e.Version,
	}, func() {})
	k := hufu.KindOf(err)
	if maybe && (k == hufu.KindExists || k == hufu.KindChanged) && !e.Digest.IsZero() {
		if there, statErr := r.Stat(ctx, to); statErr == nil && there.Digest == e.Digest {
			return there, nil // by the try whose answer was lost
		}
	}
	switch {
	case k == hufu.KindExists, k == hufu.KindPermission, k == hufu.KindQuota, k == hufu.KindWrongKind, hufu.CodeOf(err) == "target_changed":
		return hufu.Entry{}, at(to, err)
	case err != nil:
		return hufu.Entry{}, at(from, err)
	}
	return a.Entry.Entry(), nil
}
