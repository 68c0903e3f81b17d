package main

import (
	"context"

	"github.com/spf13/cobra"

	"hufu"
	"hufu/internal/cli"
	"hufu/internal/client"
	"hufu/internal/transfer"
)

// syncFlags are the flags of sync.
type syncFlags struct {
	copyFlags
	delete bool
	most   int64
	watch  bool
}

func newSync(a *app) *cobra.Command {
	cmd := a.Command("sync SOURCE TARGET", "hufu.sync",
		"hufu sync photos :/photos",
		"hufu sync --delete --dry-run photos :/photos",
		"hufu sync --delete --exclude '*.tmp' work:/plans plans",
		"hufu sync --watch src :/src")
	cli.Exactly(cmd, 2)
	f := syncFlags{copyFlags: copyFlags{sync: true}}
	cmd.Flags().BoolVar(&f.delete, "delete", false, a.Cat.T("hufu.sync.flag.delete"))
	cmd.Flags().Int64Var(&f.most, "max-delete", -1, a.Cat.T("hufu.sync.flag.max_delete"))
	cmd.Flags().BoolVar(&f.watch, "watch", false, a.Cat.T("hufu.sync.flag.watch"))
	cmd.Flags().BoolVarP(&f.verbose, "verbose", "v", false, a.Cat.T("hufu.sync.flag.verbose"))
	cmd.Flags().BoolVarP(&f.dry, "dry-run", "n", false, a.Cat.T("hufu.sync.flag.dry_run"))
	cmd.Flags().BoolVarP(&f.recursive, "recursive", "r", false, a.Cat.T("hufu.sync.flag.recursive"))
	cmd.Flags().BoolVar(&f.executable, "executable", false, a.Cat.T("hufu.flag.executable"))
	a.commonFlags(cmd, &f.copyFlags)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		o, err := a.options(cmd.Context(), &f.copyFlags)
		if err != nil {
			return err
		}
		switch given := cmd.Flags().Changed("max-delete"); {
		case given && !f.delete:
			return cli.Usage("sync_without_delete")
		case given && f.most < 0:
			return cli.Usage("sync_max_delete")
		case f.delete && o.Only != nil:
			return cli.Usage("flags_contradict", "one", "--files-from", "other", "--delete")
		case f.watch && o.Only != nil:
			return cli.Usage("flags_contradict", "one", "--files-from", "other", "--watch")
		case f.watch && f.dry:
			return cli.Usage("flags_contradict", "one", "--watch", "other", "-n")
		case f.watch && f.nothing:
			return cli.Usage("flags_contradict", "one", "--watch", "other", "--error-on-no-transfer")
		}
		o.Conflict, o.Mirror = transfer.Replace, &transfer.Mirror{Delete: f.delete, Most: f.most}
		far, near, err := a.syncPlaces(args, &f)
		if err != nil {
			return err
		}
		if o.Drop.Umask = serverUmask; f.down {
			o.Drop.Umask = umask()
		}
		return a.with(cmd.Context(), far, nil, func(r *client.Remote) error {
			if f.watch {
				return a.watch(cmd.Context(), r, near, far.path, &f, o)
			}
			return a.sync(cmd.Context(), r, near, far.path, &f, o)
		})
	}
	return cmd
}

// syncPlaces returns the places of the server and of this computer, and notes which is the source.
func (a *app) syncPlaces(args []string, f *syncFlags) (far location, near string, err error) {
	var both [2]location
	for i, s := range args {
		if s == "-" {
			return far, "", cli.Usage("sync_stream")
		}
		if both[i], err = a.parseLocation(s); err != nil {
			return far, "", err
		}
	}
	switch from, to := both[0], both[1]; {
	case from.remote && to.remote:
		return far, "", cli.Usage("sync_two_servers", "target", to.text)
	case !from.remote && !to.remote:
		return far, "", cli.Usage("sync_no_server", "target", to.text)
	case from.remote:
		f.down = true
		return from, to.local, nil
	default:
		return to, from.local, nil
	}
}

// sync makes the target equal to the source once.
func (a *app) sync(ctx context.Context, r *client.Remote, near string, far hufu.Path, f *syncFlags, o transfer.Options) error {
	c, err := r.PrepareSync(ctx, near, far, f.down, client.How{DryRun: f.dry})
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	o.Strip, o.Me = f.down && !f.executable, r.Profile().User
	return a.copy(ctx, r, c, &f.copyFlags, o, "sync", func(ctx context.Context, e *transfer.Engine) error {
		if f.down {
			return e.Get(ctx, c.Sources)
		}
		return e.Put(ctx, c.Sources)
	})
}

// kept tells what a sync has not deleted, into sum if it is not nil.
func (v *view) kept(e *transfer.Engine, sum map[string]any) {
	kept := e.Kept()
	switch {
	case sum != nil:
		if v.sync {
			sum["deleted"] = v.deleted
		}
		if kept.Over > 0 {
			sum["over_max_delete"] = kept.Over
		}
		if kept.Unread {
			sum["nothing_deleted"] = true
		}
	case kept.Over > 0:
		v.a.Hint(v.a.Cat.N("hufu.sync.over", int(kept.Over)))
	case kept.Unread:
		v.a.Hint(v.a.Cat.T("hufu.sync.kept"))
	}
}
