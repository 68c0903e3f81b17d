package transfer

import "strings"

import "testing"

// TestAppetite: what a lane takes of both kinds of work, and that a lane for
// small files alone leaves the chunks to the others.
func TestAppetite(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		want appetite
		kind string // of what is taken, in turn
	}{
		{chunksFirst, "ccss"}, {smallFirst, "sscc"}, {smallOnly, "ss"},
	} {
		q := newQueue()
		for range 2 {
			q.addSmall(&item{})
		}
		it := &item{}
		it.large = &large{it: it, chunks: 2, left: 2, end: make(chan struct{})}
		q.addLarge(it.large)
		var kind strings.Builder
		for {
			task, ok := q.next(c.want, false)
			if !ok {
				break
			}
			if task.it == it {
				kind.WriteString("c")
			} else {
				kind.WriteString("s")
			}
		}
		if kind.String() != c.kind {
			t.Errorf("appetite %d took %q, not %q", c.want, kind.String(), c.kind)
		}
	}
	e := &Engine{noChunks: 1}
	if a, b := e.appetite(0), e.appetite(1); a != smallOnly || b != chunksFirst {
		t.Errorf("of two lanes, one for chunks: %d %d", a, b)
	}
	e.noChunks = 0
	if a, b := e.appetite(0), e.appetite(1); a != smallFirst || b != chunksFirst {
		t.Errorf("of two lanes for chunks: %d %d", a, b)
	}
}
