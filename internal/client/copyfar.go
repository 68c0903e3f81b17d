package client

import (
	"context"
	"slices"
	"time"

	"hufu"
	"hufu/internal/frame"
)

// Attributes are those of a copy that are not those of its source, nil for the others.
type Attributes struct {
	Mode  *uint32
	MTime *time.Time
}

// CopyFar has the server copy the file e at from to the name to, and describes the new file. Its
// bytes do not travel.
func (r *Remote) CopyFar(ctx context.Context, from hufu.Path, e hufu.Entry, to hufu.Path, c hufu.Condition, with Attributes) (hufu.Entry, error) {
	hello, err := r.Connect(ctx)
	if err != nil {
		return hufu.Entry{}, err
	}
	if !slices.Contains(hello.Features, frame.FeatureCopy) {
		return hufu.Entry{}, &hufu.Error{Op: "copy", Path: from.Remote(), Kind: hufu.KindUnsupported, Code: "copy_unknown"}
	}
	m := &frame.Copy{From: frame.WirePath(from), To: frame.WirePath(to), Condition: frame.WireCondition(c), Version: e.Version, Mode: with.Mode}
	if with.MTime != nil {
		at := frame.Nanos(*with.MTime)
		m.MTime = &at
	}
	a, maybe, err := repeated[*frame.CopyAnswer](ctx, r, m, func() {})
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
