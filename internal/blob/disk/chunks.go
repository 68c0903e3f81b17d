package disk

import (
	"encoding/binary"
	"maps"
	"slices"

	"hufu/internal/digest"
)

// chunkTable is what is known of each chunk of an upload: its state, and where
// in the journal its chaining value is. It takes 4 bytes for each chunk that has
// arrived, and nothing for those that were announced.
type chunkTable struct {
	n    int64
	have int64
	segs map[int64]*chunkSegment
}

const (
	segmentChunks = 64
	// segmentCost is what a segment takes, with its place in the map.
	segmentCost = 4*segmentChunks + 64
)

// chunkSegment is the chunks of one segment: 0 for one that is missing, 1 for
// one that somebody is writing, else 2 and up, see there.
type chunkSegment [segmentChunks]uint32

// maxRecords is how many records of a journal a segment can tell apart.
const maxRecords = 1<<31 - 2

type chunkState uint8

const (
	chunkMissing chunkState = iota
	chunkBusy               // somebody is writing it
	chunkData
	chunkHole
)

// there is what a segment holds of a chunk that is there. There are no more than
// 2^30 of them.
func there(record int64, st chunkState) uint32 {
	return uint32(record)<<1 + uint32(st)
}

func newChunkTable(n int64) chunkTable {
	return chunkTable{n: n, segs: map[int64]*chunkSegment{}}
}

func (t *chunkTable) at(i int64) uint32 {
	if seg := t.segs[i/segmentChunks]; seg != nil {
		return seg[i%segmentChunks]
	}
	return 0
}

func (t *chunkTable) state(i int64) chunkState {
	v := t.at(i)
	if v < 2 {
		return chunkState(v)
	}
	return chunkState(2 + v%2)
}

// record is the number of the journal's record of a chunk that is there.
func (t *chunkTable) record(i int64) int64 { return int64(t.at(i)-2) >> 1 }

// grow makes place for chunk i. It reports whether that takes memory.
func (t *chunkTable) grow(i int64) bool {
	if t.segs[i/segmentChunks] != nil {
		return false
	}
	t.segs[i/segmentChunks] = new(chunkSegment)
	return true
}

// set says that a chunk, for which there is place, is missing or busy.
func (t *chunkTable) set(i int64, st chunkState) {
	t.segs[i/segmentChunks][i%segmentChunks] = uint32(st)
}

// arrived counts a chunk that was not there.
func (t *chunkTable) arrived(i int64, st chunkState, record int64) {
	t.moved(i, st, record)
	t.have++
}

// moved says where the record of a chunk is.
func (t *chunkTable) moved(i int64, st chunkState, record int64) {
	t.segs[i/segmentChunks][i%segmentChunks] = there(record, st)
}

// lost counts one that turned out not to be there.
func (t *chunkTable) lost(i int64) {
	t.set(i, chunkMissing)
	t.have--
}

// missing is the first chunk from i on that is not there, n if there is none.
func (t *chunkTable) missing(i int64) int64 {
	for i < t.n && t.state(i) >= chunkData {
		i++
	}
	return i
}

// segments are the numbers of those of which something is there, in order.
func (t *chunkTable) segments() []int64 { return slices.Sorted(maps.Keys(t.segs)) }

// recordReader reads chaining values back from a journal. Neighbours in the file
// mostly came one after the other, so it reads some records at a time.
type recordReader struct {
	journal fileHandle
	id      []byte
	first   int64 // where the records begin
	buf     []byte
	from    int64 // the number of the first record in buf
}

// window is how many records are read at a time, windowBefore of them before the
// one that is wanted: lanes overtake each other.
const (
	window       = 1024
	windowBefore = 128
)

// cv is the chaining value of chunk index, which is in record number n.
func (r *recordReader) cv(index, n int64) (digest.CV, error) {
	if n < r.from || n >= r.from+int64(len(r.buf)/recordSize) {
		if r.buf == nil {
			r.buf = make([]byte, window*recordSize)
		}
		r.buf, r.from = r.buf[:window*recordSize], max(0, n-windowBefore)
		got, err := r.journal.readAt(r.buf, r.first+r.from*recordSize)
		r.buf = r.buf[:got]
		if err != nil {
			r.buf = r.buf[:0]
			return digest.CV{}, err
		}
	}
	off := (n - r.from) * recordSize
	if off+recordSize > int64(len(r.buf)) {
		return digest.CV{}, errJournal
	}
	return recordCV((*[recordSize]byte)(r.buf[off:]), r.id, index)
}

// recordCV is the chaining value in a record, if it is good and of this chunk.
func recordCV(b *[recordSize]byte, id []byte, index int64) (digest.CV, error) {
	if binary.LittleEndian.Uint32(b[40:]) != recordSum(b, id) || int64(binary.LittleEndian.Uint64(b[:])&^(holeFlag|lostFlag)) != index {
		return digest.CV{}, errJournal
	}
	return digest.CV(b[8:40]), nil
}
