package blob

import "sync"

// Room bounds the memory of unfinished uploads, in all stores that share it. A nil Room has no
// bound. After a Take, an owner may not hold more than what is still free: one owner alone takes at
// most half of the limit, two a third each. So a new owner always finds some.
type Room struct {
	limit int64

	mu   sync.Mutex
	used int64
	of   map[string]int64
}

// NewRoom returns a Room of this many bytes.
func NewRoom(bytes int64) *Room { return &Room{limit: bytes, of: map[string]int64{}} }

// Take takes n more bytes for owner, and reports whether they were available.
func (r *Room) Take(owner string, n int64) bool {
	if r == nil {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.of[owner]+n > r.limit-r.used-n {
		return false
	}
	r.add(owner, n)
	return true
}

// Force takes n bytes that cannot be refused.
func (r *Room) Force(owner string, n int64) {
	if r != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.add(owner, n)
	}
}

// Give gives n bytes back.
func (r *Room) Give(owner string, n int64) { r.Force(owner, -n) }

func (r *Room) add(owner string, n int64) {
	r.used += n
	if r.of[owner] += n; r.of[owner] == 0 {
		delete(r.of, owner)
	}
}

// Used returns the number of bytes taken.
func (r *Room) Used() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.used
}
