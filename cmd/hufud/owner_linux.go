package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"hufu"
)

// portOwner names the process that listens on a TCP port, as far as this user
// may see it: the socket's inode from /proc/net/tcp, looked for among the
// descriptors of all processes.
func portOwner(port string) string {
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return ""
	}
	want := ":" + strings.ToUpper(strconv.FormatUint(0x10000|n, 16)[1:])
	inode := ""
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		data, err := os.ReadFile(table)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(data)) {
			f := strings.Fields(line)
			if len(f) > 9 && f[3] == "0A" && strings.HasSuffix(f[1], want) {
				inode = f[9]
			}
		}
	}
	if inode == "" {
		return ""
	}
	fds, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return ""
	}
	for _, fd := range fds {
		if target, err := os.Readlink(fd); err == nil && target == "socket:["+inode+"]" {
			proc := filepath.Dir(filepath.Dir(fd))
			name, _ := os.ReadFile(filepath.Join(proc, "comm")) // the pid alone says enough
			return strings.TrimSpace(string(name)) + " (" + filepath.Base(proc) + ")"
		}
	}
	return ""
}

// hasDesktop: without DISPLAY there is none.
const hasDesktop = false

// longFolders: a folder has a short name by its descriptor, however long its
// path is.
const longFolders = true

// shortFolder gives a folder a short name, until done is called.
func shortFolder(path string) (name string, done func(), err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", nil, &hufu.Error{Op: "open data folder", Path: path, Kind: hufu.KindUnreadable, Err: err}
	}
	return fmt.Sprintf("/proc/self/fd/%d", f.Fd()), func() { _ = f.Close() }, nil
}
