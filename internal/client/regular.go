package client

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// OpenRegular opens the regular file at path for reading. Anything else there is an
// error. A FIFO without a writer does not make it wait, as os.Open does: everybody
// who may write to the folder can put one there at any time.
func OpenRegular(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	i, err := f.Stat()
	if err == nil && !i.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: path, Err: errors.New("not a regular file")}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
