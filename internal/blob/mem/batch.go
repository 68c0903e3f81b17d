package mem

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"hufu"
	"hufu/internal/blob"
)

// batch is a blob.Batch.
type batch struct {
	t     *Tree
	g     blob.Guard
	slots []slot
	res   []blob.Result
}

// slot is one change: still to be done, or its result.
type slot struct {
	op   string
	path hufu.Path
	do   func(ctx context.Context) (blob.Result, error) // nil: it is done
	new  *node                                          // a file or link that has no name yet
	res  blob.Result
}

// Batch returns an empty batch.
func (t *Tree) Batch(g blob.Guard) blob.Batch { return &batch{t: t, g: g} }

// add takes the next slot for a change that Finish makes, unless it is refused
// already.
func (b *batch) add(sl slot, err error) int {
	if err != nil {
		sl.do, sl.res.Err = nil, err
	}
	b.slots = append(b.slots, sl)
	return len(b.slots) - 1
}

func (b *batch) Put(ctx context.Context, p hufu.Path, data []byte, m blob.Meta, c hufu.Condition) int {
	return b.stage(ctx, "put", p, m, c, func() *node {
		n := b.t.newNode(hufu.File, m)
		n.digest, n.upload, n.bytes = m.Digest, m.Upload, newContent(data)
		return n
	})
}

func (b *batch) Symlink(ctx context.Context, p hufu.Path, target string, m blob.Meta, c hufu.Condition) int {
	return b.stage(ctx, "make link", p, m, c, func() *node {
		n := b.t.newNode(hufu.Link, blob.Meta{Mode: 0o777, MTime: m.MTime})
		n.target = target
		return n
	})
}

func (b *batch) stage(ctx context.Context, op string, p hufu.Path, m blob.Meta, c hufu.Condition, newNode func() *node) int {
	if err := cmp.Or(blob.Canceled(ctx, op, p), blob.CheckTarget(op, p)); err != nil {
		return b.add(slot{op: op, path: p}, err)
	}
	b.t.mu.Lock()
	defer b.t.mu.Unlock()
	if _, err := b.t.makeFolders(ctx, op, p.Parent(), m.By, &b.g); err != nil {
		return b.add(slot{op: op, path: p}, err)
	}
	n := newNode()
	cost := n.cost()
	if n.bytes != nil {
		cost += n.bytes.cost()
	}
	if err := b.t.take(op, p, cost); err != nil {
		return b.add(slot{op: op, path: p}, err)
	}
	return b.add(slot{op: op, path: p, new: n, do: func(ctx context.Context) (blob.Result, error) {
		created, err := b.t.place(ctx, op, p, n, c, &b.g)
		if err != nil || n.kind == hufu.Link {
			return blob.Result{Created: created}, err
		}
		return blob.Result{Created: created, Version: n.version}, nil
	}}, nil)
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
	b.t.mu.Lock()
	defer b.t.mu.Unlock()
	var dir *node
	if parents {
		dir, err = b.t.makeFolders(ctx, op, p.Parent(), m.By, &b.g)
	} else {
		dir, err = b.t.folder(op, p, p.Parent())
	}
	if err != nil {
		return false, err
	}
	switch n := dir.names[p.Base()]; {
	case n == nil:
		_, err = b.t.newFolder(ctx, op, dir, p, m, &b.g)
		return err == nil, err
	case n.kind != hufu.Folder:
		return false, blob.Fail(op, p, hufu.KindExists, "target_exists")
	}
	return false, nil
}

func (b *batch) SetMeta(ctx context.Context, p hufu.Path, m blob.Meta, version string) int {
	return b.add(slot{op: "set meta", path: p, do: func(ctx context.Context) (blob.Result, error) {
		return b.t.setMeta(ctx, p, m, version, &b.g)
	}}, cmp.Or(blob.Canceled(ctx, "set meta", p), blob.CheckPath("set meta", p)))
}

func (b *batch) Remove(ctx context.Context, p hufu.Path, recursive bool, version string) int {
	return b.add(slot{op: "remove", path: p, do: func(ctx context.Context) (blob.Result, error) {
		return blob.Result{}, b.t.remove(ctx, p, recursive, version, &b.g)
	}}, cmp.Or(blob.Canceled(ctx, "remove", p), blob.CheckTarget("remove", p)))
}

func (b *batch) Rename(ctx context.Context, from, to hufu.Path, c hufu.Condition, version string) int {
	err := cmp.Or(blob.Canceled(ctx, "rename", from), blob.CheckTarget("rename", from), blob.CheckTarget("rename", to))
	if err == nil && to != from && to.Below(from) {
		err = blob.Fail("rename", to, hufu.KindInvalid, "rename_into_itself")
	}
	return b.add(slot{op: "rename", path: from, do: func(ctx context.Context) (blob.Result, error) {
		return b.t.rename(ctx, from, to, c, version, &b.g)
	}}, err)
}

func (b *batch) Prepare(context.Context) {}

func (b *batch) Finish(ctx context.Context) []blob.Result {
	b.t.mu.Lock()
	defer b.t.mu.Unlock()
	for _, named := range []bool{true, false} { // files and links come first
		for i := range b.slots {
			if sl := &b.slots[i]; sl.do != nil && named == (sl.new != nil) {
				b.make(ctx, sl)
			}
		}
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

// make makes the change of a slot.
func (b *batch) make(ctx context.Context, sl *slot) {
	res, err := blob.Result{}, blob.Canceled(ctx, sl.op, sl.path)
	if err == nil {
		res, err = sl.do(ctx)
	}
	if sl.res = res; err != nil {
		sl.res = blob.Result{Err: err}
	} else {
		sl.new = nil
	}
	sl.do = nil
}

func (b *batch) Discard() {
	b.t.mu.Lock()
	defer b.t.mu.Unlock()
	b.reset()
}

// reset drops the entries that have no name.
func (b *batch) reset() {
	for _, sl := range b.slots {
		if sl.new != nil {
			b.t.drop(sl.new)
		}
	}
	clear(b.slots)
	b.slots = b.slots[:0]
}

// owners are those of one change.
type owners struct{ entry, folder string }

func (o owners) Owner() string       { return o.entry }
func (o owners) FolderOwner() string { return o.folder }

// ask asks g about the name p in the folder dir; old is the existing entry or
// nil.
func ask(ctx context.Context, g *blob.Guard, p hufu.Path, dir, old *node, becomes hufu.EntryKind) error {
	c, o := blob.Change{Path: p, New: becomes}, owners{}
	if dir != nil {
		o.folder = dir.by
	}
	if old != nil {
		c.Old, o.entry = old.kind, old.by
		if old.kind == hufu.Link {
			o.entry = o.folder
		}
	}
	c.Owners = o
	return g.Ask(ctx, c)
}

// expected returns an error unless n is the version that a change is meant for.
func expected(op string, p hufu.Path, n *node, version string) error {
	switch {
	case version == "" || n.version == version:
		return nil
	case n.kind == hufu.Folder:
		return blob.Fail(op, p, hufu.KindWrongKind, "folder_in_the_way")
	}
	return blob.Fail(op, p, hufu.KindChanged, "target_changed")
}

// makeFolders returns the folder p. It creates the folder and those above it if
// they are missing.
func (t *Tree) makeFolders(ctx context.Context, op string, p hufu.Path, by string, g *blob.Guard) (*node, error) {
	dir, err := t.folder(op, p, p)
	if hufu.KindOf(err) != hufu.KindNotFound {
		return dir, err
	}
	if dir, err = t.makeFolders(ctx, op, p.Parent(), by, g); err != nil {
		return nil, err
	}
	return t.newFolder(ctx, op, dir, p, blob.Meta{Mode: 0o755, By: by}, g)
}

// newFolder creates the folder p in dir, where its name is free.
func (t *Tree) newFolder(ctx context.Context, op string, dir *node, p hufu.Path, m blob.Meta, g *blob.Guard) (*node, error) {
	if err := ask(ctx, g, p, dir, nil, hufu.Folder); err != nil {
		return nil, err
	}
	n := t.newNode(hufu.Folder, blob.Meta{Mode: m.Mode, By: m.By})
	if err := t.take(op, p, n.cost()); err != nil {
		return nil, err
	}
	dir.names[p.Base()], dir.mtime = n, t.o.Now()
	return n, nil
}

// place gives n the name p if c and g allow it, and reports whether the name was
// free.
func (t *Tree) place(ctx context.Context, op string, p hufu.Path, n *node, c hufu.Condition, g *blob.Guard) (created bool, err error) {
	dir, err := t.folder(op, p, p.Parent())
	if err != nil {
		return false, err
	}
	old := dir.names[p.Base()]
	switch { // these say more than a refusal
	case old != nil && old.kind == hufu.Folder:
		return false, blob.Fail(op, p, hufu.KindWrongKind, "folder_in_the_way")
	case old != nil && c.Kind == hufu.IfAbsent:
		return false, blob.Fail(op, p, hufu.KindExists, "target_exists")
	}
	if err := ask(ctx, g, p, dir, old, n.kind); err != nil {
		return false, err
	}
	switch {
	case c.Kind == hufu.IfVersion && (old == nil || old.version != c.Version):
		return false, blob.Fail(op, p, hufu.KindChanged, "target_changed")
	case c.Kind != hufu.IfAbsent && c.Kind != hufu.IfVersion && c.Kind != hufu.Always:
		return false, blob.Fail(op, p, hufu.KindInvalid, "condition_form")
	case old != nil && n.kind == hufu.Folder:
		return false, blob.Fail(op, p, hufu.KindWrongKind, "not_a_folder")
	}
	if old != nil {
		t.drop(old)
	}
	if n.kind != hufu.Folder {
		t.newVersion(n)
	}
	dir.names[p.Base()], dir.mtime = n, t.o.Now()
	return old == nil, nil
}

func (t *Tree) setMeta(ctx context.Context, p hufu.Path, m blob.Meta, version string, g *blob.Guard) (res blob.Result, err error) {
	dir, n, err := t.find("set meta", p)
	if err == nil {
		err = expected("set meta", p, n, version)
	}
	if err == nil {
		err = ask(ctx, g, p, dir, n, n.kind)
	}
	if err != nil {
		return res, err
	}
	n.setTime(m.MTime)
	if n.kind != hufu.Folder {
		t.newVersion(n)
	}
	if n.kind != hufu.Link { // it has no mode of its own
		n.mode, res.Version = m.Mode&0o777, n.version
	}
	return res, nil
}

func (t *Tree) rename(ctx context.Context, from, to hufu.Path, c hufu.Condition, version string, g *blob.Guard) (res blob.Result, err error) {
	dir, n, err := t.find("rename", from)
	if err != nil {
		return res, err
	}
	if _, err = t.folder("rename", to, to.Parent()); err == nil {
		err = expected("rename", from, n, version)
	}
	if err == nil {
		err = ask(ctx, g, from, dir, n, 0)
	}
	if err == nil && g.Deep {
		err = t.look(ctx, from, n, g, 0)
	}
	switch {
	case err != nil:
	case from != to:
		if res.Created, err = t.place(ctx, "rename", to, n, c, g); err == nil {
			delete(dir.names, from.Base())
			dir.mtime = t.o.Now()
		}
	case n.kind == hufu.Folder:
		err = blob.Fail("rename", to, hufu.KindWrongKind, "folder_in_the_way")
	case c.Kind == hufu.IfAbsent:
		err = blob.Fail("rename", to, hufu.KindExists, "target_exists")
	case c.Kind == hufu.IfVersion && c.Version != n.version:
		err = blob.Fail("rename", to, hufu.KindChanged, "target_changed")
	}
	res.Version = n.version
	return res, err
}

func (t *Tree) remove(ctx context.Context, p hufu.Path, recursive bool, version string, g *blob.Guard) error {
	dir, n, err := t.find("remove", p)
	if err == nil {
		err = expected("remove", p, n, version)
	}
	if err == nil {
		err = ask(ctx, g, p, dir, n, 0)
	}
	if err == nil && recursive && g.Deep {
		err = t.look(ctx, p, n, g, 0)
	}
	switch {
	case err != nil:
		return err
	case n.kind != hufu.Folder:
	case recursive:
		return t.removeAll(ctx, dir, p, p.Base(), n, g, 0)
	case len(n.names) > 0 || t.uploading(n):
		return blob.Fail("remove", p, hufu.KindNotEmpty, "")
	}
	t.unlink(dir, p.Base())
	return nil
}

// removeAll removes the folder n and everything in it.
func (t *Tree) removeAll(ctx context.Context, dir *node, p hufu.Path, name string, n *node, g *blob.Guard, depth int) error {
	err := t.each(ctx, p, n, depth, func(q hufu.Path, name string, sub *node) error {
		if err := ask(ctx, g, q, n, sub, 0); err != nil {
			return err
		}
		if sub.kind == hufu.Folder {
			return t.removeAll(ctx, n, q, name, sub, g, depth+1)
		}
		t.unlink(n, name)
		return nil
	})
	if err == nil {
		err = cmp.Or(blob.Canceled(ctx, "remove", p), ask(ctx, g, p, dir, n, 0))
	}
	if err == nil {
		t.unlink(dir, name)
	}
	return err
}

// unlink removes a name.
func (t *Tree) unlink(dir *node, name string) {
	t.drop(dir.names[name])
	delete(dir.names, name)
	dir.mtime = t.o.Now()
}

// look asks g about everything in the folder n.
func (t *Tree) look(ctx context.Context, p hufu.Path, n *node, g *blob.Guard, depth int) error {
	return t.each(ctx, p, n, depth, func(q hufu.Path, _ string, sub *node) error {
		if err := ask(ctx, g, q, n, sub, 0); err != nil {
			return err
		}
		return t.look(ctx, q, sub, g, depth+1)
	})
}

// each calls do for the entries of the folder n, in order. An entry too deep for a path has the
// path of the nearest folder that is not.
func (t *Tree) each(ctx context.Context, p hufu.Path, n *node, depth int, do func(q hufu.Path, name string, sub *node) error) error {
	if depth > 2*hufu.MaxDepth {
		return blob.Fail("look", p, hufu.KindUnsupported, "folders_too_deep")
	}
	for _, name := range slices.Sorted(maps.Keys(n.names)) {
		q, err := p.Join(name)
		if err != nil {
			q = p
		}
		if err := cmp.Or(blob.Canceled(ctx, "look", p), do(q, name, n.names[name])); err != nil {
			return err
		}
	}
	return nil
}
