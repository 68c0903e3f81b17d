package disk

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/blob/disk/sys"
	"hufu/internal/digest"
)

// ready opens the files of an upload once, at the first use. A new upload has
// no files yet: its sender may find that it is not needed.
func (p *pending) ready(ctx context.Context) error {
	p.opening.Lock()
	defer p.opening.Unlock()
	if p.opened {
		return nil
	}
	p.chunkChanged.L = &p.mu
	p.chunks = newChunkTable(digest.Chunks(p.key.Size))
	p.reserve = reservation{}
	p.sealed = false
	p.prepared = nil
	if !p.unstarted {
		if err := p.resume(ctx); err != nil {
			p.shut()
			return err
		}
	}
	p.files.Lock()
	p.opened = true
	p.files.Unlock()
	return nil
}

// begin creates the files of a new upload for its first chunk, if g allows the
// folder.
func (p *pending) begin(ctx context.Context, g blob.Guard) error {
	p.files.RLock()
	begun := !p.unstarted || !p.opened // enter refuses an upload that is not open
	p.files.RUnlock()
	if begun {
		return nil
	}
	p.opening.Lock()
	defer p.opening.Unlock()
	p.files.Lock()
	defer p.files.Unlock()
	if !p.unstarted || !p.opened {
		return nil
	}
	p.mu.Lock()
	gone := p.gone
	p.mu.Unlock()
	if gone {
		return p.error("write chunk", hufu.KindNotFound, uploadGone)
	}
	for range 3 {
		err := fail("open upload", p.key.Path, writing, p.create(ctx, g))
		if err == nil {
			p.unstarted = false
			p.discardSuperseded()
			return nil
		}
		p.staging.Close()
		p.journal.Close()
		p.staging, p.journal = sys.NoFile, sys.NoFile
		switch {
		case hufu.KindOf(err) == hufu.KindNotFound: // the folder was just removed
		case hufu.CodeOf(err) == "disk_full" && p.discardSuperseded(): // there may be room now
		default:
			return err
		}
	}
	return p.error("write chunk", hufu.KindNotFound, uploadGone)
}

// create makes the journal before the staging file, so that after a kill each reserved name has a
// journal. For a file of journalSyncSize or more, create also syncs the journal, so that this holds
// after a power cut, too, until rewrite replaces the journal by one that is not synced. Until the
// staging file exists, the Ino in the header is 0; the name alone then identifies that file.
func (p *pending) create(ctx context.Context, g blob.Guard) error {
	s := p.s
	d, err := p.makeFolder(ctx, g)
	if err != nil {
		return err
	}
	defer d.Close()
	if p.journal, err = s.makeJournal(p.id); err != nil {
		return err
	}
	p.ino = 0
	if err = p.writeHeader(p.journal); err == nil {
		p.staging, err = d.Create(stagingName(p.id), 0o600)
	}
	if err != nil {
		_ = s.reg.dir.Unlink(p.id)
		return err
	}
	n, err := p.staging.Stat()
	if err == nil {
		err = s.hook("upload-staged")
	}
	if err == nil {
		p.ino = n.Ino
		err = p.staging.Truncate(p.key.Size)
	}
	if err == nil {
		err = p.writeHeader(p.journal)
	}
	if err == nil && p.key.Size >= journalSyncSize {
		err = first(s.syncFile(p.journal), s.sync.folder(s.reg.dir))
	}
	if err == nil {
		err = s.hook("upload-created")
	}
	if err != nil {
		_ = d.Unlink(stagingName(p.id))
		_ = s.reg.dir.Unlink(p.id)
	}
	return err
}

// makeJournal creates a locked journal. Another process may remove the file between Create and
// Lock, because an empty file looks like a torn journal. makeJournal then tries again.
func (s *Store) makeJournal(name string) (sys.File, error) {
	for {
		f, err := s.reg.dir.Create(name, 0o600)
		if err != nil {
			return sys.NoFile, err
		}
		err = first(s.hook("journal-made"), f.Lock())
		for errors.Is(err, syscall.EWOULDBLOCK) { // another process is just looking
			time.Sleep(time.Millisecond)
			err = f.Lock()
		}
		var n, at sys.Node
		if err == nil {
			n, err = f.Stat()
		}
		if err == nil {
			at, err = s.reg.dir.Stat(name)
		}
		if err == nil && at.Ino == n.Ino {
			return f, nil
		}
		f.Close()
		if err != nil && !errors.Is(err, syscall.ENOENT) {
			_ = s.reg.dir.Unlink(name)
			return sys.NoFile, err
		}
	}
}

// journalSyncSize is the size from which the header of a journal is made durable at once. For a
// smaller file, a power cut in the first seconds may leave a staging file without its journal. In
// a server's tree a listing removes them later; in a user's own tree they stay.
const journalSyncSize = 64 << 20

// makeFolder opens the folder above the upload. A missing folder is created, if g allows it, and
// made durable.
func (p *pending) makeFolder(ctx context.Context, g blob.Guard) (sys.Dir, error) {
	s, path := p.s, p.key.Path.Parent()
	d, err := s.k.OpenDir(s.root, path.String(), sys.ReadFlags)
	if !errors.Is(err, syscall.ENOENT) {
		return d, err
	}
	b := s.Batch(g)
	b.Mkdir(ctx, path, blob.Meta{Mode: 0o755, By: p.key.User()}, true)
	if err := b.Finish(context.WithoutCancel(ctx))[0].Err; err != nil {
		return sys.NoDir, err
	}
	return s.k.OpenDir(s.root, path.String(), sys.ReadFlags)
}

// boot identifies the boot in which the staging file's page cache is valid.
func (p *pending) boot() string {
	if p.s.o.Boot != "" {
		return p.s.o.Boot
	}
	id := sys.BootID()
	if id == "" {
		return ""
	}
	return id + "/" + p.staging.MountID()
}

func (p *pending) writeHeader(f sys.File) error {
	h := header{
		ID: p.raw, Root: p.s.treeName(), Path: []byte(p.key.Path.String()), Size: p.key.Size,
		Source: []byte(p.key.Source), Owner: []byte(p.key.Owner), Boot: p.boot(), Ino: p.ino,
	}
	b, err := p.s.encodeHeader(&h)
	if err != nil {
		return err
	}
	if len(b) > journalPrefix+maxHeader {
		return p.error("open upload", hufu.KindInvalid, "upload_key")
	}
	p.first, p.end = int64(len(b)), int64(len(b))
	return f.WriteAt(b, 0)
}

// resume opens the files that an earlier process or holder left. In the same
// boot the journal is trusted, because a kill keeps the page cache. In another
// boot each chunk is read and hashed before it counts: a power cut leaves zeros
// in place of bytes that were not written back.
func (p *pending) resume(ctx context.Context) error {
	s := p.s
	p.staging, p.journal = sys.NoFile, sys.NoFile
	var err error
	if p.journal, err = s.reg.dir.OpenWrite(p.id); err != nil {
		return staleIfMissing(err)
	}
	if p.journal.Lock() != nil {
		return errElsewhere
	}
	if !p.current(p.journal) {
		return errStale
	}
	buf := make([]byte, journalPrefix+maxHeader)
	n, err := p.journal.ReadAt(buf, 0)
	if err != nil {
		return err
	}
	h, records, err := s.decodeHeader(buf[:n])
	if err != nil {
		return errStale
	}
	if err := p.openStaging(&h); err != nil {
		return err
	}
	believed := h.Boot == p.boot() && h.Boot != "" && p.ino == h.Ino
	p.first = records
	p.end, err = readRecords(p.journal, p.raw, records, func(record, index int64, as chunkState) error {
		there := index < p.chunks.n && p.chunks.state(index) != chunkMissing
		switch {
		case index >= p.chunks.n || record >= maxRecords:
		case as == chunkMissing && there:
			p.chunks.lost(index)
		case as != chunkMissing && !there:
			if err := p.growLocked(index); err != nil {
				return err
			}
			p.chunks.arrived(index, as, record)
		}
		return nil
	})
	if err != nil {
		return err
	}
	p.dirty = true
	if believed {
		return p.journal.Truncate(p.end) // a torn tail is cut off
	}
	if err := p.verify(ctx); err != nil {
		return err
	}
	return p.rewrite()
}

// staleIfMissing returns errStale for an error that means "not found".
func staleIfMissing(err error) error {
	if errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ELOOP) {
		return errStale
	}
	return err
}

func (p *pending) openStaging(h *header) error {
	d, err := p.s.k.OpenDir(p.s.root, p.key.Path.Parent().String(), sys.PassFlags)
	if err != nil {
		return staleIfMissing(err)
	}
	defer d.Close()
	name := stagingName(p.id)
	n, err := d.Stat(name)
	if err != nil {
		return staleIfMissing(err)
	}
	if n.Kind != hufu.File || !p.isStaging(&n, h.Ino) || n.Links != 1 {
		return errStale
	}
	p.ino = n.Ino
	if n.Perm&0o600 != 0o600 { // an earlier Prepare gave it its final mode, which may be read-only; the next one does so again
		if err = d.ChmodNamed(name, n.Perm|0o600); err != nil {
			return staleIfMissing(err)
		}
	}
	if p.staging, err = d.OpenWrite(name); err != nil {
		return staleIfMissing(err)
	}
	if n, err = p.staging.Stat(); err != nil || n.Kind != hufu.File || n.Ino != p.ino {
		return errStale
	}
	if n.Size != p.key.Size { // the truncation did not survive
		return p.staging.Truncate(p.key.Size)
	}
	return nil
}

// verify reads every chunk that the journal names and forgets those whose bytes
// on disk differ.
func (p *pending) verify(ctx context.Context) error {
	var next atomic.Int64
	segments := p.chunks.segments()
	lost := make([][]int64, min(4, runtime.GOMAXPROCS(0)))
	var wg sync.WaitGroup
	errs := make([]error, len(lost))
	for worker := range errs {
		wg.Go(func() {
			buf := p.s.chunks.Get().(*[]byte)
			defer p.s.chunks.Put(buf)
			r := p.records()
			for {
				i := next.Add(1) - 1
				if i >= int64(len(segments))*segmentChunks {
					return
				}
				if i = segments[i/segmentChunks]*segmentChunks + i%segmentChunks; p.chunks.state(i) == chunkMissing {
					continue
				}
				if errs[worker] = first(p.s.hook("verify-chunk"), canceled(ctx, "open upload", p.key.Path)); errs[worker] != nil {
					return
				}
				b := (*buf)[:digest.ChunkLen(p.key.Size, i)]
				n, err := p.staging.ReadAt(b, i*hufu.ChunkSize)
				if err != nil && !errors.Is(err, syscall.EIO) { // an unreadable chunk is a missing one
					errs[worker] = err
					return
				}
				if cv, err := r.cv(i, p.chunks.record(i)); err != nil || n != len(b) || digest.Chunk(b, i) != cv {
					lost[worker] = append(lost[worker], i)
				}
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	before := p.chunks.have
	for _, i := range slices.Concat(lost...) {
		p.chunks.lost(i)
	}
	if bad := before - p.chunks.have; bad > 0 {
		p.s.log.Info("upload lost chunks", "path", p.key.Path.String(), "chunks", bad)
	}
	return nil
}

// newJournalSuffix is the suffix of a journal that is to replace another.
const newJournalSuffix = ".new"

// rewrite replaces the journal by one of this boot.
func (p *pending) rewrite() error {
	dir := p.s.reg.dir
	name := p.id + newJournalSuffix
	if err := dir.Unlink(name); err != nil && !errors.Is(err, syscall.ENOENT) {
		return err
	}
	f, err := p.s.makeJournal(name)
	if err != nil {
		return err
	}
	old, r := p.journal, p.records()
	p.journal = f
	err = p.writeHeader(f)
	for _, s := range p.chunks.segments() {
		for i := s * segmentChunks; i < (s+1)*segmentChunks && err == nil; i++ {
			if st := p.chunks.state(i); st != chunkMissing {
				err = p.copyRecord(r, i, st)
			}
		}
	}
	if err == nil {
		err = dir.Rename(name, dir, p.id)
	}
	old.Close()
	if err != nil {
		_ = dir.Unlink(name)
	}
	return err
}

// copyRecord copies the record of a chunk from an older journal.
func (p *pending) copyRecord(r *recordReader, index int64, st chunkState) error {
	cv, err := r.cv(index, p.chunks.record(index))
	if err != nil {
		return err
	}
	record, err := p.appendLocked(index, st, &cv)
	p.chunks.moved(index, st, record)
	return err
}

// release drops one reference; the last one closes the files, and removes the
// upload from the registry if its files were never created.
func (p *pending) release() {
	p.opening.Lock()
	defer p.opening.Unlock()
	p.s.reg.mu.Lock()
	p.refs--
	last := p.refs == 0
	if last && p.unstarted {
		p.s.reg.dropLocked(p)
	}
	p.s.reg.returnRoomLocked(p)
	p.s.reg.mu.Unlock()
	if last {
		p.shut()
	}
}

func (p *pending) shut() {
	p.files.Lock()
	defer p.files.Unlock()
	if p.opened || p.staging.Ok() || p.journal.Ok() {
		p.staging.Close()
		if p.journal.Ok() {
			p.journal.Unlock()
		}
		p.journal.Close()
	}
	p.staging, p.journal, p.opened = sys.NoFile, sys.NoFile, false
	p.mu.Lock()
	defer p.mu.Unlock()
	p.s.o.Room.Give(p.key.User(), int64(len(p.chunks.segs))*segmentCost)
	p.chunks = newChunkTable(p.chunks.n)
}

// forget removes the upload from the registry.
func (p *pending) forget() {
	p.s.reg.mu.Lock()
	defer p.s.reg.mu.Unlock()
	p.s.reg.dropLocked(p)
}

// current reports whether the journal still belongs to the upload: it may have
// been replaced or removed before we had the lock.
func (p *pending) current(journal sys.File) bool {
	n, err := journal.Stat()
	if err != nil {
		return false
	}
	at, err := p.s.reg.dir.Stat(p.id)
	return err == nil && at.Ino == n.Ino
}

// alone calls do unless the journal is locked.
func (p *pending) alone(do func()) {
	p.opening.Lock()
	defer p.opening.Unlock()
	j, err := p.s.reg.dir.OpenWrite(p.id)
	if err == nil {
		defer j.Close()
		if p.s.hook("journal-opened") != nil || j.Lock() != nil {
			return
		}
		defer j.Unlock()
		if !p.current(j) {
			return
		}
	}
	if err == nil || errors.Is(err, syscall.ENOENT) {
		do()
	}
}
