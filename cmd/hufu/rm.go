package main

import (
	"github.com/spf13/cobra"

	"hufu"
	"hufu/internal/cli"
	"hufu/internal/client"
)

func newRm(a *app) *cobra.Command {
	cmd := a.Command("rm :/PATH…", "hufu.rm", "hufu rm :/old.txt", "hufu rm -r :/2019")
	var recursive, force, verbose bool
	cmd.Flags().BoolVarP(&recursive, "recursive", "r", false, a.Cat.T("hufu.flag.recursive"))
	cmd.Flags().BoolVarP(&force, "force", "f", false, a.Cat.T("hufu.flag.force"))
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, a.Cat.T("hufu.rm.flag.verbose"))
	cli.Between(cmd, 0, -1)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) == 0 && force: // as rm: an empty list is no error
			return nil
		case len(args) == 0:
			return cli.Usage("admin_argument_missing", "use", cmd.UseLine())
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
