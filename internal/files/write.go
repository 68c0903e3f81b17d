package files

import (
	"context"
	"log/slog"

	"hufu"
	"hufu/internal/access"
	"hufu/internal/blob"
)

// Batch collects changes that become durable together. It is not for concurrent
// use.
type Batch struct {
	v       *View
	batches map[blob.Tree]*part
	slots   []slot
	bytes   int64
	// reserved has memory for the next Put, if it is not nil.
	reserved blob.Reserver
}

// part holds the changes in one tree.
type part struct {
	blob.Batch
	waiting bool // changes are staged
}

// slot is one change: the place of its result, or the error that refused it.
type slot struct {
	event
	store blob.Tree
	n     int
	err   error
}

// Batch returns an empty batch.
func (v *View) Batch() *Batch { return &Batch{v: v, batches: map[blob.Tree]*part{}} }

// Len returns the number of changes, refused ones included.
func (b *Batch) Len() int { return len(b.slots) }

// Bytes returns how many bytes were given to Put, also where it was refused.
func (b *Batch) Bytes() int64 { return b.bytes }

// stage adds one change. If it is clear already that the user may not make it, its slot holds the
// refusal; otherwise the guard decides, at the moment the store makes the change.
func (b *Batch) stage(ctx context.Context, c event, a access.Action, op func(blob.Batch, hufu.Path) int) {
	at, err := b.v.at(ctx, c.path, a)
	if err != nil {
		b.Refuse(err)
		return
	}
	b.add(at, c, op)
}

// part returns the changes in the tree of a spot.
func (b *Batch) part(at spot) *part {
	staged := b.batches[at.store]
	if staged == nil {
		staged = &part{Batch: at.store.Batch(b.v.guard(at))}
		b.batches[at.store] = staged
	}
	return staged
}

func (b *Batch) add(at spot, c event, op func(blob.Batch, hufu.Path) int) {
	staged := b.part(at)
	staged.waiting = true
	b.reserved = nil // op uses it
	b.slots = append(b.slots, slot{event: c, store: at.store, n: op(staged, at.path)})
}

// Reserve makes sure that there is memory for the n bytes that are put to p next, if the store keeps
// them in memory until Commit. If it returns false, the caller commits what is staged and calls Reserve
// again. If nothing is staged, Reserve waits until there is some; false then means that the Put will
// fail. Put or Refuse must follow.
func (b *Batch) Reserve(ctx context.Context, p hufu.Path, n int64) bool {
	if n == 0 {
		return true
	}
	at, err := b.v.at(ctx, p, access.Create)
	if err != nil || at.store == nil {
		return true // Put finds out
	}
	staged, ok := b.part(at).Batch.(blob.Reserver)
	if !ok {
		return true
	}
	if !staged.Reserve(ctx, b.v.sub.User, n, b.Len() == 0) {
		return false
	}
	b.reserved = staged
	return true
}

// Put stages a whole file. data may be reused when it returns.
func (b *Batch) Put(ctx context.Context, p hufu.Path, data []byte, m blob.Meta, cond hufu.Condition) {
	b.put(ctx, "put", p, data, m, cond)
}

func (b *Batch) put(ctx context.Context, op string, p hufu.Path, data []byte, m blob.Meta, cond hufu.Condition) {
	m.By = b.v.sub.User
	b.bytes += int64(len(data))
	b.stage(ctx, event{op: op, path: p, size: int64(len(data))}, access.Create, func(staged blob.Batch, q hufu.Path) int { return staged.Put(ctx, q, data, m, cond) })
}

// Mkdir creates a folder; an existing one is no error.
func (b *Batch) Mkdir(ctx context.Context, p hufu.Path, mode uint32, parents bool) {
	if access.May(b.v.sub, access.Create, p, "") != nil {
		if e, err := b.v.Stat(ctx, p); err == nil && e.Kind == hufu.Folder {
			b.slots = append(b.slots, slot{}) // cannot be created, and exists
			return
		}
	}
	b.stage(ctx, event{op: "mkdir", path: p}, access.Create, func(staged blob.Batch, q hufu.Path) int {
		return staged.Mkdir(ctx, q, blob.Meta{Mode: mode, By: b.v.sub.User}, parents)
	})
}

// Link creates a symbolic link, which is data and never followed here.
func (b *Batch) Link(ctx context.Context, p hufu.Path, target string, m blob.Meta, cond hufu.Condition) {
	m.By = b.v.sub.User
	b.stage(ctx, event{op: "link", path: p}, access.Link, func(staged blob.Batch, q hufu.Path) int { return staged.Symlink(ctx, q, target, m, cond) })
}

// SetMeta sets mode and time.
func (b *Batch) SetMeta(ctx context.Context, p hufu.Path, m blob.Meta, version string) {
	m.By = b.v.sub.User
	b.stage(ctx, event{op: "setmeta", path: p}, access.Change, func(staged blob.Batch, q hufu.Path) int { return staged.SetMeta(ctx, q, m, version) })
}

// Remove removes a name. In a shared folder everything below must be the user's
// own.
func (b *Batch) Remove(ctx context.Context, p hufu.Path, recursive bool, version string) {
	b.stage(ctx, event{op: "remove", path: p}, access.Change, func(staged blob.Batch, q hufu.Path) int { return staged.Remove(ctx, q, recursive, version) })
}

// Rename moves a name within one place. Between places a client copies and
// removes. In a shared folder everything below must be the user's own: a user
// cannot move what others have uploaded.
func (b *Batch) Rename(ctx context.Context, from, to hufu.Path, cond hufu.Condition, version string) {
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
	b.add(src, event{op: "rename", path: from, to: to}, func(staged blob.Batch, q hufu.Path) int { return staged.Rename(ctx, q, dst.path, cond, version) })
}

// Discard drops everything that is staged.
func (b *Batch) Discard() {
	for _, staged := range b.batches {
		staged.Discard()
	}
	clear(b.slots)
	b.slots, b.bytes = b.slots[:0], 0
	clear(b.batches)
}

// Release frees the room that the batch keeps for more changes. Nothing may be staged.
func (b *Batch) Release() {
	b.Discard()
	b.slots = nil
}

// Commit makes everything durable and returns the result of each change, in
// order. The batch is then empty and may be used again.
func (b *Batch) Commit(ctx context.Context) []blob.Result {
	done := make(map[blob.Tree][]blob.Result, len(b.batches))
	for st, staged := range b.batches {
		if staged.waiting {
			done[st] = staged.Finish(ctx)
			staged.waiting = false
		}
	}
	results := make([]blob.Result, len(b.slots))
	for i, s := range b.slots {
		switch {
		case s.err != nil:
			results[i].Err = s.err
		case s.store != nil:
			results[i] = done[s.store][s.n]
			b.v.logChange(ctx, s.event, results[i])
		}
	}
	clear(b.slots)
	b.slots, b.bytes = b.slots[:0], 0
	return results
}

// OpenUpload begins an upload to p, or resumes one that the same user began on the same device.
func (v *View) OpenUpload(ctx context.Context, p hufu.Path, size int64, source string) (blob.Upload, error) {
	at, err := v.at(ctx, p, access.Create)
	if err != nil {
		return nil, err
	}
	if at.byOwner { // refused before the bytes are sent; CommitUpload decides
		if e, err := at.store.Stat(ctx, at.path); err == nil && e.Kind == hufu.File {
			if err := access.May(v.sub, access.Change, p, e.By); err != nil {
				return nil, err
			}
		}
	}
	if err := v.parents(ctx, at); err != nil {
		return nil, err
	}
	return at.store.OpenUpload(ctx, blob.UploadKey{Path: at.path, Size: size, Source: source, Owner: v.uploadOwner()}, v.guard(at))
}

// parents creates the missing folders above a name, for this user.
func (v *View) parents(ctx context.Context, at spot) error {
	up := at.path.Parent()
	if _, err := at.store.Stat(ctx, up); hufu.KindOf(err) != hufu.KindNotFound {
		return nil // other errors are reported when the folder is used
	}
	b := at.store.Batch(v.guard(at))
	var err error
	for range 3 { // the folder may be removed meanwhile
		b.Mkdir(ctx, up, blob.Meta{Mode: 0o755, By: v.sub.User}, true)
		if err = b.Finish(ctx)[0].Err; hufu.KindOf(err) != hufu.KindNotFound {
			break
		}
	}
	return err
}

func (v *View) uploadOwner() string { return v.sub.User + "/" + v.sub.Device }

// FindUpload returns an upload of this user and device by its id, from the
// places where they may have one. The caller closes it.
func (v *View) FindUpload(ctx context.Context, id string) (blob.Upload, error) {
	names, err := v.s.stores.SharedNames(ctx)
	if err != nil {
		return nil, err
	}
	places := []hufu.Path{{}} // the user's own first
	for _, n := range names {
		places = append(places, sharedPlace(n))
	}
	var failed error
	for _, p := range places {
		at, err := v.at(ctx, p, access.Read)
		if err != nil && p.IsRoot() {
			return nil, err
		}
		var u blob.Upload
		if err == nil {
			u, err = at.store.FindUpload(ctx, id, v.guard(at))
		}
		if err == nil {
			return v.ours(u)
		}
		if hufu.KindOf(err) != hufu.KindNotFound && failed == nil {
			failed = err
		}
	}
	if failed != nil {
		return nil, failed
	}
	return nil, unknownUpload()
}

func (v *View) ours(u blob.Upload) (blob.Upload, error) {
	if u.Info().Key.Owner != v.uploadOwner() {
		_ = u.Close()
		return nil, unknownUpload()
	}
	return u, nil
}

func unknownUpload() error {
	return &hufu.Error{Op: "find upload", Kind: hufu.KindNotFound, Code: "upload_unknown"}
}

// CommitUpload gives a complete upload its name p, or reports that this was
// done earlier.
func (v *View) CommitUpload(ctx context.Context, id string, p hufu.Path, want hufu.Digest, m blob.Meta, cond hufu.Condition) (hufu.Entry, error) {
	at, err := v.at(ctx, p, access.Create)
	if err != nil {
		return hufu.Entry{}, err
	}
	u, err := at.store.FindUpload(ctx, id, v.guard(at))
	if hufu.KindOf(err) == hufu.KindNotFound {
		if e, ok := at.store.Committed(ctx, id, at.path); ok && e.By == v.sub.User && e.Digest == want {
			return e, nil
		}
	}
	if err != nil {
		return hufu.Entry{}, err
	}
	defer func() { _ = u.Close() }()
	if k := u.Info().Key; k.Path != at.path || k.Owner != v.uploadOwner() {
		return hufu.Entry{}, unknownUpload()
	}
	m.By, m.Upload, m.Digest = v.sub.User, id, want
	e, err := blob.CommitUpload(ctx, u, want, m, cond)
	if err == nil {
		v.s.puts.Add(1)
		v.logLine(ctx, event{op: "put", path: p, size: e.Size}, slog.String("digest", e.Digest.String()))
	}
	return e, err
}

// Abandon drops an unfinished upload.
func (v *View) Abandon(ctx context.Context, id string) error {
	u, err := v.FindUpload(ctx, id)
	if err != nil {
		return err
	}
	return u.Abort()
}

// Refuse adds a change that has failed already; Commit returns err as its result.
func (b *Batch) Refuse(err error) {
	if b.reserved != nil {
		b.reserved.Unreserve()
		b.reserved = nil
	}
	b.slots = append(b.slots, slot{err: err})
}
