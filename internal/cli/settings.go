package cli

import (
	"cmp"
	"fmt"
	"strings"
)

// Setting is a value that is in force, and where it comes from: a flag, a variable of the environment
// or a file, or ByDefault. It is a line of --json.
type Setting struct {
	Key   string `json:"key"`
	Value any    `json:"value"`
	From  string `json:"from"`
}

// ByDefault is the origin of a value that nobody has set.
const ByDefault = "default"

// Settings prints settings, as JSON or as a table. With from the table says where each comes from.
func (a *App) Settings(all []Setting, asJSON, from bool) error {
	rows := [][]string{{a.Cat.T("hufud.column.setting"), a.Cat.T("hufud.column.value"), a.Cat.T("hufud.column.from")}}
	for _, s := range all {
		if asJSON {
			if err := a.JSON(s); err != nil {
				return err
			}
			continue
		}
		value := fmt.Sprint(s.Value)
		if list, ok := s.Value.([]string); ok {
			value = strings.Join(list, ", ")
		}
		if s.From == ByDefault {
			s.From = a.Cat.T("hufud.config.default")
		}
		rows = append(rows, []string{s.Key, cmp.Or(value, "-"), s.From})
	}
	if asJSON {
		return nil
	}
	if !from {
		for i := range rows {
			rows[i] = rows[i][:2]
		}
	}
	return a.Table(rows)
}
