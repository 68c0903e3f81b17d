//go:build linux

package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// A line is what a direction does to packets.
type line struct {
	rate  float64 // bytes a second
	delay time.Duration
	queue time.Duration // longest wait for the line
	loss  float64       // share of segments
}

// A direction carries packets from one device to the other. read owns all but
// due and the counters; write only takes from due.
type direction struct {
	line
	from, to int
	chance   *rand.Rand
	idle     time.Time // when the line has sent what it has taken
	due      chan parcel

	segments, bytes, lost, dropped, refused atomic.Int64
}

// A parcel is a packet and the moment at which it arrives.
type parcel struct {
	at     time.Time
	packet []byte
}

func newDirection(from, to int, l line, seed uint64) *direction {
	return &direction{line: l, from: from, to: to, chance: rand.New(rand.NewPCG(seed, seed)), due: make(chan parcel, 1<<17)}
}

func (d *direction) String() string {
	return fmt.Sprintf("%d segments, %d bytes, %d lost, %d dropped by the queue, %d refused by the device",
		d.segments.Load(), d.bytes.Load(), d.lost.Load(), d.dropped.Load(), d.refused.Load())
}

func (d *direction) read() error {
	runtime.LockOSThread()
	buf := make([]byte, prefix+1<<16)
	for {
		n, err := unix.Read(d.from, buf)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return fmt.Errorf("read from the device: %w", err)
		case n > prefix:
			d.take(time.Now(), buf[:n])
		}
	}
}

// take puts a packet on the line, segment by segment, and what survives of it
// into the queue of arrivals: a packet for each unbroken run of segments.
func (d *direction) take(now time.Time, packet []byte) {
	if d.idle.Before(now) {
		d.idle = now
	}
	count := segments(packet)
	run := 0 // first segment of the run
	for i := range count {
		if d.carry(now, segmentSize(packet, i)) {
			continue
		}
		d.arrive(packet, run, i)
		run = i + 1
	}
	d.arrive(packet, run, count)
}

// carry says whether a segment of that size comes through.
func (d *direction) carry(now time.Time, size int) bool {
	if d.idle.Sub(now) > d.queue {
		d.dropped.Add(1)
		return false
	}
	d.idle = d.idle.Add(time.Duration(float64(size) / d.rate * float64(time.Second)))
	d.segments.Add(1)
	d.bytes.Add(int64(size))
	if d.loss > 0 && d.chance.Float64() < d.loss {
		d.lost.Add(1)
		return false
	}
	return true
}

func (d *direction) arrive(packet []byte, first, end int) {
	if first == end {
		return
	}
	select {
	case d.due <- parcel{d.idle.Add(d.delay), cut(packet, first, end)}:
	default:
		d.dropped.Add(int64(end - first))
	}
}

func (d *direction) write() error {
	runtime.LockOSThread()
	// Wake up when told, not up to 50 µs later.
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1000, 0, 0, 0)
	for p := range d.due {
		sleepUntil(p.at)
		if _, err := unix.Write(d.to, p.packet); err != nil {
			// A packet that the device does not like is a lost one.
			d.refused.Add(1)
		}
	}
	return nil
}
