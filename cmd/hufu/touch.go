package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"hufu"
	"hufu/internal/cli"
	"hufu/internal/client"
)

// kept returns an error if the disk of the server did not keep a time that it may not know: ext4
// begins in December 1901, and others end in 2038.
func (a *app) kept(ctx context.Context, r *client.Remote, p hufu.Path, want time.Time) error {
	if y := want.UTC().Year(); y >= 1980 && y <= 2037 {
		return nil
	}
	e, err := r.Stat(ctx, p)
	if err != nil || e.MTime.Sub(want).Abs() <= 2*time.Second {
		return err
	}
	return &hufu.Error{
		Op: "touch", Path: p.Remote(), Kind: hufu.KindUnsupported, Code: "touch_moved",
		Args: map[string]string{"want": want.UTC().Format(time.RFC3339), "got": e.MTime.UTC().Format(time.RFC3339)},
	}
}

func newTouch(a *app) *cobra.Command {
	cmd := a.Command("touch :/PATH…", "hufu.touch", "hufu touch :/done", "hufu touch -c --time '2026-10-31 14:00' :/report.pdf")
	cli.Between(cmd, 1, -1)
	var keep bool
	var when cli.Moment
	cmd.Flags().BoolVarP(&keep, "no-create", "c", false, a.Cat.T("hufu.touch.flag.no_create"))
	cmd.Flags().VarP(&when, "time", "d", a.Cat.T("hufu.touch.flag.time"))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		mtime := when.Time
		if mtime.IsZero() {
			mtime = time.Now()
		}
		if !time.Unix(0, mtime.UnixNano()).Equal(mtime) {
			return cli.Usage("touch_time")
		}
		folders := map[hufu.Path]bool{} // written with a slash: no file is created
		meant := func(ctx context.Context, r *client.Remote, locs []location) ([]location, error) {
			all, err := expand(ctx, r, locs)
			for _, l := range all {
				folders[l.path] = folders[l.path] || l.slash
			}
			return all, err
		}
		return a.each(cmd.Context(), args, meant, func(r *client.Remote, p hufu.Path) error {
			made, err := r.Touch(cmd.Context(), p, mtime, !keep && !folders[p])
			outcome := "touched"
			switch {
			case keep && hufu.KindOf(err) == hufu.KindNotFound:
				outcome = "skipped"
			case hufu.KindOf(err) == hufu.KindNotFound && !folders[p]:
				return noFolder(cmd.Context(), r, p, "touch", "folder_above_missing", err)
			case err != nil:
				return err
			case made:
				outcome = "made"
			}
			if outcome != "skipped" {
				if err := a.kept(cmd.Context(), r, p, mtime); err != nil {
					return err
				}
			}
			if a.json {
				return a.JSON(jsonDone{p.Virtual(), outcome, nil})
			}
			return nil
		}, "")
	}
	return cmd
}
