//go:build !linux

package main

// portOwner names the process that listens on a port; only on Linux this needs
// no further tools.
func portOwner(string) string { return "" }

// hasDesktop: macOS and Windows have one.
const hasDesktop = true

// longFolders: a folder has no other name than its path.
const longFolders = false

func shortFolder(path string) (name string, done func(), err error) {
	return "", nil, pathTooLong(path)
}
