package main

import (
	"hufu/internal/blob/disk"
	"hufu/internal/client"
)

// localDisk is the file system of this computer, which the client reads from and
// writes to.
type localDisk struct{}

func (localDisk) Open(dir, journals string) (client.Folder, error) {
	s, err := disk.Open(dir, disk.Options{Uploads: journals})
	if err != nil {
		return nil, err // without a store in the interface
	}
	return s, nil
}

func (localDisk) RenameNew(from, to string) error { return disk.RenameNew(from, to) }
