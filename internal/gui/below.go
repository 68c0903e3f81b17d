package gui

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"hufu"
	"hufu/internal/client"
)

// Limits of a walk below a folder: the time, the entries, and the hits of a search.
const (
	belowTime = 20 * time.Second
	maxBelow  = 200_000
	maxHits   = 500
)

// errBelow ends a walk that has seen enough.
var errBelow = errors.New("enough")

// below calls visit for an entry and everything below it, on either side, with its name, kind, size
// and time; path returns its escaped path. Links are not followed, but with through the entry itself
// may be a link of this computer to a folder. Folders that cannot be read are passed over. whole is
// false if the walk ended early.
func (s *Server) below(ctx context.Context, at where, through bool, visit func(e hufu.Entry, path func() string) error) (whole bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, belowTime)
	defer cancel()
	if at.Side == "local" {
		var name string
		if name, err = localName(at.Path); err != nil {
			return false, err
		}
		root := name
		if i, err := os.Lstat(name); through && err == nil && i.Mode().Type() == fs.ModeSymlink {
			root += string(filepath.Separator) // names the folder behind the link
		}
		err = filepath.WalkDir(root, func(at string, d fs.DirEntry, err error) error {
			if err != nil {
				if at == root && d == nil {
					return err
				}
				return nil //nolint:nilerr // a folder that this user may not read
			}
			if ctx.Err() != nil {
				return errBelow
			}
			i, err := d.Info()
			if err != nil {
				return nil //nolint:nilerr // gone since it was listed
			}
			e := hufu.Entry{Name: d.Name(), Kind: hufu.Other, MTime: i.ModTime()}
			switch {
			case d.IsDir():
				e.Kind = hufu.Folder
			case i.Mode().IsRegular():
				e.Kind, e.Size = hufu.File, i.Size()
			case i.Mode().Type() == fs.ModeSymlink:
				e.Kind = hufu.Link
			}
			return visit(e, func() string { return localPath(at) })
		})
		return err == nil, localError("count", name, "cannot_read", notEnough(err))
	}
	err = s.browseFor(ctx, belowTime, at, nil, func(_ context.Context, remote *client.Remote, p hufu.Path) error {
		err := remote.Walk(ctx, p, client.WalkOptions{Brief: true}, func(f client.Found) error {
			if f.Err != nil {
				return nil
			}
			return visit(f.Entry, func() string { return escape(f.Path.Segments()) })
		})
		if ctx.Err() != nil {
			err = errBelow
		}
		whole = err == nil
		return notEnough(err)
	})
	return whole && err == nil, err
}

// notEnough is err without errBelow, which is no failure.
func notEnough(err error) error {
	if errors.Is(err, errBelow) {
		return nil
	}
	return err
}

// size counts what is in the given entries, themselves included.
func (s *Server) size(w http.ResponseWriter, r *http.Request) error {
	req, err := read[struct {
		Side  string   `json:"side"`
		Paths []string `json:"paths"`
	}](r)
	if err != nil {
		return err
	}
	if req.Side != "local" && req.Side != "remote" {
		return &hufu.Error{Op: "size", Kind: hufu.KindInvalid, Code: "gui_bad_request"}
	}
	var files, folders, bytes int64
	whole := true
	for _, p := range req.Paths {
		all, err := s.below(r.Context(), where{req.Side, p}, false, func(e hufu.Entry, _ func() string) error {
			switch {
			case files+folders >= maxBelow:
				return errBelow
			case e.Kind == hufu.Folder:
				folders++
			default:
				files++
				if e.Kind == hufu.File {
					bytes += e.Size
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		if whole = whole && all; !whole {
			break
		}
	}
	return s.ok(w, map[string]any{"files": files, "folders": folders, "bytes": bytes, "whole": whole})
}

// jsonHit is an entry that a search has found.
type jsonHit struct {
	jsonEntry
	Path string `json:"path"` // escaped
}

// search looks for names below a folder: those that hold the words, or match them if there is a *
// or ? among them, in capitals or not. Hidden ones, and what is in hidden folders, are found only on demand.
func (s *Server) search(w http.ResponseWriter, r *http.Request) error {
	req, err := read[struct {
		where
		Words  string `json:"words"`
		Hidden bool   `json:"hidden"`
	}](r)
	if err != nil {
		return err
	}
	words := strings.ToLower(req.Words)
	matches := func(name string) bool { return strings.Contains(name, words) }
	if strings.ContainsAny(words, "*?") {
		pattern := strings.NewReplacer("[", "\\[", "\\", "\\\\").Replace(words)
		matches = func(name string) bool {
			ok, err := path.Match(pattern, name)
			return err == nil && ok
		}
	}
	if words == "" {
		return &hufu.Error{Op: "search", Kind: hufu.KindInvalid, Code: "gui_bad_request"}
	}
	hits, seen := []jsonHit{}, -1 // the folder itself is no hit
	whole, err := s.below(r.Context(), req.where, true, func(e hufu.Entry, at func() string) error {
		if seen++; seen == 0 || !matches(strings.ToLower(e.Name)) {
			return nil
		}
		if len(hits) >= maxHits || seen > maxBelow {
			return errBelow
		}
		p := at()
		if below := strings.TrimPrefix(p, strings.TrimSuffix(req.Path, "/")); !req.Hidden && strings.Contains(below, "/.") {
			return nil
		}
		hits = append(hits, jsonHit{entryOf(e), p})
		return nil
	})
	if err != nil {
		return err
	}
	return s.ok(w, map[string]any{"hits": hits, "whole": whole})
}
