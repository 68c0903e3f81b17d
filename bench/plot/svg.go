package main

import (
	"fmt"
	"html"
	"slices"
	"strings"
)

// Measures of the plot, in pixels.
const (
	width     = 860
	labels    = 150 // left of the bars
	figures   = 190 // right of them
	barHeight = 16
	barGap    = 6
	titleRoom = 34
)

// svg draws for each workload a bar for each peer, as long as its median rate,
// and on it a line from the slowest run to the fastest. The colors are those
// of a page in a light or a dark mood.
func svg(tables []*table) string {
	var b strings.Builder
	height := 20
	for _, t := range tables {
		height += titleRoom + len(measured(t))*(barHeight+barGap) + 14
	}
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-label="hufu beside other tools">
<style>
text { font: 13px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600 }
.figure { font-variant-numeric: tabular-nums }
.bar { fill: #8c959f } .hufu { fill: #b35900 } .range { stroke: #24292f; stroke-width: 1.5 }
@media (prefers-color-scheme: dark) {
text { fill: #d1d7de } .bar { fill: #6e7681 } .hufu { fill: #e3872d } .range { stroke: #d1d7de }
}
</style>
`, width, height, width, height)
	y := 10
	for _, t := range tables {
		y = t.draw(&b, y)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// measured are the peers with figures, the fastest first.
func measured(t *table) []*peer {
	list := slices.DeleteFunc(slices.Clone(t.peers), func(p *peer) bool { return len(p.rate) == 0 })
	slices.SortStableFunc(list, func(a, b *peer) int { return compare(plotted(b), plotted(a)) })
	return list
}

// plotted is the rate that is drawn: until all is on the disk, where that was
// measured, for only then the peers have done the same.
func plotted(p *peer) float64 { return median(rates(p)) }

func rates(p *peer) []float64 {
	if len(p.syncedRate) > 0 {
		return p.syncedRate
	}
	return p.rate
}

func (t *table) draw(b *strings.Builder, y int) int {
	unit, _ := t.words()
	title := t.workload + ", " + unit
	if slices.ContainsFunc(t.peers, func(p *peer) bool { return len(p.syncedRate) > 0 }) {
		title += ", until synced"
	}
	fmt.Fprintf(b, "<text class=\"title\" x=\"10\" y=\"%d\">%s</text>\n", y+18, html.EscapeString(title))
	y += titleRoom
	longest := 0.0
	for _, p := range measured(t) {
		longest = max(longest, slices.Max(rates(p)))
	}
	scale := float64(width-labels-figures) / longest
	hufu := t.hufu()
	for _, p := range measured(t) {
		class, said := "bar", t.speed(plotted(p))
		switch {
		case p == hufu:
			class += " hufu"
		case hufu != nil:
			said += fmt.Sprintf(" (%s)", t.compared(plotted(hufu)/plotted(p)))
		}
		low, high := slices.Min(rates(p))*scale, slices.Max(rates(p))*scale
		middle := y + barHeight/2
		fmt.Fprintf(b, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>", labels-8, y+barHeight-3, html.EscapeString(p.name))
		fmt.Fprintf(b, "<rect class=\"%s\" x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\" rx=\"2\"/>", class, labels, y, plotted(p)*scale, barHeight)
		fmt.Fprintf(b, "<line class=\"range\" x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\"/>", labels+low, middle, labels+high, middle)
		fmt.Fprintf(b, "<text class=\"figure\" x=\"%.1f\" y=\"%d\">%s</text>\n", labels+high+8, y+barHeight-3, said)
		y += barHeight + barGap
	}
	return y + 14
}
