package client

import (
	"context"
	"errors"
	"slices"
	"strings"

	"hufu"
	"hufu/internal/transfer"
)

// maxMatches is how many paths a pattern may match.
const maxMatches = 100_000

// Glob returns the paths of the server that the pattern p matches, those of one folder in order.
// '*', '?' and […] match within a name, as in a shell (see transfer.NamePattern), but not a dot at
// its beginning; a name "**" matches any number of folders, and at the end of the pattern
// everything below. With folders, as with a slash at its end, only folders match. If there
// is an entry with the name p, or nothing matches, it returns p itself; in the second case the
// next call reports that it is not found.
func (r *Remote) Glob(ctx context.Context, p hufu.Path, folders bool) ([]hufu.Path, error) {
	if !strings.ContainsAny(p.String(), "*?[") {
		return []hufu.Path{p}, nil
	}
	for _, name := range p.Segments() {
		if _, ok := transfer.NamePattern(name, false); !ok {
			return []hufu.Path{p}, nil // a name and no pattern
		}
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
			var more []hufu.Path
			var err error
			if pattern == "**" {
				more, err = r.below(ctx, dir, folders || !rest.IsRoot(), maxMatches-len(next))
			} else {
				more, err = r.match(ctx, dir, pattern, folders || !rest.IsRoot())
			}
			if err != nil {
				return nil, err
			}
			if next = append(next, more...); len(next) > maxMatches {
				return nil, &hufu.Error{Op: "match", Path: p.Remote(), Kind: hufu.KindUsage, Code: "pattern_too_wide"}
			}
		}
		if found = next; pattern == "**" { // a second one finds some again
			slices.SortFunc(found, func(a, b hufu.Path) int { return strings.Compare(a.String(), b.String()) })
			found = slices.Compact(found)
		}
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
	matches, ok := transfer.NamePattern(pattern, false)
	if !ok { // Glob has checked it
		return nil, nil
	}
	err = r.List(ctx, dir, func(e hufu.Entry) error {
		if folders && e.Kind != hufu.Folder || strings.HasPrefix(e.Name, ".") && !strings.HasPrefix(pattern, ".") {
			return nil
		}
		if !matches(e.Name) {
			return nil
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

// below returns the folder dir and all folders below it, or everything below dir; most+1 at most.
// Names that begin with a dot are passed over, with everything in them.
func (r *Remote) below(ctx context.Context, dir hufu.Path, folders bool, most int) (found []hufu.Path, err error) {
	hidden, inHidden := hufu.Path{}, false
	err = r.Walk(ctx, dir, WalkOptions{Brief: true, Folders: folders}, func(f Found) error {
		switch {
		case f.Err != nil, inHidden && f.Path.Below(hidden), f.Depth == 0 && !folders:
			return nil
		case f.Depth > 0 && strings.HasPrefix(f.Entry.Name, "."):
			hidden, inHidden = f.Path, true
			return nil
		}
		if found = append(found, f.Path); len(found) > most {
			return errEnough
		}
		return nil
	})
	if transfer.Stops(err) {
		return nil, err
	}
	return found, nil // a folder that is not there has none
}

// errEnough ends a walk that has found too much.
var errEnough = errors.New("enough")
