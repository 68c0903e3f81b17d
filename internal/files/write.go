package files

import (
	"context"

	"hufu"
	"hufu/internal/access"
	"hufu/internal/blob/disk"
)

// Batch is changes that become durable together. Not for concurrent use.
type Batch struct {
	v       *View
	batches map[*disk.Store]*disk.Batch
	slots   []slot
	bytes   int64
}

// slot is one change: where its result will be, or why it was refused.
type slot struct {
	store *disk.Store
	n     int
	err   error
}

// Batch begins a batch.
func (v *View) Batch() *Batch { return &Batch{v: v, batches: map[*disk.Store]*disk.Batch{}} }

// Len is the number of changes, refused ones included.
func (b *Batch) Len() int { return len(b.slots) }

// Bytes is how much file data is staged.
func (b *Batch) Bytes() int64 { return b.bytes }

// stage adds one change, if the user may make it at p for all that is known now.
func (b *Batch) stage(ctx context.Context, p hufu.Path, a access.Action, op func(*disk.Batch, hufu.Path) int) {
	at, err := b.v.at(ctx, p, a)
	if err != nil {
		b.Refuse(err)
		return
	}
	b.add(at, op)
}

func (b *Batch) add(at spot, op func(*disk.Batch, hufu.Path) int) {
	db := b.batches[at.store]
	if db == nil {
		db = at.store.Batch()
		db.Guard(b.v.guard(at))
		b.batches[at.store] = db
	}
	b.slots = append(b.slots, slot{store: at.store, n: op(db, at.path)})
}

// Put stages a whole file. data may be reused when it returns.
func (b *Batch) Put(ctx context.Context, p hufu.Path, data []byte, m disk.Meta, cond hufu.Condition) {
	m.By = b.v.sub.User
	b.bytes += int64(len(data))
	b.stage(ctx, p, access.Create, func(db *disk.Batch, q hufu.Path) int { return db.Put(q, data, m, cond) })
}

// Mkdir makes a folder, or finds it there.
func (b *Batch) Mkdir(ctx context.Context, p hufu.Path, mode uint32, parents bool) {
	if access.May(b.v.sub, access.Create, p, "") != nil {
		if e, err := b.v.Stat(ctx, p); err == nil && e.Kind == hufu.Folder {
			b.slots = append(b.slots, slot{}) // nobody's to make, and there already
			return
		}
	}
	b.stage(ctx, p, access.Create, func(db *disk.Batch, q hufu.Path) int {
		return db.Mkdir(q, disk.Meta{Mode: mode, By: b.v.sub.User}, parents)
	})
}

// Link makes a symbolic link, which is data: nothing here ever follows it.
func (b *Batch) Link(ctx context.Context, p hufu.Path, target string, m disk.Meta, cond hufu.Condition) {
	m.By = b.v.sub.User
	b.stage(ctx, p, access.Link, func(db *disk.Batch, q hufu.Path) int { return db.Symlink(q, target, m, cond) })
}

// SetMeta sets mode and time.
func (b *Batch) SetMeta(ctx context.Context, p hufu.Path, m disk.Meta) {
	m.By = b.v.sub.User
	b.stage(ctx, p, access.Change, func(db *disk.Batch, q hufu.Path) int { return db.SetMeta(q, m) })
}

// Remove takes a name away. In a shared folder everything below must be the
// user's own.
func (b *Batch) Remove(ctx context.Context, p hufu.Path, recursive bool) {
	b.stage(ctx, p, access.Change, func(db *disk.Batch, q hufu.Path) int { return db.Remove(q, recursive) })
}

// Rename moves a name within one place. Between places a client copies and
// removes. In a shared folder everything below must be the user's own: nobody
// moves what others have put there.
func (b *Batch) Rename(ctx context.Context, from, to hufu.Path, cond hufu.Condition) {
	src, err := b.v.at(ctx, from, access.Change)
	if err != nil {
		b.Refuse(err)
		return
	}
	dst, err := b.v.at(ctx, to, access.Create)
	if err == nil && dst.store != src.store {
		err = &hufu.Error{Op: "rename", Kind: hufu.KindUnsupported, Code: "rename_between_places"}
	}
	if err != nil {
		b.Refuse(err)
		return
	}
	b.add(src, func(db *disk.Batch, q hufu.Path) int { return db.Rename(q, dst.path, cond) })
}

// Expect has the change that was added last, a SetMeta, Remove or Rename, made
// only to this very version.
func (b *Batch) Expect(version string) {
	if last := b.slots[len(b.slots)-1]; last.store != nil {
		b.batches[last.store].Expect(version)
	}
}

// Discard forgets what is staged.
func (b *Batch) Discard() {
	for _, db := range b.batches {
		db.Discard()
	}
	clear(b.slots)
	b.slots, b.bytes = b.slots[:0], 0
	clear(b.batches)
}

// Commit makes everything durable and tells, in order, what became of each
// change. The batch is then empty and may be used again.
func (b *Batch) Commit(ctx context.Context) []disk.Result {
	done := make(map[*disk.Store][]disk.Result, len(b.batches))
	for st, db := range b.batches {
		if db.Len() > 0 {
			done[st] = db.Commit(ctx)
		}
	}
	results := make([]disk.Result, len(b.slots))
	for i, s := range b.slots {
		switch {
		case s.err != nil:
			results[i].Err = s.err
		case s.store != nil:
			results[i] = done[s.store][s.n]
		}
	}
	clear(b.slots)
	b.slots, b.bytes = b.slots[:0], 0
	return results
}

// OpenUpload begins or resumes an upload to p. Only the user's same device can
// resume it.
func (v *View) OpenUpload(ctx context.Context, p hufu.Path, size int64, source string) (*disk.Upload, error) {
	at, err := v.at(ctx, p, access.Create)
	if err != nil {
		return nil, err
	}
	if at.shared { // said before the bytes travel; CommitUpload decides
		if e, err := at.store.Stat(at.path); err == nil && e.Kind == hufu.File {
			if err := access.May(v.sub, access.Change, p, e.By); err != nil {
				return nil, err
			}
		}
	}
	if err := v.parents(ctx, at); err != nil {
		return nil, err
	}
	u, err := at.store.OpenUpload(ctx, disk.UploadKey{Path: at.path, Size: size, Source: source, Owner: v.owner()})
	if err == nil {
		u.Guard(v.guard(at))
	}
	return u, err
}

// parents makes the missing folders above a name, as this user's.
func (v *View) parents(ctx context.Context, at spot) error {
	up := at.path.Parent()
	if _, err := at.store.Stat(up); hufu.KindOf(err) != hufu.KindNotFound {
		return nil // what else is wrong with it is met by who uses it
	}
	b := at.store.Batch()
	b.Guard(v.guard(at))
	var err error
	for range 3 { // somebody may be removing them
		b.Mkdir(up, disk.Meta{Mode: 0o755, By: v.sub.User}, true)
		if err = b.Commit(ctx)[0].Err; hufu.KindOf(err) != hufu.KindNotFound {
			break
		}
	}
	return err
}

func (v *View) owner() string { return v.sub.User + "/" + v.sub.Device }

// FindUpload finds an upload of this user and device by its id, in the places
// where they may have one. Close it after use.
func (v *View) FindUpload(ctx context.Context, id string) (*disk.Upload, error) {
	names, err := v.s.sharedNames()
	if err != nil {
		return nil, err
	}
	places := []hufu.Path{{}} // the user's own first
	for _, n := range names {
		places = append(places, sharedPlace(n))
	}
	for _, p := range places {
		at, err := v.at(ctx, p, access.Read)
		if err != nil && p.IsRoot() {
			return nil, err
		}
		if err != nil {
			continue // it has gone since
		}
		if u, ok := at.store.FindUpload(ctx, id); ok {
			u.Guard(v.guard(at))
			return v.ours(u)
		}
	}
	return nil, unknownUpload()
}

func (v *View) ours(u *disk.Upload) (*disk.Upload, error) {
	if u.Key().Owner != v.owner() {
		_ = u.Close()
		return nil, unknownUpload()
	}
	return u, nil
}

func unknownUpload() error {
	return &hufu.Error{Op: "find upload", Kind: hufu.KindNotFound, Code: "upload_unknown"}
}

// CommitUpload gives a complete upload its name p, or tells that this has
// happened already.
func (v *View) CommitUpload(ctx context.Context, id string, p hufu.Path, want hufu.Digest, m disk.Meta, cond hufu.Condition) (hufu.Entry, error) {
	at, err := v.at(ctx, p, access.Create)
	if err != nil {
		return hufu.Entry{}, err
	}
	u, found := at.store.FindUpload(ctx, id)
	if !found {
		if e, ok := at.store.Committed(id, at.path); ok && e.By == v.sub.User && e.Digest == want {
			return e, nil
		}
		return hufu.Entry{}, unknownUpload()
	}
	defer func() { _ = u.Close() }()
	if u.Key().Path != at.path || u.Key().Owner != v.owner() {
		return hufu.Entry{}, unknownUpload()
	}
	u.Guard(v.guard(at))
	m.By, m.Upload, m.Digest = v.sub.User, id, want
	return u.Commit(ctx, want, m, cond)
}

// Abandon drops an unfinished upload.
func (v *View) Abandon(ctx context.Context, id string) error {
	u, err := v.FindUpload(ctx, id)
	if err != nil {
		return err
	}
	return u.Abort()
}

// Refuse takes a slot for a change that was refused before it got here.
func (b *Batch) Refuse(err error) { b.slots = append(b.slots, slot{err: err}) }
