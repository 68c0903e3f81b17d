package ca

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"hufu"
)

// replaceFile puts data under path in one step, durably: whoever reads it finds
// the old file or the new one, whole.
func replaceFile(path string, data []byte, mode fs.FileMode) (err error) {
	defer func() {
		if err != nil {
			err = &hufu.Error{Op: "write file", Path: path, Kind: hufu.KindUnreadable, Code: "data_folder_unwritable", Err: err}
		}
	}()
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // with mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(data)
	if err == nil && runtime.GOOS != "windows" {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

// syncFolder makes the names in a folder durable, where there is such a thing.
func syncFolder(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(path)
	if err != nil {
		return &hufu.Error{Op: "sync folder", Path: path, Kind: hufu.KindUnreadable, Err: err}
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return &hufu.Error{Op: "sync folder", Path: path, Kind: hufu.KindUnreadable, Err: err}
	}
	return nil
}
