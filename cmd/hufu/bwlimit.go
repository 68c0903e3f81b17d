package main

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"hufu/internal/cli"
	"hufu/internal/transfer"
)

// fromMinute is a rate from a minute of the day on.
type fromMinute struct {
	minute int
	bytes  int64 // in a second; 0 is no bound
}

// bandwidth reads --bwlimit: a rate, or a timetable such as "08:00,512K 19:00,off".
func bandwidth(s string) (*transfer.Limit, error) {
	if s == "" {
		return nil, nil
	}
	wrong := cli.Usage("bwlimit_form", "value", s)
	var table []fromMinute
	for entry := range strings.FieldsSeq(s) {
		clock, text, timed := strings.Cut(entry, ",")
		if !timed {
			clock, text = "00:00", entry
		}
		at, err := time.Parse("15:04", clock)
		bytes, ok := rateOf(text)
		if err != nil || !ok || !timed && len(strings.Fields(s)) > 1 {
			return nil, wrong
		}
		table = append(table, fromMinute{at.Hour()*60 + at.Minute(), bytes})
	}
	if len(table) == 0 {
		return nil, wrong
	}
	slices.SortStableFunc(table, func(a, b fromMinute) int { return cmp.Compare(a.minute, b.minute) })
	return transfer.NewLimit(func(now time.Time) int64 { return rateAt(table, now) }), nil
}

// rateAt returns the rate of the moment: before the first entry of a day, that of the last one.
func rateAt(table []fromMinute, now time.Time) int64 {
	bytes := table[len(table)-1].bytes
	for _, e := range table {
		if e.minute <= now.Hour()*60+now.Minute() {
			bytes = e.bytes
		}
	}
	return bytes
}

// rateOf reads a number of bytes in a second. As in rsync, a number without a unit is in KiB.
func rateOf(s string) (bytes int64, ok bool) {
	if s == "off" {
		return 0, true
	}
	if strings.Trim(s, "0123456789.") == "" {
		s += "K"
	}
	bytes, ok = cli.ParseSize(s)
	return bytes, ok && (bytes > 0 || strings.Trim(s, "0.K") == "")
}
