package object

import (
	"context"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/meta"
)

// The locks of this package, in the order in which they are taken. The holder of one may wait for
// those below it, never for one above it.
//
//  1. Trees.opening, while an upload of a tree is opened, and while one that nobody has open any more
//     is dropped
//  2. upload.alone, while an upload as a whole is changed
//  3. a transaction; in SQLite there is one at a time for the whole server
//  4. Trees.mu
//  5. upload.mu
//  6. the mutex of a room
//
// The first three are held during requests to the database and the bucket, so each of them is waited
// for with a context. The mutexes are held for a few instructions: nothing that can wait is
// called with one of them.

// alone waits until nobody else opens an upload of the tree, or ctx ends.
func (t *Tree) alone(ctx context.Context, op string, p hufu.Path) (release func(), err error) {
	c := t.s.opening[t.root[len(t.root)-1]%byte(len(t.s.opening))]
	select {
	case c <- struct{}{}:
		return func() { <-c }, nil
	case <-ctx.Done():
		return nil, blob.Canceled(ctx, op, p)
	}
}

// hold returns a new holder of an upload of this tree that is open and not over, nil if find finds
// none.
func (t *Tree) hold(find func() *upload, g blob.Guard) *holder {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	u := find()
	if u == nil || u.t.root != t.root {
		return nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.gone || u.done != nil {
		return nil
	}
	u.holders++
	return &holder{u: u, guard: g}
}

// register makes an upload one of those that are open. The caller has taken cost(&k, units) for it and
// noted in the database that it is open here.
func (t *Tree) register(row meta.Upload, k blob.UploadKey, unit int64, units map[int64][]byte, g blob.Guard) blob.Upload {
	u := &upload{
		t: t, id: row.ID, key: k, row: row, unit: unit, alone: make(chan struct{}, 1), into: row.Into, holders: 1,
		half: map[int64]*half{}, changed: make(chan struct{}), charge: cost(&k, units),
	}
	u.set(units)
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	t.s.uploads[u.id], t.s.keys[uploadKey{t.root, row.Key}] = u, u
	if !t.s.staying && t.s.life.Err() == nil {
		t.s.staying = true
		t.s.stays.Go(t.s.stay)
	}
	return &holder{u: u, guard: g}
}

// unregister forgets an open upload.
func (s *Trees) unregister(u *upload) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(u)
}

// forget is unregister for a caller that has locked mu.
func (s *Trees) forget(u *upload) {
	if k := (uploadKey{u.t.root, u.row.Key}); s.keys[k] == u {
		delete(s.keys, k)
	}
	if s.uploads[u.id] == u {
		delete(s.uploads, u.id)
	}
}

// uploading reports whether an upload into a folder is open here.
func (s *Trees) uploading(folder meta.ID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range s.uploads {
		if u.into == folder && u.holders > 0 {
			return true
		}
	}
	return false
}

// held reports whether an upload is open here, or is being opened.
func (s *Trees) held(id meta.ID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.uploads[id] != nil || s.coming[id] > 0
}

// expect makes an upload held while it is opened: between its row and the handle, another upload
// of the same place must not take it for one that nobody has open. Several may open it at once, each
// in another tree: all but one of them find out that it is not there.
func (s *Trees) expect(id meta.ID) (done func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.coming[id]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.coming[id]--; s.coming[id] == 0 {
			delete(s.coming, id)
		}
	}
}

// leave takes a holder from the upload, and forgets the upload with the last one. It reports whether
// that was the last, and whether no chunk that is known here has begun the upload.
func (u *upload) leave() (last, unbegun bool) {
	s := u.t.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if u.holders--; u.holders > 0 {
		return false, false
	}
	s.forget(u)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.charged(-u.charge)
	u.left = true
	return true, u.into.IsZero()
}

// exclude waits until nobody else changes the upload as a whole, or ctx ends.
func (u *upload) exclude(ctx context.Context, op string) (release func(), err error) {
	select {
	case u.alone <- struct{}{}:
		return func() { <-u.alone }, nil
	case <-ctx.Done():
		return nil, blob.Canceled(ctx, op, u.key.Path)
	}
}
