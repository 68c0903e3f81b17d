package disk

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"hufu/internal/blob"
)

// TestNamesInLittleMemory: of more names than there is room for, the smallest are
// kept, in order, and enough of them for a page.
func TestNamesInLittleMemory(t *testing.T) {
	t.Parallel()
	for _, length := range []int{12, 255} {
		var all []string
		for n := range 4 * leastNames / (length + 5) {
			all = append(all, fmt.Sprintf("%07d%s", n, strings.Repeat("x", length-7)))
		}
		shuffled := slices.Clone(all)
		rand.New(rand.NewPCG(1, 2)).Shuffle(len(all), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		h := nameHeap{room: leastNames}
		for _, n := range shuffled {
			h.add(n)
		}
		if size := h.names.size(); size > 3*leastNames {
			t.Errorf("names of %d: they take %d bytes", length, size)
		}
		l := h.sorted()
		if !h.bounded || l.len() < min(1<<16, blob.PageBytes/length) {
			t.Errorf("names of %d: %d, bounded %v", length, l.len(), h.bounded)
		}
		for i := 0; l.len() > 0; i++ {
			if l.first() != all[i] {
				t.Fatalf("names of %d: the name %d is %q", length, i, l.first())
			}
			l.drop()
		}
	}
}
