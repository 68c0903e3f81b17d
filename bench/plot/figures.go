package main

import (
	"encoding/csv"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// A table is a workload, with its peers in the order in which they ran.
type table struct {
	workload, unit string
	peers          []*peer
}

// A peer holds a figure of each run that went well.
type peer struct {
	name                 string
	wall, synced         []float64 // seconds
	rate, syncedRate     []float64 // of bytes, files or connections a second
	client, server, both []float64 // processor seconds, for the unit's worth of work
	clientMiB, serverMiB float64   // the highest of all runs
	load                 float64   // the same
	failed               []string
}

// read returns what stands in front of the figures and a table for each workload.
func read(name string) (head []string, tables []*table, err error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, nil, err
	}
	for line := range strings.Lines(string(text)) {
		if said, ok := strings.CutPrefix(line, "# "); ok {
			head = append(head, strings.TrimSpace(said))
		}
	}
	r := csv.NewReader(strings.NewReader(string(text)))
	r.Comment = '#'
	rows, err := r.ReadAll()
	if err != nil || len(rows) == 0 {
		return head, nil, err
	}
	for _, fields := range rows[1:] {
		row := make(map[string]string)
		for i, column := range rows[0] {
			row[column] = fields[i]
		}
		if tables, err = add(tables, row); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return head, tables, nil
}

func add(tables []*table, row map[string]string) ([]*table, error) {
	i := slices.IndexFunc(tables, func(t *table) bool { return t.workload == row["workload"] })
	if i < 0 {
		i = len(tables)
		tables = append(tables, &table{workload: row["workload"], unit: row["unit"]})
	}
	t := tables[i]
	j := slices.IndexFunc(t.peers, func(p *peer) bool { return p.name == row["peer"] })
	if j < 0 {
		j = len(t.peers)
		t.peers = append(t.peers, &peer{name: row["peer"]})
	}
	p := t.peers[j]
	if row["failed"] != "" {
		p.failed = append(p.failed, row["failed"])
		return tables, nil
	}
	number := make(map[string]float64)
	for _, column := range []string{"bytes", "items", "wall_s", "synced_s", "client_cpu_s", "server_cpu_s", "client_mib", "server_mib", "load"} {
		n, err := strconv.ParseFloat(row[column], 64)
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", column, err)
		}
		number[column] = n
	}
	work, share := number["items"], 1.0 // share: what processor seconds are divided by
	switch t.unit {
	case "file":
		work, share = number["bytes"], number["bytes"]/1e9
	case "connection":
		share = number["items"] / 1000
	}
	p.wall = append(p.wall, number["wall_s"])
	p.rate = append(p.rate, work/number["wall_s"])
	if number["synced_s"] > 0 {
		p.synced = append(p.synced, number["synced_s"])
		p.syncedRate = append(p.syncedRate, work/number["synced_s"])
	}
	p.client = append(p.client, number["client_cpu_s"]/share)
	p.server = append(p.server, number["server_cpu_s"]/share)
	p.both = append(p.both, (number["client_cpu_s"]+number["server_cpu_s"])/share)
	p.clientMiB = max(p.clientMiB, number["client_mib"])
	p.serverMiB = max(p.serverMiB, number["server_mib"])
	p.load = max(p.load, number["load"])
	return tables, nil
}

// median of an even number is the mean of the two in the middle; of none, 0.
func median(list []float64) float64 {
	if len(list) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(list))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// scales reports whether the peers are hufu with more and more nodes: then the table says how many times as
// fast each is as one node, and not how many times as fast as it one node is.
func (t *table) scales() bool { return strings.HasPrefix(t.workload, "links-") }

// ratio is the head of the column that compares a peer with hufu.
func (t *table) ratio() string {
	if t.scales() {
		return "of one node"
	}
	return "hufu is"
}

// compared says the same in words of a peer, whose rate that of hufu is a multiple of.
func (t *table) compared(multiple float64) string {
	if t.scales() {
		return fmt.Sprintf("%.2f × one node", 1/multiple)
	}
	return fmt.Sprintf("hufu is %.2f ×", multiple)
}

// hufu is the peer that the others are compared with, nil if it did not run.
func (t *table) hufu() *peer {
	for _, p := range t.peers {
		if p.name == "hufu" && len(p.wall) > 0 {
			return p
		}
	}
	return nil
}
