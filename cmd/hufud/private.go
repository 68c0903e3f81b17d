package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"hufu"
	"hufu/internal/ca"
	"hufu/internal/meta"
	"hufu/internal/text"
)

// secrets are the entries of a data folder that nobody but the owner may read or write. A restored
// copy often has wider modes. The keys are checked by package ca, a database elsewhere by private.
var secrets = [...]string{
	".", ca.ConfigFile, ca.Database, ca.Database + "-wal", ca.Database + "-shm", ca.Folder, passwordFile, controlSocket,
}

// private refuses a data folder that others on this computer can read or write.
// Windows has no such bits.
func (a *app) private() error {
	if runtime.GOOS == "windows" {
		return nil
	}
	var open []string
	first := ""
	paths := make([]string, 0, len(secrets)+1)
	for _, name := range secrets {
		paths = append(paths, filepath.Join(a.data, name))
	}
	if src, err := a.database(); err == nil && src.Path() != "" && !slices.Contains(paths, src.Path()) {
		paths = append(paths, databaseFiles(src)...)
	}
	for _, path := range paths {
		i, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return a.noData(err)
		}
		if i.Mode().Perm()&0o077 != 0 {
			if first == "" {
				first = fmt.Sprintf("%s (%04o)", path, i.Mode().Perm())
			}
			open = append(open, text.Shell(path))
		}
	}
	if first == "" {
		return nil
	}
	return &hufu.Error{Op: "open data folder", Path: a.data, Kind: hufu.KindUsage, Code: "data_folder_open", Args: map[string]string{
		"first": first, "all": strings.Join(open, " "),
	}}
}

// databaseFiles returns the files in which SQLite keeps a database; none of a shared one.
func databaseFiles(src meta.Source) []string {
	if src.Shared() {
		return nil
	}
	return []string{src.Path(), src.Path() + "-wal", src.Path() + "-shm"}
}
