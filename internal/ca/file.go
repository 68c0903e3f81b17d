package ca

import (
	"io/fs"

	"hufu"
	"hufu/internal/atomicfile"
)

// replaceFile is atomicfile.Write with an error that names the data folder.
func replaceFile(path string, data []byte, mode fs.FileMode) error {
	if err := atomicfile.Write(path, data, mode); err != nil {
		return &hufu.Error{Op: "write file", Path: path, Kind: hufu.KindUnreadable, Code: "data_folder_unwritable", Err: err}
	}
	return nil
}
