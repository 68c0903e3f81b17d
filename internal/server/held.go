package server

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"hufu"
	"hufu/internal/frame"
	"hufu/internal/session"
)

// maxHeld is the number of chunks that all connections together hold for their
// answers.
const maxHeld = 256

// The limits of requests that read whole files within the server, which may take hours: of all
// users together, and of each.
const (
	maxLong       = 32
	maxLongOfUser = 8
)

// heldWait is how long a client may take nothing of an answer while others wait for a chunk.
const heldWait = time.Second

// held limits how many connections have something at the same time.
//
// Server.held is for chunk buffers. A connection takes one for a get or read, and gives it back at
// its next request of another kind or when it becomes idle. A client that reads slowly keeps one
// for long.
//
// Server.long is for copies and digests, each from its begin to its end.
//
// When all are taken, the next one goes to the user who has the fewest. A connection that waits for a
// chunk drops one other connection every heldWait: one that has been blocked in a write for at least
// that long. Of these it chooses the user who has the most, or its own if that user has all that one
// may have, and of that user's the one blocked for longest. Its client reconnects and resumes.
type held struct {
	limit  int
	ofUser int  // the limit of one user, 0 if there is none
	drops  bool // a connection that waits drops others

	mu      sync.Mutex // guards what follows
	holders map[*conn]struct{}
	waiting []*waiter // in the order in which they came
}

type waiter struct {
	c     *conn
	ready chan struct{} // closed when c is in holders
}

// take waits until c may hold one.
func (h *held) take(ctx context.Context, c *conn) error {
	h.mu.Lock()
	if len(h.holders) < h.limit && h.allows(c) {
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
			if !h.drops {
				continue
			}
			if out := h.slowest(now, c); out != nil {
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

// release frees what c holds, if it holds one, and hands it to a waiting connection.
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
	var next *waiter
	for _, w := range h.waiting {
		if h.allows(w.c) && (next == nil || count[w.c.sub.User] < count[next.c.sub.User]) {
			next = w
		}
	}
	if next == nil {
		return
	}
	h.waiting = slices.DeleteFunc(h.waiting, func(x *waiter) bool { return x == next })
	h.holders[next.c] = struct{}{}
	close(next.ready)
}

// taken returns how many are taken.
func (h *held) taken() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return int64(len(h.holders))
}

// allows reports whether the user of c may have one more; the caller holds mu.
func (h *held) allows(c *conn) bool {
	return h.ofUser == 0 || h.count()[c.sub.User] < h.ofUser
}

// count returns how many each user has; the caller holds mu.
func (h *held) count() map[string]int {
	count := map[string]int{}
	for c := range h.holders {
		count[c.sub.User]++
	}
	return count
}

// slowest returns the connection that is to be dropped for one that waits, or nil if no holder that is
// in its way has waited heldWait for its client.
func (h *held) slowest(now time.Time, waits *conn) (out *conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	count, own := h.count(), !h.allows(waits)
	for c := range h.holders {
		if c.stream.Blocked(now) < heldWait || own && c.sub.User != waits.sub.User {
			continue
		}
		if out == nil || cmp.Or(count[c.sub.User]-count[out.sub.User], cmp.Compare(c.stream.Blocked(now), out.stream.Blocked(now))) > 0 {
			out = c
		}
	}
	return out
}

// buffer returns the chunk buffer for the answers of gets and reads, and waits until one is free.
// An idle connection holds none.
func (c *conn) buffer(ctx context.Context) ([]byte, error) {
	if c.buf == nil {
		if err := c.s.held.take(ctx, c); err != nil {
			return nil, err
		}
		c.buf = session.TakeChunk()
	}
	return c.buf[:], nil
}

func (c *conn) giveBack() {
	if c.buf != nil {
		c.buf.Give()
		c.buf = nil
		c.s.held.release(c)
	}
}

// answer answers a get or read with bytes. Between two answers a connection keeps its chunk only if the
// next bytes are near: it would hold it while it waits for the store, or for bytes that are read ahead
// into another one.
func (c *conn) answer(m frame.Message, data []byte) error {
	err := c.session.Answer(m, false, data)
	if c.view.Distant() {
		c.giveBack()
	}
	return err
}
