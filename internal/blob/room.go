package blob

import (
	"context"
	"slices"
	"sync"
)

// Room bounds the memory of what a server holds for its clients, in all stores that share it. A nil
// Room has no bound. After a Take, an owner may not hold more than what is still free: one owner alone
// takes at most half of the limit, two a third each. So a new owner always finds some.
type Room struct {
	limit int64

	mu      sync.Mutex
	used    int64
	of      map[string]int64
	waiting []*waiter // in the order in which they came
}

// waiter is an Await that waits.
type waiter struct {
	owner string
	n     int64
	taken chan struct{} // closed when the bytes are taken for it
}

// NewRoom returns a Room of this many bytes.
func NewRoom(bytes int64) *Room { return &Room{limit: bytes, of: map[string]int64{}} }

// Take takes n more bytes for owner, and reports whether they were available. They are not while
// an Await of the same owner waits. No bytes are always available.
func (r *Room) Take(owner string, n int64) bool {
	if r == nil {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.take(owner, n)
}

func (r *Room) take(owner string, n int64) bool {
	if n == 0 { // an empty file waits for nothing
		return true
	}
	if !r.fits(owner, n) || slices.ContainsFunc(r.waiting, func(w *waiter) bool { return w.owner == owner }) {
		return false
	}
	r.add(owner, n)
	return true
}

// Await is Take, but waits until the bytes are available. It returns false if ctx ends before, and at
// once if n is more than one owner alone may hold.
func (r *Room) Await(ctx context.Context, owner string, n int64) bool {
	if r == nil {
		return true
	}
	r.mu.Lock()
	if r.take(owner, n) || 2*n > r.limit {
		defer r.mu.Unlock()
		return 2*n <= r.limit
	}
	w := &waiter{owner, n, make(chan struct{})}
	r.waiting = append(r.waiting, w)
	r.mu.Unlock()
	select {
	case <-w.taken:
		return true
	case <-ctx.Done():
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.Index(r.waiting, w)
	if i < 0 {
		return true // taken at the last moment
	}
	r.waiting = slices.Delete(r.waiting, i, i+1)
	r.serve() // those behind it may fit
	return false
}

// Force takes n bytes that cannot be refused.
func (r *Room) Force(owner string, n int64) {
	if r != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.add(owner, n)
		r.serve()
	}
}

// Give gives n bytes back.
func (r *Room) Give(owner string, n int64) { r.Force(owner, -n) }

// fits reports whether n more bytes are available for owner.
func (r *Room) fits(owner string, n int64) bool { return r.of[owner]+n <= r.limit-r.used-n }

func (r *Room) add(owner string, n int64) {
	r.used += n
	if r.of[owner] += n; r.of[owner] == 0 {
		delete(r.of, owner)
	}
}

// serve takes what has become available for those that wait, those of one owner in their order.
func (r *Room) serve() {
	behind := map[string]bool{} // owners of whom one waits already
	r.waiting = slices.DeleteFunc(r.waiting, func(w *waiter) bool {
		if behind[w.owner] || !r.fits(w.owner, w.n) {
			behind[w.owner] = true
			return false
		}
		r.add(w.owner, w.n)
		close(w.taken)
		return true
	})
}

// Used returns the number of bytes taken.
func (r *Room) Used() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.used
}
