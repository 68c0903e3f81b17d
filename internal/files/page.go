package files

import (
	"context"
	"slices"
	"strings"

	"hufu"
	"hufu/internal/access"
	"hufu/internal/blob"
)

// Page calls yield for the entries of a folder whose names come after the given one, in byte
// order, for at most limit of them. next is the name to continue after, or "" if there are no
// more.
func (v *View) Page(ctx context.Context, p hufu.Path, after string, limit int, yield func(hufu.Entry) error) (next string, err error) {
	at, err := v.at(ctx, p, access.Read)
	if err != nil {
		return "", err
	}
	if at.store != nil {
		return at.store.List(ctx, at.path, blob.Page{After: after, Limit: limit}, yield)
	}
	var all []hufu.Entry // the shared folders: few
	if err := v.List(ctx, p, func(e hufu.Entry) error { all = append(all, e); return nil }); err != nil {
		return "", err
	}
	slices.SortFunc(all, func(a, b hufu.Entry) int { return strings.Compare(a.Name, b.Name) })
	n := 0
	for i, e := range all {
		switch {
		case e.Name <= after:
		case limit > 0 && n == limit:
			return all[i-1].Name, nil
		default:
			n++
			if err := yield(e); err != nil {
				return "", err
			}
		}
	}
	return "", nil
}
