package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hufu"
	"hufu/internal/blob/object"
	"hufu/internal/cli"
	"hufu/internal/meta"
)

// problemLine is a problem in --json.
type problemLine struct {
	Problem string     `json:"problem"`
	Damage  bool       `json:"damage"`
	Paths   []string   `json:"paths"`
	Content string     `json:"content,omitempty"`
	State   string     `json:"state,omitempty"`
	Object  string     `json:"object,omitempty"`
	Want    int64      `json:"want"`
	Have    int64      `json:"have"`
	Since   *time.Time `json:"since,omitempty"`
	Removed bool       `json:"removed"`
}

// checkedLine is the last line of --json.
type checkedLine struct {
	Store   string `json:"store"`
	Files   int64  `json:"files"`
	Folders int64  `json:"folders"`
	Objects int64  `json:"objects"`
	Bytes   int64  `json:"bytes"`
	Uploads int    `json:"unfinished_uploads,omitempty"` // on a disk
	Damaged int64  `json:"damaged"`
	Unused  int64  `json:"unused"`
	Removed int64  `json:"removed"`
}

// states are the names of the states of a content in --json.
var states = map[int]string{meta.StateOpen: "open", meta.StateLive: "live", meta.StateDead: "dead", meta.StateRemoved: "removed"}

func newFsck(a *app) *cobra.Command {
	cmd := a.Command("fsck", "hufud.fsck", "hufud fsck", "hufud fsck --repair", "hufud fsck --json")
	var repair bool
	cmd.Flags().BoolVar(&repair, "repair", false, a.Cat.T("hufud.fsck.flag.repair"))
	cmd.Flags().BoolVar(&a.json, "json", false, a.Cat.T("hufud.flag.json"))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, _, err := a.config()
		if err != nil {
			return err
		}
		if c.onDisk() {
			return a.fsckDisk(repair)
		}
		s, err := a.open(cmd.Context(), false)
		if err != nil {
			return err
		}
		return errors.Join(a.fsck(cmd.Context(), s, c, repair), s.close())
	}
	return cmd
}

// fsck compares the names in the database with the objects in the bucket.
func (a *app) fsck(ctx context.Context, s *site, c *configuration, repair bool) (err error) {
	t, err := a.objects(ctx, s.db, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	began := time.Now()
	sum, err := t.Check(ctx, object.CheckOptions{Grace: c.grace(), Repair: repair}, a.problem)
	if err != nil {
		return err
	}
	if a.json {
		err = a.JSON(checkedLine{
			Store: "objects", Files: sum.Files, Folders: sum.Folders, Objects: sum.Objects, Bytes: sum.Bytes,
			Damaged: sum.Damaged, Unused: sum.Unused, Removed: sum.Removed,
		})
	} else {
		a.Hint(a.Cat.T("hufud.fsck.checked", "files", sum.Files, "folders", sum.Folders, "objects", sum.Objects, "size", a.Cat.Size(sum.Bytes), "time", time.Since(began)))
		a.Hint(a.Cat.T("hufud.fsck.found", "damaged", sum.Damaged, "unused", sum.Unused, "removed", sum.Removed))
		if sum.Damaged > 0 {
			a.Hint(a.Cat.T("hufud.fsck.restore"))
		}
		if sum.Unused > sum.Removed {
			a.Hint(a.Cat.T("hufud.fsck.repair", "grace", c.grace()))
		}
	}
	if err == nil && sum.Damaged > 0 {
		return cli.Reported(hufu.KindIntegrity)
	}
	return err
}

// problem shows one problem.
func (a *app) problem(f object.Finding) error {
	if a.json {
		l := problemLine{
			Problem: f.Problem, Damage: f.Damage, Paths: append([]string{}, f.Paths...), Content: f.Content, State: states[f.State],
			Object: f.Object, Want: f.Want, Have: f.Have, Removed: f.Removed,
		}
		if !f.Since.IsZero() {
			l.Since = &f.Since
		}
		return a.JSON(l)
	}
	what := f.Content
	if len(f.Paths) > 0 {
		what = a.Cat.List(f.Paths)
	}
	key := "hufud.fsck." + f.Problem
	if f.Removed {
		key = "hufud.fsck.object_removed"
	}
	since := ""
	if !f.Since.IsZero() {
		since = a.Cat.Time(f.Since)
	}
	return a.Printf("%s", a.Cat.T(key, "what", hufu.Printable(what), "object", hufu.Printable(f.Object), "want", f.Want, "have", f.Have, "since", since))
}

// fsckDisk says what is to be checked where files are on a disk.
func (a *app) fsckDisk(repair bool) error {
	if err := a.ready(); err != nil {
		return err
	}
	if repair {
		a.Hint(a.Cat.T("hufud.fsck.disk_repair"))
	}
	dir := filepath.Join(a.data, "uploads")
	n := 0 // journals are below the folder of their user or shared folder; what is being written has a dot
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && !strings.Contains(d.Name(), ".") {
			n++
		}
		return err
	})
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return &hufu.Error{Op: "list uploads", Path: dir, Kind: hufu.KindUnreadable, Err: err}
	}
	if a.json {
		return a.JSON(checkedLine{Store: "disk", Uploads: n})
	}
	return a.Printf("%s\n%s", a.Cat.T("hufud.fsck.disk", "dir", filepath.Join(a.data, "files")), a.Cat.T("hufud.fsck.disk_uploads", "n", n))
}
