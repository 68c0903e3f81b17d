package digest

import "hufu"

// Hasher computes the digest of a file that passes through Write. Its zero
// value is not ready; use New. Not for concurrent use.
type Hasher struct {
	buf   []byte // the chunk that is filling, 1 MiB
	n     int
	index int64
	t     tree
}

// New returns a Hasher for one file; it holds a buffer of one chunk.
func New() *Hasher { return &Hasher{buf: make([]byte, hufu.ChunkSize)} }

// Write adds p to the file. It never fails.
func (h *Hasher) Write(p []byte) (int, error) {
	total := len(p)
	for len(p) > 0 {
		if h.n == len(h.buf) { // more follows, so this chunk is not the only one
			h.flush()
		}
		c := copy(h.buf[h.n:], p)
		h.n += c
		p = p[c:]
	}
	return total, nil
}

func (h *Hasher) flush() {
	h.t.push(words(Chunk(h.buf[:h.n], h.index)))
	h.index++
	h.n = 0
}

// Sum is the digest of all that was written. Nothing may be written after it.
func (h *Hasher) Sum() hufu.Digest {
	if h.index == 0 {
		return Sum(h.buf[:h.n])
	}
	if h.n > 0 {
		h.flush()
	}
	return h.t.root()
}
