package files

import (
	"fmt"
	"testing"

	"hufu"
)

// TestIdleStoresAreClosed: of the stores that nobody uses only some stay open, the
// last ones; one in use stays, and a closed one opens again.
func TestIdleStoresAreClosed(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	ctx := t.Context()
	stat := func(v *View, path string) {
		t.Helper()
		p, err := hufu.ParsePath(path)
		if err == nil {
			_, err = v.Stat(ctx, p)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	alice := h.view("alice", "pc")
	stat(alice, "/")
	for round := range 2 {
		for i := range maxIdle + 10 {
			v := h.view(fmt.Sprint("user", i), "pc")
			stat(v, "/")
			stat(v, "/@shared/common")
			stat(v, "/")
			other := h.view(fmt.Sprint("user", i), "laptop")
			stat(other, "/")
			v.Close()
			v.Close() // changes nothing
			stat(other, "/")
			other.Close()
		}
		h.s.Expire()
		h.s.mu.Lock()
		if len(h.s.idle) != maxIdle || len(h.s.stores) != maxIdle+1 || h.s.stores[h.s.users+"/alice"] == nil {
			t.Errorf("round %d: %d idle, %d open", round, len(h.s.idle), len(h.s.stores))
		}
		if last := h.s.users + fmt.Sprint("/user", maxIdle+9); h.s.stores[last] == nil {
			t.Error("the last one is closed")
		}
		h.s.mu.Unlock()
	}
	stat(alice, "/")
	alice.Close()
	stat(alice, "/") // a view that is used again
	alice.Close()
}
