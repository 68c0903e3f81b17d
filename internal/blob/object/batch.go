package object

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/meta"
)

// The bounds of a batch: the objects that are stored at once, and the changes of one transaction.
const (
	inFlight   = 16
	maxChanges = 512
)

// batch is a blob.Batch.
type batch struct {
	t     *Tree
	g     blob.Guard
	slots []slot
	res   []blob.Result
	made  map[hufu.Path]bool // folders that were there, or were made

	reserved int64  // bytes of the room for the next Put
	owner    string // of them
}

// slot is one change: still to be done, or its result.
type slot struct {
	op      string
	path    hufu.Path
	folders []hufu.Path // that hold the names of the change
	looks   bool        // the entry at path may be a folder, which has to be locked as well
	do      func(ctx context.Context, w *work) (blob.Result, error)
	new     *staged // a file or link that has no name yet
	res     blob.Result
}

// staged is a file or link without a name.
type staged struct {
	row    meta.Entry
	data   []byte // of a file, until its object is stored
	stored bool   // its content has a row: it must be given up, or get a name
	taken  int64  // of the room, for data, by the user row.By
}

var _ blob.Reserver = (*batch)(nil)

// Batch returns an empty batch.
func (t *Tree) Batch(g blob.Guard) blob.Batch { return &batch{t: t, g: g, made: map[hufu.Path]bool{}} }

// add takes the next slot for a change that Finish makes, unless it is refused already.
func (b *batch) add(sl slot, err error) int {
	if err != nil {
		sl.do, sl.new, sl.res.Err = nil, nil, err
	}
	b.slots = append(b.slots, sl)
	return len(b.slots) - 1
}

func (b *batch) Put(ctx context.Context, p hufu.Path, data []byte, m blob.Meta, c hufu.Condition) int {
	n := &staged{row: meta.Entry{
		Name: p.Base(), Kind: hufu.File, Child: meta.NewID(), Size: int64(len(data)), Layout: meta.LayoutInline,
		Mode: m.Mode & 0o777, MTime: timeOf(m), Digest: m.Digest, By: m.By, Upload: m.Upload,
	}, data: data}
	if n.row.Size > max(0, b.t.s.o.Inline) { // an empty file has no object
		n.row.Layout = meta.LayoutSingle
	}
	return b.stage(ctx, "put", p, m, c, n)
}

func (b *batch) Symlink(ctx context.Context, p hufu.Path, target string, m blob.Meta, c hufu.Condition) int {
	return b.stage(ctx, "make link", p, m, c, &staged{row: meta.Entry{Name: p.Base(), Kind: hufu.Link, Mode: 0o777, MTime: timeOf(m), Target: target}})
}

func (b *batch) stage(ctx context.Context, op string, p hufu.Path, m blob.Meta, c hufu.Condition, n *staged) int {
	sl := slot{op: op, path: p, folders: []hufu.Path{p.Parent()}, new: n}
	sl.do = func(ctx context.Context, w *work) (blob.Result, error) {
		if n.row.Layout == meta.LayoutSingle && !n.stored {
			return blob.Result{}, blob.Fail(op, p, hufu.KindUnavailable, "store_unreachable")
		}
		row := n.row
		created, err := w.place(ctx, op, p, &row, c, n)
		if err != nil || row.Kind == hufu.Link {
			return blob.Result{Created: created}, err
		}
		return blob.Result{Created: created, Version: row.Version.String()}, nil
	}
	err := cmp.Or(blob.Canceled(ctx, op, p), blob.CheckTarget(op, p))
	if err == nil && !b.made[p.Parent()] {
		if _, err = b.t.makeFolders(ctx, op, p, p.Parent(), m.By, &b.g); err == nil {
			b.made[p.Parent()] = true
		}
	}
	if err == nil {
		err = b.keep(ctx, op, p, n)
	}
	b.Unreserve()
	return b.add(sl, err)
}

// Reserve takes memory for a file that is put next.
func (b *batch) Reserve(ctx context.Context, owner string, n int64, wait bool) bool {
	b.Unreserve()
	room := b.t.s.room
	if !room.Take(owner, n) {
		if !wait {
			return false
		}
		ctx, cancel := context.WithTimeout(ctx, b.t.s.o.Wait)
		defer cancel()
		if !room.Await(ctx, owner, n) {
			return false
		}
	}
	b.reserved, b.owner = n, owner
	return true
}

// Unreserve gives back what Reserve has taken.
func (b *batch) Unreserve() {
	b.t.s.room.Give(b.owner, b.reserved)
	b.reserved, b.owner = 0, ""
}

// keep copies the data of a staged file. The copy counts against Options.Room. If no room is
// left, keep first stores the files that were staged before.
func (b *batch) keep(ctx context.Context, op string, p hufu.Path, n *staged) error {
	size, room := int64(len(n.data)), b.t.s.room
	if size > 0 && size == b.reserved && n.row.By == b.owner {
		b.reserved = 0
	} else if !room.Take(n.row.By, size) {
		if b.Prepare(ctx); !room.Take(n.row.By, size) {
			return blob.Fail(op, p, hufu.KindUnavailable, "")
		}
	}
	n.data, n.taken = slices.Clone(n.data), size
	return nil
}

// forget drops the data of a staged file.
func (n *staged) forget(s *Trees) {
	s.room.Give(n.row.By, n.taken)
	n.data, n.taken = nil, 0
}

func (b *batch) Mkdir(ctx context.Context, p hufu.Path, m blob.Meta, parents bool) int {
	created, err := b.mkdir(ctx, p, m, parents)
	return b.add(slot{op: "make folder", path: p, res: blob.Result{Created: created}}, err)
}

func (b *batch) mkdir(ctx context.Context, p hufu.Path, m blob.Meta, parents bool) (created bool, err error) {
	const op = "make folder"
	if err := cmp.Or(blob.Canceled(ctx, op, p), blob.CheckTarget(op, p)); err != nil {
		return false, err
	}
	by := &m.By
	if !parents {
		by = nil
	}
	err = b.t.change(ctx, op, p, &b.g, func(w *work) error {
		created = false
		dir, err := w.reach(ctx, op, p, p.Parent(), by)
		if err != nil {
			return err
		}
		e, err := w.entry(ctx, op, p, dir)
		switch {
		case err != nil:
			return err
		case e.Kind == hufu.Folder:
			return nil
		case e.Kind != 0:
			return blob.Fail(op, p, hufu.KindExists, "target_exists")
		}
		_, err = w.newFolder(ctx, op, p, dir, m)
		created = err == nil
		return err
	})
	return created && err == nil, err
}

func (b *batch) SetMeta(ctx context.Context, p hufu.Path, m blob.Meta, version string) int {
	const op = "set meta"
	return b.add(slot{op: op, path: p, folders: []hufu.Path{p.Parent()}, looks: true, do: func(ctx context.Context, w *work) (blob.Result, error) {
		return w.setMeta(ctx, p, m, version)
	}}, cmp.Or(blob.Canceled(ctx, op, p), blob.CheckPath(op, p)))
}

func (b *batch) Remove(ctx context.Context, p hufu.Path, recursive bool, version string) int {
	const op = "remove"
	return b.add(slot{op: op, path: p, folders: []hufu.Path{p.Parent()}, looks: true, do: func(ctx context.Context, w *work) (blob.Result, error) {
		return blob.Result{}, w.remove(ctx, p, recursive, version)
	}}, cmp.Or(blob.Canceled(ctx, op, p), blob.CheckTarget(op, p)))
}

func (b *batch) Rename(ctx context.Context, from, to hufu.Path, c hufu.Condition, version string) int {
	const op = "rename"
	err := cmp.Or(blob.Canceled(ctx, op, from), blob.CheckTarget(op, from), blob.CheckTarget(op, to))
	if err == nil && to != from && to.Below(from) {
		err = blob.Fail(op, to, hufu.KindInvalid, "rename_into_itself")
	}
	return b.add(slot{op: op, path: from, folders: []hufu.Path{from.Parent(), to.Parent()}, looks: true, do: func(ctx context.Context, w *work) (blob.Result, error) {
		return w.rename(ctx, from, to, c, version)
	}}, err)
}

// Prepare stores the objects of the staged files, several at once.
func (b *batch) Prepare(ctx context.Context) {
	var todo []*slot
	for i := range b.slots {
		if sl := &b.slots[i]; sl.do != nil && sl.new != nil && sl.new.row.Layout == meta.LayoutSingle && !sl.new.stored {
			todo = append(todo, sl)
		}
	}
	if len(todo) == 0 {
		return
	}
	// Their rows come first, so that the clean-up finds objects whose writer has died.
	err := b.t.s.names.Change(ctx, func(q meta.NameQueries) error {
		all := make([]meta.Content, 0, len(todo))
		for _, sl := range todo {
			row := sl.new.row
			all = append(all, meta.Content{ID: row.Child, Size: row.Size, Layout: row.Layout, State: meta.StateOpen})
		}
		return q.AddContent(ctx, all...) //nolint:wrapcheck // below
	})
	var wg sync.WaitGroup
	places := make(chan struct{}, inFlight)
	for _, sl := range todo {
		if err != nil {
			b.drop(sl, broken(ctx, sl.op, sl.path, err))
			continue
		}
		sl.new.stored = true
		wg.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			err := b.t.s.bucket.Put(ctx, b.t.s.key(sl.new.row.Child, single), sl.new.data)
			sl.new.forget(b.t.s)
			if err != nil {
				b.drop(sl, broken(ctx, sl.op, sl.path, err))
			}
		})
	}
	wg.Wait()
}

// drop ends a change that cannot be made.
func (b *batch) drop(sl *slot, err error) { sl.do, sl.res = nil, blob.Result{Err: err} }

func (b *batch) Finish(ctx context.Context) []blob.Result {
	b.Prepare(ctx)
	var todo []*slot
	for _, named := range []bool{true, false} { // files and links come first
		for i := range b.slots {
			if sl := &b.slots[i]; sl.do != nil && named == (sl.new != nil) {
				todo = append(todo, sl)
			}
		}
	}
	for len(todo) > 0 {
		todo = todo[b.some(ctx, todo[:min(len(todo), maxChanges)]):]
	}
	b.res = b.res[:0]
	for i := range b.slots {
		sl := &b.slots[i]
		if err := blob.Canceled(ctx, sl.op, sl.path); err != nil && sl.op == "make folder" && sl.res.Err == nil {
			sl.res = blob.Result{Err: err} // made at once, but acknowledged here
		}
		b.res = append(b.res, sl.res)
	}
	b.reset()
	return b.res
}

// some makes the first changes of todo as one transaction, and returns how many have their result.
func (b *batch) some(ctx context.Context, todo []*slot) (n int) {
	if err := blob.Canceled(ctx, todo[0].op, todo[0].path); err != nil {
		b.drop(todo[0], err)
		return 1
	}
	one := func(w *work, sl *slot) error {
		res, err := sl.do(ctx, w)
		if sl.res = res; err != nil {
			sl.res = blob.Result{Err: err}
		}
		if errors.Is(err, errUnlocked) || errors.Is(err, errAlone) || errors.Is(err, errTaken) {
			return err
		}
		return w.err
	}
	together := func(w *work) error {
		n = 0
		if err := w.prepare(ctx, todo); err != nil {
			return err
		}
		if err := w.look(ctx, todo); err != nil {
			return err
		}
		for _, sl := range todo {
			if sl.new == nil { // it may read and write entries by itself
				if err := w.flush(ctx); err != nil {
					return err
				}
				clear(w.known)
			}
			if err := blob.Canceled(ctx, sl.op, sl.path); err != nil {
				sl.res = blob.Result{Err: err}
			} else if err := one(w, sl); err != nil {
				if n > 0 && w.err == nil && !errors.Is(err, errTaken) { // the others do not depend on it
					return nil
				}
				return err
			}
			n++
		}
		return nil
	}
	err := b.t.change(ctx, todo[0].op, todo[0].path, &b.g, together)
	if errors.Is(err, errTaken) { // once more, to find out which
		err = b.t.change(ctx, todo[0].op, todo[0].path, &b.g, func(w *work) error {
			w.single = true
			return together(w)
		})
	}
	if errors.Is(err, errAlone) {
		n = 1
		err = b.t.change(ctx, todo[0].op, todo[0].path, &b.g, func(w *work) error {
			if err := w.prepareAlone(ctx, todo[0]); err != nil {
				return err
			}
			return one(w, todo[0])
		})
	}
	if err != nil {
		n = max(n, 1)
	}
	for _, sl := range todo[:n] {
		unmade := sl.res.Err == nil || errors.Is(sl.res.Err, errUnlocked) || errors.Is(sl.res.Err, errAlone)
		if err != nil && (unmade || hufu.KindOf(err) == hufu.KindCanceled) {
			sl.res = blob.Result{Err: err}
		}
		if sl.do = nil; sl.res.Err == nil && sl.new != nil {
			sl.new.forget(b.t.s)
			sl.new = nil // it has its name
		}
	}
	return n
}

func (b *batch) Discard() { b.reset() }

// reset gives up what has no name. If it has got one after all, nothing happens.
func (b *batch) reset() {
	var lost []meta.ID
	for _, sl := range b.slots {
		if sl.new == nil {
			continue
		}
		if sl.new.forget(b.t.s); sl.new.stored {
			lost = append(lost, sl.new.row.Child)
		}
	}
	b.Unreserve()
	clear(b.slots)
	b.slots = b.slots[:0]
	clear(b.made)
	b.t.s.abandon(lost...)
}
