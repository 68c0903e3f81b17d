package client

import (
	"context"
	"path"
	"slices"
	"strings"

	"hufu"
	"hufu/internal/transfer"
)

// maxMatches is how many paths a pattern may match.
const maxMatches = 100_000

// Glob returns the paths of the server that the pattern p matches, those of one folder in order.
// '*', '?' and […] match within a name, as in a shell, but not a dot at its beginning. If there
// is an entry with the name p, or nothing matches, it returns p itself; in the second case the
// next call reports that it is not found.
func (r *Remote) Glob(ctx context.Context, p hufu.Path) ([]hufu.Path, error) {
	if !strings.ContainsAny(p.String(), "*?[") {
		return []hufu.Path{p}, nil
	}
	if _, err := path.Match(p.String(), ""); err != nil {
		return []hufu.Path{p}, nil //nolint:nilerr // a name and no pattern
	}
	if _, err := r.Stat(ctx, p); err == nil {
		return []hufu.Path{p}, nil
	} else if transfer.Stops(err) {
		return nil, err
	}
	found := []hufu.Path{{}}
	for rest := p; !rest.IsRoot() && len(found) > 0; {
		var pattern string
		pattern, rest = rest.Cut()
		var next []hufu.Path
		for _, dir := range found {
			more, err := r.match(ctx, dir, pattern, !rest.IsRoot())
			if err != nil {
				return nil, err
			}
			if next = append(next, more...); len(next) > maxMatches {
				return nil, &hufu.Error{Op: "match", Path: p.Remote(), Kind: hufu.KindUsage, Code: "pattern_too_wide"}
			}
		}
		found = next
	}
	if len(found) == 0 {
		return []hufu.Path{p}, nil
	}
	return found, nil
}

// match returns the paths in dir whose names match the pattern. A folder that is not
// there, or may not be read, has none.
func (r *Remote) match(ctx context.Context, dir hufu.Path, pattern string, folders bool) (found []hufu.Path, err error) {
	if !strings.ContainsAny(pattern, "*?[") {
		p, err := dir.Join(pattern)
		if err != nil {
			return nil, err
		}
		e, err := r.Stat(ctx, p)
		if transfer.Stops(err) {
			return nil, err
		}
		if err == nil && (!folders || e.Kind == hufu.Folder) {
			found = append(found, p)
		}
		return found, nil
	}
	err = r.List(ctx, dir, func(e hufu.Entry) error {
		if folders && e.Kind != hufu.Folder || strings.HasPrefix(e.Name, ".") && !strings.HasPrefix(pattern, ".") {
			return nil
		}
		if ok, err := path.Match(pattern, e.Name); err != nil || !ok {
			return err
		}
		p, err := dir.Join(e.Name)
		found = append(found, p)
		return err
	})
	if transfer.Stops(err) {
		return nil, err
	}
	slices.SortFunc(found, func(a, b hufu.Path) int { return strings.Compare(a.String(), b.String()) })
	return found, nil
}
