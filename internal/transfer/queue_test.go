package transfer

import (
	"strings"
	"testing"

	"hufu"
)

// TestSmallOrChunksFirst: what a lane takes of both kinds of work, in turn.
func TestSmallOrChunksFirst(t *testing.T) {
	t.Parallel()
	for smallFirst, want := range map[bool]string{false: "ccss", true: "sscc"} {
		q := newQueue()
		for range 2 {
			q.addSmall(&item{})
		}
		it := &item{}
		it.large = &large{it: it, chunks: 2, end: make(chan struct{})}
		it.large.setUnit(hufu.ChunkSize)
		q.addLarge(it.large)
		var took strings.Builder
		for {
			task, ok := q.next(taker{small: smallFirst}, false)
			if !ok {
				break
			}
			if task.it == it {
				took.WriteString("c")
			} else {
				took.WriteString("s")
			}
		}
		if took.String() != want {
			t.Errorf("small files first %v: took %q, not %q", smallFirst, took.String(), want)
		}
	}
}
