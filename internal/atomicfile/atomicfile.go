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
	return WriteAll(filepath.Dir(path), mode, File{filepath.Base(path), data})
}

// WriteFunc is Write for content that fill produces. An error of fill leaves
// the old file.
func WriteFunc(path string, mode fs.FileMode, fill func(io.Writer) error) error {
	dir := filepath.Dir(path)
	staged, err := stage(dir, mode, fill)
	if err != nil {
		return err
	}
	return rename(dir, []string{staged}, []string{filepath.Base(path)})
}

// A File is one file of WriteAll.
type File struct {
	Name string
	Data []byte
}

// WriteAll replaces files of one folder that belong together. No name changes
// before the new content of all is on the disk; then the names change one after
// the other, in the order given. Only a crash in between leaves some old.
func WriteAll(dir string, mode fs.FileMode, files ...File) error {
	var staged, names []string
	for _, f := range files {
		name, err := stage(dir, mode, func(w io.Writer) error {
			_, err := w.Write(f.Data)
			return err
		})
		if err != nil {
			return errors.Join(err, remove(staged))
		}
		staged, names = append(staged, name), append(names, f.Name)
	}
	return rename(dir, staged, names)
}

// stage writes a file under a temporary name, durable but for the name.
func stage(dir string, mode fs.FileMode, fill func(io.Writer) error) (string, error) {
	f, err := os.CreateTemp(dir, ".hufu-new-*") // with mode 0600
	if err != nil {
		return "", err
	}
	err = fill(f)
	if err == nil && runtime.GOOS != "windows" {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}

// rename gives the staged files their names.
func rename(dir string, staged, names []string) error {
	for i, name := range names {
		if err := os.Rename(staged[i], filepath.Join(dir, name)); err != nil {
			return errors.Join(err, remove(staged[i:]))
		}
	}
	return SyncFolder(dir)
}

func remove(files []string) error {
	var err error
	for _, name := range files {
		err = errors.Join(err, os.Remove(name))
	}
	return err
}

// MkdirAll is os.MkdirAll, and makes the names of the new folders durable. A
// folder whose name cannot be made durable is removed again: the next call would
// take it for one that is.
func MkdirAll(path string, mode fs.FileMode) error {
	path = filepath.Clean(path)
	var made []string // the new folders, the innermost first
	for dir := path; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(dir); err == nil || dir == filepath.Dir(dir) {
			break
		}
		made = append(made, dir)
	}
	err := os.MkdirAll(path, mode)
	for _, dir := range made {
		if err == nil {
			err = SyncFolder(filepath.Dir(dir))
		}
	}
	if err != nil {
		for _, dir := range made {
			_ = os.Remove(dir) // unless it is already used
		}
	}
	return err
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
