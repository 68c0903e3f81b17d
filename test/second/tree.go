package second

import (
	"encoding/binary"
	"math/bits"

	"lukechampine.com/blake3/guts"
)

// chunkSize is the piece of a file that has a chaining value of its own.
const chunkSize = 1 << 20

// node is the top of BLAKE3's tree over data, whose first 1 KiB piece has the
// number counter: a left-balanced tree, the left half the largest power of two.
func node(data []byte, counter uint64) guts.Node {
	if len(data) <= guts.ChunkSize {
		return guts.CompressChunk(data, &guts.IV, counter, 0)
	}
	left := 1 << (bits.Len(uint(len(data)-1)) - 1)
	return guts.ParentNode(
		guts.ChainingValue(node(data[:left], counter)),
		guts.ChainingValue(node(data[left:], counter+uint64(left/guts.ChunkSize))), &guts.IV, 0)
}

func toBytes(words [8]uint32) []byte {
	var b []byte
	for _, w := range words {
		b = binary.LittleEndian.AppendUint32(b, w)
	}
	return b
}

func toWords(b []byte) (words [8]uint32) {
	for i := range words {
		words[i] = binary.LittleEndian.Uint32(b[4*i:])
	}
	return words
}

func rooted(n guts.Node) []byte {
	n.Flags |= guts.FlagRoot
	return toBytes(guts.ChainingValue(n))
}

// Digest is BLAKE3 of a whole file.
func Digest(data []byte) []byte { return rooted(node(data, 0)) }

// CV is the chaining value of one chunk of a file that has more than one.
func CV(chunk []byte, index int64) []byte {
	return toBytes(guts.ChainingValue(node(chunk, uint64(index)*chunkSize/guts.ChunkSize)))
}

// Combine makes the digest of a file out of the chaining values of its chunks.
func Combine(cvs [][]byte) []byte {
	level := make([][8]uint32, len(cvs))
	for i, cv := range cvs {
		level[i] = toWords(cv)
	}
	for len(level) > 2 {
		var above [][8]uint32
		for i := 0; i+1 < len(level); i += 2 {
			above = append(above, guts.ChainingValue(guts.ParentNode(level[i], level[i+1], &guts.IV, 0)))
		}
		if len(level)%2 == 1 {
			above = append(above, level[len(level)-1])
		}
		level = above
	}
	return rooted(guts.ParentNode(level[0], level[1], &guts.IV, 0))
}
