package server

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"hufu"
)

// maxHeld is the number of chunks that all connections together hold for their
// answers.
const maxHeld = 256

// While a connection waits for a chunk, each heldWait one connection is dropped that has been
// blocked in a write for at least that long.
const heldWait = time.Second

// held limits the chunk buffers of all connections together. A connection takes one for a get or
// read, and gives it back at its next other request or when it becomes idle. A client that reads
// slowly keeps one for long. When all are taken, the next one goes to the user who has the
// fewest. While a connection waits, one that has been blocked in a write for heldWait or longer
// is closed: of these, one of the user who holds the most chunks, and of that user's the one
// blocked for longest: its client reconnects and resumes.
type held struct {
	limit int

	mu      sync.Mutex // guards what follows
	holders map[*conn]struct{}
	waiting []*waiter // in the order in which they came
}

type waiter struct {
	c     *conn
	ready chan struct{} // closed when c is in holders
}

// take waits until c may hold a chunk.
func (h *held) take(ctx context.Context, c *conn) error {
	h.mu.Lock()
	if len(h.holders) < h.limit {
		h.holders[c] = struct{}{}
		h.mu.Unlock()
		return nil
	}
	w := &waiter{c, make(chan struct{})}
	h.waiting = append(h.waiting, w)
	h.mu.Unlock()
	tick := time.NewTicker(heldWait)
	defer tick.Stop()
	for {
		select {
		case <-w.ready:
			return nil
		case now := <-tick.C:
			if out := h.slowest(now); out != nil {
				out.session.Drop(&hufu.Error{Op: "answer", Kind: hufu.KindUnavailable, Code: "client_stalled"})
			}
		case <-ctx.Done():
			h.mu.Lock()
			h.waiting = slices.DeleteFunc(h.waiting, func(x *waiter) bool { return x == w })
			h.mu.Unlock()
			h.release(c) // in case it was ready meanwhile
			return &hufu.Error{Op: "answer", Kind: hufu.KindCanceled, Err: context.Cause(ctx)}
		}
	}
}

// release frees the chunk of c, if it has one, and hands it to a waiting connection.
func (h *held) release(c *conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, has := h.holders[c]; !has {
		return
	}
	delete(h.holders, c)
	if len(h.waiting) == 0 {
		return
	}
	count := h.count()
	next := slices.MinFunc(h.waiting, func(a, b *waiter) int { return count[a.c.sub.User] - count[b.c.sub.User] })
	h.waiting = slices.DeleteFunc(h.waiting, func(x *waiter) bool { return x == next })
	h.holders[next.c] = struct{}{}
	close(next.ready)
}

// count returns how many chunks each user has; the caller holds mu.
func (h *held) count() map[string]int {
	count := map[string]int{}
	for c := range h.holders {
		count[c.sub.User]++
	}
	return count
}

// slowest returns the connection that is to lose its chunk, or nil if no holder has waited
// heldWait for its client.
func (h *held) slowest(now time.Time) (out *conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	count := h.count()
	for c := range h.holders {
		if c.stream.Blocked(now) < heldWait {
			continue
		}
		if out == nil || cmp.Or(count[c.sub.User]-count[out.sub.User], cmp.Compare(c.stream.Blocked(now), out.stream.Blocked(now))) > 0 {
			out = c
		}
	}
	return out
}
