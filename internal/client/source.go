package client

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"hufu"
	"hufu/internal/transfer"
)

// hasSlash reports whether a local path is written as a folder: it ends in a separator, or
// its last name is "." or "..". As a source it means what is in the folder, as a target to
// copy into it.
func hasSlash(path string) bool {
	if path == "." || path == ".." {
		return true
	}
	for _, s := range []string{"/", "/.", "/.."} {
		if strings.HasSuffix(path, s) || runtime.GOOS == "windows" && strings.HasSuffix(path, strings.ReplaceAll(s, "/", `\`)) {
			return true
		}
	}
	return false
}

// isFolder reports whether a local path is a folder, or a link to one.
func isFolder(path string) bool {
	i, err := os.Stat(path)
	return err == nil && i.IsDir()
}

// source finds one source of a put on this computer. A link that is named is
// followed, as with cp and scp. Links inside folders stay links.
func (c *Copy) source(path string, to hufu.Path, how How) (s transfer.Source, err error) {
	s.Far = to
	if hasSlash(path) {
		s.Contents = true
		if i, err := os.Stat(path); err != nil || !i.IsDir() {
			return s, Missing("put", path, err, "source_not_folder")
		}
		s.Side, err = c.inside(path)
		return s, err
	}
	i, err := os.Lstat(path)
	if err != nil {
		return s, Missing("put", path, err, "")
	}
	mode, follow := i.Mode(), i.Mode()&os.ModeSymlink != 0 && !how.Links
	if target, err := os.Stat(path); follow && err == nil {
		mode = target.Mode()
	}
	// This check comes before EvalSymlinks. The link for <(command) points to a
	// pipe without a path, so EvalSymlinks would fail.
	if err := Unsendable("put", path, mode); err != nil {
		return s, err
	}
	at := path
	if follow {
		if at, err = filepath.EvalSymlinks(path); err != nil {
			return s, dangling(path, err)
		}
	}
	if s.Side, err = c.side(at); err != nil {
		return s, err
	}
	s.Local = path
	if how.Folder {
		base := s.Path.Base()
		if at != path {
			base = filepath.Base(path)
		}
		s.Far, err = to.Join(base)
	}
	return s, err
}

// dangling is the error of a link that cannot be followed.
func dangling(path string, err error) error {
	e := Missing("put", path, err, "")
	e.Code, e.Args["target"] = "link_dangling", path
	if to, err := os.Readlink(path); err == nil {
		e.Args["target"] = to
	}
	return e
}

// Missing returns the error of a path on this computer that cannot be used as op needs it. code is
// used if the path, or a name on the way to it, is not a folder (err is nil or ENOTDIR). Pass ""
// if ENOTDIR needs no code of its own.
func Missing(op, path string, err error, code string) *hufu.Error {
	e := &hufu.Error{Op: op, Path: path, Kind: hufu.KindUnreadable, Args: map[string]string{"target": path}, Err: err}
	switch {
	case errors.Is(err, os.ErrNotExist):
		e.Kind = hufu.KindNotFound
		e.Code = "no_such_file"
	case errors.Is(err, os.ErrPermission):
		e.Code = "file_unreadable"
	case err == nil, code != "" && errors.Is(err, syscall.ENOTDIR):
		e.Kind, e.Code = hufu.KindWrongKind, code
	}
	return e
}

// Unsendable returns the error of a source that is neither a file nor a folder nor
// a link, nil for those. Only a source that the user has named is an error; inside
// folders such entries are skipped.
func Unsendable(op, path string, mode fs.FileMode) error {
	var code string
	switch {
	case mode.IsRegular(), mode.IsDir(), mode&fs.ModeSymlink != 0:
		return nil
	case mode&fs.ModeNamedPipe != 0:
		code = "source_pipe"
	case mode&fs.ModeSocket != 0:
		code = "source_socket"
	case mode&fs.ModeDevice != 0:
		code = "source_device"
	default:
		code = "special_file"
	}
	return &hufu.Error{Op: op, Path: path, Kind: hufu.KindUnsupported, Code: code}
}
