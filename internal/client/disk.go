package client

import (
	"context"
	"errors"
	"path/filepath"

	"hufu"
	"hufu/internal/blob"
)

// Disk is the file system of this computer. The program hands it in, so that this
// package names only the contract of stored files.
type Disk interface {
	// Open opens the folder dir as a tree. journals is the folder in which unfinished
	// downloads are recorded. If it is "", no large file can be downloaded into dir.
	Open(dir, journals string) (Folder, error)
	// RenameNew gives a file or folder another path. It never replaces anything:
	// the error is then fs.ErrExist.
	RenameNew(from, to string) error
}

// Folder is an open folder of this computer.
type Folder interface {
	blob.Tree
	// Recover removes the journals of downloads that were finished when the program
	// was killed.
	Recover() error
	// Discard removes what has arrived of unfinished downloads to p and to
	// everything below p.
	Discard(p hufu.Path) error
}

// Discard removes from the folder dir of this computer what has arrived of unfinished
// downloads of sources, and of everything below them.
func Discard(d Disk, journals, dir string, sources []hufu.Path) error {
	f, err := d.Open(canonical(dir), journals) // the name that the downloads were recorded with
	if err != nil {
		return nil //nolint:nilerr // the folder does not exist, so nothing is left to be removed
	}
	var errs []error
	for _, source := range sources {
		p, err := hufu.Path{}.Join(source.Base())
		if err != nil {
			continue // the root, which PrepareGet refuses
		}
		errs = append(errs, f.Discard(p))
	}
	return errors.Join(append(errs, f.Close())...)
}

// LocalEntry describes the file or folder at path on this computer. With digest it
// also reads the file and computes its digest, unless ctx ends before. A link is
// not followed.
func LocalEntry(ctx context.Context, d Disk, path string, digest bool) (hufu.Entry, error) {
	dir, base := filepath.Split(path)
	f, err := d.Open(filepath.Clean(dir), "")
	if err != nil {
		return hufu.Entry{}, err
	}
	defer func() { _ = f.Close() }()
	p, err := hufu.Path{}.Join(base)
	if err != nil {
		return hufu.Entry{}, err
	}
	look := f.Stat
	if digest {
		look = f.Digest
	}
	e, err := look(ctx, p)
	if hufu.KindOf(err) == hufu.KindNotFound {
		err = &hufu.Error{Op: "look", Path: path, Kind: hufu.KindNotFound, Code: "no_such_file", Err: err}
	}
	return e, err
}

// LocalList calls fn for the entries of a folder of this computer, in any order.
// free and total are its room in bytes, 0 if that is not known.
func LocalList(ctx context.Context, d Disk, dir string, fn func(hufu.Entry) error) (free, total int64, err error) {
	f, err := d.Open(dir, "")
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = f.Close() }()
	free, total, _ = f.Space(ctx)
	_, err = f.List(ctx, hufu.Path{}, blob.Page{}, fn)
	return free, total, err
}
