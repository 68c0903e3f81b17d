//go:build linux || darwin

package disk

import (
	"strings"

	"golang.org/x/sys/unix"

	"hufu"
)

// dirHandle is an open folder, fileHandle an open file. Both are bare
// descriptors: os.File costs two more allocations and a lock for each of many
// small files. The holder closes it exactly once.
type (
	dirHandle  struct{ fd int }
	fileHandle struct{ fd int }
)

var (
	noDir  = dirHandle{-1}  // a constant in all but syntax
	noFile = fileHandle{-1} // a constant in all but syntax
)

func (d dirHandle) ok() bool  { return d.fd >= 0 }
func (f fileHandle) ok() bool { return f.fd >= 0 }

func (d dirHandle) close() {
	if d.fd >= 0 {
		_ = unix.Close(d.fd)
	}
}

// close closes the handle. An error of close says nothing that fsync did not
// say before, so it is ignored.
func (f fileHandle) close() {
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

func openRoot(path string) (dirHandle, error) {
	fd, err := openIntr(unix.AT_FDCWD, path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	return dirHandle{fd}, err
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
func walk(d dirHandle, path string, last int) (dirHandle, error) {
	at := d.fd
	for path != "" {
		seg, rest, _ := strings.Cut(path, "/")
		flags := passFlags
		if rest == "" {
			flags = last
		}
		fd, err := openIntr(at, seg, flags|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if at != d.fd {
			_ = unix.Close(at)
		}
		if err != nil {
			return noDir, linkOr(at, d.fd, seg, err)
		}
		at, path = fd, rest
	}
	return dirHandle{at}, nil
}

// linkOr tells ELOOP from ENOTDIR, which O_DIRECTORY with O_NOFOLLOW does not.
// The folder that held the name may be closed already; then the error stands.
func linkOr(at, root int, seg string, err error) error {
	if err != unix.ENOTDIR || at != root { //nolint:errorlint // a bare errno
		return err
	}
	var st unix.Stat_t
	if unix.Fstatat(at, seg, &st, unix.AT_SYMLINK_NOFOLLOW) == nil && st.Mode&unix.S_IFMT == unix.S_IFLNK {
		return unix.ELOOP
	}
	return err
}

func (d dirHandle) stat(name string) (node, error) {
	var st unix.Stat_t
	for {
		err := unix.Fstatat(d.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return node{}, err
		}
		return toNode(&st), nil
	}
}

func (d dirHandle) self() (node, error)  { return fstat(d.fd) }
func (f fileHandle) stat() (node, error) { return fstat(f.fd) }

func fstat(fd int) (node, error) {
	var st unix.Stat_t
	for {
		err := unix.Fstat(fd, &st)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return node{}, err
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

func (d dirHandle) readlink(name string) (string, error) {
	var buf [4096]byte
	n, err := unix.Readlinkat(d.fd, name, buf[:])
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}

func (d dirHandle) mkdir(name string, mode uint32) error { return unix.Mkdirat(d.fd, name, mode) }
func (d dirHandle) unlink(name string) error             { return unix.Unlinkat(d.fd, name, 0) }
func (d dirHandle) rmdir(name string) error              { return unix.Unlinkat(d.fd, name, unix.AT_REMOVEDIR) }

func (d dirHandle) symlink(target, name string) error { return unix.Symlinkat(target, d.fd, name) }

func (d dirHandle) rename(from string, to dirHandle, name string) error {
	return unix.Renameat(d.fd, from, to.fd, name)
}

// link gives the file from a second name, and fails if the name is taken.
func (d dirHandle) link(from string, to dirHandle, name string) error {
	return unix.Linkat(d.fd, from, to.fd, name, 0)
}

// openPlain opens name for reading. The caller has checked that it is a regular
// file or a folder; O_NONBLOCK covers the moment in between, in which it might
// have been exchanged for a FIFO.
func (d dirHandle) openPlain(name string) (fileHandle, error) {
	fd, err := openIntr(d.fd, name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	return fileHandle{fd}, err
}

// openMeta opens a file or folder whose mode and time are to be set.
func (d dirHandle) openMeta(name string) (fileHandle, error) { return d.openPlain(name) }

func (d dirHandle) openWrite(name string) (fileHandle, error) {
	fd, err := openIntr(d.fd, name, unix.O_RDWR|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	return fileHandle{fd}, err
}

func (d dirHandle) openSub(name string) (dirHandle, error) {
	fd, err := openIntr(d.fd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	return dirHandle{fd}, err
}

// create creates a file under a name that must be free.
func (d dirHandle) create(name string, mode uint32) (fileHandle, error) {
	fd, err := openIntr(d.fd, name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, mode)
	return fileHandle{fd}, err
}

// touchNamed sets the time of a name itself, never that of a link's target.
func (d dirHandle) touchNamed(name string, t stamp) error {
	ts := omitAccess(t)
	return unix.UtimesNanoAt(d.fd, name, ts[:], unix.AT_SYMLINK_NOFOLLOW)
}

func (d dirHandle) chmodNamed(name string, mode uint32) error {
	return unix.Fchmodat(d.fd, name, mode, unix.AT_SYMLINK_NOFOLLOW)
}

func (f fileHandle) chmod(mode uint32) error {
	return retry(func() error { return unix.Fchmod(f.fd, mode) })
}

func (f fileHandle) truncate(size int64) error {
	return retry(func() error { return unix.Ftruncate(f.fd, size) })
}

// writeAt writes all of b at off.
func (f fileHandle) writeAt(b []byte, off int64) error {
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

// readAt reads until b is full or the file ends.
func (f fileHandle) readAt(b []byte, off int64) (int, error) {
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

func (f fileHandle) getxattr(buf []byte) (int, error) { return unix.Fgetxattr(f.fd, xattrName, buf) }

func (f fileHandle) setxattr(value []byte) error { return unix.Fsetxattr(f.fd, xattrName, value, 0) }

// lock locks the file for this process, or returns an error if another has it.
func (f fileHandle) lock() error {
	return retry(func() error { return unix.Flock(f.fd, unix.LOCK_EX|unix.LOCK_NB) })
}

// unlock unlocks the file. Closing it does so too, but not while a program that is just being
// started still has the descriptor.
func (f fileHandle) unlock() { _ = unix.Flock(f.fd, unix.LOCK_UN) }

func (f fileHandle) seekData(off int64) (int64, error) { return unix.Seek(f.fd, off, seekData) }

// freeSpace returns the space that an unprivileged user may still write.
func (d dirHandle) freeSpace() (free, total int64, err error) {
	var st unix.Statfs_t
	if err := retry(func() error { return unix.Fstatfs(d.fd, &st) }); err != nil {
		return 0, 0, err
	}
	return int64(st.Bavail) * int64(st.Bsize), int64(st.Blocks) * int64(st.Bsize), nil //nolint:unconvert // other systems have other widths
}

// openLimit returns the number of descriptors that this process may have.
func openLimit() int64 {
	var r unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &r) != nil {
		return 256
	}
	return int64(min(r.Cur, 1<<30))
}
