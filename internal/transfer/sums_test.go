package transfer

import (
	"encoding/binary"
	"testing"

	"hufu/internal/digest"
)

// TestSums: chunks that overtake each other, and come again while they are under
// way, make the digest of the whole, and only what is under way is kept.
func TestSums(t *testing.T) {
	t.Parallel()
	const chunks, ahead = 1 << 18, 24
	value := func(i int64) (cv digest.CV) {
		binary.BigEndian.PutUint64(cv[:], uint64(i+1))
		return cv
	}
	var s sums
	var tree digest.Tree
	most := 0
	for i := int64(0); i < chunks; i += ahead {
		n := min(ahead, chunks-i)
		for k := range n {
			tree.Push(value(i + k))
		}
		for k := range n { // the last first
			index := i + n - 1 - k
			if first, same := s.read(index, value(index)); !first || !same {
				t.Fatal(index, first, same)
			}
			if k%2 == 0 {
				s.placed(index)
			}
		}
		for k := range n {
			if (n-1-k)%2 == 0 {
				continue // at its place
			}
			if first, same := s.read(i+k, value(i+k)); first || !same {
				t.Fatal(i+k, first, same)
			}
			if first, same := s.read(i+k, value(0)); first || same && i+k != 0 {
				t.Fatal("another value is the same", i+k, first, same)
			}
			s.placed(i + k)
		}
		most = max(most, len(s.kept))
	}
	if s.root() != tree.Root() {
		t.Error("another digest")
	}
	if most > ahead {
		t.Errorf("%d values are kept at a time", most)
	}
}

// TestHT42There: what the far side says it has must be in order and of the file.
func TestHT42There(t *testing.T) {
	t.Parallel()
	var there There
	cvs := make([]byte, 3*32)
	for i := range cvs {
		cvs[i] = byte(i/32 + 1)
	}
	cv := func(b byte) (c digest.CV) {
		for i := range c {
			c[i] = b
		}
		return c
	}
	for _, run := range []struct {
		first int64
		n     int
		ok    bool
	}{{-1, 1, false}, {0, 3, true}, {2, 1, false}, {1, 3, false}, {5, 2, true}, {8, 3, false}, {10, 1, false}, {7, 3, true}} {
		if got := there.Add(run.first, cvs[:32*run.n], 10); got != run.ok {
			t.Errorf("%d from %d: %v", run.n, run.first, got)
		}
	}
	for i, b := range map[int64]byte{0: 1, 1: 2, 2: 3, 5: 1, 6: 2, 7: 1, 9: 3} {
		if !there.has(i, cv(b)) || there.has(i, cv(b+1)) {
			t.Error("chunk", i)
		}
	}
	for _, i := range []int64{-1, 3, 4, 10, 1 << 40} {
		if there.has(i, cv(1)) {
			t.Error("chunk", i, "is there")
		}
	}
}
