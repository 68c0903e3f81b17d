// Package sys is what package disk needs of an operating system: folders and files by open
// handles, never by paths that could lead through a link, and what a kind of file system
// guarantees. There is one file for each system. What a system cannot do is an error that
// errors.Is takes for errors.ErrUnsupported or syscall.EOPNOTSUPP, and disk goes another way.
//
// Package sys decides nothing: which names a folder has, who may change them and when a
// change is durable is up to disk.
package sys
