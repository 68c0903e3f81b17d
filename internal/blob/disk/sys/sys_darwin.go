package sys

import (
	"errors"
	"io"
	"os"
	"strconv"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// PassFlags are enough to look up and change names; ReadFlags also allow listing and syncing.
const (
	PassFlags = unix.O_RDONLY
	ReadFlags = unix.O_RDONLY
	seekData  = 4 // SEEK_DATA
)

// Here describes names on this system.
var Here = Naming{Folds: true} // a constant in all but syntax

// Kernel holds what tests of other systems set; it has no effect here.
type Kernel struct {
	NoOpenat2, NoTmpfile atomic.Bool
}

// OpenDir opens the folder at path below d, following no link.
func (k *Kernel) OpenDir(d Dir, path string, flags int) (Dir, error) {
	if path == "" {
		fd, err := openIntr(d.fd, ".", flags|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		return Dir{fd}, err
	}
	return walk(d, path, flags)
}

func toNode(st *unix.Stat_t) Node {
	return Node{
		Version: Version{
			Dev: uint64(st.Dev), Ino: st.Ino, Size: st.Size,
			Mtime: Stamp{st.Mtim.Sec, int32(st.Mtim.Nsec)}, Ctime: Stamp{st.Ctim.Sec, int32(st.Ctim.Nsec)},
		},
		Kind: kindOf(uint32(st.Mode)), Perm: uint32(st.Mode) & 0o777, Links: uint64(st.Nlink),
	}
}

// timesOf returns t as the access and the modification time. Unlike on Linux, the access
// time is set too.
func timesOf(t Stamp) [2]unix.Timespec {
	return [2]unix.Timespec{{Sec: t.Sec, Nsec: int64(t.Nsec)}, {Sec: t.Sec, Nsec: int64(t.Nsec)}}
}

// Touch sets the modification and the access time. It keeps microseconds: this system sets times
// of a descriptor no finer.
func (f File) Touch(t Stamp) error {
	tv := unix.Timeval{Sec: t.Sec, Usec: t.Nsec / 1000}
	return unix.Futimes(f.fd, []unix.Timeval{tv, tv})
}

// ChmodNamed sets the permission bits of the entry name, which is no link.
func (d Dir) ChmodNamed(name string, mode uint32) error {
	return unix.Fchmodat(d.fd, name, mode, unix.AT_SYMLINK_NOFOLLOW)
}

// Tmpfile is not available on this system.
func (k *Kernel) Tmpfile(Dir, uint32) (File, error) { return NoFile, unix.EOPNOTSUPP }

// LinkTmp is not available on this system.
func (k *Kernel) LinkTmp(File, Dir, string) error { return unix.EOPNOTSUPP }

// RenameNew moves an entry; the target must be free at that moment.
func (d Dir) RenameNew(from string, to Dir, name string) error {
	return notSupported(unix.RenameatxNp(d.fd, from, to.fd, name, unix.RENAME_EXCL))
}

// Exchange swaps two entries in one step.
func (d Dir) Exchange(from string, to Dir, name string) error {
	return notSupported(unix.RenameatxNp(d.fd, from, to.fd, name, unix.RENAME_SWAP))
}

func notSupported(err error) error {
	if err == unix.EINVAL || err == unix.ENOTSUP { //nolint:errorlint // a bare errno
		return unix.EOPNOTSUPP
	}
	return err
}

// NoAttribute reports whether err of Getxattr means that there is no attribute.
func NoAttribute(err error) bool {
	return err == unix.ENOATTR || err == unix.ENOTSUP || err == unix.EOPNOTSUPP //nolint:errorlint // a bare errno
}

// Getxattr reads the attribute user.hufu of the entry name into buf and returns its length.
func (k *Kernel) Getxattr(d Dir, name string, buf []byte) (int, error) {
	f, err := d.OpenPlain(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return f.Getxattr(buf)
}

// Sync asks the drive too: plain fsync leaves data in its cache here. Where that is not possible,
// as on an SMB mount, it is a plain fsync, as in os.File.Sync.
func (f File) Sync() error {
	err := retry(func() error {
		_, err := unix.FcntlInt(uintptr(f.fd), unix.F_FULLFSYNC, 0)
		return err
	})
	if err == unix.ENOTSUP { //nolint:errorlint // a bare errno
		err = retry(func() error { return unix.Fsync(f.fd) })
	}
	return err
}

// Sync makes the names in d durable.
func (d Dir) Sync() error { return File(d).Sync() }

// Syncfs is not available on this system.
func (d Dir) Syncfs() error { return unix.EOPNOTSUPP }

// StartWriteback does nothing on this system.
func (f File) StartWriteback(int64, int64) {}

// Preallocate is not available on this system.
func (f File) Preallocate(int64, int64) error { return unix.EOPNOTSUPP }

// Punch is not available on this system.
func (f File) Punch(int64, int64) error { return unix.EOPNOTSUPP }

// Names calls yield with the name of every entry of the folder except the two
// dots. The handle must be new: it reads from where the last call ended.
func (d Dir) Names(_ []byte, yield func(name string) error) error {
	fd, err := unix.FcntlInt(uintptr(d.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), "folder")
	defer f.Close()
	for {
		names, err := f.Readdirnames(1024)
		for _, n := range names {
			if err := yield(n); err != nil {
				return err
			}
		}
		if len(names) == 0 || err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
	}
}

// TraitsOf returns the guarantees of the file system under d.
func TraitsOf(d Dir) Traits {
	var st unix.Statfs_t
	if retry(func() error { return unix.Fstatfs(d.fd, &st) }) != nil {
		return Traits{}
	}
	kind := unix.ByteSliceToString(st.Fstypename[:])
	return Traits{Renumbers: kind == "msdos" || kind == "exfat"}
}

// BootID identifies the run of the computer, "" if the system does not say.
func BootID() string {
	tv, err := unix.SysctlTimeval("kern.boottime")
	if err != nil {
		return ""
	}
	return strconv.FormatInt(tv.Sec, 10)
}

// MountID returns "": the mount is unknown on this system.
func (f File) MountID() string { return "" }
