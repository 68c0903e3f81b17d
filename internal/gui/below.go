package gui

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"path/filepath"
	"time"

	"hufu"
	"hufu/internal/client"
)

// What is below a folder is looked at for belowTime at most, and maxBelow entries.
const (
	belowTime = 20 * time.Second
	maxBelow  = 200_000
)

// errBelow ends a walk that has seen enough.
var errBelow = errors.New("enough")

// below calls visit for an entry and everything below it, on either side. Links are not followed;
// folders that cannot be read are passed over. whole is false if the walk ended early.
func (s *Server) below(ctx context.Context, at where, visit func(hufu.EntryKind, int64) error) (whole bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, belowTime)
	defer cancel()
	if at.Side == "local" {
		var name string
		if name, err = localName(at.Path); err != nil {
			return false, err
		}
		err = filepath.WalkDir(name, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				if path == name && d == nil {
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
			switch {
			case d.IsDir():
				return visit(hufu.Folder, 0)
			case i.Mode().IsRegular():
				return visit(hufu.File, i.Size())
			}
			return visit(hufu.Other, 0)
		})
		return err == nil, fsError("count", name, notEnough(err))
	}
	err = s.browse(ctx, at, nil, func(_ context.Context, remote *client.Remote, p hufu.Path) error {
		err := remote.Walk(ctx, p, client.WalkOptions{Brief: true}, func(f client.Found) error {
			if f.Err != nil {
				return nil
			}
			return visit(f.Entry.Kind, f.Entry.Size)
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
		all, err := s.below(r.Context(), where{req.Side, p}, func(k hufu.EntryKind, size int64) error {
			switch {
			case files+folders >= maxBelow:
				return errBelow
			case k == hufu.Folder:
				folders++
			default:
				files++
				if k == hufu.File {
					bytes += size
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
