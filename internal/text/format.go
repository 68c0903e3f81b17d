package text

import (
	"strconv"
	"time"
)

// Size writes a number of bytes with the binary units: 512 B, 1.5 GiB.
func (c *Catalogue) Size(n int64) string {
	if n < 1024 {
		return strconv.FormatInt(n, 10) + " B"
	}
	v, unit := float64(n), 0
	// 1023.95 would be rounded up to 1024.0: that is one of the next unit.
	for v >= 1023.95 && unit < 6 {
		v /= 1024
		unit++
	}
	return strconv.FormatFloat(v, 'f', 1, 64) + " " + "BKMGTPE"[unit:unit+1] + "iB"
}

// Rate writes a speed in bytes per second.
func (c *Catalogue) Rate(bytesPerSecond float64) string {
	return c.T("unit.rate", "size", c.Size(int64(bytesPerSecond)))
}

// Duration writes a span in its two largest units, to tenths of a second below
// ten seconds.
func (c *Catalogue) Duration(d time.Duration) string {
	d = max(d, 0)
	if d < 9950*time.Millisecond {
		return c.T("unit.seconds", "s", strconv.FormatFloat(d.Seconds(), 'f', 1, 64))
	}
	s := int64(d.Round(time.Second) / time.Second)
	switch {
	case s < 60:
		return c.T("unit.seconds", "s", s)
	case s < 3600:
		return c.T("unit.minutes", "m", s/60, "s", s%60)
	case s < 48*3600:
		return c.T("unit.hours", "h", s/3600, "m", s%3600/60)
	default:
		return c.T("unit.days", "d", s/86400, "h", s%86400/3600)
	}
}

// Time writes a moment to the minute, in the local zone and in the order that
// both languages read without doubt.
func (c *Catalogue) Time(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.In(c.zone).Format("2006-01-02 15:04")
}
