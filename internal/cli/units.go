package cli

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// sizeUnits are the units of ParseSize, in lower case. As in rsync, a letter alone is binary.
var sizeUnits = map[string]float64{
	"": 1, "b": 1,
	"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50,
	"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40, "pib": 1 << 50,
	"kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12, "pb": 1e15,
}

// ageUnits are the units of ParseAge.
var ageUnits = map[string]time.Duration{
	"s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour, "w": 7 * 24 * time.Hour, "y": 365 * 24 * time.Hour,
}

// quantity splits "1.5G" into its number and its unit. The number has digits and at most one
// point.
func quantity(s string) (n float64, unit string, ok bool) {
	end := strings.IndexFunc(s, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
	if end < 0 {
		end = len(s)
	}
	n, err := strconv.ParseFloat(s[:end], 64)
	return n, s[end:], err == nil
}

// ParseSize reads a number of bytes: 512, 10K, 1.5G, 10MB, 10MiB. K, M, G, T and P are binary,
// like KiB; KB is 1000 bytes.
func ParseSize(s string) (int64, bool) {
	n, unit, ok := quantity(s)
	factor, known := sizeUnits[strings.ToLower(unit)]
	if n *= factor; !ok || !known || n >= math.MaxInt64 {
		return 0, false
	}
	return int64(n), true
}

// ParseAge reads a span of time: 90s, 5m, 12h, 7d, 2w, 1y.
func ParseAge(s string) (time.Duration, bool) {
	n, unit, ok := quantity(s)
	one, known := ageUnits[unit]
	if n *= float64(one); !ok || !known || n >= math.MaxInt64 {
		return 0, false
	}
	return time.Duration(n), true
}

// Span is the value of a flag that names a duration: 90s, 1h30m, 7d, 2w.
type Span struct{ For *time.Duration }

// String is for the default in an error.
func (s Span) String() string {
	if s.For == nil {
		return ""
	}
	return s.For.String()
}

// Type names the kind of value for the error of a wrong one.
func (Span) Type() string { return "duration" }

// Set reads text.
func (s Span) Set(text string) error {
	d, err := time.ParseDuration(text)
	if err != nil {
		var ok bool
		if d, ok = ParseAge(text); !ok {
			return errValue
		}
	}
	*s.For = d
	return nil
}

// ParseMoment reads a time in the local zone, such as 2026-10-31 or 2026-10-31 14:30, one in the
// form of RFC 3339, or an age, counted back from now.
func ParseMoment(s string, now time.Time) (time.Time, bool) {
	for _, layout := range []string{time.DateOnly, "2006-01-02 15:04", time.DateTime, "2006-01-02T15:04", "2006-01-02T15:04:05"} {
		if t, err := time.ParseInLocation(layout, s, now.Location()); err == nil {
			return t, true
		}
	}
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return t, true
	}
	age, ok := ParseAge(s)
	return now.Add(-age), ok
}

// Moment is the value of a flag that names a time; see ParseMoment. The zero time is none.
type Moment struct {
	time.Time
	text string
}

func (m *Moment) String() string { return m.text }

// Type names the kind of value for the error of a wrong one.
func (m *Moment) Type() string { return "moment" }

// Set reads s.
func (m *Moment) Set(s string) error {
	t, ok := ParseMoment(s, time.Now())
	if !ok {
		return errValue
	}
	m.Time, m.text = t, s
	return nil
}
