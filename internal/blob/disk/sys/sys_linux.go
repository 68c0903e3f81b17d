package sys

import (
	"bytes"
	"encoding/binary"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// PassFlags are enough to look up and change names; ReadFlags also allow listing and syncing.
const (
	PassFlags  = unix.O_PATH
	ReadFlags  = unix.O_RDONLY
	seekData   = unix.SEEK_DATA
	beneath    = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS
	exfatMagic = 0x2011bab0
	// maxOpenPath keeps a path within the kernel's PATH_MAX, NUL included.
	maxOpenPath = 4000
)

// Here describes names on this system.
var Here = Naming{} // a constant in all but syntax

// Kernel remembers the calls that this system lacks, so that each is tried
// once.
type Kernel struct {
	NoOpenat2    atomic.Bool
	NoEmptyLink  atomic.Bool
	NoGetxattrat atomic.Bool
	NoTmpfile    atomic.Bool // only for tests; a file system may lack it, so each folder is tried each time
}

// OpenDir opens the folder at path below d. No link is followed, wherever in
// the path it stands, and nothing outside d is reached.
func (k *Kernel) OpenDir(d Dir, path string, flags int) (Dir, error) {
	if path == "" {
		path = "."
	}
	if k.NoOpenat2.Load() {
		return openWalk(d, path, flags)
	}
	if len(path) > maxOpenPath {
		i := strings.LastIndexByte(path[:maxOpenPath], '/')
		mid, err := k.OpenDir(d, path[:i], PassFlags)
		if err != nil {
			return NoDir, err
		}
		defer mid.Close()
		return k.OpenDir(mid, path[i+1:], flags)
	}
	how := unix.OpenHow{Flags: uint64(flags) | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: beneath}
	for {
		fd, err := unix.Openat2(d.fd, path, &how)
		switch err {
		case nil:
			return Dir{fd}, nil
		case unix.EINTR, unix.EAGAIN: // a rename elsewhere raced with the look-up
			continue
		case unix.ENOSYS, unix.EPERM: // an old kernel, or a filter that does not know the call
			k.NoOpenat2.Store(true)
			return openWalk(d, path, flags)
		}
		return NoDir, err
	}
}

func openWalk(d Dir, path string, flags int) (Dir, error) {
	if path == "." {
		fd, err := openIntr(d.fd, ".", flags|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		return Dir{fd}, err
	}
	return walk(d, path, flags)
}

func toNode(st *unix.Stat_t) Node {
	return Node{
		Version: Version{
			Dev: st.Dev, Ino: st.Ino, Size: st.Size,
			Mtime: toStampOf(st.Mtim), Ctime: toStampOf(st.Ctim),
		},
		Kind: kindOf(st.Mode), Perm: st.Mode & 0o777, Links: uint64(st.Nlink), //nolint:unconvert // other systems have other widths
	}
}

func toStampOf(ts unix.Timespec) Stamp {
	sec, nsec := ts.Unix()
	return Stamp{sec, int32(nsec)}
}

// timesOf returns t as the modification time, and leaves the access time unchanged.
func timesOf(t Stamp) [2]unix.Timespec {
	ts, err := unix.TimeToTimespec(t.Time())
	if err != nil { // a 32-bit system that has no such year
		ts = unix.Timespec{Nsec: unix.UTIME_OMIT}
	}
	return [2]unix.Timespec{{Nsec: unix.UTIME_OMIT}, ts}
}

// Touch sets the modification time.
func (f File) Touch(t Stamp) error {
	ts := timesOf(t)
	// The package's wrapper insists on a path; the kernel takes none for the
	// descriptor itself.
	_, _, e := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(f.fd), 0, uintptr(unsafe.Pointer(&ts)), 0, 0, 0) //nolint:gosec // an argument that x/sys/unix has no call for
	if e != 0 {
		return e
	}
	return nil
}

// ChmodNamed sets the permission bits of the entry name, which is no link.
func (d Dir) ChmodNamed(name string, mode uint32) error {
	err := unix.Fchmodat(d.fd, name, mode, unix.AT_SYMLINK_NOFOLLOW)
	if err == unix.EOPNOTSUPP { //nolint:errorlint // a bare errno
		err = d.chmodByProc(name, mode)
	}
	return err
}

// chmodByProc is ChmodNamed for Linux before 6.6, which has no fchmodat2. For a link it returns
// EOPNOTSUPP.
func (d Dir) chmodByProc(name string, mode uint32) error {
	fd, err := openIntr(d.fd, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd) //nolint:errcheck // a path only
	return unix.Chmod(procPath(fd), mode)
}

// Tmpfile creates a file without a name in the folder d, or returns EOPNOTSUPP.
func (k *Kernel) Tmpfile(d Dir, mode uint32) (File, error) {
	if k.NoTmpfile.Load() {
		return NoFile, unix.EOPNOTSUPP
	}
	fd, err := openIntr(d.fd, ".", unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, mode)
	if err == unix.EISDIR || err == unix.EINVAL { //nolint:errorlint // a bare errno; both mean a kernel or file system that does not know O_TMPFILE
		err = unix.EOPNOTSUPP
	}
	if err == unix.EPERM && d.removed() { //nolint:errorlint // a bare errno
		err = unix.ENOENT // ext4 answers so in a folder that was removed
	}
	return File{fd}, err
}

// removed reports whether the folder has no name any more.
func (d Dir) removed() bool {
	var st unix.Stat_t
	return unix.Fstat(d.fd, &st) == nil && st.Nlink == 0
}

// LinkTmp names a file of Tmpfile; it fails if the name is taken.
func (k *Kernel) LinkTmp(f File, d Dir, name string) error {
	if !k.NoEmptyLink.Load() {
		err := unix.Linkat(f.fd, "", d.fd, name, unix.AT_EMPTY_PATH)
		if err != unix.ENOENT {
			return err
		}
		// ENOENT: before Linux 6.10 this needs CAP_DAC_READ_SEARCH. Or the
		// folder is gone, which the other way will say again.
		k.NoEmptyLink.Store(true)
	}
	err := unix.Linkat(unix.AT_FDCWD, procPath(f.fd), d.fd, name, unix.AT_SYMLINK_FOLLOW)
	if err == unix.ENOENT {
		k.NoEmptyLink.Store(false) // it was the folder
	}
	return err
}

func procPath(fd int) string {
	var b [32]byte
	return string(strconv.AppendInt(append(b[:0], "/proc/self/fd/"...), int64(fd), 10))
}

// RenameNew moves an entry; the target must be free at that moment.
func (d Dir) RenameNew(from string, to Dir, name string) error {
	err := unix.Renameat2(d.fd, from, to.fd, name, unix.RENAME_NOREPLACE)
	if err == unix.EINVAL || err == unix.ENOSYS {
		return unix.EOPNOTSUPP
	}
	return err
}

// Exchange swaps two entries in one step.
func (d Dir) Exchange(from string, to Dir, name string) error {
	err := unix.Renameat2(d.fd, from, to.fd, name, unix.RENAME_EXCHANGE)
	if err == unix.EINVAL || err == unix.ENOSYS {
		return unix.EOPNOTSUPP
	}
	return err
}

// NoAttribute reports whether err of Getxattr means that there is no attribute.
func NoAttribute(err error) bool {
	return err == unix.ENODATA || err == unix.EOPNOTSUPP //nolint:errorlint // a bare errno
}

// Getxattr reads the record of a name without opening it, so that no FIFO is
// woken and no link followed.
func (k *Kernel) Getxattr(d Dir, name string, buf []byte) (int, error) {
	if !k.NoGetxattrat.Load() {
		n, err := getxattrat(d.fd, name, buf)
		if err != unix.ENOSYS && err != unix.EPERM { //nolint:errorlint // a bare errno
			return n, err
		}
		k.NoGetxattrat.Store(true)
	}
	return unix.Lgetxattr(procPath(d.fd)+"/"+name, xattrName, buf)
}

// xattrArgs is the kernel's struct xattr_args of getxattrat (Linux 6.13).
type xattrArgs struct {
	value unsafe.Pointer // 64 bits for the kernel
	size  uint32
	flags uint32
}

func getxattrat(dir int, name string, buf []byte) (int, error) {
	if unsafe.Sizeof(uintptr(0)) != 8 {
		return 0, unix.ENOSYS
	}
	path, err := unix.BytePtrFromString(name)
	if err != nil {
		return 0, err
	}
	var attr [len(xattrName) + 1]byte
	copy(attr[:], xattrName)
	args := xattrArgs{value: unsafe.Pointer(unsafe.SliceData(buf)), size: uint32(len(buf))}                              //nolint:gosec // an argument that x/sys/unix has no call for
	n, _, e := unix.Syscall6(unix.SYS_GETXATTRAT, uintptr(dir), uintptr(unsafe.Pointer(path)), unix.AT_SYMLINK_NOFOLLOW, //nolint:gosec // an argument that x/sys/unix has no call for
		uintptr(unsafe.Pointer(&attr)), uintptr(unsafe.Pointer(&args)), unsafe.Sizeof(args)) //nolint:gosec // an argument that x/sys/unix has no call for
	runtime.KeepAlive(buf)
	if e != 0 {
		return 0, e
	}
	return int(n), nil
}

// Sync makes the bytes and attributes of f durable.
func (f File) Sync() error { return retry(func() error { return unix.Fsync(f.fd) }) }

// Sync makes the names in d durable.
func (d Dir) Sync() error { return retry(func() error { return unix.Fsync(d.fd) }) }

// Syncfs makes everything on the file system of d durable.
func (d Dir) Syncfs() error { return retry(func() error { return unix.Syncfs(d.fd) }) }

// StartWriteback asks the disk to begin writing, so that the fsync at the end
// finds little left to do. It is only a hint.
func (f File) StartWriteback(off, n int64) {
	_ = unix.SyncFileRange(f.fd, off, n, unix.SYNC_FILE_RANGE_WRITE)
}

// Preallocate reserves space for n bytes at off without changing the size.
func (f File) Preallocate(off, n int64) error {
	return retry(func() error { return unix.Fallocate(f.fd, unix.FALLOC_FL_KEEP_SIZE, off, n) })
}

// Punch makes the range a hole again, which reads as zeros.
func (f File) Punch(off, n int64) error {
	return retry(func() error {
		return unix.Fallocate(f.fd, unix.FALLOC_FL_KEEP_SIZE|unix.FALLOC_FL_PUNCH_HOLE, off, n)
	})
}

// Names calls yield with the name of every entry of the folder except the two
// dots.
func (d Dir) Names(buf []byte, yield func(name string) error) error {
	for {
		n, err := unix.ReadDirent(d.fd, buf)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		if n <= 0 {
			return nil
		}
		// struct linux_dirent64: ino 8, off 8, reclen 2, type 1, name, NUL.
		for rest := buf[:n]; len(rest) >= 19; {
			size := int(binary.NativeEndian.Uint16(rest[16:]))
			name := rest[19:size]
			if i := bytes.IndexByte(name, 0); i >= 0 {
				name = name[:i]
			}
			rest = rest[size:]
			if len(name) == 0 || name[0] == '.' && (len(name) == 1 || len(name) == 2 && name[1] == '.') {
				continue
			}
			if err := yield(string(name)); err != nil {
				return err
			}
		}
	}
}

// TraitsOf returns the guarantees of the file system under d.
func TraitsOf(d Dir) Traits {
	var st unix.Statfs_t
	if retry(func() error { return unix.Fstatfs(d.fd, &st) }) != nil {
		return Traits{}
	}
	major, minor := kernelVersion()
	after := func(a, b int) bool { return major > a || major == a && minor >= b }
	var t Traits
	switch uint32(st.Type) {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC:
		t = Traits{Syncfs: after(5, 8), FineTime: after(6, 13), Preallocate: true}
	case unix.F2FS_SUPER_MAGIC:
		t = Traits{Syncfs: after(5, 8), Preallocate: true}
	case unix.MSDOS_SUPER_MAGIC, exfatMagic, unix.FUSE_SUPER_MAGIC:
		t = Traits{Renumbers: true}
	case unix.TMPFS_MAGIC:
		t = Traits{Syncfs: after(5, 8), FineTime: after(6, 13), Memory: true}
	}
	return t
}

func kernelVersion() (major, minor int) {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return 0, 0
	}
	parts := strings.SplitN(unix.ByteSliceToString(u.Release[:]), ".", 3)
	if len(parts) < 2 {
		return 0, 0
	}
	major, _ = strconv.Atoi(parts[0])
	minor, _ = strconv.Atoi(strings.TrimRightFunc(parts[1], func(r rune) bool { return r < '0' || r > '9' }))
	return major, minor
}

// BootID identifies this boot of the computer.
func BootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// MountID identifies the mount on which f is, never reused in one boot (Linux
// 6.8), or "" if unknown: a disk that was unplugged and mounted again has lost
// its cache as surely as after a power cut.
func (f File) MountID() string {
	const statxMntIDUnique = 0x4000
	var st unix.Statx_t
	if err := unix.Statx(f.fd, "", unix.AT_EMPTY_PATH, statxMntIDUnique, &st); err != nil || st.Mask&statxMntIDUnique == 0 {
		return ""
	}
	return strconv.FormatUint(st.Mnt_id, 16)
}
