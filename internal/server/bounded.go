package server

import (
	"context"
	"log/slog"
	"sync"

	"golang.org/x/time/rate"
)

// Lines that a peer can cause as often as it likes, as by a request that is refused, are bounded: a
// log must not fill the disk of the server.
const (
	boundBurst = 100  // lines of one origin, or one user, at once
	boundRate  = 1    // lines in a second after that
	maxBounds  = 4096 // origins and users that are remembered
)

// bounds counts such lines.
type bounds struct {
	mu sync.Mutex
	of map[string]*bound
}

type bound struct {
	*rate.Limiter
	left int // lines that were left out
}

// pass reports whether whose may cause another line now, and how many were left out since the last
// one.
func (b *bounds) pass(whose string) (ok bool, left int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	one := b.of[whose]
	if one == nil {
		b.makeRoom()
		one = &bound{Limiter: rate.NewLimiter(boundRate, boundBurst)}
		b.of[whose] = one
	}
	if !one.Allow() {
		one.left++
		return false, 0
	}
	left, one.left = one.left, 0
	return true, left
}

// makeRoom forgets who has caused no line for long; if there is nobody, anybody.
func (b *bounds) makeRoom() {
	if len(b.of) < maxBounds {
		return
	}
	for whose, one := range b.of {
		if one.left == 0 && one.Tokens() >= boundBurst {
			delete(b.of, whose)
		}
	}
	for whose := range b.of {
		if len(b.of) < maxBounds {
			return
		}
		delete(b.of, whose)
	}
}

// bounded writes a line that whose has caused, unless there were too many. A later one then says how
// many were left out.
func (l *Log) bounded(whose string, level slog.Level, msg string, attrs ...any) {
	ok, left := l.bounds.pass(whose)
	if !ok {
		return
	}
	if left > 0 {
		attrs = append(attrs, "left_out", left)
	}
	l.Log(context.Background(), level, msg, attrs...) //nolint:sloglint // the message is a constant of the caller
}
