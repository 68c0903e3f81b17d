package main

import (
	"testing"
	"time"

	"hufu"
)

func TestBandwidth(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]int64{"512": 512 << 10, "1.5M": 3 << 19, "10MB": 10e6, "2g": 2 << 30, "off": 0, "0": 0} {
		if got, ok := rateOf(s); !ok || got != want {
			t.Errorf("%q is %d, %v", s, got, ok)
		}
	}
	for _, s := range []string{" ", "x", "1X", "-1", "08:00", "8,1M", "08:00,1M 512K", "25:00,1M", "08:00,", "0.0001b"} {
		if _, err := bandwidth(s); hufu.CodeOf(err) != "bwlimit_form" {
			t.Errorf("%q: %v", s, err)
		}
	}
	if l, err := bandwidth("19:00,off 08:00,512K"); l == nil || err != nil {
		t.Error(err)
	}
	table := []fromMinute{{8 * 60, 512}, {19 * 60, 0}}
	for clock, want := range map[string]int64{"00:00": 0, "07:59": 0, "08:00": 512, "18:59": 512, "19:00": 0} {
		now, err := time.Parse("15:04", clock)
		if got := rateAt(table, now); err != nil || got != want {
			t.Errorf("at %s: %d", clock, got)
		}
	}
}
