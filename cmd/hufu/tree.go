package main

import (
	"cmp"
	"context"
	"strings"

	"github.com/spf13/cobra"

	"hufu"
	"hufu/internal/cli"
	"hufu/internal/client"
)

// treeFlags are the flags of tree.
type treeFlags struct {
	folders, sizes bool
	level          int
}

func newTree(a *app) *cobra.Command {
	cmd := a.Command("tree [:/PATH…]", "hufu.tree", "hufu tree :/2026", "hufu tree -d -L 2", "hufu tree -s ':/photos/*'")
	cli.Between(cmd, 0, -1)
	var f treeFlags
	cmd.Flags().BoolVarP(&f.folders, "folders", "d", false, a.Cat.T("hufu.tree.flag.folders"))
	cmd.Flags().BoolVarP(&f.sizes, "size", "s", false, a.Cat.T("hufu.tree.flag.size"))
	cmd.Flags().IntVarP(&f.level, "level", "L", 0, a.Cat.T("hufu.tree.flag.level"))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		o := client.WalkOptions{Folders: f.folders, Brief: !a.json, Depth: f.level, Limit: cmd.Flag("level").Changed}
		if o.Limit && (f.level < 1 || f.level > hufu.MaxDepth) {
			return cli.FlagRange("level", f.level, 1, hufu.MaxDepth, "2")
		}
		if len(args) == 0 {
			args = []string{":/"}
		}
		return a.each(cmd.Context(), args, expand, func(r *client.Remote, p hufu.Path) error { return a.tree(cmd.Context(), r, p, o, f) }, "")
	}
	return cmd
}

// tree draws what is below p.
func (a *app) tree(ctx context.Context, r *client.Remote, p hufu.Path, o client.WalkOptions, f treeFlags) error {
	fork, corner, line, space := "├── ", "└── ", "│   ", "    "
	if a.Cat.ASCII() {
		fork, corner, line = "|-- ", "`-- ", "|   "
	}
	var last []bool // of the folders on the way down
	folders, others, failed := 0, 0, false
	err := r.Walk(ctx, p, o, func(e client.Found) error {
		if e.Err != nil {
			failed = true
			return a.failed(e.Path, e.Err)
		}
		switch {
		case e.Depth == 0 && e.Entry.Kind == hufu.Folder:
		case e.Entry.Kind == hufu.Folder:
			folders++
		default:
			others++
		}
		if a.json {
			return a.printEntry(e.Path, e.Entry)
		}
		name := hufu.Printable(e.Entry.Name)
		switch {
		case e.Depth == 0:
			name = hufu.Printable(p.Remote())
		case e.Entry.Kind == hufu.Folder:
			name += "/"
		case e.Entry.Kind == hufu.Link:
			name += " -> " + hufu.Printable(e.Entry.Target)
		case f.sizes && e.Entry.Kind == hufu.File:
			name += " (" + a.Cat.Size(e.Entry.Size) + ")"
		}
		if e.Depth == 0 {
			return a.Printf("%s", name)
		}
		last = append(last[:e.Depth-1], e.Last)
		var b strings.Builder
		for _, over := range last[:e.Depth-1] {
			b.WriteString(pick(over, space, line))
		}
		b.WriteString(pick(e.Last, corner, fork))
		return a.Printf("%s%s", b.String(), name)
	})
	switch {
	case err != nil:
		return err
	case !a.json:
		sum := a.Cat.T("hufu.tree.summary", "folders", a.Cat.N("hufu.tree.folders", folders), "files", a.Cat.N("hufu.tree.files", others))
		if f.folders {
			sum = a.Cat.N("hufu.tree.folders", folders)
		}
		if err := cmp.Or(a.Printf(""), a.Printf("%s", sum)); err != nil {
			return err
		}
	}
	if failed {
		return cli.Reported(hufu.KindExists)
	}
	return nil
}

func pick(first bool, yes, no string) string {
	if first {
		return yes
	}
	return no
}
