//go:build linux || darwin

package sys

import (
	"strings"

	"golang.org/x/sys/unix"

	"hufu"
)

// Dir is an open folder. It is a bare descriptor: os.File costs two more allocations and a
// lock for each of many small files. The holder closes it exactly once.
type Dir struct{ fd int }

// File is an open file, as a bare descriptor. The holder closes it exactly once.
type File struct{ fd int }

// NoDir and NoFile are no handles. They stand for a folder or file that is not open.
var (
	NoDir  = Dir{-1}  // a constant in all but syntax
	NoFile = File{-1} // a constant in all but syntax
)

// Ok reports whether d is open.
func (d Dir) Ok() bool { return d.fd >= 0 }

// Ok reports whether f is open.
func (f File) Ok() bool { return f.fd >= 0 }

// Close closes d. A caller that keeps the variable sets it to NoDir.
func (d Dir) Close() {
	if d.fd >= 0 {
		_ = unix.Close(d.fd)
	}
}

// Close closes f. An error of close says nothing that fsync did not
// say before, so it is ignored.
func (f File) Close() {
	if f.fd >= 0 {
		_ = unix.Close(f.fd)
	}
}

// retry repeats a call that a signal interrupted.
func retry(call func() error) error {
	for {
		if err := call(); err != unix.EINTR { //nolint:errorlint // a bare errno
			return err
		}
	}
}

// OpenRoot opens the folder at path, following links.
func OpenRoot(path string) (Dir, error) {
	fd, err := openIntr(unix.AT_FDCWD, path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	return Dir{fd}, err
}

func openIntr(dir int, path string, flags int, mode uint32) (int, error) {
	for {
		fd, err := unix.Openat(dir, path, flags, mode)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return -1, err
		}
		return fd, nil
	}
}

// walk opens the folder at path below d segment by segment, each with
// O_NOFOLLOW, for systems without openat2.
func walk(d Dir, path string, last int) (Dir, error) {
	at := d.fd
	for path != "" {
		seg, rest, _ := strings.Cut(path, "/")
		flags := PassFlags
		if rest == "" {
			flags = last
		}
		fd, err := openIntr(at, seg, flags|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			err = linkOr(at, seg, err)
		}
		if at != d.fd {
			_ = unix.Close(at)
		}
		if err != nil {
			return NoDir, err
		}
		at, path = fd, rest
	}
	return Dir{at}, nil
}

// linkOr returns ELOOP instead of ENOTDIR if seg in the folder at is a link: O_DIRECTORY with
// O_NOFOLLOW does not tell the two apart.
func linkOr(at int, seg string, err error) error {
	if err != unix.ENOTDIR { //nolint:errorlint // a bare errno
		return err
	}
	var st unix.Stat_t
	if unix.Fstatat(at, seg, &st, unix.AT_SYMLINK_NOFOLLOW) == nil && st.Mode&unix.S_IFMT == unix.S_IFLNK {
		return unix.ELOOP
	}
	return err
}

// Stat describes the entry name, a link itself and not its target.
func (d Dir) Stat(name string) (Node, error) {
	var st unix.Stat_t
	for {
		err := unix.Fstatat(d.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return Node{}, err
		}
		return toNode(&st), nil
	}
}

// Self describes the folder itself.
func (d Dir) Self() (Node, error) { return fstat(d.fd) }

// Stat describes the open file.
func (f File) Stat() (Node, error) { return fstat(f.fd) }

func fstat(fd int) (Node, error) {
	var st unix.Stat_t
	for {
		err := unix.Fstat(fd, &st)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return Node{}, err
		}
		return toNode(&st), nil
	}
}

func kindOf(mode uint32) hufu.EntryKind {
	switch mode & unix.S_IFMT {
	case unix.S_IFREG:
		return hufu.File
	case unix.S_IFDIR:
		return hufu.Folder
	case unix.S_IFLNK:
		return hufu.Link
	}
	return hufu.Other
}

// Readlink returns the target of a symbolic link.
func (d Dir) Readlink(name string) (string, error) {
	var buf [4096]byte
	n, err := unix.Readlinkat(d.fd, name, buf[:])
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}

// Mkdir creates a folder.
func (d Dir) Mkdir(name string, mode uint32) error { return unix.Mkdirat(d.fd, name, mode) }

// Unlink removes an entry that is not a folder.
func (d Dir) Unlink(name string) error { return unix.Unlinkat(d.fd, name, 0) }

// Rmdir removes an empty folder.
func (d Dir) Rmdir(name string) error { return unix.Unlinkat(d.fd, name, unix.AT_REMOVEDIR) }

// Symlink creates a symbolic link.
func (d Dir) Symlink(target, name string) error { return unix.Symlinkat(target, d.fd, name) }

// Rename moves an entry and replaces what stands at the target.
func (d Dir) Rename(from string, to Dir, name string) error {
	return unix.Renameat(d.fd, from, to.fd, name)
}

// Link gives the file from a second name, and fails if the name is taken.
func (d Dir) Link(from string, to Dir, name string) error {
	return unix.Linkat(d.fd, from, to.fd, name, 0)
}

// OpenPlain opens name for reading. The caller checks that it is a regular file or a folder. If it
// is a FIFO by now, O_NONBLOCK keeps the call from waiting for a writer.
func (d Dir) OpenPlain(name string) (File, error) {
	fd, err := openIntr(d.fd, name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	return File{fd}, err
}

// OpenMeta opens a file or folder whose mode and time are to be set.
func (d Dir) OpenMeta(name string) (File, error) { return d.OpenPlain(name) }

// OpenWrite opens an existing file for reading and writing, not through a link.
func (d Dir) OpenWrite(name string) (File, error) {
	fd, err := openIntr(d.fd, name, unix.O_RDWR|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	return File{fd}, err
}

// OpenSub opens the folder name, not through a link.
func (d Dir) OpenSub(name string) (Dir, error) {
	fd, err := openIntr(d.fd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	return Dir{fd}, err
}

// Create creates a file under a name that must be free.
func (d Dir) Create(name string, mode uint32) (File, error) {
	fd, err := openIntr(d.fd, name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, mode)
	return File{fd}, err
}

// TouchNamed sets the time of a name itself, never that of a link's target.
func (d Dir) TouchNamed(name string, t Stamp) error {
	ts := timesOf(t)
	return unix.UtimesNanoAt(d.fd, name, ts[:], unix.AT_SYMLINK_NOFOLLOW)
}

// Chmod sets the permission bits.
func (f File) Chmod(mode uint32) error {
	return retry(func() error { return unix.Fchmod(f.fd, mode) })
}

// Truncate sets the size in bytes.
func (f File) Truncate(size int64) error {
	return retry(func() error { return unix.Ftruncate(f.fd, size) })
}

// WriteAt writes all of b at off.
func (f File) WriteAt(b []byte, off int64) error {
	for len(b) > 0 {
		n, err := unix.Pwrite(f.fd, b, off)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		b, off = b[n:], off+int64(n)
	}
	return nil
}

// ReadAt reads until b is full or the file ends.
func (f File) ReadAt(b []byte, off int64) (int, error) {
	done := 0
	for done < len(b) {
		n, err := unix.Pread(f.fd, b[done:], off+int64(done))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return done, err
		}
		if n == 0 {
			break
		}
		done += n
	}
	return done, nil
}

// ReadUntil is ReadAt for a file that should end at size. It reports whether it has
// seen the end there: then no second read has to look for more.
func (f File) ReadUntil(b []byte, off, size int64) (n int, ended bool, err error) {
	for {
		n, err = unix.Pread(f.fd, b, off)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return 0, false, err
		}
		if n == len(b) {
			return n, false, nil
		}
		if n > 0 && off+int64(n) == size { // a regular file gives less only at its end
			return n, true, nil
		}
		more, err := f.ReadAt(b[n:], off+int64(n))
		return n + more, n+more < len(b), err
	}
}

// Getxattr reads the attribute user.hufu into buf and returns its length.
func (f File) Getxattr(buf []byte) (int, error) { return unix.Fgetxattr(f.fd, xattrName, buf) }

// Setxattr writes the attribute user.hufu.
func (f File) Setxattr(value []byte) error { return unix.Fsetxattr(f.fd, xattrName, value, 0) }

// Lock locks the file for this open handle, or returns an error if another handle, of any
// process, has it.
func (f File) Lock() error {
	return retry(func() error { return unix.Flock(f.fd, unix.LOCK_EX|unix.LOCK_NB) })
}

// Unlock unlocks the file. Closing it might leave the lock held for a moment: a child between
// fork and exec has the descriptor too.
func (f File) Unlock() { _ = unix.Flock(f.fd, unix.LOCK_UN) }

// SeekData returns where the next data begins at or after off.
func (f File) SeekData(off int64) (int64, error) { return unix.Seek(f.fd, off, seekData) }

// FreeSpace returns the space that an unprivileged user may still write.
func (d Dir) FreeSpace() (free, total int64, err error) {
	var st unix.Statfs_t
	if err := retry(func() error { return unix.Fstatfs(d.fd, &st) }); err != nil {
		return 0, 0, err
	}
	return int64(st.Bavail) * int64(st.Bsize), int64(st.Blocks) * int64(st.Bsize), nil //nolint:unconvert // other systems have other widths
}

// OpenLimit returns the number of descriptors that this process may have.
func OpenLimit() int64 {
	var r unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &r) != nil {
		return 256
	}
	return int64(min(r.Cur, 1<<30))
}
