// Package sys holds the calls of package disk to the operating system, in one file for each system.
// They take open handles of folders and files instead of paths, which could lead through a link; on
// Windows, Rename, RenameNew, Link and FreeSpace use paths. Traits describes the guarantees of a kind
// of file system. A call that a system lacks returns an error that matches errors.ErrUnsupported or
// EOPNOTSUPP; package disk then uses a fallback.
//
// Package sys decides nothing: which names a folder has, who may change them and when a
// change is durable is up to disk.
package sys
