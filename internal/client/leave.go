package client

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"hufu"
	"hufu/internal/identity"
	"hufu/internal/profile"
	"hufu/internal/transfer"
)

// Leave returns the function for transfer.Options.Leave. A put leaves out the data
// folder of a server and the client's own folders: they hold keys, and change while
// they are sent.
func (r *Remote) Leave() func(context.Context, transfer.Side) error {
	own := r.ownFolders()
	return func(ctx context.Context, s transfer.Side) error {
		if own.have(s.Local) {
			return ownFolder(s.Local)
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

// folders are folders of this computer. They are compared by identity, not by name: a
// link, a mount or another case of the letters gives a folder more than one name.
type folders []os.FileInfo

func (f folders) have(path string) bool {
	i, err := os.Stat(path)
	return err == nil && slices.ContainsFunc(f, func(x os.FileInfo) bool { return os.SameFile(x, i) })
}

// ownFolders returns the folders in which the client keeps its files.
func (r *Remote) ownFolders() (own folders) {
	for _, dir := range []string{r.p.Dirs().Config, r.p.Dirs().State} {
		if i, err := os.Stat(dir); err == nil {
			own = append(own, i)
		}
	}
	return own
}

func ownFolder(path string) error {
	return &hufu.Error{Op: "put", Path: path, Kind: hufu.KindUnsupported, Code: "own_folder"}
}

// notOwn returns an error if a source that the user has named lies in one of these folders, the
// client's own. The spools there may be sent: they hold what a browser has handed over. A source
// that is such a folder itself is refused by Leave.
func (f folders) notOwn(s transfer.Source, links bool) error {
	path := canonical(s.Local)
	if links && !s.Contents { // a link is sent as a link, wherever it points
		path = filepath.Join(canonical(filepath.Dir(s.Local)), filepath.Base(s.Local))
	}
	for at := path; ; at = filepath.Dir(at) {
		in := filepath.Dir(at)
		switch {
		case in == at, f.have(in) && strings.HasPrefix(filepath.Base(at), profile.Spools):
			return nil
		case f.have(in):
			return ownFolder(s.Local)
		}
	}
}

// noTarget returns an error if path is in one of these folders, or in the data folder of a server: a
// sync would remove what belongs there.
func (f folders) noTarget(path string) error {
	for at := canonical(path); ; at = filepath.Dir(at) {
		if f.have(at) {
			return &hufu.Error{Op: "sync", Path: path, Kind: hufu.KindUnsupported, Code: "sync_own_folder"}
		}
		if _, ok := dataRoot(at); ok {
			return &hufu.Error{Op: "sync", Path: path, Kind: hufu.KindUnsupported, Code: "sync_data_folder"}
		}
		if filepath.Dir(at) == at {
			return nil
		}
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

// place returns the path of p in the data folder of r's server, if that folder is at path
// or above it on this computer, "" if not. path has no links in it.
func (r *Remote) place(path string, p hufu.Path) string {
	for dir := path; ; {
		if root, ok := dataRoot(dir); ok && r.isRoot(root) {
			files := filepath.Join(dir, "files")
			if first, rest := p.Cut(); first == hufu.SharedName {
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

// notInside returns an error if a transfer would copy a folder into itself. That can happen if
// the server runs on this computer and serves the folder that the user has named.
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
