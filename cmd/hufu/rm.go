package main

import (
	"context"

	"github.com/spf13/cobra"

	"hufu"
	"hufu/internal/cli"
	"hufu/internal/client"
)

func newRm(a *app) *cobra.Command {
	cmd := a.Command("rm :/PATH…", "hufu.rm", "hufu rm :/old.txt", "hufu rm -r :/2019", "hufu rm -r -n ':/2019/*.tmp'")
	var recursive, force, verbose, dry bool
	cmd.Flags().BoolVarP(&recursive, "recursive", "r", false, a.Cat.T("hufu.flag.recursive"))
	cmd.Flags().BoolVarP(&force, "force", "f", false, a.Cat.T("hufu.flag.force"))
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, a.Cat.T("hufu.rm.flag.verbose"))
	cmd.Flags().BoolVarP(&dry, "dry-run", "n", false, a.Cat.T("hufu.rm.flag.dry_run"))
	cli.Between(cmd, 0, -1)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) == 0 && force: // as rm: an empty list is no error
			return nil
		case len(args) == 0:
			return cli.Usage("admin_argument_missing", "use", cmd.UseLine())
		}
		if dry {
			return a.each(cmd.Context(), args, expand, func(r *client.Remote, p hufu.Path) error {
				err := a.wouldRemove(cmd.Context(), r, p, recursive)
				if force && hufu.KindOf(err) == hufu.KindNotFound {
					return nil
				}
				return err
			}, "")
		}
		return a.each(cmd.Context(), args, expand, func(r *client.Remote, p hufu.Path) error {
			err := r.Remove(cmd.Context(), p, recursive)
			switch {
			case force && hufu.KindOf(err) == hufu.KindNotFound:
				return nil
			case err == nil && verbose && !a.json:
				return a.Printf("%s", a.Cat.T("hufu.rm.removed", "path", p.Remote()))
			}
			return err
		}, "removed")
	}
	return cmd
}

// wouldRemove lists what rm would remove. Whether the user has permission shows only when it is done.
func (a *app) wouldRemove(ctx context.Context, r *client.Remote, p hufu.Path, recursive bool) error {
	if p.IsRoot() || p.String() == sharedPlace || p.Parent().String() == sharedPlace {
		return &hufu.Error{Op: "rm", Path: p.Remote(), Kind: hufu.KindPermission, Code: "not_allowed_here"}
	}
	failed := false
	show := func(f client.Found) error {
		switch {
		case f.Err != nil:
			failed = true
			return a.failed(f.Path, f.Err)
		case a.json:
			return a.JSON(jsonDone{f.Path.Virtual(), "would_remove", nil})
		}
		return a.Printf("%s", a.Cat.T("hufu.rm.would", "path", f.Path.Remote()))
	}
	if recursive {
		err := r.Walk(ctx, p, client.WalkOptions{Brief: true}, show)
		if err == nil && failed {
			return cli.Reported(hufu.KindExists)
		}
		return err
	}
	e, err := r.Stat(ctx, p)
	if err == nil && e.Kind == hufu.Folder {
		err = r.List(ctx, p, func(hufu.Entry) error {
			return &hufu.Error{Op: "rm", Path: p.Remote(), Kind: hufu.KindNotEmpty}
		})
	}
	if err != nil {
		return err
	}
	return show(client.Found{Path: p})
}
