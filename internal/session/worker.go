package session

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"hufu"
)

// Panic is the value that Serve panics with if the handler has panicked, on a goroutine
// of its own.
type Panic struct {
	Value any
	Stack []byte // of that goroutine
}

func (p *Panic) Error() string { return fmt.Sprint(p.Value) }

// work carries out requests until none has come for a while. Its goroutine ends then, so an idle
// connection has only that of its reader.
func (s *Server) work(ctx context.Context, h Handler) {
	over := true
	defer func() {
		if v := recover(); v != nil {
			s.crash = &Panic{v, debug.Stack()}
		}
		if !over {
			return
		}
		s.stopReading()
		if !s.parting.Load() {
			s.cut()
		}
	}()
	var err error
	if over, err = s.handleAll(ctx, h); err == nil {
		return
	}
	e, ok := errors.AsType[*hufu.Error](err)
	if !ok {
		e = &hufu.Error{Op: "handle", Kind: hufu.KindInternal, Err: err}
	}
	s.workErr = err
	s.Part(e)
}

// handleAll carries out requests until none comes for a while, see rest, or the connection is
// over.
func (s *Server) handleAll(ctx context.Context, h Handler) (over bool, err error) {
	flushed, handled := time.Now(), 0
	for {
		r, open := s.take()
		if r == nil && open {
			if err := h.Idle(ctx); err != nil {
				return true, err
			}
			if s.Flush() != nil {
				return true, nil // the connection is gone, or parting
			}
			if r, open = s.awaitRequest(); r == nil && open {
				return false, nil
			}
			flushed, handled = time.Now(), 0
		}
		if r == nil || s.parting.Load() {
			return true, nil
		}
		if now := time.Now(); now.Sub(flushed) >= flushEvery || handled >= flushBytes {
			if s.Flush() != nil {
				return true, nil
			}
			flushed, handled = now, 0
		}
		handled += len(r.Raw)
		if err := s.handle(ctx, h, r); err != nil {
			return true, err
		}
	}
}

// push puts a request at the end of the queue, which holds at most MaxRequests, and
// begins work if nothing is at work.
func (s *Server) push(r *Request, work func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.first == nil {
		s.first = r
	} else {
		s.last.next = r
	}
	s.last = r
	s.more.Signal()
	if !s.working {
		s.working = true
		s.worker.Go(work)
	}
}

// noMore ends the queue after what is in it.
func (s *Server) noMore() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.allRead = true
	s.more.Signal()
}

// take takes the first request from the queue. If there is none, it returns nil, and
// whether more may come.
func (s *Server) take() (r *Request, open bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pop()
}

// awaitRequest is take, but waits until a request comes, the queue ends or rest is called. If it
// returns (nil, true), work must end, and the next push begins it again.
func (s *Server) awaitRequest() (r *Request, open bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waits = time.Now()
	for s.first == nil && !s.allRead && !s.waits.IsZero() {
		s.more.Wait()
	}
	s.waits = time.Time{}
	r, open = s.pop()
	s.working = r != nil || !open
	return r, open
}

// rest ends the goroutine of work for at least after.
func (s *Server) rest(now time.Time, after time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.waits.IsZero() && now.Sub(s.waits) >= after {
		s.waits = time.Time{}
		s.more.Signal()
	}
}

// Waiting returns at most limit of the requests that have come and were not given to the handler
// yet, in their order. Only the handler may call it. It leaves out those from the first on that
// the client has taken back.
func (s *Server) Waiting(limit int) (list []*Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for r := s.first; r != nil && len(list) < limit; r = r.next {
		if _, canceled := s.canceled[r.number]; canceled {
			break
		}
		list = append(list, r)
	}
	return list
}

// pop does the work of take; the caller holds mu.
func (s *Server) pop() (r *Request, open bool) {
	if r = s.first; r != nil {
		s.first, r.next = r.next, nil
	}
	return r, !s.allRead
}
