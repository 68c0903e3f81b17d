package main

import (
	"cmp"
	"fmt"

	"github.com/spf13/cobra"

	"hufu"
	"hufu/internal/cli"
	"hufu/internal/client"
)

func newStat(a *app) *cobra.Command {
	cmd := a.Command("stat :/PATH…", "hufu.stat", "hufu stat :/report.pdf", "hufu stat --json :/report.pdf")
	cli.Between(cmd, 1, -1)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		later := false
		return a.each(cmd.Context(), args, expand, func(r *client.Remote, p hufu.Path) error {
			e, err := r.Stat(cmd.Context(), p)
			if err != nil {
				return err
			}
			if a.json {
				return a.printEntry(p, e)
			}
			if later {
				if err := a.Printf(""); err != nil {
					return err
				}
			}
			later = true
			return a.statText(p, e)
		}, "")
	}
	return cmd
}

// statText describes an entry, a property a line.
func (a *app) statText(p hufu.Path, e hufu.Entry) error {
	rows := [][]string{
		{a.Cat.T("hufu.stat.path"), p.Remote()},
		{a.Cat.T("hufu.stat.kind"), a.Cat.T("gui.kind." + e.Kind.String())},
	}
	if e.Kind == hufu.File {
		size := a.Cat.Size(e.Size)
		if e.Size >= 1024 {
			size = a.Cat.T("hufu.stat.bytes", "size", size, "bytes", e.Size)
		}
		rows = append(rows, []string{a.Cat.T("hufu.stat.size"), size})
	}
	if e.Kind == hufu.Link {
		rows = append(rows, []string{a.Cat.T("hufu.stat.target"), e.Target})
	}
	rows = append(rows,
		[]string{a.Cat.T("hufu.stat.time"), e.MTime.Local().Format("2006-01-02 15:04:05.999999999 -0700")},
		[]string{a.Cat.T("hufu.stat.mode"), fmt.Sprintf("%04o %s", e.Mode, modeText(e))},
		[]string{a.Cat.T("hufu.stat.by"), cmp.Or(e.By, "-")})
	if e.Kind == hufu.File {
		digest := "-"
		if !e.Digest.IsZero() {
			digest = e.Digest.String()
		}
		rows = append(rows, []string{a.Cat.T("hufu.stat.digest"), digest})
	}
	return a.Table(rows)
}
