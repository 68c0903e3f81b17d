package disk

import (
	"strings"
	"sync"

	"hufu/internal/blob"
)

// Room bounds the memory of unfinished uploads, in all stores that share it. After a take, an
// owner may not hold more than what is still free: one owner alone takes at most half of the
// limit, two a third each. So a new owner always finds some.
type Room struct {
	limit int64

	mu   sync.Mutex
	used int64
	of   map[string]int64
}

// NewRoom returns a Room of this many bytes.
func NewRoom(bytes int64) *Room { return &Room{limit: bytes, of: map[string]int64{}} }

// take takes n more bytes for owner, and reports whether they were available.
func (r *Room) take(owner string, n int64) bool {
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

// force takes n bytes that cannot be refused.
func (r *Room) force(owner string, n int64) {
	if r != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.add(owner, n)
	}
}

func (r *Room) give(owner string, n int64) { r.force(owner, -n) }

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

// userOf returns the owner to whom a Room charges the upload: all devices of one user together.
func userOf(k *blob.UploadKey) string {
	user, _, _ := strings.Cut(k.Owner, "/")
	return user
}

// costOf returns about what an unfinished upload takes besides its table.
func costOf(k *blob.UploadKey) int64 {
	return 1<<10 + 2*int64(len(k.Path.String())) + int64(len(k.Source)+len(k.Owner))
}
