package files

import "golang.org/x/sys/unix"

// exchange swaps two names in one step.
func exchange(a, b string) error {
	return unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
}

func keepsAttributes(dir string) bool { return unix.Setxattr(dir, "user.test", []byte("x"), 0) == nil }
