package client

import (
	"context"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"hufu"
	"hufu/internal/identity"
	"hufu/internal/transfer"
)

// Leave returns the function for transfer.Options.Leave. A put leaves out the data
// folder of a server and the client's own folders: they hold keys, and change while
// they are sent.
func (r *Remote) Leave() func(context.Context, transfer.Side) error {
	own := []string{canonical(r.p.Dirs().Config), canonical(r.p.Dirs().State)}
	return func(ctx context.Context, s transfer.Side) error {
		named := func(dir string) bool { return filepath.Base(dir) == filepath.Base(s.Local) || s.Path.IsRoot() }
		if slices.ContainsFunc(own, named) && slices.Contains(own, canonical(s.Local)) {
			return &hufu.Error{Op: "put", Path: s.Local, Kind: hufu.KindUnsupported, Code: "own_folder"}
		}
		if tag, err := s.Path.Join(hufu.DataTag); err == nil {
			if e, err := s.Store.Stat(ctx, tag); err != nil || e.Kind != hufu.File {
				return nil
			}
		}
		if _, ok := dataRoot(canonical(s.Local)); ok {
			return &hufu.Error{Op: "put", Path: s.Local, Kind: hufu.KindUnsupported, Code: "data_folder"}
		}
		return nil
	}
}

// canonical returns path with links resolved, as far as the path exists.
func canonical(path string) string {
	abs, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	for rest := ""; ; {
		if at, err := filepath.EvalSymlinks(abs); err == nil {
			return filepath.Join(at, rest)
		}
		up := filepath.Dir(abs)
		if up == abs {
			return filepath.Join(abs, rest)
		}
		rest, abs = filepath.Join(filepath.Base(abs), rest), up
	}
}

// dataRoot reports whether dir is the data folder of a server, and returns the
// fingerprint of the root of that server.
func dataRoot(dir string) (root [32]byte, ok bool) {
	f, err := OpenRegular(filepath.Join(dir, hufu.DataTag))
	if err != nil {
		return root, false
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, hufu.MaxDataTag))
	if err != nil {
		return root, false
	}
	return hufu.ParseDataTag(data)
}

// place returns where the server keeps p on this machine, if path lies in the data
// folder of that server, "" if not. path has no links in it.
func (r *Remote) place(path string, p hufu.Path) string {
	for dir := path; ; {
		if root, ok := dataRoot(dir); ok && r.isRoot(root) {
			files := filepath.Join(dir, "files")
			if first, rest := p.Cut(); first == "@shared" {
				return filepath.Join(files, "shared", filepath.FromSlash(rest.String()))
			}
			return filepath.Join(files, "users", r.p.User, filepath.FromSlash(p.String()))
		}
		up := filepath.Dir(dir)
		if up == dir {
			return ""
		}
		dir = up
	}
}

func (r *Remote) isRoot(fingerprint [32]byte) bool {
	roots, err := r.p.Roots()
	return err == nil && slices.ContainsFunc(roots, func(c *identity.Certificate) bool { return identity.Fingerprint(c) == fingerprint })
}

// notInside returns an error if a transfer would copy a folder into itself: the
// server runs on this machine and serves the folder that is named here.
func (r *Remote) notInside(op string, s transfer.Source) error {
	if r.o.Teach {
		return nil
	}
	near := canonical(s.Local)
	far := r.place(near, s.Far)
	if far == "" {
		return nil
	}
	far = canonical(far)
	source, target := near, far
	if op == "get" {
		source, target = far, near
	}
	if target != source && !strings.HasPrefix(target, source+string(filepath.Separator)) {
		return nil
	}
	name, into := s.Local, s.Far.Remote()
	if op == "get" {
		name, into = into, name
	}
	return &hufu.Error{Op: op, Path: name, Kind: hufu.KindUsage, Code: "target_in_source", Args: map[string]string{"target": into}}
}
