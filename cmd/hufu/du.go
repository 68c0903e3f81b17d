package main

import (
	"context"

	"github.com/spf13/cobra"

	"hufu"
	"hufu/internal/cli"
	"hufu/internal/client"
)

// duFlags are the flags of du.
type duFlags struct {
	all, total, sum bool
	depth           int
	sizeFlags
}

func newDu(a *app) *cobra.Command {
	cmd := a.Command("du [:/PATH…]", "hufu.du", "hufu du -s ':/*'", "hufu du -d 1 :/2026", "hufu du --bytes -a :/2026")
	cli.Between(cmd, 0, -1)
	var f duFlags
	a.sizes(cmd, &f.sizeFlags)
	cmd.Flags().BoolVarP(&f.all, "all", "a", false, a.Cat.T("hufu.du.flag.all"))
	cmd.Flags().BoolVarP(&f.sum, "summarize", "s", false, a.Cat.T("hufu.du.flag.summarize"))
	cmd.Flags().BoolVarP(&f.total, "total", "c", false, a.Cat.T("hufu.du.flag.total"))
	cmd.Flags().IntVarP(&f.depth, "max-depth", "d", 0, a.Cat.T("hufu.du.flag.depth"))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		deep := cmd.Flag("max-depth").Changed
		switch {
		case f.sum && deep:
			return cli.Usage("flags_contradict", "one", "-s", "other", "-d")
		case f.sum && f.all:
			return cli.Usage("flags_contradict", "one", "-s", "other", "-a")
		case f.depth < 0 || f.depth > hufu.MaxDepth:
			return cli.FlagRange("max-depth", f.depth, 0, hufu.MaxDepth, "1")
		case !f.sum && !deep:
			f.depth = hufu.MaxDepth
		}
		if len(args) == 0 {
			args = []string{":/"}
		}
		if err := f.check(); err != nil {
			return err
		}
		d := &counts{a: a, f: f}
		err := a.each(cmd.Context(), args, expand, func(r *client.Remote, p hufu.Path) error { return d.count(cmd.Context(), r, p) }, "")
		if lost(err) {
			return err
		}
		if f.total {
			if err := d.told(a.Cat.T("hufu.du.total"), "", d.all); err != nil {
				return err
			}
		}
		if err := a.EndTable(&d.table); err != nil {
			return err
		}
		return err
	}
	return cmd
}

// used is what is below a folder, or one entry.
type used struct {
	path   hufu.Path
	folder bool
	bytes  int64
	files  int64
}

// counts adds up sizes for du.
type counts struct {
	a     *app
	f     duFlags
	table cli.Table
	all   used
}

// count adds up what is below p. A folder is told once everything in it is known.
func (d *counts) count(ctx context.Context, r *client.Remote, p hufu.Path) error {
	var open []used // the folders on the way down
	leave := func(depth int) error {
		for len(open) > depth {
			n := len(open) - 1
			done := open[n]
			if open = open[:n]; n > 0 {
				open[n-1].bytes += done.bytes
				open[n-1].files += done.files
			} else {
				d.all.bytes += done.bytes
				d.all.files += done.files
			}
			if n <= d.f.depth && (done.folder || d.f.all || n == 0) {
				if err := d.told(done.path.Remote(), done.path.Virtual(), done); err != nil {
					return err
				}
			}
		}
		return nil
	}
	failed := false
	err := r.Walk(ctx, p, client.WalkOptions{Brief: true}, func(e client.Found) error {
		if e.Err != nil {
			failed = true
			return d.a.failed(e.Path, e.Err)
		}
		if err := leave(e.Depth); err != nil {
			return err
		}
		u := used{path: e.Path, folder: e.Entry.Kind == hufu.Folder, bytes: e.Entry.Size}
		if e.Entry.Kind == hufu.File {
			u.files = 1
		}
		open = append(open, u)
		return nil
	})
	if err == nil {
		err = leave(0)
	}
	if err == nil && failed {
		return cli.Reported(hufu.KindExists)
	}
	return err
}

// jsonUsed is one line of du --json. The path of the total is "".
type jsonUsed struct {
	Path  string `json:"path"`
	Bytes int64  `json:"bytes"`
	Files int64  `json:"files"`
}

func (d *counts) told(name, path string, u used) error {
	if d.a.json {
		return d.a.JSON(jsonUsed{path, u.bytes, u.files})
	}
	return d.a.Row(&d.table, d.a.size(u.bytes, d.f.sizeFlags), name)
}
