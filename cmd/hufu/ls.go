package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"hufu"
	"hufu/internal/cli"
	"hufu/internal/client"
	"hufu/internal/transfer"
)

// maxSorted is how many entries of a folder are sorted. Their names come sorted from the server,
// so another order needs all of them in memory.
const maxSorted = 1 << 18

// lsFlags are the flags of ls.
type lsFlags struct {
	long, names, recursive, reverse, itself bool
	byTime, bySize                          bool // -t, -S
	sort                                    string
	sizeFlags
}

// sizeFlags say how sizes are written.
type sizeFlags struct{ human, bytes bool }

// sizes adds -h and --bytes. In the commands that show sizes -h means what it means in ls and du;
// help is at --help.
func (a *app) sizes(cmd *cobra.Command, f *sizeFlags) {
	cmd.Flags().Bool("help", false, "") // without the letter
	cmd.Flags().BoolVarP(&f.human, "human-readable", "h", false, a.Cat.T("hufu.flag.human_readable"))
	cmd.Flags().BoolVarP(&f.bytes, "bytes", "b", false, a.Cat.T("hufu.flag.bytes"))
}

func (f sizeFlags) check() error {
	if f.human && f.bytes {
		return cli.Usage("flags_contradict", "one", "-h", "other", "-b")
	}
	return nil
}

// size writes a number of bytes.
func (a *app) size(n int64, f sizeFlags) string {
	if f.bytes {
		return fmt.Sprint(n)
	}
	return a.Cat.Size(n)
}

func newLs(a *app) *cobra.Command {
	cmd := a.Command("ls [:/PATH…]", "hufu.ls",
		"hufu ls",
		"hufu ls -R --sort size :/2026",
		"hufu ls -1 ':/photos/*.jpg'",
		"hufu ls --json :/2026",
		"hufu ls :/@shared/common")
	cli.Between(cmd, 0, -1)
	var f lsFlags
	a.sizes(cmd, &f.sizeFlags)
	cmd.Flags().BoolVarP(&f.long, "long", "l", false, a.Cat.T("hufu.ls.flag.long"))
	cmd.Flags().BoolVarP(&f.names, "names", "1", false, a.Cat.T("hufu.ls.flag.names"))
	cmd.Flags().BoolVarP(&f.recursive, "recursive", "R", false, a.Cat.T("hufu.ls.flag.recursive"))
	cmd.Flags().BoolVarP(&f.reverse, "reverse", "r", false, a.Cat.T("hufu.ls.flag.reverse"))
	cmd.Flags().StringVar(&f.sort, "sort", "name", a.Cat.T("hufu.ls.flag.sort"))
	cmd.Flags().BoolVarP(&f.byTime, "time", "t", false, a.Cat.T("hufu.ls.flag.time"))
	cmd.Flags().BoolVarP(&f.bySize, "size", "S", false, a.Cat.T("hufu.ls.flag.size"))
	cmd.Flags().BoolVarP(&f.itself, "directory", "d", false, a.Cat.T("hufu.ls.flag.directory"))
	cmd.Flags().BoolP("all", "a", false, a.Cat.T("hufu.ls.flag.all"))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := f.order(cmd.Flag("sort").Changed); err != nil {
			return err
		}
		if !slices.Contains([]string{"name", "size", "time"}, f.sort) {
			return cli.Usage("sort_unknown", "sort", f.sort)
		}
		if f.long && f.names {
			return cli.Usage("flags_contradict", "one", "-l", "other", "-1")
		}
		if f.itself && f.recursive {
			return cli.Usage("flags_contradict", "one", "-d", "other", "-R")
		}
		if err := f.check(); err != nil {
			return err
		}
		if len(args) == 0 {
			args = []string{":/"}
		}
		locs, err := a.remoteOnly(args)
		if err != nil {
			return err
		}
		foresee := func(*client.Remote) {}
		if !f.recursive {
			paths := make([]hufu.Path, len(locs))
			for i, l := range locs {
				paths[i] = l.path
			}
			foresee = func(r *client.Remote) { r.ForeseeList(paths) }
		}
		return a.with(cmd.Context(), locs[0], foresee, func(r *client.Remote) error {
			l := &lister{a: a, r: r, f: f, paths: slices.ContainsFunc(locs, inFolders)}
			locs, err := expand(cmd.Context(), r, locs)
			if err != nil {
				return err
			}
			if f.recursive {
				return a.eachOf(locs, func(p hufu.Path) error { return l.tree(cmd.Context(), p) }, "")
			}
			if f.itself || len(locs) > 1 && !a.json {
				return l.several(cmd.Context(), locs)
			}
			return a.eachOf(locs, func(p hufu.Path) error { return l.list(cmd.Context(), p) }, "")
		})
	}
	return cmd
}

// order sets the sort key from -t and -S.
func (f *lsFlags) order(chosen bool) error {
	switch {
	case f.byTime && f.bySize:
		return cli.Usage("flags_contradict", "one", "-t", "other", "-S")
	case f.byTime && chosen && f.sort != "time":
		return cli.Usage("flags_contradict", "one", "-t", "other", "--sort")
	case f.bySize && chosen && f.sort != "size":
		return cli.Usage("flags_contradict", "one", "-S", "other", "--sort")
	case f.byTime:
		f.sort = "time"
	case f.bySize:
		f.sort = "size"
	}
	return nil
}

// lister lists folders for ls.
type lister struct {
	a     *app
	r     *client.Remote
	f     lsFlags
	later bool // a folder was listed before
	paths bool // a file is shown with its path: it may be in any folder
}

// inFolders reports whether l stands for entries of several folders.
func inFolders(l location) bool { return strings.ContainsAny(l.path.Parent().String(), "*?[") }

// tree lists a folder and all folders below it.
func (l *lister) tree(ctx context.Context, p hufu.Path) error {
	failed, bad := false, hufu.Path{}
	err := l.r.Walk(ctx, p, client.WalkOptions{Brief: true, Folders: true}, func(f client.Found) error {
		err := f.Err
		if err == nil {
			err = l.head(f)
		}
		if err == nil && f.Err == nil {
			err = l.list(ctx, f.Path)
		}
		switch {
		case err == nil, lost(err), transfer.Stops(err), f.Depth == 0 && f.Err == nil:
			return err
		case failed && f.Path == bad: // told when it was listed
			return nil
		}
		failed, bad = true, f.Path
		return l.a.failed(f.Path, err)
	})
	if err == nil && failed {
		return cli.Reported(hufu.KindExists)
	}
	return err
}

// head begins the listing of a folder among others.
func (l *lister) head(f client.Found) error {
	if l.a.json {
		return nil
	}
	if l.later {
		if err := l.a.Printf(""); err != nil {
			return err
		}
	}
	if l.later = true; f.Entry.Kind != hufu.Folder {
		return nil
	}
	return l.a.Printf("%s:", hufu.Printable(f.Path.Remote()))
}

// several lists what ls lists for several paths: first the entries that are no folders, in one
// table, then each folder under its path. With -d folders are entries, too.
func (l *lister) several(ctx context.Context, locs []location) error {
	tops, errs := make(map[hufu.Path]hufu.Entry, len(locs)), make(map[hufu.Path]error, len(locs))
	for _, loc := range locs {
		tops[loc.path], errs[loc.path] = l.r.Stat(ctx, loc.path)
	}
	opens := func(p hufu.Path) bool { return tops[p].Kind == hufu.Folder && !l.f.itself }
	slices.SortStableFunc(locs, func(x, y location) int {
		rank := func(l location) int {
			switch {
			case errs[l.path] != nil:
				return 0
			case !opens(l.path):
				return 1
			}
			return 2
		}
		return cmp.Compare(rank(x), rank(y))
	})
	files := slices.DeleteFunc(slices.Clone(locs), func(x location) bool { return errs[x.path] != nil || opens(x.path) })
	l.paths = l.paths || slices.ContainsFunc(files, func(x location) bool { return x.path.Parent() != files[0].path.Parent() })
	var entries cli.Table
	err := l.a.eachOf(locs, func(p hufu.Path) error {
		top, err := tops[p], errs[p]
		switch {
		case err != nil:
			return err
		case !opens(p):
			l.later = true
			if l.f.itself || l.paths || top.Name == "" {
				top.Name = p.Remote()
			}
			return l.show(&entries, p.Parent(), p, top)
		}
		if err := l.a.EndTable(&entries); err != nil {
			return err
		}
		if err := l.head(client.Found{Path: p, Entry: top}); err != nil {
			return err
		}
		return l.content(ctx, p, top)
	}, "")
	if lost(err) {
		return err
	}
	return cmp.Or(l.a.EndTable(&entries), err)
}

// list lists one folder, or the entry p if it is none.
func (l *lister) list(ctx context.Context, p hufu.Path) error {
	top, err := l.r.Stat(ctx, p)
	if err != nil {
		return err
	}
	return l.content(ctx, p, top)
}

// show writes an entry. Its folder is folder.
func (l *lister) show(table *cli.Table, folder, p hufu.Path, e hufu.Entry) error {
	switch {
	case l.a.json:
		return l.a.printEntry(p, e)
	case l.f.names:
		return l.a.Printf("%s", hufu.Printable(e.Name))
	}
	return l.row(table, folder, e)
}

// content lists what is in the folder p, or p itself if top is none.
func (l *lister) content(ctx context.Context, p hufu.Path, top hufu.Entry) error {
	var err error
	var table cli.Table // memory stays flat
	show := func(q hufu.Path, e hufu.Entry) error { return l.show(&table, p, q, e) }
	switch {
	case top.Kind != hufu.Folder && l.paths:
		top.Name = p.Remote()
		err = show(p, top)
	case top.Kind != hufu.Folder:
		err = show(p, top)
	case l.f.sort == "name" && !l.f.reverse:
		err = l.r.List(ctx, p, func(e hufu.Entry) error {
			q, err := p.Join(e.Name)
			if err != nil {
				return err
			}
			return show(q, e)
		})
	default:
		err = l.sorted(ctx, p, show)
	}
	if err != nil {
		return err
	}
	return l.a.EndTable(&table)
}

// sorted lists a folder in another order than that of the names.
func (l *lister) sorted(ctx context.Context, p hufu.Path, show func(hufu.Path, hufu.Entry) error) error {
	var all []hufu.Entry
	err := l.r.List(ctx, p, func(e hufu.Entry) error {
		if len(all) == maxSorted {
			return &hufu.Error{Op: "sort", Path: p.Remote(), Kind: hufu.KindUsage, Code: "sort_too_many"}
		}
		e.Version, e.Upload = "", ""
		all = append(all, e)
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortStableFunc(all, func(x, y hufu.Entry) int {
		order := 0
		switch l.f.sort { // the largest and the newest first, as in ls
		case "size":
			order = cmp.Compare(y.Size, x.Size)
		case "time":
			order = y.MTime.Compare(x.MTime)
		}
		return cmp.Or(order, strings.Compare(x.Name, y.Name))
	})
	if l.f.reverse {
		slices.Reverse(all)
	}
	for _, e := range all {
		q, err := p.Join(e.Name)
		if err == nil {
			err = show(q, e)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// sharedPlace is where the shared folders are listed.
const sharedPlace = "@shared"

func (l *lister) row(table *cli.Table, folder hufu.Path, e hufu.Entry) error {
	name, size := e.Name, l.a.size(e.Size, l.f.sizeFlags)
	switch e.Kind {
	case hufu.Folder:
		name, size = strings.TrimSuffix(name, "/")+"/", ""
	case hufu.Link:
		name, size = name+" -> "+e.Target, ""
	}
	mode := modeText(e)
	if folder.String() == sharedPlace { // nobody uploaded it: the mode is between the server and its disk
		mode = "-"
	}
	return l.a.Row(table, mode, size, l.a.Cat.Time(e.MTime), cmp.Or(e.By, "-"), name)
}

// modeText returns a mode as ls writes it.
func modeText(e hufu.Entry) string {
	kind := map[hufu.EntryKind]string{hufu.File: "-", hufu.Folder: "d", hufu.Link: "l", hufu.Other: "?"}[e.Kind]
	return kind + os.FileMode(e.Mode).Perm().String()[1:]
}

// jsonEntry is one line of ls, stat and find with --json.
type jsonEntry struct {
	Path   string  `json:"path"`
	Kind   string  `json:"kind"`
	Size   int64   `json:"size"`
	MTime  string  `json:"mtime"`
	Mode   string  `json:"mode"`
	Digest *string `json:"digest"`
	Target string  `json:"target,omitempty"`
	By     string  `json:"by,omitempty"`
}

func (a *app) printEntry(p hufu.Path, e hufu.Entry) error {
	j := jsonEntry{
		Path: p.Virtual(), Kind: e.Kind.String(), Size: e.Size, MTime: jsonTime(e.MTime), Mode: fmt.Sprintf("%04o", e.Mode), Target: e.Target, By: e.By,
	}
	if !e.Digest.IsZero() {
		d := e.Digest.String()
		j.Digest = &d
	}
	return a.JSON(j)
}
