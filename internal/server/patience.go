package server

import (
	"sync/atomic"
	"time"
)

// patienceTicks is the number of parts of a wait.
const patienceTicks = 10

// A patience counts the time in which this process runs. A process that was frozen (SIGSTOP, a
// suspended computer) finds its timers expired when it wakes, before it has read what the peer
// sent meanwhile: by its clock the peer was silent, and is not to blame.
type patience struct {
	tick time.Duration
	left int       // ticks
	due  time.Time // the next one
}

func newPatience(d time.Duration, now time.Time) *patience {
	tick := d / patienceTicks
	return &patience{tick: tick, left: patienceTicks, due: now.Add(tick)}
}

// over counts a tick that arrives at now and reports whether it was the last. One that is late by
// more than its own length does not count: the process did not run, or hardly.
func (p *patience) over(now time.Time) bool {
	if now.Sub(p.due) <= p.tick {
		p.left--
	}
	p.due = now.Add(p.tick)
	return p.left == 0
}

// afterRunning calls f when this process has run for d. It does not call f if waiting returns false
// before that, or stop is called. Both are called from a goroutine of their own. After stop, the
// memory that they refer to can be collected.
func afterRunning(d time.Duration, waiting func() bool, f func()) (stop func()) {
	p := newPatience(d, time.Now())
	var stopped atomic.Bool
	var timer *time.Timer
	timer = time.AfterFunc(d, func() {
		switch {
		case stopped.Load() || !waiting():
		case p.over(time.Now()):
			f()
		default:
			timer.Reset(p.tick)
		}
	})
	timer.Reset(p.tick) // only now: its function uses timer
	return func() {
		stopped.Store(true)
		timer.Stop()
	}
}
