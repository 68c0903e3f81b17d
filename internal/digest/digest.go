// Package digest computes BLAKE3 of whole files and of their 1 MiB chunks, so
// that chunks hashed anywhere and in any order combine to what b3sum prints
// for the whole (BLAKE3 specification, section 2.1: the tree is left-balanced,
// and an aligned run of 2^10 of its 1 KiB chunks is one complete subtree).
// It does no I/O and, for whole groups, allocates nothing.
package digest

import (
	"encoding/binary"

	zeebo "github.com/zeebo/blake3"
	"lukechampine.com/blake3/guts"

	"hufu"
)

// CV is the chaining value of one chunk of a file that has more than one: the
// inner node's first 256 bits, not the root of anything.
type CV [32]byte

// Chunks returns the number of chunks of a file of size bytes; an empty file has
// one, which is empty.
func Chunks(size int64) int64 {
	return max(1, (size+hufu.ChunkSize-1)/hufu.ChunkSize)
}

// ChunkLen returns the length in bytes of chunk index of a file of size bytes.
func ChunkLen(size, index int64) int {
	return int(min(hufu.ChunkSize, size-index*hufu.ChunkSize))
}

// smallSum is the size in bytes up to which a single file that does not go through sumRows is
// hashed by another library: guts always compresses a whole group of 16 KiB, much more than most
// small files have.
const smallSum = 8 << 10

// Where the processor can do it, sumRows hashes files of at most this many BLAKE3 chunks, all of
// them at once.
const rows = 4

// Sum returns the digest of a whole file held in memory.
func Sum(data []byte) hufu.Digest {
	switch {
	case guts.ChunkSize < len(data) && len(data) <= rows*guts.ChunkSize && hasRows():
		return sumRows(data)
	case len(data) <= smallSum:
		return zeebo.Sum256(data)
	case len(data) <= hufu.ChunkSize:
		return rootDigest(chunkNode(data, 0))
	}
	var t Tree
	for index := int64(0); len(data) > 0; index++ {
		n := min(len(data), hufu.ChunkSize)
		t.Push(Chunk(data[:n], index))
		data = data[n:]
	}
	return t.Root()
}

// Chunk returns the chaining value of chunk index of a file with more than one
// chunk. All chunks but the last hold exactly hufu.ChunkSize bytes; data is
// never empty.
func Chunk(data []byte, index int64) CV {
	return CV(bytes(guts.ChainingValue(chunkNode(data, index))))
}

// Root combines the chaining values of all chunks of a file, in order, to its digest. It needs at
// least two; for a file of one chunk use Sum.
func Root(cvs []CV) hufu.Digest {
	if len(cvs) < 2 {
		panic("digest: Root of fewer than two chunks")
	}
	var t Tree
	for i := range cvs {
		t.Push(cvs[i])
	}
	return t.Root()
}

// Tree combines the chaining values of the chunks of a file, in order, to its digest. It merges
// those of equal, complete subtrees as a binary counter does: bit i of count tells whether
// stack[i] is in use. The zero value is ready.
type Tree struct {
	stack [50][8]uint32
	last  [8]uint32 // not merged yet: if it is the last chunk, its merge is the root
	count uint64    // pushed before last
	any   bool
}

// Push adds the next chunk.
func (t *Tree) Push(cv CV) {
	if t.any {
		t.merge()
	}
	t.last, t.any = words(cv), true
}

func (t *Tree) merge() {
	cv, i := t.last, 0
	for ; t.count&(1<<i) != 0; i++ {
		cv = guts.ChainingValue(guts.ParentNode(t.stack[i], cv, &guts.IV, 0))
	}
	t.stack[i] = cv
	t.count++
}

// Root returns the digest of a file of the chunks that were pushed. It needs at least two; for a
// file of one chunk use Sum.
func (t *Tree) Root() hufu.Digest {
	var n guts.Node
	cv := t.last
	for i := range len(t.stack) {
		if t.count&(1<<i) != 0 {
			n = guts.ParentNode(t.stack[i], cv, &guts.IV, 0)
			cv = guts.ChainingValue(n)
		}
	}
	return rootDigest(n)
}

func rootDigest(n guts.Node) hufu.Digest {
	n.Flags |= guts.FlagRoot
	return hufu.Digest(bytes(guts.ChainingValue(n)))
}

func words(b [32]byte) (w [8]uint32) {
	for i := range w {
		w[i] = binary.LittleEndian.Uint32(b[4*i:])
	}
	return w
}

func bytes(w [8]uint32) (b [32]byte) {
	for i := range w {
		binary.LittleEndian.PutUint32(b[4*i:], w[i])
	}
	return b
}

// zeros are the bytes of a hole.
var zeros [hufu.ChunkSize]byte

// Zeros returns the chaining value of chunk index when it is a hole of n bytes. It
// takes as long as any other: the number of each BLAKE3 chunk goes into its value,
// so the zeros of two places have nothing in common.
func Zeros(n int, index int64) CV { return Chunk(zeros[:n], index) }
