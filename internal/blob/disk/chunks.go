package disk

import "hufu/internal/digest"

// chunkTable is what is known of each chunk of an upload. It grows with what
// arrives, not with what was announced: a client's word for a size of 1 PiB
// must not cost 32 GiB.
type chunkTable struct {
	n    int64
	have int64
	segs []*chunkSegment
}

const segmentChunks = 512

type chunkSegment struct {
	state [segmentChunks]chunkState
	cvs   [segmentChunks]digest.CV
}

type chunkState uint8

const (
	chunkMissing chunkState = iota
	chunkBusy               // somebody is writing it
	chunkData
	chunkHole
)

func newChunkTable(n int64) chunkTable {
	return chunkTable{n: n, segs: make([]*chunkSegment, (n+segmentChunks-1)/segmentChunks)}
}

func (t *chunkTable) state(i int64) chunkState {
	if seg := t.segs[i/segmentChunks]; seg != nil {
		return seg.state[i%segmentChunks]
	}
	return chunkMissing
}

func (t *chunkTable) cv(i int64) digest.CV {
	if seg := t.segs[i/segmentChunks]; seg != nil {
		return seg.cvs[i%segmentChunks]
	}
	return digest.CV{}
}

func (t *chunkTable) seg(i int64) *chunkSegment {
	seg := t.segs[i/segmentChunks]
	if seg == nil {
		seg = new(chunkSegment)
		t.segs[i/segmentChunks] = seg
	}
	return seg
}

func (t *chunkTable) set(i int64, st chunkState) { t.seg(i).state[i%segmentChunks] = st }

// arrived counts a chunk that was not there.
func (t *chunkTable) arrived(i int64, st chunkState, cv *digest.CV) {
	seg := t.seg(i)
	seg.state[i%segmentChunks], seg.cvs[i%segmentChunks] = st, *cv
	t.have++
}

// lost counts one that turned out not to be there.
func (t *chunkTable) lost(i int64) {
	seg := t.seg(i)
	seg.state[i%segmentChunks], seg.cvs[i%segmentChunks] = chunkMissing, digest.CV{}
	t.have--
}

// missing is the first chunk from i on that is not there, n if there is none.
func (t *chunkTable) missing(i int64) int64 {
	for i < t.n && t.state(i) >= chunkData {
		i++
	}
	return i
}

// all lists the chaining values, nil while one is missing.
func (t *chunkTable) all() []digest.CV {
	if t.have < t.n {
		return nil
	}
	cvs := make([]digest.CV, 0, t.n)
	for _, seg := range t.segs {
		cvs = append(cvs, seg.cvs[:min(segmentChunks, t.n-int64(len(cvs)))]...)
	}
	return cvs
}
