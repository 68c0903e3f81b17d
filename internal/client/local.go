package client

import (
	"context"
	"path/filepath"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/blob/disk"
)

// LocalStat tells what stands under a path of this machine.
func LocalStat(ctx context.Context, path string) (hufu.Entry, error) {
	return local(path, func(s *disk.Store, p hufu.Path) (hufu.Entry, error) { return s.Stat(ctx, p) })
}

// LocalDigest hashes a file of this machine, unless ctx ends before; a link is
// not followed.
func LocalDigest(ctx context.Context, path string) (hufu.Entry, error) {
	return local(path, func(s *disk.Store, p hufu.Path) (hufu.Entry, error) { return s.Digest(ctx, p) })
}

func local(path string, ask func(*disk.Store, hufu.Path) (hufu.Entry, error)) (hufu.Entry, error) {
	dir, base := filepath.Split(path)
	s, err := disk.Open(filepath.Clean(dir), disk.Options{})
	if err != nil {
		return hufu.Entry{}, err
	}
	defer func() { _ = s.Close() }()
	p, err := hufu.Path{}.Join(base)
	if err != nil {
		return hufu.Entry{}, err
	}
	e, err := ask(s, p)
	if hufu.KindOf(err) == hufu.KindNotFound {
		err = &hufu.Error{Op: "look", Path: path, Kind: hufu.KindNotFound, Code: "no_such_file", Err: err}
	}
	return e, err
}

// LocalList gives what stands in a folder of this machine to fn, in any order.
func LocalList(ctx context.Context, dir string, fn func(hufu.Entry) error) error {
	s, err := disk.Open(dir, disk.Options{})
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	_, err = s.List(ctx, hufu.Path{}, blob.Page{}, fn)
	return err
}

// LocalRename gives a file or folder of this machine another path; what stands
// there is never replaced (fs.ErrExist).
func LocalRename(from, to string) error { return disk.RenameNew(from, to) }

// LocalSpace is how much room there is at a folder of this machine, in bytes.
func LocalSpace(ctx context.Context, dir string) (free, total int64, err error) {
	s, err := disk.Open(dir, disk.Options{})
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = s.Close() }()
	return s.Space(ctx)
}
