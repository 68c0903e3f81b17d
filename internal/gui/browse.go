package gui

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"hufu"
	"hufu/internal/client"
)

// How long the page waits for an answer of the server.
const (
	browseTime = 10 * time.Second // unless Options say otherwise
	longTime   = time.Hour        // to read a file, or to remove a tree; but browseTime while the server is away
)

// maxEntries is the limit for the names of one folder that the page shows;
// larger folders are for the command line.
const maxEntries = 100_000

// jsonEntry is one name in a pane.
type jsonEntry struct {
	Key    string `json:"key"`  // escaped segment
	Name   string `json:"name"` // as shown
	Kind   string `json:"kind"`
	Size   int64  `json:"size"`
	MTime  int64  `json:"mtime"` // milliseconds
	Mode   string `json:"mode"`
	By     string `json:"by,omitempty"`
	Target string `json:"target,omitempty"`
	Digest string `json:"digest,omitempty"`
}

func entryOf(e hufu.Entry) jsonEntry {
	j := jsonEntry{
		Key: strings.TrimPrefix(escape([]string{e.Name}), "/"), Name: hufu.Printable(e.Name), Kind: e.Kind.String(), Size: e.Size,
		MTime: e.MTime.UnixMilli(), Mode: fmt.Sprintf("%04o", e.Mode), By: hufu.Printable(e.By), Target: hufu.Printable(e.Target),
	}
	if !e.Digest.IsZero() {
		j.Digest = e.Digest.String()
	}
	return j
}

// where is a path on one of the two sides.
type where struct {
	Side string `json:"side"` // "local" or "remote"
	Path string `json:"path"`
}

// browse calls local or remote, for the side that at names; remote has Options.Patience. If the server
// cannot be reached, that is reported at once instead of waiting for it.
func (s *Server) browse(ctx context.Context, at where, local func(name string) error, remote func(context.Context, *client.Remote, hufu.Path) error) error {
	return s.browseFor(ctx, s.o.Patience, at, local, remote)
}

func (s *Server) browseFor(ctx context.Context, limit time.Duration, at where, local func(name string) error, remote func(context.Context, *client.Remote, hufu.Path) error) error {
	switch at.Side {
	case "local":
		name, err := localName(at.Path)
		if err != nil {
			return err
		}
		return local(name)
	case "remote":
		p, err := remotePath(at.Path)
		if err != nil {
			return err
		}
		r, l, err := s.entered()
		if err != nil {
			return err
		}
		outer := ctx
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		if limit > browseTime {
			ended := make(chan struct{})
			defer close(ended)
			go s.unlessAway(ended, cancel)
		}
		err = remote(ctx, r, p)
		if k := hufu.KindOf(err); err == nil || k != hufu.KindNetwork && k != hufu.KindUnavailable && ctx.Err() == nil {
			s.answered(r)
		}
		if ctx.Err() != nil && outer.Err() == nil && noAnswer(err) {
			s.mu.Lock()
			l.lost = s.link.lost
			s.mu.Unlock()
			if l.lost != nil {
				return l.lost
			}
			return &hufu.Error{Op: "browse", Kind: hufu.KindNetwork, Code: "gui_server_slow", Err: err}
		}
		return err
	}
	return &hufu.Error{Op: "browse", Kind: hufu.KindInvalid, Code: "gui_bad_request"}
}

// unlessAway calls cancel once the server has been away for browseTime, unless ended is closed before.
func (s *Server) unlessAway(ended <-chan struct{}, cancel func()) {
	const every = time.Second
	tick := time.NewTicker(every)
	defer tick.Stop()
	for away := time.Duration(0); away < browseTime; {
		select {
		case <-ended:
			return
		case <-tick.C:
		}
		s.mu.Lock()
		lost := s.link.lost
		s.mu.Unlock()
		if away += every; lost == nil {
			away = 0
		}
	}
	cancel()
}

// noAnswer reports whether err may come of the end of a context, and is not what the server has answered.
func noAnswer(err error) bool {
	switch hufu.KindOf(err) {
	case hufu.KindCanceled, hufu.KindNetwork, hufu.KindUnavailable, hufu.KindInternal:
		return err != nil
	}
	return false
}

// fsError is an error of the operating system about a change, as people read it.
func fsError(op, path string, err error) error {
	return localError(op, path, "cannot_write", err)
}

// localError is an error of the operating system as people read it; code says what was impossible.
func localError(op, path, code string, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*hufu.Error](err); ok {
		return err
	}
	e := &hufu.Error{Op: op, Path: path, Kind: hufu.KindUnreadable, Code: code, Err: err}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.Kind, e.Code = hufu.KindNotFound, "no_such_file"
	case errors.Is(err, fs.ErrExist):
		e.Kind, e.Code = hufu.KindExists, ""
	}
	return e
}

// list answers with a folder, or with its tag alone if the page already has it.
func (s *Server) list(w http.ResponseWriter, r *http.Request) error {
	req, err := read[struct {
		where
		Tag string `json:"tag"`
	}](r)
	if err != nil {
		return err
	}
	entries := []jsonEntry{}
	cut := false
	errEnough := errors.New("enough") // to be shown
	add := func(e hufu.Entry) error {
		if len(entries) >= maxEntries {
			cut = true
			return nil
		}
		entries = append(entries, entryOf(e))
		return nil
	}
	var free, total int64
	var crumbs []string
	err = s.browse(r.Context(), req.where, func(name string) error {
		crumbs, _ = unescape(req.Path)
		free, total, err = client.LocalList(r.Context(), s.o.Disk, name, add)
		return err
	}, func(ctx context.Context, remote *client.Remote, p hufu.Path) error {
		crumbs = p.Segments()
		err := remote.List(ctx, p, func(e hufu.Entry) error {
			if err := add(e); err != nil || !cut {
				return err
			}
			return errEnough
		})
		if err != nil && !errors.Is(err, errEnough) {
			return err
		}
		if p.IsRoot() {
			if n, err := (hufu.Path{}).Join("@shared"); err == nil {
				if e, err := remote.Stat(ctx, n); err == nil && !slices.ContainsFunc(entries, func(j jsonEntry) bool { return j.Name == "@shared" }) {
					e.Name = "@shared"
					entries = append(entries, entryOf(e))
				}
			}
		}
		free, total, _ = remote.Space(ctx, p)
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortFunc(entries, func(x, y jsonEntry) int { return strings.Compare(x.Key, y.Key) })
	h := fnv.New128a()
	if err := json.NewEncoder(h).Encode(entries); err != nil {
		return &hufu.Error{Op: "list", Kind: hufu.KindInternal, Err: err}
	}
	tag := hex.EncodeToString(h.Sum(nil))
	answer := map[string]any{"tag": tag, "free": free, "total": total}
	if tag != req.Tag {
		shown := make([]jsonCrumb, len(crumbs))
		for i := range crumbs {
			shown[i] = jsonCrumb{hufu.Printable(crumbs[i]), escape(crumbs[:i+1])}
		}
		answer["entries"], answer["cut"], answer["crumbs"] = entries, cut, shown
	}
	return s.ok(w, answer)
}

type jsonCrumb struct {
	Name string `json:"name"`
	Path string `json:"path"`
}

func (s *Server) mkdir(w http.ResponseWriter, r *http.Request) error {
	req, err := read[where](r)
	if err != nil {
		return err
	}
	err = s.browse(r.Context(), req, func(name string) error { return fsError("mkdir", name, os.Mkdir(name, 0o777)) },
		func(ctx context.Context, remote *client.Remote, p hufu.Path) error {
			made, err := remote.Mkdir(ctx, p, 0o755, false)
			if err == nil && !made {
				return &hufu.Error{Op: "mkdir", Path: p.Remote(), Kind: hufu.KindExists}
			}
			return err
		})
	if err != nil {
		return err
	}
	return s.ok(w, map[string]any{})
}

// rename moves a name on the same side; an existing entry is never replaced.
func (s *Server) rename(w http.ResponseWriter, r *http.Request) error {
	req, err := read[struct {
		where
		To string `json:"to"`
	}](r)
	if err != nil {
		return err
	}
	err = s.browse(r.Context(), req.where, func(name string) error {
		to, err := localName(req.To)
		if err != nil {
			return err
		}
		if sameFile(name, to) { // only capitals change
			return fsError("rename", name, os.Rename(name, to)) //nolint:gosec // the page has the rights of the user
		}
		err = s.o.Disk.RenameNew(name, to)
		if errors.Is(err, fs.ErrExist) {
			return &hufu.Error{Op: "rename", Path: to, Kind: hufu.KindExists}
		}
		return fsError("rename", name, err)
	}, func(ctx context.Context, remote *client.Remote, p hufu.Path) error {
		to, err := remotePath(req.To)
		if err != nil {
			return err
		}
		return remote.Rename(ctx, p, to, hufu.Condition{Kind: hufu.IfAbsent})
	})
	if err != nil {
		return err
	}
	return s.ok(w, map[string]any{})
}

// sameFile reports whether two names are one file, as on a file system that
// keeps case but does not distinguish it.
func sameFile(a, b string) bool {
	x, err := os.Lstat(a)
	if err != nil {
		return false
	}
	y, err := os.Lstat(b) //nolint:gosec // the page has the rights of the user
	return err == nil && os.SameFile(x, y) && strings.EqualFold(a, b)
}

// remove deletes names. It continues after a name that fails, and stops at an error that is not
// about one name, such as a lost connection; rest names were not tried then.
func (s *Server) remove(w http.ResponseWriter, r *http.Request) error {
	req, err := read[struct {
		Side  string   `json:"side"`
		Paths []string `json:"paths"`
	}](r)
	if err != nil {
		return err
	}
	failed := []*problem{}
	removed, rest := 0, 0
	for i, p := range req.Paths {
		err := s.browseFor(r.Context(), longTime, where{req.Side, p}, func(name string) error {
			if filepath.Dir(name) == name {
				return &hufu.Error{Op: "remove", Path: name, Kind: hufu.KindInvalidPath, Code: "root_folder"}
			}
			if _, err := os.Lstat(name); err != nil {
				return localError("remove", name, "cannot_read", err)
			}
			return fsError("remove", name, os.RemoveAll(name))
		}, func(ctx context.Context, remote *client.Remote, p hufu.Path) error {
			return remote.Remove(ctx, p, true)
		})
		if err == nil {
			removed++
			continue
		}
		failed = append(failed, problemOf(s.cat(r), err))
		if k := hufu.KindOf(err); k.Exit() >= 5 && k != hufu.KindIntegrity {
			rest = len(req.Paths) - i - 1
			break // not this name's trouble
		}
	}
	return s.ok(w, map[string]any{"removed": removed, "failed": failed, "rest": rest})
}

// properties describes one name; with digest its bytes are read.
func (s *Server) properties(w http.ResponseWriter, r *http.Request) error {
	req, err := read[struct {
		where
		Digest bool `json:"digest"`
	}](r)
	if err != nil {
		return err
	}
	limit := s.o.Patience
	if req.Digest {
		limit = longTime
	}
	var e hufu.Entry
	err = s.browseFor(r.Context(), limit, req.where, func(name string) error {
		e, err = client.LocalEntry(r.Context(), s.o.Disk, name, req.Digest)
		return err
	}, func(ctx context.Context, remote *client.Remote, p hufu.Path) error {
		if req.Digest {
			e, err = remote.Digest(ctx, p)
			return err
		}
		e, err = remote.Stat(ctx, p)
		return err
	})
	if err != nil {
		return err
	}
	if e.Name == "" {
		segments, _ := unescape(req.Path)
		if n := len(segments); n > 0 {
			e.Name = segments[n-1]
		}
	}
	return s.ok(w, map[string]any{"entry": entryOf(e)})
}
