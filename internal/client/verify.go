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
// of this machine: what is on one side only, or of another kind, is told too.
// It returns how many files were read.
func (r *Remote) Verify(ctx context.Context, p hufu.Path, local string, report func(Verified)) (int, error) {
	top, err := r.Stat(ctx, p)
	if err != nil {
		return 0, err
	}
	v := &verifier{r: r, c: r.newCopy(), report: report}
	defer func() { _ = v.c.Close() }()
	err = v.visit(ctx, p, top, local)
	return v.files, err
}

type verifier struct {
	r      *Remote
	c      *Copy
	files  int
	report func(Verified)
}

func (v *verifier) visit(ctx context.Context, p hufu.Path, e hufu.Entry, local string) error {
	if local != "" {
		if err := v.compareKind(e, local); err != nil {
			v.report(Verified{Path: p, Err: err})
			local = ""
			if e.Kind == hufu.Folder {
				return nil // all below it would be told again
			}
		}
	}
	switch e.Kind {
	case hufu.File:
		v.files++
		far, err := v.r.Digest(ctx, p)
		if err == nil && local != "" {
			err = v.compare(p, far, local)
		}
		if err != nil && (again(err) || hufu.KindOf(err).Exit() == 6 || ctx.Err() != nil) {
			return err
		}
		v.report(Verified{p, far.Digest, at(p, err)})
	case hufu.Folder:
		return v.folder(ctx, p, local)
	}
	return nil
}

func (v *verifier) folder(ctx context.Context, p hufu.Path, local string) error {
	var entries []hufu.Entry
	there := map[string]bool{}
	err := v.r.List(ctx, p, func(e hufu.Entry) error {
		entries = append(entries, e)
		there[e.Name] = true
		return nil
	})
	if err != nil {
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
		if err := v.visit(ctx, q, e, below); err != nil {
			return err
		}
	}
	if local == "" {
		return nil
	}
	return LocalList(local, func(e hufu.Entry) error {
		q, err := p.Join(e.Name)
		if err != nil || there[e.Name] {
			return err
		}
		v.report(Verified{Path: q, Err: &hufu.Error{
			Op: "verify", Path: q.Virtual(), Kind: hufu.KindNotFound, Code: "verify_not_there", Args: map[string]string{"local": filepath.Join(local, e.Name)},
		}})
		return nil
	})
}

// compareKind says whether the same kind of thing stands under local, for a
// link with the same target.
func (v *verifier) compareKind(far hufu.Entry, local string) error {
	side, err := v.c.side(local)
	if err != nil {
		return err
	}
	near, err := side.Store.Stat(side.Path)
	switch {
	case hufu.KindOf(err) == hufu.KindNotFound:
		return &hufu.Error{Op: "verify", Path: local, Kind: hufu.KindNotFound, Code: "no_such_file"}
	case err != nil:
		return err
	case near.Kind != far.Kind:
		return &hufu.Error{
			Op: "verify", Kind: hufu.KindWrongKind, Code: "target_wrong_kind",
			Args: map[string]string{"target": local, "kind": near.Kind.String()},
		}
	case near.Target != far.Target:
		return &hufu.Error{Op: "verify", Path: local, Kind: hufu.KindChanged, Code: "verify_link_differs", Args: map[string]string{"target": far.Target}}
	}
	return nil
}

func (v *verifier) compare(p hufu.Path, far hufu.Entry, local string) error {
	side, err := v.c.side(local)
	if err != nil {
		return err
	}
	near, err := side.Store.Digest(side.Path, nil)
	if err != nil {
		return err
	}
	if near.Digest != far.Digest {
		return &hufu.Error{
			Op: "verify", Path: p.Virtual(), Kind: hufu.KindIntegrity, Code: "verify_differs",
			Args: map[string]string{"local": local, "want": near.Digest.String(), "got": far.Digest.String()},
		}
	}
	return nil
}
