package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"hufu"
	"hufu/internal/cli"
	"hufu/internal/client"
)

func newMkdir(a *app) *cobra.Command {
	cmd := a.Command("mkdir :/FOLDER…", "hufu.mkdir", "hufu mkdir :/2026", "hufu mkdir -p :/2026/10/31")
	cli.Between(cmd, 1, -1)
	var parents bool
	cmd.Flags().BoolVarP(&parents, "parents", "p", false, a.Cat.T("hufu.flag.parents"))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.each(cmd.Context(), args, nil, func(r *client.Remote, p hufu.Path) error {
			made, err := r.Mkdir(cmd.Context(), p, 0o755, parents)
			switch {
			case err == nil && !made && !parents:
				return &hufu.Error{Op: "mkdir", Path: p.Remote(), Kind: hufu.KindExists, Code: "mkdir_exists"}
			case hufu.KindOf(err) == hufu.KindExists:
				return &hufu.Error{Op: "mkdir", Path: p.Remote(), Kind: hufu.KindExists, Code: "mkdir_taken", Err: err}
			case hufu.KindOf(err) == hufu.KindNotFound:
				return noFolder(cmd.Context(), r, p, "mkdir", "parent_missing", err)
			}
			return err
		}, "made")
	}
	return cmd
}

// noFolder returns the error of a path that cannot be created, with the first folder above it that
// is missing. It returns err if none is.
func noFolder(ctx context.Context, r *client.Remote, p hufu.Path, op, code string, err error) error {
	if hufu.CodeOf(err) == "shared_missing" {
		return err
	}
	way := p.Segments()
	for n := 1; n < len(way); n++ {
		above, parseErr := hufu.ParsePath(strings.Join(way[:n], "/"))
		if _, statErr := r.Stat(ctx, above); parseErr != nil || hufu.KindOf(statErr) != hufu.KindNotFound {
			continue
		}
		args := map[string]string{"folder": above.Remote()}
		return &hufu.Error{Op: op, Path: p.Remote(), Kind: hufu.KindNotFound, Code: code, Args: args, Err: err}
	}
	return err
}
