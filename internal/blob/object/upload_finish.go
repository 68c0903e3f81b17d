package object

import (
	"cmp"
	"context"
	"errors"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/meta"
)

// Prepare compares the digest with the units in the database, and seals them.
func (h *holder) Prepare(ctx context.Context, want hufu.Digest, m blob.Meta) error {
	const op = "commit"
	u := h.u
	release, err := u.exclude(ctx, op)
	if err != nil {
		return err
	}
	defer release()
	if done := u.finished(); done != nil {
		if done.Digest != want {
			return u.fail(op, hufu.KindIntegrity, "digest_differs")
		}
		return nil
	}
	if err := cmp.Or(h.open(op), blob.Canceled(ctx, op, u.key.Path)); err != nil {
		return err
	}
	if _, err := u.begun(ctx, op); err != nil {
		return err
	}
	c, units, err := u.t.s.arrived(ctx, u.id)
	switch {
	case err != nil:
		return u.broken(ctx, op, err)
	case c.State == meta.StateLive: // another process has committed it, or the answer was lost
		return h.lookFor(ctx, want)
	case c.State != meta.StateOpen:
		u.end()
		return u.fail(op, hufu.KindNotFound, "upload_gone")
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.set(units)
	root, err := u.root()
	switch {
	case err != nil:
		return err
	case root != want:
		return u.fail(op, hufu.KindIntegrity, "digest_differs")
	}
	h.unseal()
	m.Digest, m.Upload = want, u.id.String()
	h.prepared = &prepared{m, c.Voided}
	u.sealed++
	return nil
}

// finished returns the file that the upload has become, or nil.
func (u *upload) finished() *hufu.Entry {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.done
}

// lookFor finds the file that a committed upload has become.
func (h *holder) lookFor(ctx context.Context, want hufu.Digest) error {
	const op = "commit"
	e, ok := h.u.t.Committed(ctx, h.u.id.String(), h.u.key.Path)
	switch {
	case !ok:
		h.u.end()
		return cmp.Or(blob.Canceled(ctx, op, h.u.key.Path), h.u.fail(op, hufu.KindNotFound, "upload_gone"))
	case e.Digest != want:
		return h.u.fail(op, hufu.KindIntegrity, "digest_differs")
	}
	h.u.become(e)
	return nil
}

// unseal undoes Prepare.
func (h *holder) unseal() {
	if h.prepared != nil {
		h.prepared = nil
		h.u.sealed--
	}
}

// become notes the file that the upload has become.
func (u *upload) become(e hufu.Entry) {
	u.mu.Lock()
	u.done = &e
	u.notify()
	u.mu.Unlock()
	u.t.s.unregister(u)
}

// Finish writes the name. All that it depends on is judged in one transaction.
func (h *holder) Finish(ctx context.Context, c hufu.Condition) (hufu.Entry, error) {
	const op = "commit"
	u := h.u
	release, err := u.exclude(ctx, op)
	if err != nil {
		return hufu.Entry{}, h.unsealed(err)
	}
	defer release()
	if done := u.finished(); done != nil {
		return *done, nil
	}
	u.mu.Lock()
	ready := h.prepared
	u.mu.Unlock()
	err = cmp.Or(h.open(op), blob.Canceled(ctx, op, u.key.Path))
	if err == nil && ready == nil {
		err = u.fail(op, hufu.KindInternal, "")
	}
	if err != nil {
		return hufu.Entry{}, h.unsealed(err)
	}
	m := ready.meta
	row := meta.Entry{
		Name: u.key.Path.Base(), Kind: hufu.File, Child: u.id, Size: u.key.Size, Layout: u.unit,
		Mode: m.Mode & 0o777, MTime: timeOf(m), Digest: m.Digest, By: m.By, Upload: m.Upload,
	}
	err = u.t.change(ctx, op, u.key.Path, &h.guard, func(w *work) error { return u.commit(ctx, w, &row, ready, c) })
	if hufu.CodeOf(err) == "upload_gone" {
		if err := u.t.s.discard(ctx, u.id); err == nil {
			u.end()
		}
	}
	if err != nil {
		return hufu.Entry{}, h.unsealed(err)
	}
	e := describe(row)
	u.become(e)
	return e, nil
}

// unsealed returns err, after which chunks can change again, unless the file may have got its name.
func (h *holder) unsealed(err error) error {
	if !unsure(err) {
		h.u.mu.Lock()
		h.unseal()
		h.u.mu.Unlock()
	}
	return err
}

// commit makes the upload a file, in one transaction.
func (u *upload) commit(ctx context.Context, w *work, row *meta.Entry, ready *prepared, c hufu.Condition) error {
	const op = "commit"
	p, s := u.key.Path, u.t.s
	s.mu.Lock()
	into := u.into
	s.mu.Unlock()
	if err := w.lock(ctx, map[meta.ID]bool{into: true}); err != nil {
		return err
	}
	dir, err := w.folder(ctx, op, p, p.Parent())
	if kind := hufu.KindOf(err); kind == hufu.KindNotFound || errors.Is(err, errUnlocked) || err == nil && dir.ID != into {
		return u.fail(op, hufu.KindNotFound, "upload_gone") // it was moved away, or removed
	}
	if err != nil {
		return err
	}
	old, err := w.entry(ctx, op, p, dir)
	if err != nil {
		return err
	}
	content, err := w.LockContent(ctx, u.id)
	if err != nil {
		return w.failed(ctx, op, p, err)
	}
	if content.State == meta.StateLive && old.Kind == hufu.File && old.Child == u.id { // the answer to an earlier commit was lost
		*row = old
		return nil
	}
	if content.State != meta.StateOpen {
		return u.fail(op, hufu.KindNotFound, "upload_gone")
	}
	if err := w.permit(ctx, op, p, dir, old, hufu.File, c); err != nil {
		return err
	}
	n, err := w.CountUnits(ctx, u.id)
	if err != nil {
		return w.failed(ctx, op, p, err)
	}
	if content.Voided != ready.voided || n != u.count() {
		return u.fail(op, hufu.KindChanged, "file_changed") // through another process
	}
	_, err = w.Enliven(ctx, u.id)
	if err == nil {
		_, err = w.DropUpload(ctx, u.id)
	}
	if err == nil {
		err = s.supersede(ctx, w.NameQueries, u)
	}
	if err != nil {
		return w.failed(ctx, op, p, err)
	}
	return w.write(ctx, op, p, dir, old, row)
}

func (h *holder) Abort() error {
	u := h.u
	ctx, cancel := u.t.s.afterwards()
	defer cancel()
	release, err := u.exclude(ctx, "abort")
	if err == nil {
		if h.open("abort") == nil && u.finished() == nil {
			if err = u.broken(ctx, "abort", u.t.s.discard(ctx, u.id)); err == nil {
				u.end()
			}
		}
		release()
	}
	return cmp.Or(err, h.Close())
}

// Close takes the holder from the upload, whatever happens. It waits only to drop an upload of which
// nothing has arrived; one that cannot be dropped expires.
func (h *holder) Close() error {
	u, s := h.u, h.u.t.s
	u.mu.Lock()
	closed := h.closed
	h.closed = true
	if !closed {
		h.unseal()
	}
	for number, part := range u.half {
		if part.by == h {
			u.dropHalf(number)
		}
	}
	over := u.gone || u.done != nil
	u.mu.Unlock()
	if closed {
		return nil
	}
	last, unbegun := u.leave()
	switch {
	case !last, over: // the rows of an upload that is over are gone
		return nil
	case !unbegun:
		u.letGo()
		return nil
	}
	ctx, cancel := s.afterwards()
	defer cancel()
	release, err := u.t.alone(ctx, "close upload", u.key.Path) // nobody opens it meanwhile
	if err != nil {
		return nil //nolint:nilerr // it expires
	}
	defer release()
	if s.held(u.id) { // somebody has opened it before
		return nil
	}
	_ = s.names.Change(ctx, func(q meta.NameQueries) error {
		there, err := q.DropUnbegun(ctx, u.id, s.grip)
		if err == nil && there {
			_, err = q.Abandon(ctx, u.id)
		} else if err == nil {
			err = q.LetGo(ctx, u.id, s.grip) // it goes on elsewhere
		}
		return err //nolint:wrapcheck // it is dropped
	})
	return nil
}
