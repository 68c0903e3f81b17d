//go:build unix

package main

import "golang.org/x/sys/unix"

// umask returns the bits of a mode that the files that this user creates do not get. The system tells
// it only by setting another one; no file may be created meanwhile.
func umask() uint32 {
	mask := unix.Umask(0o077)
	unix.Umask(mask)
	return uint32(mask)
}
