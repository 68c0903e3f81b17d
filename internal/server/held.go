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

// heldWait is how long a connection waits for a chunk while another connection
// does not release its own.
const heldWait = time.Second

// held counts the chunks that connections hold from a get or read until their next request is
// something else or they become idle. A client that reads slowly keeps one for long. When all are
// taken, the next one goes to the user who has the fewest. Of the connections whose current write
// has taken heldWait or longer, one of the user who holds the most chunks is closed, the one
// whose write began first: its client reconnects and resumes.
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

// slowest returns the connection that is to lose its chunk, nil if none of them
// waits for its client.
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
