package server

import (
	"testing"

	"hufu"
	"hufu/internal/account"
)

// TestReadingAheadIsShared: whoever reads ahead already leaves room for others, over however many
// connections.
func TestReadingAheadIsShared(t *testing.T) {
	t.Parallel()
	r := aheadRoom{held: &held{}, ofConn: map[*conn]int64{}, ofUser: map[string]int64{}}
	all := map[*conn]int64{}
	fill := func(user string) (n int64) {
		c := &conn{sub: account.Subject{User: user}}
		for r.take(c, hufu.ChunkSize) {
			n += hufu.ChunkSize
		}
		all[c] = n
		return n
	}
	if n := fill("alice"); n != aheadRequests*hufu.ChunkSize {
		t.Errorf("one connection alone may read %d bytes ahead", n)
	}
	for range 40 {
		fill("alice")
	}
	if n := fill("bob"); n < 4*hufu.ChunkSize {
		t.Errorf("after another user's 41 connections there is room for %d bytes", n)
	}
	for range 40 {
		fill("bob")
	}
	if n := fill("carol"); n == 0 {
		t.Error("after two users' 82 connections there is no room")
	}
	if r.used > aheadBytes {
		t.Errorf("%d bytes are in use", r.used)
	}
	for c, n := range all {
		r.give(c, n)
	}
	if r.used != 0 || len(r.ofConn) != 0 || len(r.ofUser) != 0 {
		t.Errorf("given back: %+v", &r)
	}
}

// TestReadingAheadLeavesRoom: what is read in its turn takes of the same room.
func TestReadingAheadLeavesRoom(t *testing.T) {
	t.Parallel()
	h := held{limit: maxHeld, holders: map[*conn]struct{}{}}
	r := aheadRoom{held: &h, ofConn: map[*conn]int64{}, ofUser: map[string]int64{}}
	c := &conn{sub: account.Subject{User: "alice"}}
	for range aheadBytes/hufu.ChunkSize - 2 {
		h.holders[&conn{}] = struct{}{}
	}
	if !r.take(c, hufu.ChunkSize) || r.take(c, hufu.ChunkSize) {
		t.Error("not half of what is left")
	}
}
