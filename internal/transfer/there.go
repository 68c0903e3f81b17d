package transfer

import (
	"cmp"
	"slices"

	"hufu/internal/digest"
)

// There is what the far side says it has of a file. It keeps a part of each
// chaining value, which is enough to decide that a chunk need not be sent again:
// the commit compares the whole. It takes 12 bytes for each chunk.
type There struct{ chunks []thereChunk }

type thereChunk struct {
	index uint32
	part  [8]byte // of its chaining value
}

// Add adds a run of chunks, by their chaining values one after the other. It reports whether they
// come after all chunks that were added before, and the file has chunks of these numbers.
func (t *There) Add(first int64, cvs []byte, chunks int64) bool {
	n := int64(len(cvs) / len(digest.CV{}))
	if first < 0 || first+n > chunks || len(t.chunks) > 0 && first <= int64(t.chunks[len(t.chunks)-1].index) {
		return false
	}
	for i := range n {
		t.chunks = append(t.chunks, thereChunk{uint32(first + i), [8]byte(cvs[i*int64(len(digest.CV{})):])})
	}
	return true
}

// has reports whether chunk index is there, with this chaining value.
func (t *There) has(index int64, cv digest.CV) bool {
	i, found := slices.BinarySearchFunc(t.chunks, index, func(c thereChunk, index int64) int { return cmp.Compare(int64(c.index), index) })
	return found && t.chunks[i].part == [8]byte(cv[:])
}
