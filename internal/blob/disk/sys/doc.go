// Package sys is what package disk needs of an operating system: folders and files by open
// handles, never by paths that could lead through a link, and what a kind of file system
// guarantees. On Windows, Rename, RenameNew, Link and FreeSpace do use paths. There is one file
// for each system. A missing call returns an error that matches errors.ErrUnsupported or EOPNOTSUPP.
// Package disk then uses a fallback.
//
// Package sys decides nothing: which names a folder has, who may change them and when a
// change is durable is up to disk.
package sys
