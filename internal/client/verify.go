package client

import (
	"context"
	"path/filepath"
	"slices"
	"strings"

	"hufu"
	"hufu/internal/transfer"
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
	v := &verifier{r: r, report: report}
	var near transfer.Side
	if local != "" {
		c := r.newCopy()
		defer func() { _ = c.Close() }()
		s, err := c.source(local, p, false)
		if err != nil {
			return 0, err
		}
		near = s.Side
	}
	err = v.visit(ctx, p, top, near)
	return v.files, err
}

type verifier struct {
	r      *Remote
	files  int
	report func(Verified)
}

// visit verifies one name; near has no store when there is nothing to compare
// with.
func (v *verifier) visit(ctx context.Context, p hufu.Path, e hufu.Entry, near transfer.Side) error {
	if near.Store != nil {
		if err := sameKind(e, near); err != nil {
			v.report(Verified{Path: p, Err: err})
			near = transfer.Side{}
			if e.Kind == hufu.Folder {
				return nil // all below it would be told again
			}
		}
	}
	switch e.Kind {
	case hufu.File:
		v.files++
		far, err := v.r.Digest(ctx, p)
		if err == nil && near.Store != nil {
			err = sameBytes(p, far, near)
		}
		if transfer.Stops(err) || ctx.Err() != nil {
			return err
		}
		v.report(Verified{p, far.Digest, at(p, err)})
	case hufu.Folder:
		return v.folder(ctx, p, near)
	}
	return nil
}

func (v *verifier) folder(ctx context.Context, p hufu.Path, near transfer.Side) error {
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
		var below transfer.Side
		if near.Store != nil {
			if below, err = near.Join(e.Name); err != nil {
				return err
			}
		}
		if err := v.visit(ctx, q, e, below); err != nil {
			return err
		}
	}
	if near.Store == nil {
		return nil
	}
	return near.Store.List(near.Path, func(e hufu.Entry) error {
		q, err := p.Join(e.Name)
		if err != nil || there[e.Name] {
			return err
		}
		v.report(Verified{Path: q, Err: &hufu.Error{
			Op: "verify", Path: q.Remote(), Kind: hufu.KindNotFound, Code: "verify_not_there", Args: map[string]string{"local": filepath.Join(near.Local, e.Name)},
		}})
		return nil
	})
}

// sameKind says whether the same kind of thing stands on this machine, for a
// link with the same target.
func sameKind(far hufu.Entry, side transfer.Side) error {
	near, err := side.Store.Stat(side.Path)
	switch {
	case hufu.KindOf(err) == hufu.KindNotFound:
		return &hufu.Error{Op: "verify", Path: side.Local, Kind: hufu.KindNotFound, Code: "no_such_file"}
	case err != nil:
		return err
	case near.Kind != far.Kind:
		return &hufu.Error{
			Op: "verify", Kind: hufu.KindWrongKind, Code: "target_wrong_kind",
			Args: map[string]string{"target": side.Local, "kind": near.Kind.String()},
		}
	case near.Target != far.Target:
		return &hufu.Error{Op: "verify", Path: side.Local, Kind: hufu.KindChanged, Code: "verify_link_differs", Args: map[string]string{"target": far.Target}}
	}
	return nil
}

// sameBytes reads the file of this machine.
func sameBytes(p hufu.Path, far hufu.Entry, side transfer.Side) error {
	near, err := side.Store.Digest(side.Path, nil)
	if err == nil && near.Digest != far.Digest {
		err = &hufu.Error{
			Op: "verify", Path: p.Remote(), Kind: hufu.KindIntegrity, Code: "verify_differs",
			Args: map[string]string{"local": side.Local, "want": near.Digest.String(), "got": far.Digest.String()},
		}
	}
	return err
}
