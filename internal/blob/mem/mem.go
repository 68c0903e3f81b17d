// Package mem keeps a tree of files in memory: for tests, and for the teaching
// world. Nothing in it survives the process; all other promises of package blob
// hold.
//
// One lock guards a tree. It is held while a guard is asked, but not while the bytes of a file
// are copied out or yield is called.
package mem

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"maps"
	"math"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/digest"
)

// Options are the settings of a tree. The zero Options are usable.
type Options struct {
	Room *Room            // for files, names and unfinished uploads; nil is no bound
	Unit int64            // of uploads, a power of two; 0 is hufu.ChunkSize
	Now  func() time.Time // nil is time.Now
}

// Room bounds the memory of the trees that share it.
type Room struct {
	limit int64
	used  atomic.Int64
}

// NewRoom returns a Room of so many bytes.
func NewRoom(bytes int64) *Room { return &Room{limit: bytes} }

// take takes n more bytes and reports whether they were available.
func (r *Room) take(n int64) bool {
	if r.used.Add(n) > r.limit {
		r.used.Add(-n)
		return false
	}
	return true
}

func (r *Room) give(n int64) { r.used.Add(-n) }

// The memory that counts against a Room besides the bytes of files.
const (
	nameCost  = 1 << 10 // a name and the data of its entry
	chunkCost = 128     // a chunk of a file, or its place in the table of an upload
)

// Tree is a tree of files in memory. It is a blob.Tree.
type Tree struct {
	o      Options
	prefix string // of versions, so that no other tree has the same ones

	mu       sync.Mutex // guards what follows, and everything that it leads to
	versions uint64
	root     *node
	uploads  map[string]*upload // the unfinished ones
}

var _ blob.Tree = (*Tree)(nil)

// New returns an empty tree.
func New(o Options) *Tree {
	if o.Room == nil {
		o.Room = NewRoom(math.MaxInt64)
	}
	if o.Unit == 0 {
		o.Unit = hufu.ChunkSize
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	t := &Tree{o: o, prefix: newID() + ".", uploads: map[string]*upload{}}
	t.root = t.newNode(hufu.Folder, blob.Meta{Mode: 0o755})
	return t
}

func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// node is one entry.
type node struct {
	kind    hufu.EntryKind
	names   map[string]*node // in a folder
	bytes   *content         // of a file
	target  string           // of a link
	mode    uint32
	mtime   time.Time
	digest  hufu.Digest
	by      string
	upload  string
	version string // "" of a folder, and of a file that has no name
}

func (t *Tree) newNode(kind hufu.EntryKind, m blob.Meta) *node {
	n := &node{kind: kind, mode: m.Mode & 0o777, mtime: t.o.Now(), by: m.By}
	n.setTime(m.MTime)
	if kind == hufu.Folder {
		n.names = map[string]*node{}
	}
	return n
}

func (n *node) setTime(at time.Time) {
	if !at.IsZero() {
		n.mtime = time.Unix(at.Unix(), int64(at.Nanosecond()))
	}
}

func (n *node) entry(name string) hufu.Entry {
	e := hufu.Entry{
		Name: name, Kind: n.kind, MTime: n.mtime, Mode: n.mode, Digest: n.digest,
		Target: n.target, By: n.by, Upload: n.upload, Version: n.version,
	}
	if n.bytes != nil {
		e.Size = n.bytes.size
	}
	return e
}

// cost returns the memory of a node besides its bytes.
func (n *node) cost() int64 { return nameCost + int64(len(n.target)) }

// newVersion gives the file or link n a version that no entry had before.
func (t *Tree) newVersion(n *node) {
	t.versions++
	n.version = t.prefix + strconv.FormatUint(t.versions, 36)
}

// take takes n more bytes, or returns an error.
func (t *Tree) take(op string, p hufu.Path, n int64) error {
	if !t.o.Room.take(n) {
		return blob.Fail(op, p, hufu.KindQuota, "disk_full")
	}
	return nil
}

// drop returns the memory of a node without a name.
func (t *Tree) drop(n *node) {
	n.version = ""
	t.o.Room.give(n.cost())
	if n.bytes != nil {
		t.release(n.bytes)
	}
	if n.kind == hufu.Folder {
		for _, u := range t.uploads {
			if u.into == n {
				t.discard(u)
			}
		}
	}
}

// folder returns the folder at.
func (t *Tree) folder(op string, p, at hufu.Path) (*node, error) {
	n := t.root
	for _, name := range at.Segments() {
		n = n.names[name]
		switch {
		case n == nil:
			return nil, blob.Fail(op, p, hufu.KindNotFound, "")
		case n.kind == hufu.Link:
			return nil, blob.Fail(op, p, hufu.KindWrongKind, "link_in_path")
		case n.kind != hufu.Folder:
			return nil, blob.Fail(op, p, hufu.KindWrongKind, "not_a_folder")
		}
	}
	return n, nil
}

// find returns the entry at p and the folder that holds it, nil for the root.
func (t *Tree) find(op string, p hufu.Path) (dir, n *node, err error) {
	if p.IsRoot() {
		return nil, t.root, nil
	}
	if dir, err = t.folder(op, p, p.Parent()); err != nil {
		return nil, nil, err
	}
	if n = dir.names[p.Base()]; n == nil {
		return nil, nil, blob.Fail(op, p, hufu.KindNotFound, "")
	}
	return dir, n, nil
}

// Stat describes the entry at p.
func (t *Tree) Stat(ctx context.Context, p hufu.Path) (hufu.Entry, error) {
	if err := cmp.Or(blob.Canceled(ctx, "stat", p), blob.CheckPath("stat", p)); err != nil {
		return hufu.Entry{}, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	_, n, err := t.find("stat", p)
	if err != nil {
		return hufu.Entry{}, err
	}
	return n.entry(p.Base()), nil
}

// List calls yield for the entries of the folder p that r asks for.
func (t *Tree) List(ctx context.Context, p hufu.Path, r blob.Page, yield func(hufu.Entry) error) (next string, err error) {
	if err := cmp.Or(blob.Canceled(ctx, "list", p), blob.CheckPath("list", p)); err != nil {
		return "", err
	}
	all, next, err := t.page(p, r)
	if err != nil {
		return "", err
	}
	for _, e := range all {
		if err := blob.Canceled(ctx, "list", p); err != nil {
			return "", err
		}
		if err := yield(e); err != nil {
			return "", err
		}
	}
	return next, nil
}

// Lister returns a new Lister of the folder p. It remembers nothing.
func (t *Tree) Lister(p hufu.Path) blob.Lister { return lister{t, p} }

type lister struct {
	t *Tree
	p hufu.Path
}

func (l lister) List(ctx context.Context, r blob.Page, yield func(hufu.Entry) error) (next string, err error) {
	return l.t.List(ctx, l.p, r, yield)
}

func (lister) Close() {}

// page returns the entries that r asks for, as they are now, in order.
func (t *Tree) page(p hufu.Path, r blob.Page) (all []hufu.Entry, next string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	dir, err := t.folder("list", p, p)
	if err != nil {
		return nil, "", err
	}
	bytes := 0
	for _, name := range slices.Sorted(maps.Keys(dir.names)) {
		if name <= r.After {
			continue
		}
		e := dir.names[name].entry(name)
		bytes += len(name) + len(e.Target)
		if n := len(all); r.Limit > 0 && (n == r.Limit || bytes > blob.PageBytes && n > 0) {
			return all, all[n-1].Name, nil
		}
		if r.Brief && e.Kind != hufu.Folder {
			e.Digest, e.By = hufu.Digest{}, ""
			if !r.Modes {
				e.Mode = 0
			}
		}
		all = append(all, e)
	}
	return all, "", nil
}

// Digest reads the whole file p and describes it with its digest.
func (t *Tree) Digest(ctx context.Context, p hufu.Path) (hufu.Entry, error) {
	f, err := t.open(ctx, "digest", p)
	if err != nil {
		return hufu.Entry{}, err
	}
	defer func() { _ = f.Close() }()
	e := f.entry
	d, err := f.digest(ctx)
	if err != nil {
		return hufu.Entry{}, err
	}
	if !e.Digest.IsZero() && e.Digest != d {
		return e, &hufu.Error{
			Op: "digest", Path: p.String(), Kind: hufu.KindIntegrity, Code: "stored_digest_differs",
			Args: map[string]string{"stored": e.Digest.String(), "computed": d.String()},
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if f.n.version != e.Version {
		return hufu.Entry{}, blob.Fail("digest", p, hufu.KindChanged, "file_changed")
	}
	e.Digest, f.n.digest = d, d
	return e, nil
}

func (f *file) digest(ctx context.Context) (hufu.Digest, error) {
	buf := make([]byte, hufu.ChunkSize)
	if f.Size() <= hufu.ChunkSize {
		data, err := f.Whole(ctx, buf)
		return digest.Sum(data), err
	}
	var whole digest.Tree
	for i := range digest.Chunks(f.Size()) {
		_, _, cv, err := f.ReadChunk(ctx, i, buf)
		if err != nil {
			return hufu.Digest{}, err
		}
		whole.Push(cv)
	}
	return whole.Root(), nil
}

// Space returns how much of Options.Room is free, and its limit.
func (t *Tree) Space(ctx context.Context) (free, total int64, err error) {
	if err := blob.Canceled(ctx, "space", hufu.Path{}); err != nil {
		return 0, 0, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return max(0, t.o.Room.limit-t.o.Room.used.Load()), t.o.Room.limit, nil
}

// Close does nothing.
func (t *Tree) Close() error { return nil }
