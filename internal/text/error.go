package text

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"syscall"

	"hufu"
)

// Error tells the user what happened and what to do next. Both come from the catalogue:
// "error.<code>" and "error.<code>.fix" of the first *hufu.Error in the chain that has a code,
// else those of its kind. The text of an unknown error is shown as its cause.
//
// A text may have variants. "error.<code>.cause" is chosen when the error under it came from this
// computer and {cause} can name it; "error.<code>.bare" when the text would need a {path} and
// there is none. "error.<code>.fix.profile" is for users of another profile than the default.
// "error.<code>.fix.meant" is for a word that is close to one that there is, {meant}.
// "error.<code>.fix.far" is for an error that the server has met.
// "error.<code>.one" is for a {count} of 1, where the language makes a difference.
func (c *Catalogue) Error(err error) (what, fix string) {
	if err == nil {
		return "", ""
	}
	kind, code, args, far := c.anatomy(err)
	for _, arg := range []string{"kind", "here", "there"} { // of an entry: "folder"
		if word := "gui.kind." + args[arg]; c.Has(word) {
			args[arg] = c.texts[word]
		}
	}
	name := kind.String()
	if code != "" && c.Has("error."+code) {
		name = code
	}
	key := "error." + name
	if one := key + ".one"; args["count"] == "1" && c.lang == English && c.Has(one) {
		key = one
	}
	if errors.Is(err, syscall.ENAMETOOLONG) { // wherever a path of this computer is used
		return c.variant(key, args), c.fixOf("name_too_long", kind, args)
	}
	if fix := "error." + name + ".fix.far"; far && c.Has(fix) {
		return c.variant(key, args), c.fillArgs(c.texts[fix], args)
	}
	return c.variant(key, args), c.fixOf(name, kind, args)
}

// anatomy collects along the chain: the first kind, the first path, and the
// first code with its arguments.
func (c *Catalogue) anatomy(err error) (kind hufu.Kind, code string, args map[string]string, far bool) {
	args = make(map[string]string)
	rest := err
	for rest != nil {
		e, ok := errors.AsType[*hufu.Error](rest)
		if !ok {
			break
		}
		if kind == 0 {
			kind = e.Kind
		}
		if args["path"] == "" && e.Path != "" {
			args["path"] = e.Path
		}
		if code == "" && e.Code != "" {
			code, far = e.Code, e.Far
			maps.Copy(args, e.Args)
		}
		if meant := e.Args["meant"]; meant != "" { // of errors without a code, too
			args["meant"] = meant
		}
		rest = e.Err
	}
	switch {
	case kind != 0:
	case errors.Is(err, context.Canceled):
		kind = hufu.KindCanceled
	default:
		kind = hufu.KindInternal
	}
	no, ofSystem := errors.AsType[syscall.Errno](rest)
	switch {
	case rest != nil && args["cause"] == "":
		args["cause"] = c.cause(kind, rest)
	case ofSystem:
		args["cause"] = c.system(no)
	}
	return kind, code, args, far
}

// cause returns the message of the operating system, without the path that the sentence around it
// names already. The end of a connection and a timeout are reported in the language of the
// sentence: users see these most.
func (c *Catalogue) cause(kind hufu.Kind, err error) string {
	connection := kind == hufu.KindNetwork || kind == hufu.KindProtocol || kind == hufu.KindUnavailable
	timeout, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err)
	switch {
	case connection && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)):
		return c.T("cause.ended")
	case errors.Is(err, context.DeadlineExceeded), ok && timeout.Timeout():
		return c.T("cause.timeout")
	}
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err
	}
	if e, ok := errors.AsType[*os.LinkError](err); ok {
		err = e.Err
	}
	if e, ok := errors.AsType[*os.SyscallError](err); ok {
		err = e.Err
	}
	return c.system(err)
}

// systemErrors are the errors of operating systems that are shown in the user's language, and
// their keys behind "cause.".
var systemErrors = []struct {
	err error
	key string
}{
	{syscall.EACCES, "denied"},
	{syscall.EPERM, "not_permitted"},
	{syscall.ENOENT, "missing"},
	{syscall.EEXIST, "exists"},
	{syscall.ENOTDIR, "not_a_folder"},
	{syscall.EISDIR, "is_a_folder"},
	{syscall.ENOTEMPTY, "not_empty"},
	{syscall.ENOSPC, "no_space"},
	{syscall.EDQUOT, "quota"},
	{syscall.EROFS, "read_only"},
	{syscall.EIO, "io"},
	{syscall.EFBIG, "too_large"},
	{syscall.EMFILE, "too_many_files"},
	{syscall.ENFILE, "too_many_files_all"},
	{syscall.ENAMETOOLONG, "name_too_long"},
	{syscall.ELOOP, "too_many_links"},
	{syscall.EXDEV, "other_disk"},
	{syscall.EBUSY, "busy"},
	{syscall.EINVAL, "invalid"},
	{syscall.ENXIO, "no_device"},
	{syscall.EPIPE, "pipe"},
	{syscall.ECONNREFUSED, "refused"},
	{syscall.ECONNRESET, "reset"},
	{syscall.EHOSTUNREACH, "no_route"},
	{syscall.ENETUNREACH, "no_network"},
	{syscall.EADDRINUSE, "address_used"},
	{syscall.EADDRNOTAVAIL, "address_unknown"},
	{fs.ErrPermission, "denied"}, // what they are called on other systems
	{fs.ErrNotExist, "missing"},
	{fs.ErrExist, "exists"},
}

// system returns the text of an error. If the error is one of the system, it is in the language of
// the catalogue; what was being done is in the sentence around it.
func (c *Catalogue) system(err error) string {
	if _, ok := errors.AsType[syscall.Errno](err); !ok || c.lang == English {
		return err.Error()
	}
	for _, e := range systemErrors {
		if errors.Is(err, e.err) {
			return c.T("cause." + e.key)
		}
	}
	return err.Error()
}

// variant takes the first of key.cause, key and key.bare that args can fill.
func (c *Catalogue) variant(key string, args map[string]string) string {
	for _, k := range []string{key + ".cause", key, key + ".bare"} {
		if t, ok := c.texts[k]; ok && canFill(t, args) {
			return c.fillArgs(t, args)
		}
	}
	// A peer may leave out an argument of the text: the gap is shown as one.
	return c.fillArgs(c.texts[key], args)
}

func (c *Catalogue) fixOf(name string, kind hufu.Kind, args map[string]string) string {
	for _, k := range []string{"error." + name + ".fix.meant", "error." + name + ".fix.profile", "error." + name + ".fix", "error." + kind.String() + ".fix"} {
		if t, ok := c.texts[k]; ok && canFill(t, args) {
			return c.fillArgs(t, args)
		}
	}
	return c.fillArgs(c.texts["error."+name+".fix"], args)
}

func canFill(t string, args map[string]string) bool {
	for _, name := range placeholders(t) {
		if args[name] == "" && name != caller {
			return false
		}
	}
	return true
}

func (c *Catalogue) fillArgs(t string, args map[string]string) string {
	return fill(t, func(name, form string) string {
		switch v := args[name]; {
		case v != "":
			return c.form(form, v)
		case name == caller:
			return c.hufud
		default:
			return "?"
		}
	})
}

// Report writes err for the user of a program: what happened on one line, what
// to do next on another. It writes nothing for nil.
func (c *Catalogue) Report(w io.Writer, program string, err error) {
	if err == nil {
		return
	}
	what, fix := c.Error(err)
	_, _ = fmt.Fprintln(w, c.T("report.what", "program", program, "what", what))
	if fix != "" {
		_, _ = fmt.Fprintln(w, c.T("report.fix", "fix", fix))
	}
}
