package disk

import (
	"context"
	"errors"
	"iter"
	"sync"
	"sync/atomic"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/blob/disk/sys"
	"hufu/internal/digest"
)

// upload is one holder's handle of an unfinished file; all holders of the same upload share the
// chunks that have arrived. It may be used from several goroutines.
type upload struct {
	p      *pending
	closed atomic.Bool
	guard  blob.Guard
	want   hufu.Digest // what Prepare was called with; guarded by committing
	meta   blob.Meta
}

// pending is an unfinished upload: a staging file in the target's folder and a
// journal.
type pending struct {
	s   *Store
	id  string
	raw []byte // id in bytes
	key blob.UploadKey

	refs   int   // guarded by the registry's lock
	charge int64 // of Options.Room, likewise

	opening sync.Mutex // held while the files are created, opened, checked or given up

	files     sync.RWMutex // guards the handles against closing
	unstarted bool         // nothing is on the disk yet; changed while opening is held too
	staging   sys.File
	journal   sys.File
	opened    bool

	// The kernel lets one thread at a time write to a file, and the others
	// spin.
	writing sync.Mutex

	// reserving is held while a region is reserved, and while a hole is made and recorded: no
	// region with a hole in it is reserved.
	reserving sync.Mutex

	mu           sync.Mutex // guards the fields below except ino, and appending to the journal
	chunkChanged sync.Cond  // a chunk left the state busy
	chunks       chunkTable
	first        int64 // where the records begin in the journal
	end          int64 // of the journal
	record       [recordSize]byte
	ino          uint64 // changed only while opening is held
	dirty        bool   // the staging file may hold data in ranges whose chunk is missing, so a hole there must be punched
	reserve      reservation
	gone         bool // given up: aborted, not syncable, or its folder is gone
	sealed       bool // being committed, or perhaps under its name: no chunk changes any more

	committing sync.Mutex // guards the fields below
	prepared   *sys.Node  // the staging file after Prepare, nil before
	meta       blob.Meta  // what Prepare set and recorded, digest and upload included
	committed  *hufu.Entry
}

// uploadGone is the code for an upload of which nothing is left: its sender starts over.
const uploadGone = "upload_gone"

var (
	errStale     = errors.New("the upload's staging file or journal is gone")
	errElsewhere = errors.New("another process has it open")
)

// Info describes the current state of the upload.
func (u *upload) Info() blob.UploadInfo {
	u.p.mu.Lock()
	defer u.p.mu.Unlock()
	return blob.UploadInfo{ID: u.p.id, Key: u.p.key, Unit: hufu.ChunkSize, Have: u.p.chunks.have}
}

// Missing returns the index of the first chunk from index on that has not
// arrived, or the number of chunks.
func (u *upload) Missing(index int64) int64 {
	u.p.mu.Lock()
	defer u.p.mu.Unlock()
	return u.p.chunks.missing(max(0, index))
}

// There lists the chunks that have arrived and their chaining values, in order.
// A chunk whose value cannot be read from the journal is left out.
func (u *upload) There() iter.Seq2[int64, digest.CV] {
	p := u.p
	return func(yield func(int64, digest.CV) bool) {
		p.files.RLock()
		defer p.files.RUnlock()
		if !p.opened {
			return
		}
		p.mu.Lock()
		segments, r := p.chunks.segments(), p.records()
		p.mu.Unlock()
		for _, s := range segments {
			for i := s * segmentChunks; i < (s+1)*segmentChunks; i++ {
				p.mu.Lock()
				there := p.chunks.state(i) >= chunkData
				record := p.chunks.record(i)
				p.mu.Unlock()
				if !there {
					continue
				}
				if cv, err := r.cv(i, record); err == nil && !yield(i, cv) {
					return
				}
			}
		}
	}
}

// records returns a reader of chaining values; the caller holds files and mu, or opening.
func (p *pending) records() *recordReader {
	return &recordReader{journal: p.journal, id: p.raw, first: p.first}
}

// Root returns the digest of the whole file, once all chunks have arrived.
func (u *upload) Root() (hufu.Digest, error) {
	p := u.p
	p.files.RLock()
	defer p.files.RUnlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.opened || p.chunks.have < p.chunks.n {
		return hufu.Digest{}, p.error("digest", hufu.KindInvalid, "upload_incomplete")
	}
	return p.rootLocked()
}

func (p *pending) rootLocked() (hufu.Digest, error) {
	var t digest.Tree
	r := p.records()
	for i := range p.chunks.n {
		cv, err := r.cv(i, p.chunks.record(i))
		if err != nil {
			return hufu.Digest{}, fail("digest", p.key.Path, reading, err)
		}
		t.Push(cv)
	}
	return t.Root(), nil
}

// Write stores chunk index; a chunk without data is all zeros and takes no
// space. A chunk that has arrived is left unchanged if it has the chaining
// value cv, and is replaced if it has another.
func (u *upload) Write(ctx context.Context, index int64, data []byte, cv digest.CV) error {
	p := u.p
	if index < 0 || index >= digest.Chunks(p.key.Size) || len(data) > 0 && len(data) != digest.ChunkLen(p.key.Size, index) {
		return p.error("write chunk", hufu.KindInvalid, "chunk_form")
	}
	if err := canceled(ctx, "write chunk", p.key.Path); err != nil {
		return err
	}
	if err := p.begin(ctx, u.guard); err != nil {
		return err
	}
	p.files.RLock()
	defer p.files.RUnlock()
	have, err := p.enter(u, index, &cv)
	if have || err != nil {
		return err
	}
	if len(data) == 0 {
		p.reserving.Lock()
		defer p.reserving.Unlock()
		err := p.makeHole(index)
		return p.leave(index, chunkHole, &cv, first(err, p.s.hook("hole-made")))
	}
	return p.leave(index, chunkData, &cv, p.writeData(index, data))
}

// writeData writes the bytes of a chunk into the staging file.
func (p *pending) writeData(index int64, data []byte) error {
	off := index * hufu.ChunkSize
	p.reserveAround(index)
	p.writing.Lock()
	err := p.staging.WriteAt(data, off)
	p.writing.Unlock()
	if err == nil {
		err = p.s.hook("chunk-written")
	}
	if err == nil && !p.s.has.Memory {
		p.staging.StartWriteback(off, int64(len(data)))
	}
	return err
}

// enter makes the caller the writer of the chunk, or reports that the chunk has
// arrived. Two writers of the same chunk take turns, so that bytes of one never
// go with the value of the other.
func (p *pending) enter(u *upload, index int64, cv *digest.CV) (have bool, err error) {
	if u.closed.Load() || !p.opened {
		return false, p.error("write chunk", hufu.KindInternal, "")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.chunks.state(index) == chunkBusy {
		p.chunkChanged.Wait()
	}
	switch {
	case p.gone:
		return false, p.error("write chunk", hufu.KindNotFound, uploadGone)
	case p.chunks.state(index) == chunkMissing:
		if err := p.growLocked(index); err != nil {
			return false, err
		}
		p.chunks.set(index, chunkBusy)
		return false, nil
	}
	kept, err := p.keptLocked(index)
	switch {
	case err != nil:
		return false, fail("write chunk", p.key.Path, reading, err)
	case kept == *cv:
		return true, nil
	case p.sealed:
		return false, p.error("write chunk", hufu.KindChanged, "file_changed")
	}
	return false, p.replaceLocked(index, &kept)
}

// keptLocked returns the chaining value of a chunk that has arrived.
func (p *pending) keptLocked(index int64) (digest.CV, error) {
	var b [recordSize]byte
	n, err := p.journal.ReadAt(b[:], p.first+p.chunks.record(index)*recordSize)
	if err == nil && n < len(b) {
		err = errJournal
	}
	if err != nil {
		return digest.CV{}, err
	}
	return recordCV(&b, p.raw, index)
}

// replaceLocked forgets a chunk that is about to be overwritten, in the journal
// first: after a kill in between it is missing.
func (p *pending) replaceLocked(index int64, old *digest.CV) error {
	if _, err := p.appendLocked(index, chunkMissing, old); err != nil {
		return fail("write chunk", p.key.Path, writing, err)
	}
	p.chunks.lost(index)
	p.chunks.set(index, chunkBusy)
	p.reserve.replaced(index)
	p.dirty = true
	return nil
}

// growLocked makes place for a chunk in the table.
func (p *pending) growLocked(index int64) error {
	if !p.chunks.grow(index) || p.s.o.Room.Take(p.key.User(), segmentCost) {
		return nil
	}
	delete(p.chunks.segs, index/segmentChunks)
	return p.error("write chunk", hufu.KindQuota, "uploads_full")
}

// leave records the chunk in the journal, after its bytes: every chunk in the
// journal is at least in the page cache.
func (p *pending) leave(index int64, as chunkState, cv *digest.CV, err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.chunkChanged.Broadcast()
	var record int64
	if err == nil {
		record, err = p.appendLocked(index, as, cv)
	}
	if err != nil {
		p.chunks.set(index, chunkMissing)
		p.dirty = true
		return fail("write chunk", p.key.Path, writing, err)
	}
	p.chunks.arrived(index, as, record)
	p.reserve.arrived(index)
	return nil
}

// appendLocked adds a record to the journal and returns its number.
func (p *pending) appendLocked(index int64, as chunkState, cv *digest.CV) (int64, error) {
	n := uint64(index)
	switch as {
	case chunkHole:
		n |= holeFlag
	case chunkMissing:
		n |= lostFlag
	}
	record := (p.end - p.first) / recordSize
	if record >= maxRecords {
		return 0, p.error("write chunk", hufu.KindQuota, "uploads_full")
	}
	putRecord(&p.record, p.raw, n, cv)
	if err := p.journal.WriteAt(p.record[:], p.end); err != nil {
		return 0, err // the next record overwrites a torn one
	}
	p.end += recordSize
	return record, p.s.hook("chunk-journalled")
}

// Await waits until all chunks have arrived, the upload is given up, or ctx is
// done.
func (u *upload) Await(ctx context.Context) {
	p := u.p
	p.mu.Lock()
	defer p.mu.Unlock()
	defer context.AfterFunc(ctx, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.chunkChanged.Broadcast()
	})()
	for p.chunks.have < p.chunks.n && !p.gone && ctx.Err() == nil {
		p.chunkChanged.Wait()
	}
}

// Abort gives the upload up and removes its chunks, for all holders.
func (u *upload) Abort() error {
	p := u.p
	p.committing.Lock()
	if p.committed == nil {
		p.giveUp()
	}
	p.committing.Unlock()
	return u.Close()
}

// Close releases the upload. Its chunks stay for a later OpenUpload, unless it
// was committed or aborted. A second Close does nothing.
func (u *upload) Close() error {
	if u.closed.CompareAndSwap(false, true) {
		u.p.release()
	}
	return nil
}

func (p *pending) error(op string, kind hufu.Kind, code string) error {
	e := &hufu.Error{Op: op, Path: p.key.Path.String(), Kind: kind, Code: code}
	if kind == hufu.KindInternal {
		e.Err = errClosed
	}
	return e
}
