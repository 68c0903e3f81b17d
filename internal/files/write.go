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

func (b *Batch) add(at spot, err error, op func(*disk.Batch) int) {
	if err != nil {
		b.slots = append(b.slots, slot{err: err})
		return
	}
	db := b.batches[at.store]
	if db == nil {
		db = at.store.Batch()
		b.batches[at.store] = db
	}
	b.slots = append(b.slots, slot{store: at.store, n: op(db)})
}

// creating resolves a name that is to be taken. What stands there already may
// be replaced by its owner only; cond is narrowed to what was looked at.
func (v *View) creating(p hufu.Path, cond hufu.Condition) (spot, hufu.Condition, error) {
	at, err := v.resolve(p)
	if err != nil {
		return at, cond, err
	}
	if at.store == nil || at.path.IsRoot() {
		return at, cond, &hufu.Error{Op: "create", Kind: hufu.KindPermission, Code: "not_allowed_here"}
	}
	if err := access.May(v.user, access.Create, at.place, ""); err != nil {
		return at, cond, err
	}
	if at.place == access.Own || cond.Kind == hufu.IfAbsent {
		return at, cond, nil
	}
	e, err := at.store.Stat(at.path)
	switch {
	case hufu.KindOf(err) == hufu.KindNotFound:
		if cond.Kind == hufu.Always {
			cond = hufu.Condition{Kind: hufu.IfAbsent}
		}
		return at, cond, nil
	case err != nil:
		return at, cond, err
	}
	if cond.Kind == hufu.Always && e.Version != "" {
		cond = hufu.Condition{Kind: hufu.IfVersion, Version: e.Version}
	}
	owner, err := ownerOf(at.store, at.path, e)
	if err != nil {
		return at, cond, err
	}
	return at, cond, access.May(v.user, access.Change, at.place, owner)
}

// changing resolves a name that is to be altered, moved or removed.
func (v *View) changing(p hufu.Path) (spot, error) {
	at, err := v.resolve(p)
	if err != nil {
		return at, err
	}
	if at.store == nil || at.path.IsRoot() {
		return at, &hufu.Error{Op: "change", Kind: hufu.KindPermission, Code: "not_allowed_here"}
	}
	if at.place == access.Own {
		return at, nil
	}
	e, err := at.store.Stat(at.path)
	if err != nil {
		return at, err
	}
	owner, err := ownerOf(at.store, at.path, e)
	if err != nil {
		return at, err
	}
	return at, access.May(v.user, access.Change, at.place, owner)
}

// ownerOf is who put an entry of a shared folder there. A link cannot carry a
// name: it belongs to the owner of the folder that holds it, and creating one
// is only allowed there.
func ownerOf(st *disk.Store, p hufu.Path, e hufu.Entry) (string, error) {
	if e.Kind != hufu.Link {
		return e.By, nil
	}
	folder, err := st.Stat(p.Parent())
	return folder.By, err
}

// Put stages a whole file. data may be reused when it returns.
func (b *Batch) Put(p hufu.Path, data []byte, m disk.Meta, cond hufu.Condition) {
	at, cond, err := b.v.creating(p, cond)
	m.By = b.v.user
	b.bytes += int64(len(data))
	b.add(at, err, func(db *disk.Batch) int { return db.Put(at.path, data, m, cond) })
}

// Mkdir makes a folder, or finds it there.
func (b *Batch) Mkdir(p hufu.Path, mode uint32, parents bool) {
	at, err := b.v.resolve(p)
	if err == nil && (at.store == nil || at.path.IsRoot()) {
		b.slots = append(b.slots, slot{}) // a signpost is there already
		return
	}
	if err == nil {
		err = access.May(b.v.user, access.Create, at.place, "")
	}
	b.add(at, err, func(db *disk.Batch) int {
		return db.Mkdir(at.path, disk.Meta{Mode: mode, By: b.v.user}, parents)
	})
}

// Link makes a symbolic link, which is data: nothing here ever follows it.
func (b *Batch) Link(p hufu.Path, target string, m disk.Meta, cond hufu.Condition) {
	at, cond, err := b.v.creating(p, cond)
	if err == nil && at.place == access.Shared {
		err = b.v.linkHere(at)
	}
	m.By = b.v.user
	b.add(at, err, func(db *disk.Batch) int { return db.Symlink(at.path, target, m, cond) })
}

// linkHere says whether a link may get this name in a shared folder.
func (v *View) linkHere(at spot) error {
	owner, err := ownerOf(at.store, at.path, hufu.Entry{Kind: hufu.Link})
	if err == nil && owner != v.user {
		err = &hufu.Error{Op: "link", Kind: hufu.KindPermission, Code: "link_needs_own_folder"}
	}
	return err
}

// SetMeta sets mode and time.
func (b *Batch) SetMeta(p hufu.Path, m disk.Meta) {
	at, err := b.v.changing(p)
	if err == nil {
		m.By = b.v.user
	}
	b.add(at, err, func(db *disk.Batch) int { return db.SetMeta(at.path, m) })
}

// Remove takes a name away. In a shared folder everything below must be the
// user's own.
func (b *Batch) Remove(p hufu.Path, recursive bool) {
	at, err := b.v.changing(p)
	guard := recursive && at.place == access.Shared
	if err == nil && guard {
		err = b.v.allMine(at.store, at.path)
	}
	b.add(at, err, func(db *disk.Batch) int {
		if guard { // somebody may add to it until it is gone
			return db.RemoveEach(at.path, b.v.mine)
		}
		return db.Remove(at.path, recursive)
	})
}

// mine refuses what somebody else put into a folder of the user's. A link in
// it is the user's, as the folder is.
func (v *View) mine(e hufu.Entry) error {
	if e.Kind == hufu.Link {
		return nil
	}
	return access.May(v.user, access.Change, access.Shared, e.By)
}

// allMine refuses if anything below the user's folder p was put there by
// somebody else. It looks before anything is removed, so a refusal leaves the
// folder whole.
func (v *View) allMine(st *disk.Store, p hufu.Path) error {
	e, err := st.Stat(p)
	if err != nil || e.Kind != hufu.Folder {
		return err
	}
	var below []hufu.Path
	err = st.List(p, func(x hufu.Entry) error {
		if err := v.mine(x); err != nil {
			return err
		}
		if x.Kind == hufu.Folder {
			q, err := p.Join(x.Name)
			if err != nil {
				return err
			}
			below = append(below, q)
		}
		return nil
	})
	for _, q := range below {
		if err == nil {
			err = v.allMine(st, q)
		}
	}
	return err
}

// Rename moves a name within one place. Between places a client copies and
// removes. In a shared folder everything below must be the user's own: nobody
// moves what others have put there.
func (b *Batch) Rename(from, to hufu.Path, cond hufu.Condition) {
	src, err := b.v.changing(from)
	if err == nil && src.place == access.Shared {
		err = b.v.allMine(src.store, src.path)
	}
	if err != nil {
		b.add(src, err, nil)
		return
	}
	dst, cond, err := b.v.creating(to, cond)
	if err == nil && dst.store != src.store {
		err = &hufu.Error{Op: "rename", Kind: hufu.KindUnsupported, Code: "rename_between_places"}
	}
	if err == nil && dst.place == access.Shared {
		if e, statErr := src.store.Stat(src.path); statErr == nil && e.Kind == hufu.Link {
			err = b.v.linkHere(dst)
		}
	}
	b.add(dst, err, func(db *disk.Batch) int { return db.Rename(src.path, dst.path, cond) })
}

// Discard forgets what is staged.
func (b *Batch) Discard() {
	for _, db := range b.batches {
		db.Discard()
	}
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
	b.slots, b.bytes = b.slots[:0], 0
	return results
}

// OpenUpload begins or resumes an upload to p. Only the user's same device can
// resume it.
func (v *View) OpenUpload(ctx context.Context, p hufu.Path, size int64, source string) (*disk.Upload, error) {
	at, err := v.resolve(p)
	if err != nil {
		return nil, err
	}
	if at.store == nil || at.path.IsRoot() {
		return nil, &hufu.Error{Op: "open upload", Kind: hufu.KindPermission, Code: "not_allowed_here"}
	}
	if err := access.May(v.user, access.Create, at.place, ""); err != nil {
		return nil, err
	}
	if at.place == access.Shared { // said before the bytes travel; CommitUpload decides
		if e, err := at.store.Stat(at.path); err == nil && e.Kind == hufu.File {
			if err := v.mine(e); err != nil {
				return nil, err
			}
		}
	}
	if err := v.parents(ctx, at); err != nil {
		return nil, err
	}
	return at.store.OpenUpload(disk.UploadKey{Path: at.path, Size: size, Source: source, Owner: v.owner()})
}

// parents makes the missing folders above a name, as this user's.
func (v *View) parents(ctx context.Context, at spot) error {
	up := at.path.Parent()
	if _, err := at.store.Stat(up); hufu.KindOf(err) != hufu.KindNotFound {
		return nil // what else is wrong with it is met by who uses it
	}
	b := at.store.Batch()
	b.Mkdir(up, disk.Meta{Mode: 0o755, By: v.user}, true)
	return b.Commit(ctx)[0].Err
}

func (v *View) owner() string { return v.user + "/" + v.device }

// FindUpload finds an upload of this user and device by its id, in the places
// where he may have one. Close it after use.
func (v *View) FindUpload(id string) (*disk.Upload, error) {
	own, err := v.s.store(v.s.users, v.user, true)
	if err != nil {
		return nil, err
	}
	if u, ok := own.FindUpload(id); ok {
		return v.ours(u)
	}
	names, err := v.s.sharedNames()
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		st, err := v.s.store(v.s.shared, n, false)
		if err != nil {
			continue // it has gone since
		}
		if u, ok := st.FindUpload(id); ok {
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
	at, cond, err := v.creating(p, cond)
	if err != nil && hufu.KindOf(err) != hufu.KindPermission {
		return hufu.Entry{}, err
	}
	if at.store == nil || at.path.IsRoot() {
		return hufu.Entry{}, err
	}
	u, found := at.store.FindUpload(id)
	if !found {
		if e, ok := at.store.Committed(id, at.path); ok && e.By == v.user && e.Digest == want {
			return e, nil
		}
		return hufu.Entry{}, unknownUpload()
	}
	defer func() { _ = u.Close() }()
	if err != nil {
		return hufu.Entry{}, err
	}
	if u.Key().Path != at.path || u.Key().Owner != v.owner() {
		return hufu.Entry{}, unknownUpload()
	}
	m.By, m.Upload, m.Digest = v.user, id, want
	return u.Commit(ctx, want, m, cond)
}

// Abandon drops an unfinished upload.
func (v *View) Abandon(id string) error {
	u, err := v.FindUpload(id)
	if err != nil {
		return err
	}
	return u.Abort()
}

// Refuse takes a slot for a change that was refused before it got here.
func (b *Batch) Refuse(err error) { b.slots = append(b.slots, slot{err: err}) }
