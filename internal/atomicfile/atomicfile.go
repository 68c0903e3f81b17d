// Package atomicfile replaces files in one step and durably. At every moment,
// also after a crash or a power cut, a name holds the old content or the new
// one, whole. What has been written is on the disk when the call returns; on
// Windows the content is, and the name as far as the system keeps its promise.
//
// An error leaves the old file in place. The one exception is an error of the
// last step, when the folder cannot be made durable: then the name may already
// hold the new content.
package atomicfile

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// Write replaces the file at path by data. The file gets the permissions of
// mode, whatever the umask. Its folder must exist.
func Write(path string, data []byte, mode fs.FileMode) error {
	return WriteFunc(path, mode, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// WriteFunc is Write for content that fill produces. An error of fill leaves
// the old file.
func WriteFunc(path string, mode fs.FileMode, fill func(io.Writer) error) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".hufu-new-*") // with mode 0600
	if err != nil {
		return err
	}
	err = fill(f)
	if err == nil && runtime.GOOS != "windows" {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return SyncFolder(dir)
}

// MkdirAll is os.MkdirAll, and makes the names of the new folders durable.
func MkdirAll(path string, mode fs.FileMode) error {
	path = filepath.Clean(path)
	var made []string // the folders that will hold a new name
	for dir := path; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(dir); err == nil || dir == filepath.Dir(dir) {
			break
		}
		made = append(made, filepath.Dir(dir))
	}
	if err := os.MkdirAll(path, mode); err != nil {
		return err
	}
	for _, dir := range made {
		if err := SyncFolder(dir); err != nil {
			return err
		}
	}
	return nil
}

// SyncFolder makes the names in the folder at path durable. On Windows, where a
// folder cannot be synced, it does nothing.
func SyncFolder(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
