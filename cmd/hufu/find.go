package main

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"hufu"
	"hufu/internal/cli"
	"hufu/internal/client"
	"hufu/internal/transfer"
)

// findFlags are the flags of find.
type findFlags struct {
	names, anyCase []string
	kinds          []string
	sizes          []string
	newer, older   cli.Moment
	depth          int
	print0         bool
}

func newFind(a *app) *cobra.Command {
	cmd := a.Command("find [:/PATH…]", "hufu.find",
		"hufu find --name '*.jpg' :/photos",
		"hufu find --type file --size +100M --older 1y",
		"hufu find --newer 7d --json :/2026",
		"hufu find --name '*.tmp' --print0 | xargs -0 hufu rm --")
	cli.Between(cmd, 0, -1)
	var f findFlags
	cmd.Flags().StringArrayVar(&f.names, "name", nil, a.Cat.T("hufu.find.flag.name"))
	cmd.Flags().StringArrayVar(&f.anyCase, "iname", nil, a.Cat.T("hufu.find.flag.iname"))
	cmd.Flags().StringSliceVar(&f.kinds, "type", nil, a.Cat.T("hufu.find.flag.type"))
	cmd.Flags().StringArrayVar(&f.sizes, "size", nil, a.Cat.T("hufu.find.flag.size"))
	cmd.Flags().Var(&f.newer, "newer", a.Cat.T("hufu.find.flag.newer"))
	cmd.Flags().Var(&f.older, "older", a.Cat.T("hufu.find.flag.older"))
	cmd.Flags().IntVar(&f.depth, "max-depth", 0, a.Cat.T("hufu.find.flag.depth"))
	cmd.Flags().BoolVarP(&f.print0, "print0", "0", false, a.Cat.T("hufu.find.flag.print0"))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		o := client.WalkOptions{Depth: f.depth, Limit: cmd.Flag("max-depth").Changed, Brief: !a.json}
		if f.depth < 0 || f.depth > hufu.MaxDepth {
			return cli.FlagRange("max-depth", f.depth, 0, hufu.MaxDepth, "1")
		}
		if f.print0 && a.json {
			return cli.Usage("flags_contradict", "one", "--print0", "other", "--json")
		}
		match, err := f.matcher()
		if err != nil {
			return err
		}
		if len(args) == 0 {
			args = []string{":/"}
		}
		locs, err := a.remoteOnly(args)
		if err != nil {
			return err
		}
		return a.with(cmd.Context(), locs[0], nil, func(r *client.Remote) error {
			prefix := ""
			if name, _, _ := strings.Cut(locs[0].text, ":"); name != "" { // or the path would be on another server
				prefix = name
			}
			if locs, err = expand(cmd.Context(), r, locs); err != nil {
				return err
			}
			return a.eachOf(locs, func(p hufu.Path) error { return a.find(cmd.Context(), r, p, o, f.print0, prefix, match) }, "")
		})
	}
	return cmd
}

// find writes the paths below p that match.
func (a *app) find(ctx context.Context, r *client.Remote, p hufu.Path, o client.WalkOptions, print0 bool, prefix string, match func(hufu.Entry) bool) error {
	failed := false
	err := r.Walk(ctx, p, o, func(e client.Found) error {
		switch {
		case e.Err != nil:
			failed = true
			return a.failed(e.Path, e.Err)
		case !match(e.Entry):
			return nil
		case a.json:
			return a.printEntry(e.Path, e.Entry)
		case print0:
			_, err := a.Out.Write([]byte(prefix + e.Path.Remote() + "\x00"))
			return err //nolint:wrapcheck // it is one of ours, see cli.App
		}
		return a.Printf("%s", hufu.Printable(prefix+e.Path.Remote()))
	})
	if err == nil && failed {
		return cli.Reported(hufu.KindExists)
	}
	return err
}

// findKinds are the values of --type: those of find, and whole words.
var findKinds = map[string]hufu.EntryKind{
	"f": hufu.File, "file": hufu.File, "d": hufu.Folder, "folder": hufu.Folder, "l": hufu.Link, "link": hufu.Link, "other": hufu.Other,
}

// matcher returns the condition that all flags together are. Of several names, and of several
// kinds, one is enough.
func (f *findFlags) matcher() (func(hufu.Entry) bool, error) {
	var named []func(string) bool
	for i, pattern := range slices.Concat(f.names, f.anyCase) {
		matches, ok := transfer.NamePattern(pattern, i >= len(f.names))
		if !ok {
			return nil, cli.Usage("pattern_form", "pattern", pattern)
		}
		named = append(named, matches)
	}
	var kinds []hufu.EntryKind
	for _, k := range f.kinds {
		kind, ok := findKinds[k]
		if !ok {
			return nil, cli.Usage("find_type", "type", k)
		}
		kinds = append(kinds, kind)
	}
	var sized []func(hufu.Entry) bool
	for _, size := range f.sizes {
		one, err := ofSize(size)
		if err != nil {
			return nil, err
		}
		sized = append(sized, one)
	}
	return func(e hufu.Entry) bool {
		switch {
		case len(kinds) > 0 && !slices.Contains(kinds, e.Kind):
		case len(named) > 0 && !slices.ContainsFunc(named, func(matches func(string) bool) bool { return matches(e.Name) }):
		case slices.ContainsFunc(sized, func(is func(hufu.Entry) bool) bool { return !is(e) }):
		case !f.newer.IsZero() && !e.MTime.After(f.newer.Time):
		case !f.older.IsZero() && !e.MTime.Before(f.older.Time):
		default:
			return true
		}
		return false
	}, nil
}

// ofSize reads a --size: +N is more, -N is less, N exactly. Only files have a size.
func ofSize(size string) (func(hufu.Entry) bool, error) {
	number := strings.TrimLeft(size, "+-")
	n, ok := cli.ParseSize(number)
	if !ok || len(number) < len(size)-1 {
		return nil, cli.Usage("find_size", "size", size)
	}
	sign := size[:1]
	return func(e hufu.Entry) bool {
		switch {
		case e.Kind != hufu.File:
			return false
		case sign == "+":
			return e.Size > n
		case sign == "-":
			return e.Size < n
		}
		return e.Size == n
	}, nil
}
