package disk

import (
	"context"
	"errors"

	"hufu"
)

// Commit makes the file durable and gives it its name, if all chunks are
// there, their root is want and cond holds. It may be repeated: once it has
// succeeded it answers the same again.
//
// The order on disk: mode, time and record on the open file, fsync, name,
// fsync of the folder, and the journal goes last.
func (u *Upload) Commit(ctx context.Context, want hufu.Digest, m Meta, cond hufu.Condition) (hufu.Entry, error) {
	p := u.p
	p.committing.Lock()
	defer p.committing.Unlock()
	if p.committed != nil {
		if p.committed.Digest != want {
			return hufu.Entry{}, p.error("commit", hufu.KindIntegrity, "digest_differs")
		}
		return *p.committed, nil
	}
	e, err := p.commitOpen(ctx, u, want, m, cond)
	if errors.Is(err, errSync) || hufu.CodeOf(err) == uploadGone {
		p.giveUp()
	}
	if err != nil {
		return hufu.Entry{}, fail("commit", p.key.Path, writing, err)
	}
	p.discardSuperseded() // what was still open when this one began
	return e, nil
}

// commitOpen is commit while the files stay open.
func (p *pending) commitOpen(ctx context.Context, u *Upload, want hufu.Digest, m Meta, cond hufu.Condition) (hufu.Entry, error) {
	p.files.RLock()
	defer p.files.RUnlock()
	if err := p.complete(u, want); err != nil {
		return hufu.Entry{}, err
	}
	if err := canceled(ctx, "commit", p.key.Path); err != nil {
		p.unseal()
		return hufu.Entry{}, err
	}
	e, err := p.commit(want, m, cond, &u.guard)
	switch hufu.KindOf(err) {
	case hufu.KindExists, hufu.KindChanged, hufu.KindWrongKind, hufu.KindPermission: // the condition was not met
		p.unseal()
	}
	return e, err
}

// giveUp discards what has arrived, journal included, for all holders. After a
// failed fsync nobody knows which bytes are on the disk.
func (p *pending) giveUp() {
	p.opening.Lock() // nobody makes the files meanwhile, or later
	defer p.opening.Unlock()
	p.mu.Lock()
	p.gone = true
	p.moved.Broadcast()
	p.mu.Unlock()
	p.forget()
	p.remove()
}

func (p *pending) complete(u *Upload, want hufu.Digest) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case u.closed.Load() || !p.opened:
		return p.error("commit", hufu.KindInternal, "")
	case p.gone:
		return p.error("commit", hufu.KindNotFound, uploadGone)
	case p.chunks.have < p.chunks.n:
		return p.error("commit", hufu.KindInvalid, "upload_incomplete")
	}
	root, err := p.rootLocked()
	if err == nil && root != want {
		err = p.error("commit", hufu.KindIntegrity, "digest_differs")
	}
	p.sealed = err == nil
	return err
}

// unseal lets chunks be replaced again after a commit that certainly has not
// given the file its name.
func (p *pending) unseal() {
	p.mu.Lock()
	p.sealed = false
	p.mu.Unlock()
}

func (p *pending) commit(want hufu.Digest, m Meta, cond hufu.Condition, g *Guard) (hufu.Entry, error) {
	s := p.s
	m.Digest = want
	if s.o.Server {
		m.Upload = p.id
	}
	var enc []byte
	n, err := s.finish(p.staging, s.fileMode(m.Mode), &m, &enc)
	if err != nil {
		return hufu.Entry{}, err
	}
	if n.ino != p.ino || n.size != p.key.Size {
		return hufu.Entry{}, p.error("commit", hufu.KindChanged, uploadGone)
	}
	if err := s.hook("commit-meta"); err != nil {
		return hufu.Entry{}, err
	}
	if err := s.syncFile(p.staging); err != nil {
		return hufu.Entry{}, err
	}
	if err := s.hook("commit-synced"); err != nil {
		return hufu.Entry{}, err
	}
	// By path, not by a handle kept from the beginning: who moved the folder
	// away meanwhile has moved it away from this path.
	d, err := s.k.openDir(s.root, p.key.Path.Parent().String(), readFlags)
	if errors.Is(gone(err), errStale) { // with what has arrived
		err = p.error("commit", hufu.KindNotFound, uploadGone)
	}
	if err != nil {
		return hufu.Entry{}, err
	}
	defer d.close()
	since := s.sync.failures()
	t := s.newTrail()
	defer t.leave()
	done, err := p.place(d, &n, cond, g, t)
	if hufu.KindOf(err) == hufu.KindNotFound { // the folder has just been removed
		err = p.error("commit", hufu.KindNotFound, uploadGone)
	}
	if err != nil {
		t.finish()
		return hufu.Entry{}, err
	}
	if err := s.hook("commit-named"); err != nil {
		return hufu.Entry{}, err
	}
	if err := s.syncNames(d, p.key.Path.Parent(), since); err != nil {
		s.takenBack(d, p.key.Path.Base(), &n, done, t)
		t.finish()
		s.disown(d, p.key.Path.Base(), p.id)
		return hufu.Entry{}, err
	}
	if err := s.hook("commit-durable"); err != nil {
		return hufu.Entry{}, err
	}
	s.ended(d, done)
	t.finish()
	if n, err = p.staging.stat(); err != nil {
		return hufu.Entry{}, err
	}
	e := n.entry(p.key.Path.Base())
	e.Digest = m.Digest
	if s.o.Server {
		e.Mode, e.By, e.Upload = m.Mode&0o777, m.By, m.Upload
	}
	p.committed = &e
	p.end = 0
	p.forget()
	p.unlinkJournal()
	return e, s.hook("commit-done")
}

// place takes the final name, unless an earlier try already has: its answer
// was lost.
func (p *pending) place(d dirHandle, n *node, cond hufu.Condition, g *Guard, t *trail) (placed, error) {
	name := stagingName(p.id)
	staged, err := d.stat(name)
	if err == nil && staged.ino == p.ino && staged.dev == n.dev {
		lock, err := p.s.lockOf(d)
		if err != nil {
			return placed{}, err
		}
		src := source{tmp: noFile, dir: d, name: name, kind: hufu.File, trail: t}
		return p.s.take("commit", p.key.Path, src, d, lock, cond, g)
	}
	at, atErr := d.stat(p.key.Path.Base())
	if atErr == nil && at.ino == p.ino && at.dev == n.dev && p.ino != 0 {
		if err == nil && p.s.staged.has(name) { // nor what it was to replace
			return placed{}, changed("commit", p.key.Path, "target_changed")
		}
		if err == nil { // what the earlier try has replaced
			return placed{old: name}, nil
		}
		return placed{}, nil
	}
	return placed{}, p.error("commit", hufu.KindNotFound, uploadGone)
}

// settle ends an upload whose file, number ino, has its name: that is made
// durable before the journal goes. If that fails nobody is told that the file has
// been committed; it stays, for it may have replaced another.
func (p *pending) settle() {
	p.alone(func() {
		d, err := p.s.k.openDir(p.s.root, p.key.Path.Parent().String(), readFlags)
		if err != nil {
			return
		}
		defer d.close()
		if first(p.s.unsettled, p.s.syncNames(d, p.key.Path.Parent(), p.s.sync.failures())) != nil {
			p.s.disown(d, p.key.Path.Base(), p.id)
		}
		name := stagingName(p.id)
		if n, err := d.stat(name); err == nil && n.ino == p.ino {
			_ = d.unlink(name) // where a name is taken by linking
		}
		p.unlinkJournal()
	})
}
