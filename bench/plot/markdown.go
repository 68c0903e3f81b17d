package main

import (
	"fmt"
	"slices"
	"strings"
)

// words are what the table calls things: rate, and processor time.
func (t *table) words() (rate, cpu string) {
	switch t.unit {
	case "file":
		return "MB/s", "CPU s/GB"
	case "connection":
		return "per second", "CPU ms each"
	}
	return "files/s", "CPU s"
}

func (t *table) speed(rate float64) string {
	if t.unit == "file" {
		rate /= 1e6
	}
	if rate < 100 {
		return fmt.Sprintf("%.1f", rate)
	}
	return fmt.Sprintf("%.0f", rate)
}

func markdown(head []string, tables []*table) string {
	var b strings.Builder
	b.WriteString("# hufu beside other tools\n\n")
	for _, line := range head {
		b.WriteString("- " + line + "\n")
	}
	b.WriteString("\nMedians of the runs, which were interleaved. \"hufu is\": the median rate of hufu over that of the peer, so above 1 hufu is faster. \"of one node\": the rate of several nodes over that of one. See bench/README.md.\n")
	for _, t := range tables {
		t.write(&b)
	}
	return b.String()
}

func (t *table) write(b *strings.Builder) {
	rate, cpu := t.words()
	synced := slices.ContainsFunc(t.peers, func(p *peer) bool { return len(p.synced) > 0 })
	columns := []string{"peer", rate, "wall s", "min–max", t.ratio()}
	if synced {
		columns = append(columns, "until synced: "+rate, "s", "min–max", "hufu is")
	}
	columns = append(columns, cpu+" client", "server", "both", "MiB client", "server", "runs", "load")
	fmt.Fprintf(b, "\n## %s\n\n| %s |\n|%s\n", t.workload, strings.Join(columns, " | "), "---|"+strings.Repeat("---:|", len(columns)-1))
	hufu := t.hufu()
	times := func(ours, theirs []float64) string {
		if len(ours) == 0 || len(theirs) == 0 {
			return "–"
		}
		if t.scales() {
			ours, theirs = theirs, ours
		}
		return fmt.Sprintf("%.2f ×", median(ours)/median(theirs))
	}
	for _, p := range slices.SortedStableFunc(slices.Values(t.peers), func(a, b *peer) int {
		return compare(median(b.rate), median(a.rate))
	}) {
		if len(p.wall) == 0 {
			fmt.Fprintf(b, "| %s | failed %s|\n", p.name, strings.Repeat("| ", len(columns)-2))
			continue
		}
		var ours peer
		if hufu != nil && p != hufu {
			ours = *hufu
		}
		name := p.name
		if p == hufu {
			name = "**hufu**"
		}
		cells := []string{name, t.speed(median(p.rate)), fmt.Sprintf("%.3f", median(p.wall)), spread(p.wall), times(ours.rate, p.rate)}
		if synced {
			cells = append(cells, t.speed(median(p.syncedRate)), fmt.Sprintf("%.3f", median(p.synced)), spread(p.synced), times(ours.syncedRate, p.syncedRate))
		}
		cells = append(cells, fmt.Sprintf("%.2f", median(p.client)), fmt.Sprintf("%.2f", median(p.server)), fmt.Sprintf("%.2f", median(p.both)),
			fmt.Sprintf("%.0f", p.clientMiB), fmt.Sprintf("%.0f", p.serverMiB), fmt.Sprint(len(p.wall)), fmt.Sprintf("%.1f", p.load))
		fmt.Fprintf(b, "| %s |\n", strings.Join(cells, " | "))
	}
	for _, p := range t.peers {
		for _, why := range p.failed {
			fmt.Fprintf(b, "\n%s failed: %s\n", p.name, why)
		}
	}
}

func compare(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func spread(list []float64) string {
	if len(list) == 0 {
		return "–"
	}
	return fmt.Sprintf("%.3f–%.3f", slices.Min(list), slices.Max(list))
}
