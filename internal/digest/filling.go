package digest

import (
	"math/bits"

	"lukechampine.com/blake3/guts"

	"hufu"
)

// groupSize is the piece that is compressed at once, 16 KiB: a BLAKE3 chunk in
// each lane of the processor's widest registers. Walking a buffer in such
// groups is faster than the library's call for large buffers, which starts
// goroutines.
const (
	lanes     = guts.MaxSIMD
	groupSize = lanes * guts.ChunkSize
)

// levels of the tree in a chunk: 64 groups, 32 pairs, …, 1 node.
const levels = 7

// Filling is Chunk for a buffer that is filled in pieces: each group is hashed
// as soon as it is complete, while the processor's cache still holds it.
// Hashing a whole chunk after it has left the cache takes twice as long.
//
// Groups are counted as in a binary counter. Where bit l of n is set, level l holds the chaining
// values of 2^l groups in its first half; those of the next 2^l go into the second half, and both
// become the first or second half of the level above. With lanes a half holds 16 chaining values,
// else one. So all sixteen lanes are busy on every level; only the last four merges, in top, use
// fewer.
type Filling struct {
	at      [levels][2 * lanes][8]uint32
	half    int // chaining values: lanes, or 1 where the processor has none
	n       int // groups hashed
	counter uint64
}

// Start begins with chunk index.
func (f *Filling) Start(index int64) {
	f.half = 1
	if wide() {
		f.half = lanes
	}
	f.n, f.counter = 0, uint64(index)*(hufu.ChunkSize/guts.ChunkSize)
}

// To hashes the complete groups of data, the contents of the buffer so far, from its beginning.
// It leaves the last one, even if that is complete.
func (f *Filling) To(data []byte) {
	for len(data)-f.n*groupSize > groupSize { // the last group may be the root
		f.add(data)
	}
}

// add hashes the next group.
func (f *Filling) add(data []byte) {
	group := (*[groupSize]byte)(data[f.n*groupSize:])
	if f.half == lanes {
		chunks16(f.into(0), group, f.next())
	} else {
		f.into(0)[0] = guts.ChainingValue(guts.CompressBuffer(group, groupSize, &guts.IV, f.next(), 0))
	}
	for l := 0; f.n>>l&1 == 1; l++ {
		if f.half == lanes {
			parents16(f.into(l+1), &f.at[l])
		} else {
			f.into(l + 1)[0] = guts.ChainingValue(f.parent(l))
		}
	}
	f.n++
}

// next returns the number of the next group's first BLAKE3 chunk.
func (f *Filling) next() uint64 { return f.counter + uint64(f.n)*lanes }

// into returns the half of level l that is written next.
func (f *Filling) into(l int) *[lanes][8]uint32 {
	return (*[lanes][8]uint32)(f.at[l][f.n>>l&1*f.half:])
}

func (f *Filling) parent(l int) guts.Node {
	return guts.ParentNode(f.at[l][0], f.at[l][1], &guts.IV, 0)
}

// top returns the node above the first half of level l. It overwrites that half.
func (f *Filling) top(l int) guts.Node {
	for n := lanes; n > 2; n /= 2 {
		parents16((*[lanes][8]uint32)(f.at[l][:]), &f.at[l])
	}
	return f.parent(l)
}

// Chunk returns the chaining value of the chunk that data holds by now. The next
// chunk begins with Start.
func (f *Filling) Chunk(data []byte) CV { return CV(bytes(guts.ChainingValue(f.node(data)))) }

// node compresses up to 1 MiB.
func (f *Filling) node(data []byte) guts.Node {
	if len(data) > hufu.ChunkSize {
		panic("digest: more than one chunk")
	}
	f.To(data)
	var node guts.Node
	l := 0
	if rest := data[f.n*groupSize:]; f.half == lanes && len(rest) == groupSize {
		f.add(data)
		l = bits.TrailingZeros(uint(f.n))
		node = f.top(l)
		l++
	} else {
		node = tailNode(rest, f.next())
	}
	// To the left of this node stand complete subtrees, each larger than the one before: the tree
	// is left-balanced.
	for ; f.n>>l > 0; l++ {
		if f.n>>l&1 == 0 {
			continue
		}
		left := f.at[l][0]
		if f.half == lanes {
			left = guts.ChainingValue(f.top(l))
		}
		node = guts.ParentNode(left, guts.ChainingValue(node), &guts.IV, 0)
	}
	return node
}

// chunkNode compresses a chunk that is there as a whole.
func chunkNode(data []byte, index int64) guts.Node {
	var f Filling
	f.Start(index)
	return f.node(data)
}

// tailNode compresses a group or less; the library reads a whole group, so a
// shorter one is copied first.
func tailNode(data []byte, counter uint64) guts.Node {
	if len(data) <= guts.ChunkSize {
		return guts.CompressChunk(data, &guts.IV, counter, 0)
	}
	if len(data) == groupSize {
		return guts.CompressBuffer((*[groupSize]byte)(data), groupSize, &guts.IV, counter, 0)
	}
	var buf [groupSize]byte
	copy(buf[:], data)
	return guts.CompressBuffer(&buf, len(data), &guts.IV, counter, 0)
}
