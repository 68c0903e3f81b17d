package disk

import (
	"context"
	"errors"
	"syscall"

	"hufu"
	"hufu/internal/blob/disk/sys"
)

var (
	errNotFile = errors.New("not a regular file")
	errIsDir   = errors.New("a folder")
)

// plainFile returns an error unless n is a regular file.
func plainFile(n sys.Node) error {
	switch n.Kind {
	case hufu.File:
		return nil
	case hufu.Folder:
		return errIsDir
	case hufu.Link:
		return syscall.ELOOP
	default:
		return errNotFile
	}
}

// reading and writing say what the failed call was about: a refused read is
// unreadable, a refused write is a missing permission.
type access bool

const (
	reading access = false
	writing access = true
)

// fail turns an error of the system into a hufu.Error with its meaning. A
// hufu.Error passes unchanged.
func fail(op string, p hufu.Path, how access, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*hufu.Error](err); ok {
		return err
	}
	e := &hufu.Error{Op: op, Path: p.String(), Err: err}
	e.Kind, e.Code = meaning(err, how)
	if e.Code == "disk_failed" {
		e.Args = map[string]string{"cause": cause(err)}
	}
	return e
}

// noName marks an error of a call that was given no name, or the name of an existing entry. Its
// EINVAL cannot mean that the name is bad.
type noName struct{ error }

func (e noName) Unwrap() error { return e.error }

func aboutNoName(err error) error {
	if err == nil {
		return nil
	}
	return noName{err}
}

func meaning(err error, how access) (hufu.Kind, string) {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return hufu.KindCanceled, ""
	}
	switch {
	case errors.Is(err, errNotFile):
		return hufu.KindWrongKind, "not_a_file"
	case errors.Is(err, errIsDir):
		return hufu.KindWrongKind, "is_a_folder"
	case errors.Is(err, errRecord):
		return hufu.KindUnreadable, "record_unreadable"
	}
	no, ok := errors.AsType[syscall.Errno](err)
	switch {
	case !ok && errors.Is(err, errSync): // of a sync that failed for others
		return hufu.KindUnreadable, "disk_failed"
	case !ok:
		return hufu.KindInternal, ""
	}
	if _, unnamed := errors.AsType[noName](err); unnamed && no == syscall.EINVAL {
		return hufu.KindUnreadable, "disk_failed"
	}
	switch no {
	case syscall.ENOENT:
		return hufu.KindNotFound, ""
	case syscall.ENOTDIR:
		return hufu.KindWrongKind, "not_a_folder"
	case syscall.ELOOP:
		return hufu.KindWrongKind, "link_in_path"
	case syscall.EISDIR:
		return hufu.KindWrongKind, "folder_in_the_way"
	case syscall.EEXIST:
		return hufu.KindExists, "target_exists"
	case syscall.ENOTEMPTY:
		return hufu.KindNotEmpty, ""
	case syscall.EACCES, syscall.EPERM:
		if how == reading {
			return hufu.KindUnreadable, "file_unreadable"
		}
		return hufu.KindPermission, "file_unwritable"
	case syscall.EROFS:
		return hufu.KindPermission, "disk_read_only"
	case syscall.ENOSPC, syscall.EDQUOT:
		return hufu.KindQuota, "disk_full"
	case syscall.ENAMETOOLONG:
		return hufu.KindUnsupported, "name_too_long_here"
	case syscall.EINVAL, syscall.EILSEQ:
		return hufu.KindUnsupported, "name_not_possible_here"
	case syscall.EFBIG:
		return hufu.KindUnsupported, "file_too_big_here"
	case syscall.EXDEV:
		return hufu.KindUnsupported, "other_file_system"
	case syscall.EMFILE, syscall.ENFILE:
		return hufu.KindUnavailable, "too_many_open_files"
	}
	return hufu.KindUnreadable, "disk_failed"
}

// cause is the system's own sentence, which holds no path.
func cause(err error) string {
	if no, ok := errors.AsType[syscall.Errno](err); ok {
		return no.Error()
	}
	return err.Error()
}

func changed(op string, p hufu.Path, code string) error {
	return &hufu.Error{Op: op, Path: p.String(), Kind: hufu.KindChanged, Code: code}
}
