package disk

import (
	"errors"
	"syscall"

	"hufu"
	"hufu/internal/digest"
)

// reservation is the space reserved ahead of the chunks that have arrived, so
// that a file written by several lanes stays in one piece. It is bounded by
// maxAhead: an announced size takes no space by itself.
type reservation struct {
	off     bool
	regions map[int64]bool // reserved, by number
	chunks  int64          // upper bound of the chunks that are reserved and not yet used
}

const (
	maxAhead     = 256 << 20 / hufu.ChunkSize // chunks
	regionChunks = 32
	reserveFrom  = 64 << 20 // smaller files are in one piece anyway
)

// arrived lowers the count of reserved chunks: this one is used now, or was freed as a hole.
func (r *reservation) arrived(index int64) {
	if r.regions[index/regionChunks] {
		r.chunks--
	}
}

// replaced undoes arrived before a chunk is overwritten.
func (r *reservation) replaced(index int64) {
	if r.regions[index/regionChunks] {
		r.chunks++
	}
}

// reserveAround reserves the region around a chunk that is about to be written, if
// the limit allows it and the region has no known hole.
func (p *pending) reserveAround(index int64) {
	if !p.s.has.Preallocate || p.key.Size < reserveFrom {
		return
	}
	r, region := &p.reserve, index/regionChunks
	full := func() bool { return r.off || r.regions[region] || r.chunks+regionChunks > maxAhead }
	p.mu.Lock()
	no := full()
	p.mu.Unlock()
	if no || p.s.hook("reserve-wait") != nil {
		return
	}
	p.reserving.Lock()
	defer p.reserving.Unlock()
	p.mu.Lock()
	if full() {
		p.mu.Unlock()
		return
	}
	from, to := region*regionChunks, min((region+1)*regionChunks, p.chunks.n)
	for i := from; i < to; i++ {
		if p.chunks.state(i) == chunkHole {
			p.mu.Unlock()
			return
		}
	}
	if r.regions == nil {
		r.regions = make(map[int64]bool)
	}
	r.regions[region] = true
	r.chunks += to - from
	p.dirty = true // a hole announced later must become one again
	p.mu.Unlock()
	off := from * hufu.ChunkSize
	if err := p.staging.Preallocate(off, min(to*hufu.ChunkSize, p.key.Size)-off); err != nil {
		p.mu.Lock()
		r.off = true // only an optimization; writing reports a full disk
		p.mu.Unlock()
	}
}

// makeHole makes the chunk read as zeros and take no space. As long as dirty is not set, every
// missing chunk is a hole.
func (p *pending) makeHole(index int64) error {
	p.mu.Lock()
	dirty := p.dirty
	p.mu.Unlock()
	if !dirty {
		return nil
	}
	off, n := index*hufu.ChunkSize, digest.ChunkLen(p.key.Size, index)
	err := p.staging.Punch(off, int64(n))
	if !errors.Is(err, syscall.EOPNOTSUPP) && !errors.Is(err, syscall.ENOSYS) {
		return err
	}
	zeros := p.s.chunks.Get().(*[]byte)
	defer p.s.chunks.Put(zeros)
	clear((*zeros)[:n])
	return p.staging.WriteAt((*zeros)[:n], off)
}
