package disk

import (
	"context"
	"encoding/hex"
	"errors"
	"sync"
	"syscall"
	"time"

	"hufu"
	"hufu/internal/atomicfile"
	"hufu/internal/blob"
	"hufu/internal/blob/disk/sys"
)

// registry holds the unfinished uploads of a store.
type registry struct {
	mu     sync.Mutex
	loaded bool
	dir    sys.Dir             // Options.Uploads
	byID   map[string]*pending // uploads with a journal, and open ones without files yet
}

// loadLocked reads the headers of all journals of this tree. If the file of an upload already has
// its final name, the process was killed before it could remove the journal; that is done now.
func (s *Store) loadLocked() error {
	r := &s.reg
	if r.loaded {
		return nil
	}
	if s.o.Uploads == "" {
		return &hufu.Error{Op: "open uploads", Kind: hufu.KindUsage, Code: "no_uploads_folder"}
	}
	if err := atomicfile.MkdirAll(s.o.Uploads, 0o700); err != nil {
		return fail("open uploads", hufu.Path{}, writing, err)
	}
	d, err := sys.OpenRoot(s.o.Uploads)
	if err != nil {
		return fail("open uploads", hufu.Path{}, reading, err)
	}
	r.dir, r.byID = d, make(map[string]*pending)
	var named []*pending
	found := func(name string, h *header) {
		key, _ := h.key()
		p := &pending{s: s, id: name, raw: h.ID, key: key, ino: h.Ino, staging: sys.NoFile, journal: sys.NoFile}
		if p.isNamed() {
			named = append(named, p)
			return
		}
		r.byID[name] = p
		p.charge = key.Cost()
		s.o.Room.Force(key.User(), p.charge)
	}
	if err = s.clearTrails(); err == nil {
		err = s.eachJournal(found)
	}
	if err != nil {
		for _, p := range r.byID { // the next try counts them again
			s.o.Room.Give(p.key.User(), p.charge)
		}
		d.Close()
		r.dir, r.byID = sys.NoDir, nil
		return fail("open uploads", hufu.Path{}, reading, err)
	}
	r.loaded = true
	for _, p := range named {
		p.finishNamed()
	}
	return nil
}

// dropLocked removes an upload from the registry.
func (r *registry) dropLocked(p *pending) {
	if r.byID[p.id] == p {
		delete(r.byID, p.id)
	}
	r.returnRoomLocked(p)
}

// returnRoomLocked returns the memory of an upload that is no longer in the
// registry.
func (r *registry) returnRoomLocked(p *pending) {
	if p.refs == 0 && r.byID[p.id] != p {
		p.s.o.Room.Give(p.key.User(), p.charge)
		p.charge = 0
	}
}

// Recover ends the uploads of files that had their name when a process was killed. The first use of
// uploads does this anyway; later calls do nothing.
func (s *Store) Recover() error {
	s.reg.mu.Lock()
	defer s.reg.mu.Unlock()
	return s.loadLocked()
}

// isNamed reports whether the file of the upload has its final name. Where inode numbers change
// with each mount, the number may be that of any other file now: while there is a staging file, the
// upload counts as unfinished.
func (p *pending) isNamed() bool {
	d, err := p.s.k.OpenDir(p.s.root, p.key.Path.Parent().String(), sys.PassFlags)
	if err != nil {
		return false
	}
	defer d.Close()
	n, err := d.Stat(p.key.Path.Base())
	if err != nil || n.Kind != hufu.File || n.Ino != p.ino || p.ino == 0 {
		return false
	}
	if p.s.has.Renumbers {
		_, err = d.Stat(stagingName(p.id))
		return n.Size == p.key.Size && errors.Is(err, syscall.ENOENT)
	}
	return true
}

// eachJournal reads the headers of this tree's journals. A journal without a valid header is
// removed. In a server's tree a later listing removes the upload's bytes.
func (s *Store) eachJournal(yield func(name string, h *header)) error {
	again, err := s.k.OpenDir(s.reg.dir, "", sys.ReadFlags)
	if err != nil {
		return err
	}
	defer again.Close()
	return s.eachName(again, func(name string) error {
		if raw, err := hex.DecodeString(name); err != nil || len(raw) != idSize {
			return nil
		}
		if err := s.hook("journal-found"); err != nil {
			return err
		}
		h, err := s.readHeader(name)
		switch {
		case errors.Is(err, errJournal):
			s.dropTorn(name)
		case err != nil:
			return s.skip(name, err)
		case h.id() == name && h.Root == s.treeName():
			yield(name, &h)
		}
		return nil
	})
}

// skip returns nil for an error of a journal or trail that this process cannot use at all: it is
// gone, is no regular file, or belongs to another user. Any other error, such as too many open
// files, is returned, because the next try may succeed.
func (s *Store) skip(name string, err error) error {
	switch {
	case errors.Is(err, syscall.ENOENT), errors.Is(err, errNotFile), errors.Is(err, errIsDir), errors.Is(err, syscall.EISDIR), errors.Is(err, syscall.ELOOP):
		return nil
	case errors.Is(err, syscall.EACCES):
		s.log.Warn("journal not read", "name", name, "error", err)
		return nil
	}
	return err
}

// dropTorn removes a journal without a header, unless a process is just writing it. That process,
// in makeJournal, locks a new journal and only then checks that it still has its name.
func (s *Store) dropTorn(name string) {
	f, err := s.reg.dir.OpenWrite(name)
	if err != nil {
		return
	}
	defer f.Close()
	if f.Lock() != nil {
		return
	}
	defer f.Unlock()
	// It may have been written or replaced before we had the lock.
	n, err := f.Stat()
	if err != nil {
		return
	}
	at, err := s.reg.dir.Stat(name)
	if err != nil || at.Ino != n.Ino {
		return
	}
	if _, err := s.readHeader(name); errors.Is(err, errJournal) {
		_ = s.reg.dir.Unlink(name)
	}
}

// treeName tells the journals of several trees in one folder apart. A server's
// tree has the folder to itself and may be moved with its data.
func (s *Store) treeName() string {
	if s.o.Server {
		return ""
	}
	return s.rootPath
}

func (s *Store) readHeader(name string) (header, error) {
	f, _, err := openChecked(s.reg.dir, name)
	if err != nil {
		return header{}, err
	}
	defer f.Close()
	if err := s.hook("header-read"); err != nil {
		return header{}, err
	}
	buf := make([]byte, journalPrefix+maxHeader)
	n, err := f.ReadAt(buf, 0)
	if err != nil {
		return header{}, err
	}
	h, _, err := s.decodeHeader(buf[:n])
	return h, err
}

// OpenUpload begins the upload of a file of more than one chunk, or resumes the unfinished one of
// the same key. The first chunk creates the files, and discards an unfinished upload of the same
// owner to the same path with other bytes, unless it is open. If ctx ends while existing chunks are
// read again, they stay for the next call.
func (s *Store) OpenUpload(ctx context.Context, k blob.UploadKey, g blob.Guard) (blob.Upload, error) {
	if err := first(canceled(ctx, "open upload", k.Path), checkTarget("open upload", k.Path)); err != nil {
		return nil, err
	}
	if k.Size <= hufu.ChunkSize || k.Size > hufu.MaxFileSize {
		return nil, &hufu.Error{Op: "open upload", Path: k.Path.String(), Kind: hufu.KindInvalid, Code: "upload_size"}
	}
	for {
		p, err := s.claim(k)
		if err != nil {
			return nil, err
		}
		err = p.ready(ctx)
		if err == nil {
			return &upload{p: p, guard: g}, nil
		}
		if hufu.KindOf(err) == hufu.KindQuota { // the upload stays; the caller can try again when there is room
			p.release()
			return nil, err
		}
		if !errors.Is(err, errStale) && !errors.Is(err, errElsewhere) {
			p.release() // the next caller may be luckier
			return nil, fail("open upload", k.Path, writing, err)
		}
		p.forget()
		if errors.Is(err, errStale) {
			p.discard()
		}
		p.release()
		// Its bytes are gone, or another process works on it: start over.
	}
}

// claim takes a reference to the upload of this key, which it creates if
// needed.
func (s *Store) claim(k blob.UploadKey) (found *pending, err error) {
	s.reg.mu.Lock()
	defer s.reg.mu.Unlock()
	if err := s.loadLocked(); err != nil {
		return nil, err
	}
	for _, p := range s.reg.byID {
		if p.key == k {
			found = p
		}
	}
	if found == nil {
		if !s.o.Room.Take(k.User(), k.Cost()) {
			return nil, &hufu.Error{Op: "open upload", Path: k.Path.String(), Kind: hufu.KindQuota, Code: "uploads_full"}
		}
		id := newID()
		raw, _ := hex.DecodeString(id)
		found = &pending{s: s, id: id, raw: raw, key: k, unstarted: true, staging: sys.NoFile, journal: sys.NoFile, charge: k.Cost()}
		s.reg.byID[id] = found
	}
	found.refs++
	return found, nil
}

// discardSuperseded removes the uploads that p replaces, unless they are open. It reports whether
// there were any.
func (p *pending) discardSuperseded() bool {
	r := &p.s.reg
	r.mu.Lock()
	var stale []*pending
	for _, old := range r.byID {
		if old != p && old.key.Path == p.key.Path && old.key.Owner == p.key.Owner && old.refs == 0 {
			r.dropLocked(old)
			stale = append(stale, old)
		}
	}
	r.mu.Unlock()
	for _, old := range stale {
		old.discard()
	}
	return len(stale) > 0
}

// FindUpload opens an unfinished upload by its id.
func (s *Store) FindUpload(ctx context.Context, id string, g blob.Guard) (blob.Upload, error) {
	if err := canceled(ctx, "find upload", hufu.Path{}); err != nil {
		return nil, err
	}
	s.reg.mu.Lock()
	if err := s.loadLocked(); err != nil {
		s.reg.mu.Unlock()
		return nil, err
	}
	p := s.reg.byID[id]
	if p == nil {
		s.reg.mu.Unlock()
		return nil, unknownUpload()
	}
	p.refs++
	s.reg.mu.Unlock()
	if err := p.ready(ctx); err != nil {
		switch {
		case errors.Is(err, errStale):
			p.forget()
			p.discard()
			err = unknownUpload()
		case errors.Is(err, errElsewhere):
			err = unknownUpload() // to this process
		}
		p.release()
		return nil, fail("find upload", p.key.Path, writing, err)
	}
	return &upload{p: p, guard: g}, nil
}

func unknownUpload() error {
	return &hufu.Error{Op: "find upload", Kind: hufu.KindNotFound, Code: "upload_unknown"}
}

// Committed reports whether the upload was committed to p, and returns its
// entry: a client that did not get the answer asks again. The id is in the
// file's record. A user's own tree has no records, so Committed finds nothing
// there.
func (s *Store) Committed(ctx context.Context, id string, p hufu.Path) (hufu.Entry, bool) {
	if id == "" || check("stat", p) != nil {
		return hufu.Entry{}, false
	}
	e, err := s.Stat(ctx, p)
	if err != nil || e.Kind != hufu.File || e.Upload != id {
		return hufu.Entry{}, false
	}
	d, err := s.k.OpenDir(s.root, p.Parent().String(), sys.ReadFlags)
	if err != nil {
		return hufu.Entry{}, false
	}
	defer d.Close()
	// A killed process may have left the name without a sync. So every name is
	// synced again here.
	if err := first(s.unsettled, s.syncNames(d, p.Parent(), s.sync.failures())); err != nil {
		if errors.Is(err, errSync) {
			s.disown(d, p.Base(), id)
		}
		return hufu.Entry{}, false
	}
	return e, true
}

// Expire gives up the unfinished uploads that are not open and have received nothing for olderThan,
// and returns how many. The bytes of one that another process has open stay.
func (s *Store) Expire(olderThan time.Duration) (int, error) {
	s.reg.mu.Lock()
	if err := s.loadLocked(); err != nil {
		s.reg.mu.Unlock()
		return 0, err
	}
	limit := time.Now().Add(-olderThan)
	var stale []*pending
	for id, p := range s.reg.byID {
		n, err := s.reg.dir.Stat(id)
		if p.refs == 0 && (errors.Is(err, syscall.ENOENT) || err == nil && n.Mtime.Time().Before(limit)) {
			s.reg.dropLocked(p)
			stale = append(stale, p)
		}
	}
	s.reg.mu.Unlock()
	for _, p := range stale {
		p.discard()
	}
	return len(stale), nil
}

// Discard removes the unfinished uploads to path and to everything below it
// that are not open.
func (s *Store) Discard(path hufu.Path) error {
	s.reg.mu.Lock()
	if err := s.loadLocked(); err != nil {
		s.reg.mu.Unlock()
		return err
	}
	var given []*pending
	for _, p := range s.reg.byID {
		if p.refs == 0 && p.key.Path.Below(path) {
			s.reg.dropLocked(p)
			given = append(given, p)
		}
	}
	s.reg.mu.Unlock()
	for _, p := range given {
		p.discard()
	}
	return nil
}

// inUse reports whether the reserved name is in use, by an open upload or a
// batch.
func (s *Store) inUse(name string) bool {
	if s.staged.has(name) {
		return true
	}
	s.reg.mu.Lock()
	defer s.reg.mu.Unlock()
	p := s.reg.byID[name[len(hufu.ReservedPrefix):]]
	return p != nil && p.refs > 0
}

// removeUnused removes a hidden name of d that is not in use. In a user's own tree it must belong to
// an upload that no process has open.
func (s *Store) removeUnused(d sys.Dir, name string) error {
	if s.o.Server {
		return d.Unlink(name)
	}
	s.reg.mu.Lock()
	var p *pending
	if s.loadLocked() == nil {
		p = s.reg.byID[name[len(hufu.ReservedPrefix):]]
	}
	if p == nil || p.refs > 0 {
		s.reg.mu.Unlock()
		return syscall.ENOTEMPTY
	}
	s.reg.dropLocked(p)
	s.reg.mu.Unlock()
	p.discard()
	return nil
}

// sweep removes what a crash left under a reserved name, when a listing finds it: a staged file,
// bytes without a journal, or a replaced version. It works only in a server's tree, where each
// name in use belongs to a batch of this store or to an upload. It does not use the clock, which
// may be set while the server runs.
func (s *Store) sweep(d sys.Dir, name string) {
	id := name[len(hufu.ReservedPrefix):]
	if !s.o.Server || s.o.Uploads == "" || len(id) != 2*idSize {
		return
	}
	s.reg.mu.Lock()
	defer s.reg.mu.Unlock()
	if s.loadLocked() != nil || s.reg.byID[id] != nil || s.staged.has(name) {
		return
	}
	if _, err := s.reg.dir.Stat(id); !errors.Is(err, syscall.ENOENT) {
		return
	}
	// Names are used once: a name that is unused now was given up, no matter
	// when the listing saw it.
	n, err := d.Stat(name)
	if err == nil && (n.Kind == hufu.File || n.Kind == hufu.Link) {
		_ = d.Unlink(name)
		s.log.Info("left-over file removed", "name", name)
	}
}
