package cli

import (
	"testing"
	"time"
)

func TestParseSize(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]int64{
		"0": 0, "512": 512, "512b": 512, "1k": 1024, "10M": 10 << 20, "1.5G": 3 << 29, "10MiB": 10 << 20, "10MB": 10_000_000, "2t": 2 << 40, "1P": 1 << 50,
		"7.5PiB": 15 << 49,
		"":       -1, "M": -1, "10X": -1, "-1": -1, "+1": -1, "1e3": -1, "1 M": -1, "1.2.3": -1, "0x10": -1, "9999999P": -1, "10M ": -1, "NaN": -1, "Inf": -1, ".": -1,
	} {
		got, ok := ParseSize(in)
		if ok != (want >= 0) || ok && got != want {
			t.Errorf("%q: %d %v, want %d", in, got, ok, want)
		}
	}
}

func TestParseMoment(t *testing.T) {
	t.Parallel()
	zone := time.FixedZone("here", 8*3600)
	now := time.Date(2026, 10, 31, 12, 0, 0, 0, zone)
	for in, want := range map[string]time.Time{
		"2026-01-02":                time.Date(2026, 1, 2, 0, 0, 0, 0, zone),
		"2026-01-02 03:04":          time.Date(2026, 1, 2, 3, 4, 0, 0, zone),
		"2026-01-02 03:04:05":       time.Date(2026, 1, 2, 3, 4, 5, 0, zone),
		"2026-01-02T03:04":          time.Date(2026, 1, 2, 3, 4, 0, 0, zone),
		"2026-01-02T03:04:05.5":     time.Date(2026, 1, 2, 3, 4, 5, 500_000_000, zone),
		"2026-01-02T03:04:05Z":      time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		"2026-01-02T03:04:05+01:00": time.Date(2026, 1, 2, 2, 4, 5, 0, time.UTC),
		"90s":                       now.Add(-90 * time.Second),
		"5m":                        now.Add(-5 * time.Minute),
		"0.5h":                      now.Add(-30 * time.Minute),
		"7d":                        now.AddDate(0, 0, -7),
		"2w":                        now.AddDate(0, 0, -14),
		"1y":                        now.AddDate(0, 0, -365),
		"":                          {}, "yesterday": {}, "7": {}, "7D": {}, "-7d": {}, "2026-02-30": {}, "2026-1-2": {}, "25:00": {}, "999999y": {},
	} {
		got, ok := ParseMoment(in, now)
		if ok != !want.IsZero() || ok && !got.Equal(want) {
			t.Errorf("%q: %v %v, want %v", in, got, ok, want)
		}
	}
}

func TestSpan(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]time.Duration{
		"0": 0, "90s": 90 * time.Second, "1h30m": 90 * time.Minute, "7d": 7 * 24 * time.Hour, "1.5d": 36 * time.Hour, "2w": 14 * 24 * time.Hour,
		"10": -1, "": -1, "d": -1, "7days": -1, "1d2h": -1, "99999999y": -1, "s": -1,
	} {
		var got time.Duration
		if err := (Span{&got}).Set(in); err != nil {
			got = -1
		}
		if got != want {
			t.Errorf("%q: %v, not %v", in, got, want)
		}
	}
}
