package disk

import (
	"context"
	"errors"
	"syscall"

	"golang.org/x/sync/semaphore"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/blob/disk/sys"
)

// owners looks up the users who uploaded an entry and created its folder.
type owners struct {
	s    *Store
	d    sys.Dir // the folder that holds the name
	name string
	kind hufu.EntryKind // of the existing entry
	by   *string        // the owner, if known already
}

// Owner returns the user who uploaded the entry.
func (o *owners) Owner() string {
	switch {
	case o.by != nil:
		return *o.by
	case o.kind == hufu.Link:
		return o.FolderOwner()
	}
	return o.s.ownerOf(o.d, o.name, o.kind)
}

// FolderOwner returns the user who created the folder that holds the name.
func (o *owners) FolderOwner() string { return o.s.ownerOf(o.d, ".", hufu.Folder) }

// change returns the change of the entry at p, which is name in the folder d.
func (s *Store) change(p hufu.Path, d sys.Dir, name string, was, will hufu.EntryKind) blob.Change {
	return blob.Change{Path: p, Old: was, New: will, Owners: &owners{s: s, d: d, name: name, kind: was}}
}

func (s *Store) ownerOf(d sys.Dir, name string, kind hufu.EntryKind) string {
	sc := s.dirents.Get().(*scratch)
	defer s.dirents.Put(sc)
	n, e := sys.Node{Kind: kind}, hufu.Entry{}
	if s.describe(d, name, &n, &e, sc.record) != nil {
		return ""
	}
	return e.By
}

// With folderLocks, two changes in one folder do not overlap between check and change. Taking a free
// name needs the shared lock: the system itself decides who is first. Changing an existing entry
// needs the exclusive lock. A lock is seldom held while something is made durable: in setNamed, in
// removeUnused, and when the first record of a trail loads the uploads of the store.
type folderLocks struct {
	several folderLock // held by a goroutine that waits for a second lock while it holds a first
	of      [256]folderLock
}

// folderLock is a lock for readers and writers. A deep rename may hold it for long, so the others
// wait no longer than their context lasts.
type folderLock struct{ *semaphore.Weighted }

// alone is what the exclusive lock takes of a folderLock; the shared one takes 1.
const alone = 1 << 30

func (l *folderLocks) init() {
	l.several.Weighted = semaphore.NewWeighted(alone)
	for i := range l.of {
		l.of[i].Weighted = semaphore.NewWeighted(alone)
	}
}

// lock takes the lock alone and returns the function that releases it.
func (l folderLock) lock(ctx context.Context) (unlock func(), err error) { return l.take(ctx, alone) }

// share takes the lock together with others and returns the function that releases it.
func (l folderLock) share(ctx context.Context) (unlock func(), err error) { return l.take(ctx, 1) }

func (l folderLock) take(ctx context.Context, n int64) (release func(), err error) {
	if !l.TryAcquire(n) && l.Acquire(ctx, n) != nil {
		return nil, canceled(ctx, "wait for other changes", hufu.Path{})
	}
	return func() { l.Release(n) }, nil
}

func (l *folderLocks) index(n *sys.Node) int { return int((n.Ino ^ n.Dev<<3) % uint64(len(l.of))) }

func (l *folderLocks) forNode(n *sys.Node) folderLock { return l.of[l.index(n)] }

func (s *Store) lockOf(d sys.Dir) (folderLock, error) {
	n, err := d.Self()
	return s.locks.forNode(&n), err
}

// heldLocks are the locks of several folders. Only the goroutine that holds folderLocks.several
// waits for a folder lock while it holds another. So no order can lead to a deadlock.
type heldLocks struct {
	l     *folderLocks
	taken [256]bool
}

func (l *folderLocks) hold(ctx context.Context) (*heldLocks, error) {
	if _, err := l.several.lock(ctx); err != nil {
		return nil, err
	}
	return &heldLocks{l: l}, nil
}

func (h *heldLocks) take(ctx context.Context, d sys.Dir) error {
	n, err := d.Self()
	if err != nil {
		return err
	}
	i := h.l.index(&n)
	if h.taken[i] {
		return nil
	}
	_, err = h.l.of[i].lock(ctx)
	h.taken[i] = err == nil
	return err
}

func (h *heldLocks) release() {
	for i, taken := range h.taken {
		if taken {
			h.l.of[i].Release(alone)
		}
	}
	h.l.several.Release(alone)
}

// takeName is place with the guard asked and the folder d locked.
func (s *Store) takeName(ctx context.Context, op string, p hufu.Path, src source, d sys.Dir, lock folderLock, cond hufu.Condition, g *blob.Guard) (placed, error) {
	if src.tmp.Ok() && (cond.Kind == hufu.IfAbsent || cond.Kind == hufu.Always) {
		// The name is nearly always free, which saves the slow path.
		err := s.takeFree(ctx, p, src, d, lock, g)
		taken := errors.Is(err, syscall.EEXIST)
		if err != nil && cond.Kind == hufu.Always { // the guard may refuse a new entry and allow a replaced one
			_, absent := d.Stat(p.Base())
			taken = taken || absent == nil
		}
		switch {
		case !taken:
			return placed{created: err == nil}, fail(op, p, writing, err)
		case cond.Kind == hufu.IfAbsent:
			return placed{}, s.occupied(op, p, d)
		}
	}
	unlock, err := lock.lock(ctx)
	if err != nil {
		return placed{}, err
	}
	defer unlock()
	return s.placeLocked(ctx, op, p, src, d, cond, g)
}

func (s *Store) takeFree(ctx context.Context, p hufu.Path, src source, d sys.Dir, lock folderLock, g *blob.Guard) error {
	unlock, err := lock.share(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if err := g.Ask(ctx, s.change(p, d, p.Base(), 0, src.kind)); err != nil {
		return err
	}
	return s.placeNew(src, d, p.Base())
}

// placeLocked is takeName for a caller that holds the lock of d.
func (s *Store) placeLocked(ctx context.Context, op string, p hufu.Path, src source, d sys.Dir, cond hufu.Condition, g *blob.Guard) (placed, error) {
	var was hufu.EntryKind
	n, err := d.Stat(p.Base())
	switch {
	case err == nil:
		was = n.Kind
	case !errors.Is(err, syscall.ENOENT):
		return placed{}, fail(op, p, writing, err)
	}
	switch { // these say more than a refusal
	case was == hufu.Folder:
		return placed{}, folderInTheWay(op, p)
	case was != 0 && cond.Kind == hufu.IfAbsent:
		return placed{}, s.occupied(op, p, d)
	}
	if err := g.Ask(ctx, s.change(p, d, p.Base(), was, src.kind)); err != nil {
		return placed{}, err
	}
	if src.kind == hufu.Folder && was != 0 && (cond.Kind == hufu.IfVersion || cond.Kind == hufu.Always) { // an exchange would replace the file
		if v, ok := sys.ParseVersion(cond.Version); cond.Kind == hufu.IfVersion && (!ok || !s.ownWrites.same(v, n.Version)) {
			return placed{}, changed(op, p, "target_changed")
		}
		return placed{}, fail(op, p, writing, syscall.ENOTDIR)
	}
	return s.place(op, p, src, d, cond, was)
}

// askBelow asks g about everything in the folder name. With h it locks each folder
// that it enters and keeps the locks, so nothing can change after the check.
func (s *Store) askBelow(ctx context.Context, d sys.Dir, p hufu.Path, name string, g *blob.Guard, h *heldLocks, depth int) error {
	if err := canceled(ctx, "look", p); err != nil {
		return err
	}
	if depth > 2*hufu.MaxDepth {
		return tooDeep(p)
	}
	sub, err := d.OpenSub(name)
	if err != nil {
		return err
	}
	defer sub.Close()
	if h != nil {
		if err := h.take(ctx, sub); err != nil {
			return err
		}
	}
	for after, more := "", true; more; {
		folders := smallestNames{room: max(leastNames>>depth, 1<<16)}
		if err := s.askInside(ctx, sub, p, g, after, &folders); err != nil {
			return err
		}
		more, after = folders.bounded, folders.last
		for l := folders.sorted(); l.len() > 0; l.drop() {
			name := l.first()
			if err := s.askBelow(ctx, sub, under(p, name), name, g, h, depth+1); err != nil && !errors.Is(err, syscall.ENOENT) {
				return err
			}
		}
	}
	return nil
}

// askInside asks g about every name in the folder d that is greater than after, and adds those of
// folders to folders.
func (s *Store) askInside(ctx context.Context, d sys.Dir, p hufu.Path, g *blob.Guard, after string, folders *smallestNames) error {
	again, err := s.k.OpenDir(d, "", sys.ReadFlags)
	if err != nil {
		return err
	}
	defer again.Close()
	return s.eachName(again, func(name string) error {
		if err := canceled(ctx, "look", p); err != nil || name <= after {
			return err
		}
		n, err := d.Stat(name)
		if err == nil && !reserved(name) {
			err = g.Ask(ctx, s.change(under(p, name), d, name, n.Kind, 0))
		}
		if err == nil && n.Kind == hufu.Folder {
			folders.add(name)
		}
		if errors.Is(err, syscall.ENOENT) {
			return nil
		}
		return err
	})
}

func tooDeep(p hufu.Path) error {
	return &hufu.Error{Op: "look", Path: p.String(), Kind: hufu.KindUnsupported, Code: "folders_too_deep"}
}

// under returns the path of name in the folder p, or p itself if that is too
// deep.
func under(p hufu.Path, name string) hufu.Path {
	if q, err := p.Join(name); err == nil {
		return q
	}
	return p
}
