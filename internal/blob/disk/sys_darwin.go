package disk

import (
	"errors"
	"io"
	"os"
	"strconv"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

const (
	passFlags = unix.O_RDONLY
	readFlags = unix.O_RDONLY
	seekData  = 4 // SEEK_DATA
)

// here describes names on this system.
var here = naming{folds: true} // a constant in all but syntax

// kernel has nothing to remember on this system.
type kernel struct {
	noOpenat2, noTmpfile atomic.Bool
}

func (k *kernel) openDir(d dirHandle, path string, flags int) (dirHandle, error) {
	if path == "" {
		fd, err := openIntr(d.fd, ".", flags|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		return dirHandle{fd}, err
	}
	return walk(d, path, flags)
}

func toNode(st *unix.Stat_t) node {
	return node{
		version: version{
			dev: uint64(st.Dev), ino: st.Ino, size: st.Size,
			mtime: stamp{st.Mtim.Sec, int32(st.Mtim.Nsec)}, ctime: stamp{st.Ctim.Sec, int32(st.Ctim.Nsec)},
		},
		kind: kindOf(uint32(st.Mode)), perm: uint32(st.Mode) & 0o777, links: uint64(st.Nlink),
	}
}

func omitAccess(t stamp) [2]unix.Timespec {
	return [2]unix.Timespec{{Sec: t.sec, Nsec: int64(t.nsec)}, {Sec: t.sec, Nsec: int64(t.nsec)}}
}

// touch keeps microseconds: this system sets times of a descriptor no finer.
func (f fileHandle) touch(t stamp) error {
	tv := unix.Timeval{Sec: t.sec, Usec: t.nsec / 1000}
	return unix.Futimes(f.fd, []unix.Timeval{tv, tv})
}

func (k *kernel) tmpfile(dirHandle, uint32) (fileHandle, error) { return noFile, unix.EOPNOTSUPP }

func (k *kernel) linkTmp(fileHandle, dirHandle, string) error { return unix.EOPNOTSUPP }

func (d dirHandle) renameNew(from string, to dirHandle, name string) error {
	return notSupported(unix.RenameatxNp(d.fd, from, to.fd, name, unix.RENAME_EXCL))
}

func (d dirHandle) exchange(from string, to dirHandle, name string) error {
	return notSupported(unix.RenameatxNp(d.fd, from, to.fd, name, unix.RENAME_SWAP))
}

func notSupported(err error) error {
	if err == unix.EINVAL || err == unix.ENOTSUP { //nolint:errorlint // a bare errno
		return unix.EOPNOTSUPP
	}
	return err
}

func (k *kernel) getxattr(d dirHandle, name string, buf []byte) (int, error) {
	f, err := d.openPlain(name)
	if err != nil {
		return 0, err
	}
	defer f.close()
	return f.getxattr(buf)
}

// sync asks the drive too: plain fsync leaves data in its cache here.
func (f fileHandle) sync() error {
	_, err := unix.FcntlInt(uintptr(f.fd), unix.F_FULLFSYNC, 0)
	return err
}

func (d dirHandle) sync() error { return fileHandle(d).sync() }

func (d dirHandle) syncfs() error { return unix.EOPNOTSUPP }

func (f fileHandle) startWriteback(int64, int64) {}

func (f fileHandle) preallocate(int64, int64) error { return unix.EOPNOTSUPP }

func (f fileHandle) punch(int64, int64) error { return unix.EOPNOTSUPP }

// names calls yield with the name of every entry of the folder except the two
// dots. The handle must be new: it reads from where the last call ended.
func (d dirHandle) names(_ []byte, yield func(name string) error) error {
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

func traitsOf(dirHandle) traits { return traits{} }

func bootID() string {
	tv, err := unix.SysctlTimeval("kern.boottime")
	if err != nil {
		return ""
	}
	return strconv.FormatInt(tv.Sec, 10)
}

func (f fileHandle) mountID() string { return "" }
