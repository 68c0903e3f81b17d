package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"hufu"
	"hufu/internal/cli"
	"hufu/internal/client"
)

// jsonSpace is one line of df --json. Numbers that the server does not tell are null.
type jsonSpace struct {
	Path  string `json:"path"`
	Total *int64 `json:"total"`
	Used  *int64 `json:"used"`
	Free  *int64 `json:"free"`
}

func newDf(a *app) *cobra.Command {
	cmd := a.Command("df [:/PATH…]", "hufu.df", "hufu df", "hufu df :/ :/@shared/common", "hufu df --json")
	cli.Between(cmd, 0, -1)
	var f sizeFlags
	a.sizes(cmd, &f)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := f.check(); err != nil {
			return err
		}
		if len(args) == 0 {
			args = []string{":/"}
		}
		rows := [][]string{{
			a.Cat.T("hufu.df.column.size"), a.Cat.T("hufu.df.column.used"), a.Cat.T("hufu.df.column.free"),
			a.Cat.T("hufu.df.column.percent"), a.Cat.T("hufu.df.column.path"),
		}}
		err := a.each(cmd.Context(), args, expand, func(r *client.Remote, p hufu.Path) error {
			if _, err := r.Stat(cmd.Context(), p); err != nil { // the server tells the room of any place
				return err
			}
			free, total, err := r.Space(cmd.Context(), p)
			if err != nil {
				return err
			}
			used := total - free
			switch {
			case a.json && total <= 0:
				return a.JSON(jsonSpace{Path: p.Virtual()})
			case a.json:
				return a.JSON(jsonSpace{p.Virtual(), &total, &used, &free})
			case total <= 0:
				rows = append(rows, []string{"-", "-", "-", "-", p.Remote()})
			default:
				rows = append(rows, []string{
					a.size(total, f), a.size(used, f), a.size(free, f), fmt.Sprintf("%d%%", (used*100+total-1)/total), p.Remote(),
				})
			}
			return nil
		}, "")
		if a.json || len(rows) == 1 || lost(err) {
			return err
		}
		if err := a.Table(rows); err != nil {
			return err
		}
		return err
	}
	return cmd
}
