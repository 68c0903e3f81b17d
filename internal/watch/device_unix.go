//go:build unix

package watch

import (
	"os"
	"syscall"
)

// device returns the file system that a folder lies in, 0 if that is not known.
func device(i os.FileInfo) uint64 {
	if s, ok := i.Sys().(*syscall.Stat_t); ok {
		return uint64(s.Dev) //nolint:gosec,unconvert,nolintlint // of another type on other systems
	}
	return 0
}
