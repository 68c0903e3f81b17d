package disk

import (
	"context"
	"errors"
	"syscall"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/blob/disk/sys"
)

// Prepare sets mode, time and record of the staging file and syncs it, if all chunks have arrived
// and their root is want. After that no chunk can change. If a Finish fails and the file certainly
// has no final name, chunks can change again: see finishUpload.
func (u *upload) Prepare(ctx context.Context, want hufu.Digest, m blob.Meta) error {
	p := u.p
	p.committing.Lock()
	defer p.committing.Unlock()
	u.want, u.meta = want, m
	if p.committed != nil {
		return u.same()
	}
	return p.giveUpIfLost(p.prepareUpload(ctx, u))
}

// Finish gives the file its name, if cond holds and the guard allows it, and returns when the
// name is durable: it takes the name, syncs the folder, and removes the journal last.
func (u *upload) Finish(ctx context.Context, cond hufu.Condition) (hufu.Entry, error) {
	p := u.p
	p.committing.Lock()
	defer p.committing.Unlock()
	if p.committed != nil {
		return *p.committed, u.same()
	}
	if err := p.giveUpIfLost(p.finishUpload(ctx, u, cond)); err != nil {
		return hufu.Entry{}, err
	}
	p.discardSuperseded()
	return *p.committed, nil
}

// same returns an error unless the committed file is the one that this holder
// has prepared.
func (u *upload) same() error {
	if u.p.committed.Digest != u.want {
		return u.p.error("commit", hufu.KindIntegrity, "digest_differs")
	}
	return nil
}

// giveUpIfLost gives the upload up if its bytes or its name could not be synced, or if the folder
// that holds its bytes is gone. The caller holds committing.
func (p *pending) giveUpIfLost(err error) error {
	if errors.Is(err, errSync) || hufu.CodeOf(err) == uploadGone {
		p.giveUp()
	}
	return fail("commit", p.key.Path, writing, err)
}

// prepareUpload is Prepare for a caller that holds committing.
func (p *pending) prepareUpload(ctx context.Context, u *upload) error {
	p.files.RLock()
	defer p.files.RUnlock()
	if err := canceled(ctx, "commit", p.key.Path); err != nil {
		return err
	}
	if err := p.complete(u, u.want); err != nil {
		return err
	}
	m := u.meta
	m.Digest = u.want
	if p.s.o.Server {
		m.Upload = p.id
	}
	var enc []byte
	n, err := p.s.setFileMeta(p.staging, p.s.fileMode(m.Mode), &m, &enc)
	if err != nil {
		return err
	}
	if n.Ino != p.ino || n.Size != p.key.Size {
		return p.error("commit", hufu.KindChanged, uploadGone)
	}
	if err := p.s.hook("commit-meta"); err != nil {
		return err
	}
	if err := p.s.syncFile(p.staging); err != nil {
		return err
	}
	p.prepared, p.meta = &n, m
	return p.s.hook("commit-synced")
}

// finishUpload is Finish for a caller that holds committing.
func (p *pending) finishUpload(ctx context.Context, u *upload, cond hufu.Condition) error {
	if p.prepared == nil { // since Prepare, a Finish of some holder has failed
		if err := p.prepareUpload(ctx, u); err != nil {
			return err
		}
	}
	p.files.RLock()
	defer p.files.RUnlock()
	if err := p.usable(u); err != nil {
		return err
	}
	err := canceled(ctx, "commit", p.key.Path)
	if err == nil {
		err = p.name(ctx, cond, &u.guard)
	}
	switch hufu.KindOf(err) {
	case hufu.KindExists, hufu.KindChanged, hufu.KindWrongKind, hufu.KindPermission, hufu.KindCanceled:
		if p.certainlyUnnamed() {
			p.unseal()
		}
	}
	return err
}

// certainlyUnnamed reports whether the file has its reserved name and not its final one. An earlier
// Finish may have left it under its final name.
func (p *pending) certainlyUnnamed() bool {
	d, err := p.s.k.OpenDir(p.s.root, p.key.Path.Parent().String(), sys.PassFlags)
	if err != nil {
		return false
	}
	defer d.Close()
	staged, err := d.Stat(stagingName(p.id))
	if err != nil || !staged.SameFile(p.prepared) {
		return false
	}
	at, err := d.Stat(p.key.Path.Base())
	return errors.Is(err, syscall.ENOENT) || err == nil && !at.SameFile(p.prepared)
}

// giveUp discards the upload, journal included, for all holders. After a failed
// fsync it is unknown which bytes are on the disk.
func (p *pending) giveUp() {
	p.opening.Lock() // nobody creates the files meanwhile, or later
	defer p.opening.Unlock()
	p.mu.Lock()
	p.gone = true
	p.chunkChanged.Broadcast()
	p.mu.Unlock()
	p.forget()
	p.remove()
}

func (p *pending) complete(u *upload, want hufu.Digest) error {
	if err := p.usable(u); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.chunks.have < p.chunks.n {
		return p.error("commit", hufu.KindInvalid, "upload_incomplete")
	}
	root, err := p.rootLocked()
	if err == nil && root != want {
		err = p.error("commit", hufu.KindIntegrity, "digest_differs")
	}
	p.sealed = err == nil || p.prepared != nil // another holder may have prepared it with its own digest
	return err
}

// usable refuses a handle that was closed and an upload that was given up. The
// caller holds files.
func (p *pending) usable(u *upload) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case u.closed.Load() || !p.opened:
		return p.error("commit", hufu.KindInternal, "")
	case p.gone:
		return p.error("commit", hufu.KindNotFound, uploadGone)
	}
	return nil
}

// unseal lets chunks be replaced again after a commit that certainly did not
// give the file its name.
func (p *pending) unseal() {
	p.prepared = nil
	p.mu.Lock()
	p.sealed = false
	p.mu.Unlock()
}

// name gives the staged file its name and makes that durable.
func (p *pending) name(ctx context.Context, cond hufu.Condition, g *blob.Guard) error {
	s, n, m := p.s, p.prepared, &p.meta
	// The folder is opened again by path: it may have moved since the upload began.
	d, err := s.k.OpenDir(s.root, p.key.Path.Parent().String(), sys.ReadFlags)
	if errors.Is(staleIfMissing(err), errStale) { // the folder was moved or removed; the staging file went with it and is given up
		err = p.error("commit", hufu.KindNotFound, uploadGone)
	}
	if err != nil {
		return err
	}
	defer d.Close()
	since := s.sync.failures()
	t := s.newTrail()
	defer t.leave()
	done, err := p.place(ctx, d, n, cond, g, t)
	if hufu.KindOf(err) == hufu.KindNotFound { // the folder has just been removed
		err = p.error("commit", hufu.KindNotFound, uploadGone)
	}
	if err != nil {
		t.finish()
		return err
	}
	if err := s.hook("commit-named"); err != nil {
		return err
	}
	if err := s.syncNames(d, p.key.Path.Parent(), since); err != nil {
		if !errors.Is(err, errSync) && p.withdrawName(d, done, t) {
			return err
		}
		s.undoPlace(d, p.key.Path.Base(), n, done, t)
		t.finish()
		s.disown(d, p.key.Path.Base(), p.id)
		return err
	}
	if err := s.hook("commit-durable"); err != nil {
		return err
	}
	s.removeReplaced(d, done)
	t.finish()
	now, err := p.staging.Stat()
	if err != nil {
		return err
	}
	e := now.Entry(p.key.Path.Base())
	e.Digest = m.Digest
	if s.o.Server {
		e.Mode, e.By, e.Upload = m.Mode&0o777, m.By, m.Upload
	}
	p.committed = &e
	p.forget()
	p.unlinkJournal()
	return s.hook("commit-done")
}

// place takes the final name, unless an earlier try whose answer was lost has
// already done so.
func (p *pending) place(ctx context.Context, d sys.Dir, n *sys.Node, cond hufu.Condition, g *blob.Guard, t *trail) (placed, error) {
	name := stagingName(p.id)
	staged, err := d.Stat(name)
	if err == nil && staged.Ino == p.ino && staged.Dev == n.Dev {
		lock, err := p.s.lockOf(d)
		if err != nil {
			return placed{}, err
		}
		src := source{tmp: sys.NoFile, dir: d, name: name, kind: hufu.File, trail: t}
		return p.s.takeName(ctx, "commit", p.key.Path, src, d, lock, cond, g)
	}
	at, atErr := d.Stat(p.key.Path.Base())
	if atErr == nil && at.Ino == p.ino && at.Dev == n.Dev && p.ino != 0 {
		if err == nil && p.s.staged.has(name) { // it holds a file that is neither ours nor the expected version
			return placed{}, changed("commit", p.key.Path, "target_changed")
		}
		if err == nil { // the file that the earlier try replaced
			return placed{old: name}, nil
		}
		return placed{}, nil
	}
	return placed{}, p.error("commit", hufu.KindNotFound, uploadGone)
}

// withdrawName gives the file its reserved name again, and the replaced file its old place, after an
// error that says nothing about the disk, such as too many open files: another Finish may succeed. If that fails, the file keeps its final name. The next Finish then makes it
// durable, or returns target_changed if a file of others is left under the reserved name.
// withdrawName returns false if another change has the name by now.
func (p *pending) withdrawName(d sys.Dir, done placed, t *trail) bool {
	s, n, base, name := p.s, p.prepared, p.key.Path.Base(), stagingName(p.id)
	lock, err := s.lockOf(d)
	if err != nil {
		return true
	}
	unlock, _ := lock.lock(context.Background()) // never fails
	defer unlock()
	if at, err := d.Stat(base); err != nil || !at.SameFile(n) {
		return false
	}
	if done.created {
		if renameNew(d, base, d, name) == nil {
			t.finish()
		}
		return true
	}
	if old, known := s.replaced.get(done.old); known && old != nothing && done.old == name {
		src := source{tmp: sys.NoFile, dir: d, name: name, node: *n, trail: t}
		if s.putBack(src, d, base, old) == nil {
			s.replaced.remove(name)
			t.finish()
		}
	}
	return true
}

// finishNamed ends an upload whose file already had its name when a process was killed: the name is
// made durable before the journal is removed. If that fails, nobody is told that the file is
// committed; it stays, because it may have replaced another file.
func (p *pending) finishNamed() {
	p.alone(func() {
		d, err := p.s.k.OpenDir(p.s.root, p.key.Path.Parent().String(), sys.ReadFlags)
		if err != nil {
			return
		}
		defer d.Close()
		switch err := first(p.s.unsettled, p.s.syncNames(d, p.key.Path.Parent(), p.s.sync.failures())); {
		case errors.Is(err, errSync):
			p.s.disown(d, p.key.Path.Base(), p.id)
		case err != nil:
			return // the next process tries again
		}
		name := stagingName(p.id)
		if n, err := d.Stat(name); err == nil && n.Ino == p.ino {
			_ = d.Unlink(name) // on systems where a name is taken by linking
		}
		p.unlinkJournal()
	})
}
