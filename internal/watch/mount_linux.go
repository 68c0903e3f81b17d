package watch

import "golang.org/x/sys/unix"

// isMountPoint reports whether something is mounted on a folder. A subvolume of Btrfs has a device of
// its own and is not mounted. A system before Linux 5.8 does not know.
func isMountPoint(dir string) bool {
	var s unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, dir, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT, 0, &s); err != nil {
		return true
	}
	return s.Attributes_mask&unix.STATX_ATTR_MOUNT_ROOT == 0 || s.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0
}
