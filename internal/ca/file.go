package ca

import (
	"errors"
	"io/fs"
	"syscall"

	"hufu"
	"hufu/internal/atomicfile"
)

// replaceFile is atomicfile.Write with an error that names the data folder.
func replaceFile(path string, data []byte, mode fs.FileMode) error {
	if err := atomicfile.Write(path, data, mode); err != nil {
		return unwritable("write file", path, err)
	}
	return nil
}

// unwritable says why a file or folder could not be made or written.
func unwritable(op, path string, err error) error {
	e := &hufu.Error{Op: op, Path: path, Kind: hufu.KindUnreadable, Code: "data_folder_unwritable", Err: err}
	if errors.Is(err, syscall.EROFS) {
		e.Code = "data_folder_read_only"
	}
	return e
}
