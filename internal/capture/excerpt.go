package capture

import (
	"fmt"
	"slices"
	"strings"
)

// Excerpt is a piece of a stream as a hex dump shows it.
type Excerpt struct {
	Rows []Row `json:"rows"`
}

// Row is up to 16 bytes.
type Row struct {
	Offset int64  `json:"offset"` // of the first byte in its direction of the stream
	Cells  []Cell `json:"cells"`
}

// Cell is one byte: in hex, as a printable ASCII character or a dot, and
// whether it belongs to what was found.
type Cell struct {
	Hex  string `json:"hex"`
	Char string `json:"char"`
	Hit  bool   `json:"hit"`
}

const (
	rowBytes    = 16
	excerptRows = 5 // at most
)

// excerpt shows the rows around n bytes at at in data, whose first byte is
// number start of its stream.
func excerpt(data []byte, start int64, at, n int) *Excerpt {
	// Rows begin at multiples of 16 of the stream, as Wireshark's do.
	skew := int(start % rowBytes)
	first := (at+skew)/rowBytes*rowBytes - skew
	if first > 0 {
		first -= rowBytes // one row before
	}
	e := &Excerpt{}
	for i := first; i < len(data) && len(e.Rows) < excerptRows; i += rowBytes {
		row := Row{Offset: start + int64(max(i, 0))}
		for j := max(i, 0); j < min(i+rowBytes, len(data)); j++ {
			c := data[j]
			char := "."
			if c >= 0x20 && c < 0x7f {
				char = string(rune(c))
			}
			row.Cells = append(row.Cells, Cell{Hex: fmt.Sprintf("%02x", c), Char: char, Hit: j >= at && j < at+n})
		}
		e.Rows = append(e.Rows, row)
	}
	return e
}

// Clone returns a copy that shares nothing with e.
func (e Excerpt) Clone() Excerpt {
	rows := slices.Clone(e.Rows)
	for i := range rows {
		rows[i].Cells = slices.Clone(rows[i].Cells)
	}
	return Excerpt{Rows: rows}
}

// Mark marks n bytes of the stream at off as found, and reports whether the excerpt
// shows them all; otherwise it marks nothing.
func (e Excerpt) Mark(off int64, n int) bool {
	if len(e.Rows) == 0 {
		return false
	}
	last := e.Rows[len(e.Rows)-1]
	if off < e.Rows[0].Offset || off+int64(n) > last.Offset+int64(len(last.Cells)) {
		return false
	}
	for _, r := range e.Rows {
		for i := range r.Cells {
			if at := r.Offset + int64(i); at >= off && at < off+int64(n) {
				r.Cells[i].Hit = true
			}
		}
	}
	return true
}

// Lines is the excerpt as text. What was found stands between brackets, which
// take the place of the spaces between bytes.
func (e Excerpt) Lines() []string {
	var all []string
	for _, r := range e.Rows {
		var hex, text strings.Builder
		for i := range rowBytes {
			hit := i < len(r.Cells) && r.Cells[i].Hit
			before := i > 0 && i <= len(r.Cells) && r.Cells[i-1].Hit
			switch {
			case hit && !before:
				hex.WriteByte('[')
			case !hit && before:
				hex.WriteByte(']')
			default:
				hex.WriteByte(' ')
			}
			if i < len(r.Cells) {
				hex.WriteString(r.Cells[i].Hex)
				text.WriteString(r.Cells[i].Char)
			} else {
				hex.WriteString("  ")
			}
		}
		if len(r.Cells) == rowBytes && r.Cells[rowBytes-1].Hit {
			hex.WriteByte(']')
		} else {
			hex.WriteByte(' ')
		}
		all = append(all, fmt.Sprintf("%06x %s %s", r.Offset, hex.String(), text.String()))
	}
	return all
}
