package object

import (
	"bytes"
	"cmp"
	"context"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/digest"
	"hufu/internal/meta"
)

// Write stores a chunk. The unit of its last chunk becomes an object, and then a row.
func (h *holder) Write(ctx context.Context, index int64, data []byte, cv digest.CV) error {
	const op = "write chunk"
	u := h.u
	if n := digest.Chunks(u.key.Size); index < 0 || index >= n || len(data) > 0 && len(data) != digest.ChunkLen(u.key.Size, index) {
		return u.fail(op, hufu.KindInvalid, "chunk_form")
	}
	full, err := h.add(ctx, index, data, cv)
	if err != nil || full == nil {
		return err
	}
	defer u.give(full)
	return h.store(ctx, index/(u.unit/hufu.ChunkSize), full)
}

// open refuses a handle that was closed, and one of an upload that is gone.
func (h *holder) open(op string) error {
	h.u.mu.Lock()
	defer h.u.mu.Unlock()
	switch {
	case h.closed:
		return h.u.fail(op, hufu.KindInternal, "")
	case h.u.gone:
		return h.u.fail(op, hufu.KindNotFound, "upload_gone")
	}
	return nil
}

// add adds a chunk to its unit, and returns the unit if that is complete now.
func (h *holder) add(ctx context.Context, index int64, data []byte, cv digest.CV) (full *half, err error) {
	const op = "write chunk"
	u := h.u
	release, err := u.exclude(ctx, op)
	if err != nil {
		return nil, err
	}
	defer release()
	if err := cmp.Or(h.open(op), blob.Canceled(ctx, op, u.key.Path), h.begin(ctx)); err != nil {
		return nil, err
	}
	number := index / (u.unit / hufu.ChunkSize)
	for range maxTries {
		full, stale, err := h.gather(index, data, cv)
		if err != nil || stale == nil {
			return full, err
		}
		if err := u.void(ctx, number, stale); err != nil {
			return nil, err
		}
	}
	return nil, u.fail(op, hufu.KindUnavailable, "database_busy")
}

// gather adds a chunk to its unit, and returns the unit if that is complete now. If a unit with
// another chunk in this place has arrived, it returns the chaining values of that: no arrived chunk
// refers to the unit's bytes any more, so the unit must be given up first.
func (h *holder) gather(index int64, data []byte, cv digest.CV) (whole *half, stale []byte, err error) {
	const op = "write chunk"
	u := h.u
	per := u.unit / hufu.ChunkSize
	number := index / per
	u.mu.Lock()
	defer u.mu.Unlock()
	part := u.half[number]
	if part == nil || part.by != h || index != number*per+part.n {
		old, there := u.cv(index)
		switch {
		case there && old == cv:
			return nil, nil, nil
		case there && (u.sealed > 0 || u.done != nil):
			return nil, nil, u.fail(op, hufu.KindChanged, "file_changed")
		case there:
			return nil, u.units[number], nil
		}
		if index != number*per {
			return nil, nil, u.fail(op, hufu.KindInvalid, "unit_order")
		}
		u.dropHalf(number)
		part = &half{by: h, cost: costOfUnit(int(u.chunks(number) * cvSize))}
		if !u.t.s.values.Take(u.key.User(), part.cost) { // it is charged to the upload when the unit is stored
			return nil, nil, full(op, &u.key)
		}
	}
	if err := part.add(u, data, digest.ChunkLen(u.key.Size, index), per); err != nil {
		if part.n == 0 {
			u.give(part)
		}
		return nil, nil, err
	}
	part.cvs = append(part.cvs, cv[:]...)
	if part.n++; part.n < u.chunks(number) {
		u.half[number] = part
		return nil, nil, nil
	}
	delete(u.half, number)
	return part, nil, nil
}

// add adds the bytes of a chunk. Those of a unit of one chunk are the caller's, who waits until they
// are stored; others are copied.
func (p *half) add(u *upload, data []byte, n int, per int64) error {
	size := p.size + int64(n)
	switch {
	case per == 1:
		if len(data) > 0 {
			p.data = data
		}
	case p.data == nil && len(data) == 0:
	default:
		if p.data == nil {
			if !u.t.s.room.Take(u.key.User(), u.unit) {
				return u.fail("write chunk", hufu.KindUnavailable, "")
			}
			p.taken, p.data = u.unit, make([]byte, p.size, u.unit)
		}
		p.data = append(p.data, data...)
		p.data = p.data[:size] // zeros, after a chunk without data
	}
	p.size = size
	return nil
}

// dropHalf forgets the chunks of a unit that is not complete.
func (u *upload) dropHalf(number int64) {
	if part := u.half[number]; part != nil {
		u.give(part)
		delete(u.half, number)
	}
}

// give returns the memory of a unit.
func (u *upload) give(part *half) {
	u.t.s.room.Give(u.key.User(), part.taken)
	u.t.s.values.Give(u.key.User(), part.cost)
}

// begin makes the folder for the first chunk of an upload, and ends the uploads that it replaces.
func (h *holder) begin(ctx context.Context) error {
	const op = "open upload"
	u, s := h.u, h.u.t.s
	if begun, err := u.begun(ctx, op); begun || err != nil {
		return err
	}
	into, err := u.t.makeFolders(ctx, op, u.key.Path, u.key.Path.Parent(), u.key.User(), &h.guard)
	if err != nil {
		return err
	}
	there := false
	err = s.names.Change(ctx, func(q meta.NameQueries) (err error) {
		if there, err = q.SetInto(ctx, u.id, into); err != nil || !there {
			return err //nolint:wrapcheck // below
		}
		return s.supersede(ctx, q, u)
	})
	if err != nil {
		return u.broken(ctx, op, err)
	}
	if !there {
		u.end()
		return u.fail(op, hufu.KindNotFound, "upload_gone")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	u.into = into
	return nil
}

// begun reports whether a chunk has arrived, here or in another process.
func (u *upload) begun(ctx context.Context, op string) (bool, error) {
	s := u.t.s
	s.mu.Lock()
	known := !u.into.IsZero()
	s.mu.Unlock()
	if known {
		return true, nil
	}
	found, err := s.names.UploadsByID(ctx, u.t.root, u.id)
	if err != nil || len(found) == 0 {
		return false, u.broken(ctx, op, err) // if it is gone, the next step notices
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	u.into = found[0].Into
	return !u.into.IsZero(), nil
}

// supersede ends the other uploads of the same owner to the same path that are not open.
func (s *Trees) supersede(ctx context.Context, q meta.NameQueries, u *upload) error {
	all, err := q.UploadsAt(ctx, u.t.root, u.row.Place)
	if err != nil {
		return err //nolint:wrapcheck // the caller does
	}
	for _, old := range all {
		if old.ID == u.id || s.held(old.ID) {
			continue
		}
		dropped, err := q.DropUnheld(ctx, old.ID, s.grip)
		if err != nil {
			return err //nolint:wrapcheck // the caller does
		}
		if !dropped {
			continue
		}
		if _, err := q.Abandon(ctx, old.ID); err != nil {
			return err //nolint:wrapcheck // the caller does
		}
	}
	return nil
}

// void gives up a unit that has arrived with these chaining values. The caller is alone. The object of
// the unit stays until the content is gone: a backup of the database may still refer to it.
func (u *upload) void(ctx context.Context, number int64, stale []byte) error {
	const op = "write chunk"
	s := u.t.s
	state := 0
	var now []byte // what is there instead
	err := s.names.Change(ctx, func(q meta.NameQueries) error {
		now = nil
		c, err := q.LockContent(ctx, u.id)
		if state = c.State; err != nil || state != meta.StateOpen {
			return err //nolint:wrapcheck // below
		}
		there, err := q.Units(ctx, u.id, number, 1)
		if err != nil || len(there) == 0 || there[0].Number != number {
			return err //nolint:wrapcheck // below
		}
		if !bytes.Equal(there[0].CVs, stale) { // another process has stored other bytes
			now = there[0].CVs
			return nil
		}
		return q.VoidUnit(ctx, u.id, number) //nolint:wrapcheck // below
	})
	if err != nil {
		return u.broken(ctx, op, err)
	}
	switch state {
	case meta.StateOpen:
	case meta.StateLive: // another process has committed it
		return u.fail(op, hufu.KindChanged, "file_changed")
	default:
		u.end()
		return u.fail(op, hufu.KindNotFound, "upload_gone")
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if there := u.units[number]; there != nil && &there[0] == &stale[0] { // another holder may have stored other bytes
		u.put(number, now)
	}
	return nil
}

// store makes a complete unit durable: first its object, then its row. If another holder was faster
// and has stored the same, the object is deleted; if it has stored something else, that is given up.
func (h *holder) store(ctx context.Context, number int64, full *half) error {
	const op = "write chunk"
	u, s := h.u, h.u.t.s
	object := ""
	if full.data != nil {
		object = s.freshObject(number)
		if err := s.bucket.Put(ctx, s.key(u.id, object), full.data); err != nil {
			return u.broken(ctx, op, err)
		}
	}
	spare := func() {
		if object != "" {
			_ = s.bucket.Delete(ctx, s.key(u.id, object))
		}
	}
	for range maxTries {
		added, err := s.names.AddUnit(ctx, u.id, meta.Unit{Number: number, Object: object, CVs: full.cvs})
		if err != nil {
			return u.broken(ctx, op, err) // the row may be there
		}
		if added {
			u.add(number, full.cvs)
			return nil
		}
		there, err := s.names.Units(ctx, u.id, number, 1)
		if err != nil {
			return u.broken(ctx, op, err)
		}
		if len(there) == 0 || there[0].Number != number {
			spare()
			return u.ended(ctx, op)
		}
		if bytes.Equal(there[0].CVs, full.cvs) {
			spare()
			u.add(number, full.cvs)
			return nil
		}
		if err := h.replace(ctx, number, there[0].CVs); err != nil {
			spare()
			return err
		}
	}
	return u.fail(op, hufu.KindUnavailable, "database_busy")
}

// ended is the outcome of a chunk whose upload takes no more of them.
func (u *upload) ended(ctx context.Context, op string) error {
	c, err := u.t.s.names.Content(ctx, u.id)
	switch {
	case err != nil:
		return u.broken(ctx, op, err)
	case c.State == meta.StateOpen: // another holder has just given the unit up
		return u.fail(op, hufu.KindUnavailable, "database_busy")
	case c.State == meta.StateLive:
		return u.fail(op, hufu.KindChanged, "file_changed")
	}
	u.end()
	return u.fail(op, hufu.KindNotFound, "upload_gone")
}

// add notes a unit that is in the database.
func (u *upload) add(number int64, cvs []byte) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.put(number, cvs)
	u.notify()
}

// replace gives up a unit that somebody else has stored with other bytes, unless it is sealed.
func (h *holder) replace(ctx context.Context, number int64, theirs []byte) error {
	const op = "write chunk"
	u := h.u
	release, err := u.exclude(ctx, op)
	if err != nil {
		return err
	}
	defer release()
	if err := h.open(op); err != nil {
		return err
	}
	u.mu.Lock()
	sealed := u.sealed > 0 || u.done != nil
	if !sealed {
		u.put(number, theirs)
	}
	u.mu.Unlock()
	if sealed {
		return u.fail(op, hufu.KindChanged, "file_changed")
	}
	return u.void(ctx, number, theirs)
}

// end notes that the upload is gone.
func (u *upload) end() {
	u.mu.Lock()
	u.gone = true
	for number := range u.half {
		u.dropHalf(number)
	}
	u.notify()
	u.mu.Unlock()
	u.t.s.unregister(u)
}
