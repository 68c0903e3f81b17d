package main

import (
	"github.com/spf13/cobra"
)

// listing is a command that lists what there is of one thing.
type listing[T any] struct {
	key     string // of the command's texts; KEY.none, if there is one, is said of an empty list
	find    func(*cobra.Command, *site) ([]T, error)
	object  func(T) any // a line of --json
	columns []string    // keys below hufud.column
	row     func(T) []string
}

func (l listing[T]) command(a *app) *cobra.Command {
	cmd := a.Command("list", l.key)
	cmd.Flags().BoolVar(&a.json, "json", false, a.Cat.T("hufud.flag.json"))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		s, err := a.look(cmd.Context(), false)
		if err != nil {
			return err
		}
		defer func() { _ = s.close() }()
		all, err := l.find(cmd, s)
		if err != nil {
			return err
		}
		return l.print(a, all)
	}
	return cmd
}

func (l listing[T]) print(a *app, all []T) error {
	if a.json {
		for _, v := range all {
			if err := a.JSON(l.object(v)); err != nil {
				return err
			}
		}
		return nil
	}
	if len(all) == 0 && a.Cat.Has(l.key+".none") {
		a.Hint(a.Cat.T(l.key + ".none"))
		return nil
	}
	rows := [][]string{nil}
	for _, c := range l.columns {
		rows[0] = append(rows[0], a.Cat.T("hufud.column."+c))
	}
	for _, v := range all {
		rows = append(rows, l.row(v))
	}
	return a.Table(rows)
}
