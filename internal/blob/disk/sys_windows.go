package disk

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/windows"

	"hufu"
)

// This system has no calls by folder and name that do not follow links, so a
// folder is an os.Root and each segment is checked before it is opened.
type (
	dirHandle  struct{ r *os.Root }
	fileHandle struct{ f *os.File }
)

var (
	noDir  = dirHandle{}  // a constant in all but syntax
	noFile = fileHandle{} // a constant in all but syntax
)

const (
	passFlags = 0
	readFlags = 0
)

// here describes names on this system.
var here = naming{windows: true, folds: true} // a constant in all but syntax

// kernel has nothing to remember on this system.
type kernel struct {
	noOpenat2, noTmpfile atomic.Bool
}

func (d dirHandle) ok() bool  { return d.r != nil }
func (f fileHandle) ok() bool { return f.f != nil }

func (d dirHandle) close() {
	if d.r != nil {
		_ = d.r.Close()
	}
}

func (f fileHandle) close() {
	if f.f != nil {
		_ = f.f.Close()
	}
}

// errno translates an error of this system into the few numbers that the rest
// of the package uses.
func errno(err error) error {
	for _, t := range []struct{ from, to error }{
		{windows.ERROR_DIR_NOT_EMPTY, syscall.ENOTEMPTY},
		{windows.ERROR_DISK_FULL, syscall.ENOSPC},
		{windows.ERROR_HANDLE_DISK_FULL, syscall.ENOSPC},
		{windows.ERROR_INVALID_NAME, syscall.EINVAL},
		{windows.ERROR_FILENAME_EXCED_RANGE, syscall.ENAMETOOLONG},
		{windows.ERROR_NOT_SAME_DEVICE, syscall.EXDEV},
		{windows.ERROR_DIRECTORY, syscall.ENOTDIR},
		{fs.ErrNotExist, syscall.ENOENT},
		{fs.ErrExist, syscall.EEXIST},
		{fs.ErrPermission, syscall.EACCES},
	} {
		if errors.Is(err, t.from) {
			return t.to
		}
	}
	return err
}

func openRoot(path string) (dirHandle, error) {
	r, err := os.OpenRoot(path)
	return dirHandle{r}, errno(err)
}

func (k *kernel) openDir(d dirHandle, path string, _ int) (dirHandle, error) {
	at, err := d.r.OpenRoot(".")
	if err != nil {
		return noDir, errno(err)
	}
	for seg := range strings.SplitSeq(path, "/") {
		if seg == "" {
			continue
		}
		next, err := dirHandle{at}.openSub(seg)
		_ = at.Close()
		if err != nil {
			return noDir, err
		}
		at = next.r
	}
	return dirHandle{at}, nil
}

// single refuses strings that lead elsewhere or are not one name on this
// system. Every call that takes a name uses it first.
func single(names ...string) error {
	for _, name := range names {
		if !windowsName(name) {
			return syscall.EINVAL
		}
	}
	return nil
}

func (d dirHandle) openSub(name string) (dirHandle, error) {
	n, err := d.stat(name)
	switch {
	case err != nil:
		return noDir, err
	case n.kind == hufu.Link:
		return noDir, syscall.ELOOP
	case n.kind != hufu.Folder:
		return noDir, syscall.ENOTDIR
	}
	r, err := d.r.OpenRoot(name)
	return dirHandle{r}, errno(err)
}

func toNode(fi fs.FileInfo) node {
	n := node{links: 1, perm: uint32(fi.Mode().Perm())}
	n.size = fi.Size()
	n.mtime = toStamp(fi.ModTime())
	if a, ok := fi.Sys().(*syscall.Win32FileAttributeData); ok {
		n.ctime = toStamp(time.Unix(0, a.CreationTime.Nanoseconds()))
	}
	switch m := fi.Mode(); {
	case m.IsRegular():
		n.kind = hufu.File
	case m.IsDir():
		n.kind = hufu.Folder
	case m&fs.ModeSymlink != 0:
		n.kind = hufu.Link
	default:
		n.kind = hufu.Other // junctions too
	}
	return n
}

func (d dirHandle) stat(name string) (node, error) {
	if err := single(name); err != nil {
		return node{}, err
	}
	return d.lstat(name)
}

func (d dirHandle) lstat(name string) (node, error) {
	fi, err := d.r.Lstat(name)
	if err != nil {
		return node{}, errno(err)
	}
	return toNode(fi), nil
}

func (d dirHandle) self() (node, error) { return d.lstat(".") }

func (f fileHandle) stat() (node, error) {
	fi, err := f.f.Stat()
	if err != nil {
		return node{}, errno(err)
	}
	return toNode(fi), nil
}

func (d dirHandle) readlink(name string) (string, error) {
	if err := single(name); err != nil {
		return "", err
	}
	t, err := d.r.Readlink(name)
	return t, errno(err)
}

func (d dirHandle) mkdir(name string, mode uint32) error {
	if err := single(name); err != nil {
		return err
	}
	return errno(d.r.Mkdir(name, fs.FileMode(mode)))
}

func (d dirHandle) unlink(name string) error {
	if err := single(name); err != nil {
		return err
	}
	return errno(d.r.Remove(name))
}

func (d dirHandle) rmdir(name string) error { return d.unlink(name) }

func (d dirHandle) symlink(target, name string) error {
	if err := single(name); err != nil {
		return err
	}
	return errno(d.r.Symlink(target, name))
}

func (d dirHandle) full(name string) string { return filepath.Join(d.r.Name(), name) }

func (d dirHandle) rename(from string, to dirHandle, name string) error {
	if err := single(from, name); err != nil {
		return err
	}
	return errno(os.Rename(d.full(from), to.full(name)))
}

func (d dirHandle) link(from string, to dirHandle, name string) error {
	if err := single(from, name); err != nil {
		return err
	}
	return errno(os.Link(d.full(from), to.full(name)))
}

// renameNew: MoveFileEx without MOVEFILE_REPLACE_EXISTING takes free names only.
func (d dirHandle) renameNew(from string, to dirHandle, name string) error {
	if err := single(from, name); err != nil {
		return err
	}
	a, err := windows.UTF16PtrFromString(d.full(from))
	if err != nil {
		return syscall.EINVAL
	}
	b, err := windows.UTF16PtrFromString(to.full(name))
	if err != nil {
		return syscall.EINVAL
	}
	return errno(windows.MoveFileEx(a, b, windows.MOVEFILE_WRITE_THROUGH))
}

func (d dirHandle) exchange(string, dirHandle, string) error { return syscall.EOPNOTSUPP }

func (d dirHandle) openPlain(name string) (fileHandle, error) {
	if name != "." { // the folder itself, which the store asks for
		if err := single(name); err != nil {
			return noFile, err
		}
	}
	f, err := d.r.Open(name)
	return fileHandle{f}, errno(err)
}

// openMeta opens a file to set its mode and time. That needs the permission to write, which is
// never granted for an open folder.
func (d dirHandle) openMeta(name string) (fileHandle, error) {
	if n, err := d.stat(name); err != nil || n.kind != hufu.File {
		return noFile, first(err, syscall.EACCES)
	}
	return d.openWrite(name)
}

func (d dirHandle) openWrite(name string) (fileHandle, error) {
	if err := single(name); err != nil {
		return noFile, err
	}
	f, err := d.r.OpenFile(name, os.O_RDWR, 0)
	return fileHandle{f}, errno(err)
}

func (d dirHandle) create(name string, mode uint32) (fileHandle, error) {
	if err := single(name); err != nil {
		return noFile, err
	}
	f, err := d.r.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, fs.FileMode(mode))
	return fileHandle{f}, errno(err)
}

func (d dirHandle) touchNamed(name string, t stamp) error {
	if n, err := d.stat(name); err != nil || n.kind == hufu.Link {
		return err
	}
	return errno(d.r.Chtimes(name, time.Time{}, t.time()))
}

func (d dirHandle) chmodNamed(name string, mode uint32) error {
	if err := single(name); err != nil {
		return err
	}
	return errno(d.r.Chmod(name, fs.FileMode(mode)))
}

func (f fileHandle) chmod(mode uint32) error { return errno(f.f.Chmod(fs.FileMode(mode))) }

func (f fileHandle) touch(t stamp) error {
	ft := windows.NsecToFiletime(t.time().UnixNano())
	return errno(windows.SetFileTime(windows.Handle(f.f.Fd()), nil, nil, &ft))
}

func (f fileHandle) truncate(size int64) error { return errno(f.f.Truncate(size)) }

func (f fileHandle) writeAt(b []byte, off int64) error {
	_, err := f.f.WriteAt(b, off)
	return errno(err)
}

func (f fileHandle) readAt(b []byte, off int64) (int, error) {
	n, err := f.f.ReadAt(b, off)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return n, errno(err)
}

func (f fileHandle) getxattr([]byte) (int, error) { return 0, syscall.ENOTSUP }
func (f fileHandle) setxattr([]byte) error        { return syscall.ENOTSUP }

// lock takes a byte that is never written: locks are mandatory here.
func (f fileHandle) lock() error {
	at := windows.Overlapped{OffsetHigh: 1 << 30}
	return errno(windows.LockFileEx(windows.Handle(f.f.Fd()),
		windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, &at))
}

func (f fileHandle) unlock()                        {} // with the handle
func (f fileHandle) seekData(int64) (int64, error)  { return 0, syscall.ENOTSUP }
func (f fileHandle) sync() error                    { return errno(f.f.Sync()) }
func (d dirHandle) sync() error                     { return nil } // folders cannot be synced here
func (d dirHandle) syncfs() error                   { return syscall.EOPNOTSUPP }
func (f fileHandle) startWriteback(int64, int64)    {}
func (f fileHandle) preallocate(int64, int64) error { return syscall.EOPNOTSUPP }
func (f fileHandle) punch(int64, int64) error       { return syscall.EOPNOTSUPP }
func (f fileHandle) mountID() string                { return "" }

func (k *kernel) tmpfile(dirHandle, uint32) (fileHandle, error) { return noFile, syscall.EOPNOTSUPP }

func (k *kernel) linkTmp(fileHandle, dirHandle, string) error { return syscall.EOPNOTSUPP }

func (k *kernel) getxattr(dirHandle, string, []byte) (int, error) { return 0, syscall.ENOTSUP }

func (d dirHandle) names(_ []byte, yield func(name string) error) error {
	f, err := d.r.Open(".")
	if err != nil {
		return errno(err)
	}
	defer f.Close()
	for {
		names, err := f.Readdirnames(1024)
		for _, n := range names {
			if err := yield(n); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) || len(names) == 0 && err == nil {
			return nil
		}
		if err != nil {
			return errno(err)
		}
	}
}

func (d dirHandle) freeSpace() (free, total int64, err error) {
	name, err := windows.UTF16PtrFromString(d.r.Name())
	if err != nil {
		return 0, 0, err
	}
	var avail, all, rest uint64
	if err := windows.GetDiskFreeSpaceEx(name, &avail, &all, &rest); err != nil {
		return 0, 0, errno(err)
	}
	return int64(avail), int64(all), nil
}

func traitsOf(dirHandle) traits { return traits{} }

// bootID is unknown, so every journal is checked against the bytes.
func bootID() string { return "" }

// openLimit returns less than this system allows.
func openLimit() int64 { return 2048 }
