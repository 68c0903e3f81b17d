package session

import (
	"sync"
	"time"

	"hufu/internal/frame"
)

// keeper does what a connection needs from time to time: it tells a waiting client
// that its answer is being worked on, if no other frame has shown that lately, ends
// the connection of a client that keeps the server waiting, and releases memory. It
// has no goroutine of its own while it waits.
type keeper struct {
	s              *Server
	mu             sync.Mutex // guards all below
	timer          *time.Timer
	ended          bool
	taking, giving pace
	running        sync.WaitGroup // what check has begun
}

func (s *Server) keepAlive() *keeper {
	k := &keeper{s: s}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.timer = time.AfterFunc(WorkingEvery, k.tick)
	return k
}

// end stops the keeper. Nothing of it runs afterwards.
func (k *keeper) end() {
	k.mu.Lock()
	k.ended = true
	k.timer.Stop()
	k.mu.Unlock()
	k.running.Wait()
}

func (k *keeper) tick() {
	if !k.check(time.Now()) {
		return
	}
	defer k.running.Done()
	s := k.s
	if s.unanswered.Load() == 0 || !s.wmu.TryLock() {
		return // a writer at work is a sign of life too
	}
	defer s.wmu.Unlock()
	if !s.parting.Load() && s.write(&frame.Working{}, false, nil) == nil {
		_ = s.flush()
	}
}

// check does everything except sending Working. It reports whether the client may need to be
// told; then the caller does so and calls running.Done.
func (k *keeper) check(now time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.s
	if k.ended {
		return false
	}
	s.stream.Shrink(now, WorkingEvery)
	s.rest(now, WorkingEvery)
	switch {
	case k.taking.still(now, s.stream.Sending(), s.stream.taken) >= ClientStall:
		k.running.Go(func() { s.Drop(clientStalled()) })
		return false
	case k.giving.still(now, s.midway.Load(), s.stream.in.Load) >= ClientStall:
		k.running.Go(func() { s.Part(clientStalled()) })
		return false
	}
	if left := WorkingEvery - now.Sub(s.stream.Sent()); left > 0 {
		k.timer.Reset(left)
		return false
	}
	k.timer.Reset(WorkingEvery)
	k.running.Add(1)
	return true
}

// pace measures the progress of one direction of a connection.
type pace struct {
	count int64     // of bytes, as seen last
	since time.Time // when it was first seen to be that
}

// still returns how long the direction has not moved although it should.
func (p *pace) still(now time.Time, should bool, count func() int64) time.Duration {
	if !should {
		p.since = now
		return 0
	}
	if n := count(); n != p.count || p.since.IsZero() {
		p.count, p.since = n, now
	}
	return now.Sub(p.since)
}
