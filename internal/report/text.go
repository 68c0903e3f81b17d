package report

import (
	"bufio"
	"io"
	"strings"

	"hufu"
	"hufu/internal/cli"
)

// Text writes the report for a terminal.
func (r *Report) Text(w io.Writer) error {
	v := r.view()
	b := &page{w: bufio.NewWriter(w)}
	b.put(v.Title)
	b.put(strings.Repeat("═", cli.Width(v.Title)))
	b.put(v.Intro, "")

	rows := [][]string{v.Heads[:]}
	for _, l := range v.Lines {
		rows = append(rows, []string{l.Label, l.Plain.Text, l.TLS.Text})
	}
	b.table(rows)
	b.put("", v.Verdict.Text)

	b.scenes(v.Heads[1], v.Plain)
	b.scenes(v.Heads[2], v.Sealed)
	if len(v.Flights) > 0 {
		b.heading(v.T("wire.section.handshake"))
		rows = rows[:0]
		for _, f := range v.Facts {
			rows = append(rows, []string{f.What, f.Expr})
		}
		b.table(rows)
		b.put("")
		rows = [][]string{{v.T("wire.column.packet"), v.T("wire.column.way"), v.T("wire.column.records")}}
		for _, f := range v.Flights {
			rows = append(rows, []string{f.Packets, f.Way, f.What})
		}
		b.table(rows)
		if v.More != "" {
			b.put("  " + v.More)
		}
	}
	if len(v.Attempt) > 0 {
		b.heading(v.T("wire.section.mitm"))
		for _, c := range v.Attempt {
			b.put("  " + c.Text)
		}
		b.dumps(v.AttemptScene)
	}
	b.heading(v.T("wire.section.filters"))
	rows = rows[:0]
	for _, f := range v.Filters {
		rows = append(rows, []string{f.What, f.Expr})
	}
	b.table(rows)
	b.put("")
	for _, n := range v.Notes {
		b.put("  " + n)
	}
	if err := b.w.Flush(); err != nil {
		return &hufu.Error{Op: "write report", Kind: hufu.KindUnreadable, Code: "report_write", Err: err}
	}
	return nil
}

// page writes lines; bufio keeps the first error.
type page struct{ w *bufio.Writer }

func (p *page) put(lines ...string) {
	for _, l := range lines {
		_, _ = p.w.WriteString(strings.TrimRight(l, " ") + "\n")
	}
}

func (p *page) heading(s string) { p.put("", s, strings.Repeat("─", cli.Width(s))) }

func (p *page) scenes(heading string, all []scene) {
	if len(all) > 0 {
		p.heading(heading)
		p.dumps(all)
	}
}

func (p *page) dumps(all []scene) {
	for _, s := range all {
		p.put("  " + s.Heading)
		for _, l := range s.Excerpt.Lines() {
			p.put("    " + l)
		}
	}
}

func (p *page) table(rows [][]string) {
	for _, l := range cli.Columns(rows) {
		p.put("  " + l)
	}
}
