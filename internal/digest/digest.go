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

// groupSize is the piece that the SIMD code compresses at once. Walking a
// buffer in such groups is faster than the library's call for large buffers,
// which starts goroutines.
const groupSize = guts.MaxSIMD * guts.ChunkSize

// groupsPerChunk is 64, so a chunk's groups merge in six steps.
const groupsPerChunk = hufu.ChunkSize / groupSize

// CV is the chaining value of one chunk of a file that has more than one: the
// inner node's first 256 bits, not the root of anything.
type CV [32]byte

// Chunks is the number of chunks of a file of size bytes; an empty file has
// one, which is empty.
func Chunks(size int64) int64 {
	return max(1, (size+hufu.ChunkSize-1)/hufu.ChunkSize)
}

// ChunkLen is the length in bytes of chunk index of a file of size bytes.
func ChunkLen(size, index int64) int {
	return int(min(hufu.ChunkSize, size-index*hufu.ChunkSize))
}

// smallSum is the size in bytes up to which a file that stands alone is hashed
// by another library: the one that gives us the tree always compresses a whole
// group, four times as much as most small files have.
const smallSum = 8 << 10

// Sum is the digest of a whole file held in memory.
func Sum(data []byte) hufu.Digest {
	switch {
	case len(data) <= smallSum:
		return zeebo.Sum256(data)
	case len(data) <= hufu.ChunkSize:
		return rootDigest(chunkNode(data, 0))
	}
	var t tree
	for index := int64(0); len(data) > 0; index++ {
		n := min(len(data), hufu.ChunkSize)
		t.push(words(Chunk(data[:n], index)))
		data = data[n:]
	}
	return t.root()
}

// Chunk is the chaining value of chunk index of a file with more than one
// chunk. All chunks but the last hold exactly hufu.ChunkSize bytes; data is
// never empty.
func Chunk(data []byte, index int64) CV {
	return CV(bytes(guts.ChainingValue(chunkNode(data, index))))
}

// Root combines the chaining values of all chunks of a file, in order, to its
// digest. It wants at least two: a file of one chunk has no chaining value
// above it, use Sum.
func Root(cvs []CV) hufu.Digest {
	if len(cvs) < 2 {
		panic("digest: Root of fewer than two chunks")
	}
	var t tree
	for i := range cvs {
		t.push(words(cvs[i]))
	}
	return t.root()
}

// Filling is Chunk for a buffer that fills little by little: each group is
// hashed as soon as it is there, while the processor's cache still holds it.
// Hashing a whole chunk after it has left the cache takes twice as long.
type Filling struct {
	cvs     [groupsPerChunk][8]uint32
	n       int // groups hashed
	counter uint64
}

// Start begins with chunk index.
func (f *Filling) Start(index int64) {
	f.n, f.counter = 0, uint64(index)*(hufu.ChunkSize/guts.ChunkSize)
}

// To takes note of what the buffer holds by now, from its beginning on.
func (f *Filling) To(data []byte) {
	for len(data)-f.n*groupSize > groupSize { // the last group may be the root
		f.cvs[f.n] = guts.ChainingValue(f.group(data))
		f.n++
	}
}

func (f *Filling) group(data []byte) guts.Node {
	at := f.n * groupSize
	return guts.CompressBuffer((*[groupSize]byte)(data[at:at+groupSize]), groupSize, &guts.IV, f.counter+uint64(f.n)*guts.MaxSIMD, 0)
}

// Chunk is the chaining value of the chunk that data holds by now. The next
// chunk begins with Start.
func (f *Filling) Chunk(data []byte) CV { return CV(bytes(guts.ChainingValue(f.node(data)))) }

// node compresses up to 1 MiB.
func (f *Filling) node(data []byte) guts.Node {
	if len(data) > hufu.ChunkSize {
		panic("digest: more than one chunk")
	}
	f.To(data)
	var last guts.Node
	if len(data)-f.n*groupSize == groupSize {
		last = f.group(data)
	} else {
		last = tailNode(data[f.n*groupSize:], f.counter+uint64(f.n)*guts.MaxSIMD)
	}
	if f.n == 0 {
		return last
	}
	cvs, n := &f.cvs, f.n
	cvs[n] = guts.ChainingValue(last)
	n++
	// Pairing neighbours level by level and carrying an odd one up unchanged
	// builds exactly the left-balanced tree.
	for n > 2 {
		half := n / 2
		for i := range half {
			cvs[i] = guts.ChainingValue(guts.ParentNode(cvs[2*i], cvs[2*i+1], &guts.IV, 0))
		}
		if n%2 == 1 {
			cvs[half] = cvs[n-1]
			half++
		}
		n = half
	}
	return guts.ParentNode(cvs[0], cvs[1], &guts.IV, 0)
}

// chunkNode compresses a chunk that is there as a whole.
func chunkNode(data []byte, index int64) guts.Node {
	var f Filling
	f.Start(index)
	return f.node(data)
}

// tailNode compresses less than a group; the library reads a whole group, so
// what is shorter is copied first.
func tailNode(data []byte, counter uint64) guts.Node {
	if len(data) <= guts.ChunkSize {
		return guts.CompressChunk(data, &guts.IV, counter, 0)
	}
	var buf [groupSize]byte
	copy(buf[:], data)
	return guts.CompressBuffer(&buf, len(data), &guts.IV, counter, 0)
}

// tree merges the chaining values of equal, complete subtrees as they come,
// as a binary counter does: bit i of count says whether stack[i] is in use.
type tree struct {
	stack [50][8]uint32
	last  [8]uint32 // held back: it may be the last, whose merging is the root's
	count uint64    // pushed before last
	any   bool
}

func (t *tree) push(cv [8]uint32) {
	if t.any {
		t.merge()
	}
	t.last, t.any = cv, true
}

func (t *tree) merge() {
	cv, i := t.last, 0
	for ; t.count&(1<<i) != 0; i++ {
		cv = guts.ChainingValue(guts.ParentNode(t.stack[i], cv, &guts.IV, 0))
	}
	t.stack[i] = cv
	t.count++
}

func (t *tree) root() hufu.Digest {
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

// zeros is what a hole reads as.
var zeros [hufu.ChunkSize]byte

// Zeros is the chaining value of chunk index when it is a hole of n bytes.
func Zeros(n int, index int64) CV { return Chunk(zeros[:n], index) }
