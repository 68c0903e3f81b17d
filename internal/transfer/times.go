package transfer

import (
	"context"
	"strconv"
	"time"

	"hufu"
)

// The years whose times travel unchanged: what the wire's 64 bits of nanoseconds
// hold. An earlier or later time arrives as the first or last that they hold.
const (
	firstYear = 1678
	lastYear  = 2261
)

// The years that every file system keeps: FAT begins in 1980, and some file systems end in
// January 2038.
const (
	safeFrom = 1980
	safeTo   = 2037
)

// noteClamped notes a name whose time the wire cannot hold. On a get the server has already
// clamped it, to a time in 1677 or 2262, which is outside the years as well.
func (e *Engine) noteClamped(name string, t time.Time) {
	if y := t.UTC().Year(); y < firstYear || y > lastYear {
		e.changedTime(name)
	}
}

// noteUnkept notes a name if this computer's file system did not store its time.
func (e *Engine) noteUnkept(ctx context.Context, s Side, want time.Time) {
	y := want.UTC().Year()
	if e.o.Drop.Times || y < firstYear || y > lastYear || y >= safeFrom && y <= safeTo {
		return // noted already, or kept
	}
	if got, err := s.Store.Stat(ctx, s.Path); err == nil && got.MTime.Sub(want).Abs() > 2*time.Second {
		e.changedTime(s.Local)
	}
}

func (e *Engine) changedTime(name string) {
	e.timesMu.Lock()
	defer e.timesMu.Unlock()
	if e.times++; e.times == 1 {
		e.firstTime = name
	}
}

// Times tells of how many files, links and folders the time was not kept, and
// which was the first, as a note; nil if all were kept.
func (e *Engine) Times() (note *hufu.Error, count int64) {
	e.timesMu.Lock()
	defer e.timesMu.Unlock()
	if e.times == 0 {
		return nil, 0
	}
	return &hufu.Error{
		Op: "transfer", Path: e.firstTime, Kind: hufu.KindUnsupported, Code: "times_not_kept",
		Args: map[string]string{"count": strconv.FormatInt(e.times, 10)},
	}, e.times
}
