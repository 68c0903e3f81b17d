package sys

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

// Dir is an open folder. This system has no calls by folder and name that do not follow
// links, so it is an os.Root and each segment is checked before it is opened.
type Dir struct{ r *os.Root }

// File is an open file. The holder closes it exactly once.
type File struct{ f *os.File }

// NoDir and NoFile are no handles. They stand for a folder or file that is not open.
var (
	NoDir  = Dir{}  // a constant in all but syntax
	NoFile = File{} // a constant in all but syntax
)

// PassFlags are enough to look up and change names; ReadFlags also allow listing and syncing.
const (
	PassFlags = 0
	ReadFlags = 0
)

// Here describes names on this system.
var Here = Naming{Windows: true, Folds: true} // a constant in all but syntax

// Kernel holds what tests of other systems set; it has no effect here.
type Kernel struct {
	NoOpenat2, NoTmpfile atomic.Bool
}

// Ok reports whether d is open.
func (d Dir) Ok() bool { return d.r != nil }

// Ok reports whether f is open.
func (f File) Ok() bool { return f.f != nil }

// Close closes d. A caller that keeps the variable sets it to NoDir.
func (d Dir) Close() {
	if d.r != nil {
		_ = d.r.Close()
	}
}

// Close closes f.
func (f File) Close() {
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
		{windows.ERROR_LOCK_VIOLATION, syscall.EWOULDBLOCK},
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

// OpenRoot opens the folder at path, following links.
func OpenRoot(path string) (Dir, error) {
	r, err := os.OpenRoot(path)
	return Dir{r}, errno(err)
}

// OpenDir opens the folder at path below d, following no link.
func (k *Kernel) OpenDir(d Dir, path string, _ int) (Dir, error) {
	at, err := d.r.OpenRoot(".")
	if err != nil {
		return NoDir, errno(err)
	}
	for seg := range strings.SplitSeq(path, "/") {
		if seg == "" {
			continue
		}
		next, err := Dir{at}.OpenSub(seg)
		_ = at.Close()
		if err != nil {
			return NoDir, err
		}
		at = next.r
	}
	return Dir{at}, nil
}

// single refuses strings that lead elsewhere or are not one name on this
// system. Every call that takes a name uses it first.
func single(names ...string) error {
	for _, name := range names {
		if !WindowsName(name) {
			return syscall.EINVAL
		}
	}
	return nil
}

// OpenSub opens the folder name, not through a link.
func (d Dir) OpenSub(name string) (Dir, error) {
	n, err := d.Stat(name)
	switch {
	case err != nil:
		return NoDir, err
	case n.Kind == hufu.Link:
		return NoDir, syscall.ELOOP
	case n.Kind != hufu.Folder:
		return NoDir, syscall.ENOTDIR
	}
	r, err := d.r.OpenRoot(name)
	return Dir{r}, errno(err)
}

func toNode(fi fs.FileInfo) Node {
	n := Node{Links: 1, Perm: uint32(fi.Mode().Perm())}
	n.Size = fi.Size()
	n.Mtime = ToStamp(fi.ModTime())
	if a, ok := fi.Sys().(*syscall.Win32FileAttributeData); ok {
		n.Ctime = ToStamp(time.Unix(0, a.CreationTime.Nanoseconds()))
	}
	switch m := fi.Mode(); {
	case m.IsRegular():
		n.Kind = hufu.File
	case m.IsDir():
		n.Kind = hufu.Folder
	case m&fs.ModeSymlink != 0:
		n.Kind = hufu.Link
	default:
		n.Kind = hufu.Other // junctions too
	}
	return n
}

// Stat describes the entry name, a link itself and not its target.
func (d Dir) Stat(name string) (Node, error) {
	if err := single(name); err != nil {
		return Node{}, err
	}
	return d.lstat(name)
}

func (d Dir) lstat(name string) (Node, error) {
	fi, err := d.r.Lstat(name)
	if err != nil {
		return Node{}, errno(err)
	}
	return toNode(fi), nil
}

// Self describes the folder itself.
func (d Dir) Self() (Node, error) { return d.lstat(".") }

// Stat describes the open file.
func (f File) Stat() (Node, error) {
	fi, err := f.f.Stat()
	if err != nil {
		return Node{}, errno(err)
	}
	return toNode(fi), nil
}

// Readlink returns the target of a symbolic link.
func (d Dir) Readlink(name string) (string, error) {
	if err := single(name); err != nil {
		return "", err
	}
	t, err := d.r.Readlink(name)
	return t, errno(err)
}

// Mkdir creates a folder.
func (d Dir) Mkdir(name string, mode uint32) error {
	if err := single(name); err != nil {
		return err
	}
	return errno(d.r.Mkdir(name, fs.FileMode(mode)))
}

// Unlink removes an entry that is not a folder. It would also remove an empty folder.
func (d Dir) Unlink(name string) error {
	if err := single(name); err != nil {
		return err
	}
	return errno(d.r.Remove(name))
}

// Rmdir removes an empty folder.
func (d Dir) Rmdir(name string) error { return d.Unlink(name) }

// Symlink creates a symbolic link.
func (d Dir) Symlink(target, name string) error {
	if err := single(name); err != nil {
		return err
	}
	return errno(d.r.Symlink(target, name))
}

func (d Dir) full(name string) string { return filepath.Join(d.r.Name(), name) }

// Rename moves an entry and replaces what stands at the target.
func (d Dir) Rename(from string, to Dir, name string) error {
	if err := single(from, name); err != nil {
		return err
	}
	return errno(os.Rename(d.full(from), to.full(name)))
}

// Link gives the file from a second name, which must be free.
func (d Dir) Link(from string, to Dir, name string) error {
	if err := single(from, name); err != nil {
		return err
	}
	return errno(os.Link(d.full(from), to.full(name)))
}

// RenameNew moves an entry; the target must be free. MoveFileEx without MOVEFILE_REPLACE_EXISTING
// never replaces an entry.
func (d Dir) RenameNew(from string, to Dir, name string) error {
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

// Exchange is not available on this system.
func (d Dir) Exchange(string, Dir, string) error { return syscall.EOPNOTSUPP }

// OpenPlain opens name for reading. The caller checks that it is a regular file or a folder.
func (d Dir) OpenPlain(name string) (File, error) {
	if name != "." { // the folder itself, which the store asks for
		if err := single(name); err != nil {
			return NoFile, err
		}
	}
	f, err := d.r.Open(name)
	return File{f}, errno(err)
}

// OpenMeta opens a file to set its mode and time. That needs the permission to write, which is
// never granted for an open folder.
func (d Dir) OpenMeta(name string) (File, error) {
	if n, err := d.Stat(name); err != nil || n.Kind != hufu.File {
		if err == nil {
			err = syscall.EACCES
		}
		return NoFile, err
	}
	return d.OpenWrite(name)
}

// OpenWrite opens an existing file for reading and writing. A link to a file below d is followed.
func (d Dir) OpenWrite(name string) (File, error) {
	if err := single(name); err != nil {
		return NoFile, err
	}
	f, err := d.r.OpenFile(name, os.O_RDWR, 0)
	return File{f}, errno(err)
}

// Create creates a file for reading and writing; an entry of that name is an error.
func (d Dir) Create(name string, mode uint32) (File, error) {
	if err := single(name); err != nil {
		return NoFile, err
	}
	f, err := d.r.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, fs.FileMode(mode))
	return File{f}, errno(err)
}

// TouchNamed sets the modification time of the entry name. For a link it does nothing.
func (d Dir) TouchNamed(name string, t Stamp) error {
	if n, err := d.Stat(name); err != nil || n.Kind == hufu.Link {
		return err
	}
	return errno(d.r.Chtimes(name, time.Time{}, t.Time()))
}

// ChmodNamed sets the permission bits of the entry name.
func (d Dir) ChmodNamed(name string, mode uint32) error {
	if err := single(name); err != nil {
		return err
	}
	return errno(d.r.Chmod(name, fs.FileMode(mode)))
}

// Chmod sets the permission bits.
func (f File) Chmod(mode uint32) error { return errno(f.f.Chmod(fs.FileMode(mode))) }

// Touch sets the modification time.
func (f File) Touch(t Stamp) error {
	ft := windows.NsecToFiletime(t.Time().UnixNano())
	return errno(windows.SetFileTime(windows.Handle(f.f.Fd()), nil, nil, &ft))
}

// Truncate sets the size in bytes.
func (f File) Truncate(size int64) error { return errno(f.f.Truncate(size)) }

// WriteAt writes all of b.
func (f File) WriteAt(b []byte, off int64) error {
	_, err := f.f.WriteAt(b, off)
	return errno(err)
}

// ReadAt reads as os.File.ReadAt does.
func (f File) ReadAt(b []byte, off int64) (int, error) {
	n, err := f.f.ReadAt(b, off)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return n, errno(err)
}

// ReadUntil is ReadAt; it reports whether it has seen the end of the file.
func (f File) ReadUntil(b []byte, off, _ int64) (n int, ended bool, err error) {
	n, err = f.ReadAt(b, off)
	return n, err == nil && n < len(b), err
}

// Getxattr is not available on this system.
func (f File) Getxattr([]byte) (int, error) { return 0, syscall.ENOTSUP }

// NoAttribute returns true: there are no attributes on this system.
func NoAttribute(error) bool { return true }

// Setxattr is not available on this system.
func (f File) Setxattr([]byte) error { return syscall.ENOTSUP }

// Lock locks a byte that is never written: locks are mandatory here.
func (f File) Lock() error {
	at := windows.Overlapped{OffsetHigh: 1 << 30}
	return errno(windows.LockFileEx(windows.Handle(f.f.Fd()),
		windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, &at))
}

// Unlock does nothing: Close releases the lock.
func (f File) Unlock() {}

// SeekData is not available on this system.
func (f File) SeekData(int64) (int64, error) { return 0, syscall.ENOTSUP }

// Sync makes the bytes and attributes of f durable.
func (f File) Sync() error { return errno(f.f.Sync()) }

// Sync does nothing: folders cannot be synced on this system.
func (d Dir) Sync() error { return nil }

// Syncfs is not available on this system.
func (d Dir) Syncfs() error { return syscall.EOPNOTSUPP }

// StartWriteback does nothing on this system.
func (f File) StartWriteback(int64, int64) {}

// Preallocate is not available on this system.
func (f File) Preallocate(int64, int64) error { return syscall.EOPNOTSUPP }

// Punch is not available on this system.
func (f File) Punch(int64, int64) error { return syscall.EOPNOTSUPP }

// MountID returns "": the mount is unknown on this system.
func (f File) MountID() string { return "" }

// Tmpfile is not available on this system.
func (k *Kernel) Tmpfile(Dir, uint32) (File, error) { return NoFile, syscall.EOPNOTSUPP }

// LinkTmp is not available on this system.
func (k *Kernel) LinkTmp(File, Dir, string) error { return syscall.EOPNOTSUPP }

// Getxattr is not available on this system.
func (k *Kernel) Getxattr(Dir, string, []byte) (int, error) { return 0, syscall.ENOTSUP }

// Names passes each name in d to yield, in any order, until yield returns an error.
func (d Dir) Names(_ []byte, yield func(name string) error) error {
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

// FreeSpace returns the free and the total bytes of the file system.
func (d Dir) FreeSpace() (free, total int64, err error) {
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

// TraitsOf returns the guarantees of the file system under d.
func TraitsOf(Dir) Traits { return Traits{} }

// BootID returns "": the boot is unknown, so every journal is checked against the bytes.
func BootID() string { return "" }

// OpenLimit returns less than this system allows.
func OpenLimit() int64 { return 2048 }
