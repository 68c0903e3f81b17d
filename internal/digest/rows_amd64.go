package digest

import (
	"encoding/binary"

	"golang.org/x/sys/cpu"
	"lukechampine.com/blake3/guts"

	"hufu"
)

type (
	// quad is four chaining values: the first four words of each, then the
	// other four.
	quad [2][rows][4]uint32

	// rest holds the other inputs of four compressions: the counter's two
	// words, the length of the block in bytes, flags.
	rest [rows][4]uint32
)

// ivs returns a quad of initial values.
func ivs() (q quad) {
	for lane := range rows {
		q.set(lane, [2][4]uint32{[4]uint32(guts.IV[:4]), [4]uint32(guts.IV[4:])})
	}
	return q
}

func (q *quad) get(lane int) [2][4]uint32     { return [2][4]uint32{q[0][lane], q[1][lane]} }
func (q *quad) set(lane int, cv [2][4]uint32) { q[0][lane], q[1][lane] = cv[0], cv[1] }

// put writes a chaining value in the form of a parent's block.
func (q *quad) put(b []byte, lane int) {
	for i := range q {
		for k, w := range q[i][lane] {
			binary.LittleEndian.PutUint32(b[16*i+4*k:], w)
		}
	}
}

// compress4 compresses n blocks into each of the chaining values, one after the other. Value i
// takes its blocks from blocks + i*stride.
//
//go:noescape
func compress4(cvs *quad, blocks *byte, stride, n uintptr, rest *rest)

// compress2x2 is compress4 for processors that have AVX2 without AVX-512.
//
//go:noescape
func compress2x2(cvs *quad, blocks *byte, stride, n uintptr, rest *rest)

// hasRows reports whether sumRows can be used.
func hasRows() bool { return wide() || cpu.X86.HasAVX2 }

// compress is compress4, in the form that this processor has.
func compress(cvs *quad, blocks *byte, stride, n uintptr, rest *rest) {
	if wide() {
		compress4(cvs, blocks, stride, n, rest)
	} else {
		compress2x2(cvs, blocks, stride, n, rest)
	}
}

// sumRows returns the digest of 2 to rows BLAKE3 chunks. Each register holds the same row of four
// states, so four chunks take the time of one.
func sumRows(data []byte) hufu.Digest {
	const blocks = guts.ChunkSize / guts.BlockSize
	var at *[rows * guts.ChunkSize]byte
	if len(data) == len(at) {
		at = (*[len(at)]byte)(data)
	} else {
		var padded [len(at)]byte
		copy(padded[:], data)
		at = &padded
	}
	last := (len(data) - 1) / guts.ChunkSize // may have fewer blocks than the others
	tail := len(data) - last*guts.ChunkSize
	tailBlock := (tail - 1) / guts.BlockSize

	q, r := ivs(), rest{}
	var tailCV [2][4]uint32
	for b := 0; b < blocks; {
		next := blocks
		for _, cut := range [...]int{1, tailBlock, tailBlock + 1, blocks - 1} {
			if cut > b {
				next = min(next, cut)
			}
		}
		flags := uint32(0)
		switch b {
		case 0:
			flags = guts.FlagChunkStart
		case blocks - 1:
			flags = guts.FlagChunkEnd
		}
		for lane := range r {
			r[lane] = [4]uint32{uint32(lane), 0, guts.BlockSize, flags}
		}
		if b == tailBlock {
			r[last][2] = uint32(tail - tailBlock*guts.BlockSize)
			r[last][3] = flags | guts.FlagChunkEnd
		}
		compress(&q, &at[b*guts.BlockSize], guts.ChunkSize, uintptr(next-b), &r)
		if b == tailBlock {
			tailCV = q.get(last)
		}
		b = next
	}
	q.set(last, tailCV)

	// Neighbors merge, and an odd one goes up unchanged: the tree is
	// left-balanced.
	for n := last + 1; n > 1; n = (n + 1) / 2 {
		flags := uint32(guts.FlagParent)
		if n == 2 {
			flags |= guts.FlagRoot
		}
		var nodes [rows][guts.BlockSize]byte
		for i := range rows {
			r[i] = [4]uint32{0, 0, guts.BlockSize, flags}
			if i < n/2 {
				q.put(nodes[i][:], 2*i)
				q.put(nodes[i][guts.BlockSize/2:], 2*i+1)
			}
		}
		over := q.get(n - 1)
		q = ivs()
		compress(&q, &nodes[0][0], guts.BlockSize, 1, &r)
		if n%2 == 1 {
			q.set(n/2, over)
		}
	}
	var sum hufu.Digest
	q.put(sum[:], 0)
	return sum
}
