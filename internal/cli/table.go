package cli

import "hufu"

// tableRows is how many rows of a long table are set at a time.
const tableRows = 1000

// Table is a long table that is written a part at a time. The columns of a part are
// at least as wide as those of the parts before it.
type Table struct {
	rows   [][]string
	widths []int
}

// Row adds a row to t. Control characters in a cell are replaced. EndTable must
// follow the last row.
func (a *App) Row(t *Table, cells ...string) error {
	for i := range cells {
		cells[i] = hufu.Printable(cells[i])
	}
	if t.rows = append(t.rows, cells); len(t.rows) < tableRows {
		return nil
	}
	return a.EndTable(t)
}

// EndTable writes the rows that were not written yet.
func (a *App) EndTable(t *Table) error {
	var lines []string
	lines, t.widths = columns(t.rows, t.widths)
	t.rows = t.rows[:0]
	for _, line := range lines {
		if err := a.Printf("%s", line); err != nil {
			return err
		}
	}
	return nil
}
