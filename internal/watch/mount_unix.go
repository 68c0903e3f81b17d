//go:build unix

package watch

import (
	"os"
	"path/filepath"
	"syscall"
)

// mount returns the device that is mounted on a folder, 0 if none is. Opening the folder mounts an
// automount (autofs).
func mount(dir string) uint64 {
	above, upErr := os.Stat(filepath.Dir(dir))
	i, err := os.Lstat(dir)
	if err != nil || upErr != nil || device(i) == device(above) || !isMountPoint(dir) {
		return 0
	}
	if f, err := os.Open(dir); err == nil {
		defer func() { _ = f.Close() }()
		if now, err := f.Stat(); err == nil {
			i = now
		}
	}
	return device(i)
}

func device(i os.FileInfo) uint64 {
	if s, ok := i.Sys().(*syscall.Stat_t); ok {
		return uint64(s.Dev) //nolint:gosec,unconvert,nolintlint // of another type on other systems
	}
	return 0
}
