package disk

import (
	"encoding/binary"
	"maps"
	"slices"

	"hufu/internal/blob/disk/sys"
	"hufu/internal/digest"
)

// chunkTable holds the state of each chunk of an upload and the position of its
// chaining value in the journal. It takes 4 bytes for each chunk of every segment in which one has
// arrived or was tried.
type chunkTable struct {
	n    int64
	have int64
	segs map[int64]*chunkSegment
}

const (
	segmentChunks = 64
	// segmentCost is the memory that a segment takes, with its place in the
	// map.
	segmentCost = 4*segmentChunks + 64
)

// chunkSegment holds the chunks of one segment: 0 for a missing chunk, 1 for one that is being
// written, and 2 or more for one that has arrived, see func there.
type chunkSegment [segmentChunks]uint32

// maxRecords is the number of records of a journal that the 32 bits of an entry of a segment can
// name, together with the state of the chunk.
const maxRecords = 1<<31 - 2

type chunkState uint8

const (
	chunkMissing chunkState = iota
	chunkBusy               // being written
	chunkData
	chunkHole
)

// there returns the value in a segment for a chunk that has arrived. The
// record number is less than maxRecords, so the value fits.
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

// record returns the number of the journal record of a chunk that has arrived.
func (t *chunkTable) record(i int64) int64 { return int64(t.at(i)-2) >> 1 }

// grow makes place for chunk i. It reports whether that takes memory.
func (t *chunkTable) grow(i int64) bool {
	if t.segs[i/segmentChunks] != nil {
		return false
	}
	t.segs[i/segmentChunks] = new(chunkSegment)
	return true
}

// set marks a chunk, for which there is place, as missing or busy.
func (t *chunkTable) set(i int64, st chunkState) {
	t.segs[i/segmentChunks][i%segmentChunks] = uint32(st)
}

// arrived marks a chunk as arrived and counts it.
func (t *chunkTable) arrived(i int64, st chunkState, record int64) {
	t.moved(i, st, record)
	t.have++
}

// moved sets the number of a chunk's record.
func (t *chunkTable) moved(i int64, st chunkState, record int64) {
	t.segs[i/segmentChunks][i%segmentChunks] = there(record, st)
}

// lost marks a chunk as missing after all.
func (t *chunkTable) lost(i int64) {
	t.set(i, chunkMissing)
	t.have--
}

// missing returns the first chunk from i on that has not arrived, or n if there
// is none.
func (t *chunkTable) missing(i int64) int64 {
	for i < t.n && t.state(i) >= chunkData {
		i++
	}
	return i
}

// segments returns the numbers of the segments that hold any chunk, in order.
func (t *chunkTable) segments() []int64 { return slices.Sorted(maps.Keys(t.segs)) }

// recordReader reads chaining values from a journal, several records at a time: the records of
// neighboring chunks are mostly close together.
type recordReader struct {
	journal sys.File
	id      []byte
	first   int64 // where the records begin
	buf     []byte
	from    int64 // the number of the first record in buf
}

// window is the number of records read at a time, of which windowBefore precede the wanted one.
// Lanes finish out of order, so those are likely to be needed next.
const (
	window       = 1024
	windowBefore = 128
)

// cv returns the chaining value of chunk index, which is in record number n.
func (r *recordReader) cv(index, n int64) (digest.CV, error) {
	if n < r.from || n >= r.from+int64(len(r.buf)/recordSize) {
		if r.buf == nil {
			r.buf = make([]byte, window*recordSize)
		}
		r.buf, r.from = r.buf[:window*recordSize], max(0, n-windowBefore)
		got, err := r.journal.ReadAt(r.buf, r.first+r.from*recordSize)
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

// recordCV returns the chaining value in a record, if the record is valid and
// belongs to this chunk.
func recordCV(b *[recordSize]byte, id []byte, index int64) (digest.CV, error) {
	if binary.LittleEndian.Uint32(b[40:]) != recordSum(b, id) || int64(binary.LittleEndian.Uint64(b[:])&^(holeFlag|lostFlag)) != index {
		return digest.CV{}, errJournal
	}
	return digest.CV(b[8:40]), nil
}
