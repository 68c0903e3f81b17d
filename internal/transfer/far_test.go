package transfer

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/blob/disk"
	"hufu/internal/digest"
)

// errLoseLane, from a fault, makes the connection break.
var errLoseLane = errors.New("lose the lane")

// world is a server that keeps the rules, in memory, and can be told to fail.
type world struct {
	mu      sync.Mutex
	things  map[string]*thing
	uploads map[string]*arriving
	seq     int
	lanes   int
	unit    int64 // bytes that it takes at once

	// fault is asked before a request is carried out and after, when its
	// answer is about to go; nil goes on. It runs without the lock.
	fault func(op string, p hufu.Path, after bool) error
	// hold, if not nil, keeps every answer of a lane back until Flush.
	hold bool
	// onGet is called on the sending goroutine.
	onGet    func()
	onCommit func() // when one arrives
	stat     func(hufu.Path) (hufu.Entry, error)
	list     func(hufu.Path, func(hufu.Entry) error) error
	page     func(hufu.Path, blob.Page, func(hufu.Entry) error) (string, error)
	pageOf   int                                             // names that a page has at most, if not 0
	spread   func(ctx context.Context, use func(Lane, bool)) // to other servers
	read     func(p hufu.Path, index int64, size int) ([]byte, bool, digest.CV, error)
	get      func(hufu.Path) (hufu.Entry, []byte, error)
}

type thing struct {
	hufu.Entry

	data []byte
}

type arriving struct {
	path   hufu.Path
	size   int64
	source string
	data   []byte
	cvs    []digest.CV
	have   []bool
	half   map[int64]half // units of which more must come
}

// half is what has come of a unit: the chunks before next, over one lane.
type half struct {
	lane *testLane
	next int64
}

func newWorld() *world {
	return &world{things: map[string]*thing{}, uploads: map[string]*arriving{}, unit: hufu.ChunkSize}
}

func (w *world) version() string { w.seq++; return fmt.Sprintf("v%d", w.seq) }

// set puts a file there.
func (w *world) set(name string, data []byte, mtime time.Time, by string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := must(hufu.ParsePath(name))
	for up := p.Parent(); !up.IsRoot(); up = up.Parent() {
		if w.things[up.String()] == nil {
			w.things[up.String()] = &thing{Entry: hufu.Entry{Name: up.Base(), Kind: hufu.Folder, Mode: 0o755, MTime: mtime, By: by}}
		}
	}
	w.things[p.String()] = &thing{hufu.Entry{
		Name: p.Base(), Kind: hufu.File, Size: int64(len(data)), MTime: mtime, Mode: 0o755, By: by, Version: w.version(), Digest: digest.Sum(data),
	}, data}
}

func (w *world) content(name string) ([]byte, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.things[name]
	if t == nil || t.Kind != hufu.File {
		return nil, false
	}
	return t.data, true
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func failed(kind hufu.Kind, code string) error {
	return &hufu.Error{Op: "far", Kind: kind, Code: code, Far: true}
}

func (w *world) ask(op string, p hufu.Path, after bool) error {
	if w.fault == nil {
		return nil
	}
	return w.fault(op, p, after)
}

// control is a call that tries again by itself when the connection breaks, as
// Far promises.
func (w *world) control(ctx context.Context, op string, p hufu.Path, do func() error) error {
	for {
		if ctx.Err() != nil {
			return &hufu.Error{Op: op, Kind: hufu.KindCanceled, Err: context.Cause(ctx)}
		}
		err := w.ask(op, p, false)
		if errors.Is(err, errLoseLane) {
			continue
		}
		if err == nil {
			w.mu.Lock()
			err = do()
			w.mu.Unlock()
			if again := w.ask(op, p, true); errors.Is(again, errLoseLane) {
				continue
			} else if err == nil {
				err = again
			}
		}
		return err
	}
}

func (w *world) Stat(ctx context.Context, p hufu.Path) (e hufu.Entry, err error) {
	if w.stat != nil {
		return w.stat(p)
	}
	err = w.control(ctx, "stat", p, func() error {
		if p.IsRoot() {
			e = hufu.Entry{Kind: hufu.Folder, Mode: 0o755}
			return nil
		}
		t := w.things[p.String()]
		if t == nil {
			return failed(hufu.KindNotFound, "")
		}
		e = t.Entry
		return nil
	})
	return e, err
}

func (w *world) Lister(p hufu.Path) blob.Lister { return farLister{w, p} }

type farLister struct {
	w *world
	p hufu.Path
}

func (farLister) Close() {}

func (l farLister) List(ctx context.Context, r blob.Page, yield func(hufu.Entry) error) (next string, err error) {
	if l.w.page != nil {
		return l.w.page(l.p, r, yield)
	}
	return l.plain(ctx, r, yield)
}

func (l farLister) plain(ctx context.Context, r blob.Page, yield func(hufu.Entry) error) (next string, err error) {
	all, err := l.all(ctx)
	if err != nil {
		return "", err
	}
	slices.SortFunc(all, func(a, b hufu.Entry) int { return strings.Compare(a.Name, b.Name) })
	n := 0
	for _, e := range all {
		if e.Name <= r.After {
			continue
		}
		if n++; n > r.Limit || l.w.pageOf > 0 && n > l.w.pageOf {
			return next, nil
		}
		next = e.Name
		if r.Brief && e.Kind != hufu.Folder {
			e.Digest, e.By = hufu.Digest{}, ""
			if !r.Modes {
				e.Mode = 0
			}
		}
		if err := yield(e); err != nil {
			return "", err
		}
	}
	return "", nil
}

// all returns the entries of a folder.
func (l farLister) all(ctx context.Context) (all []hufu.Entry, err error) {
	if l.w.list != nil {
		err = l.w.list(l.p, func(e hufu.Entry) error { all = append(all, e); return nil })
		return all, err
	}
	err = l.w.control(ctx, "list", l.p, func() error {
		all = nil
		for name, t := range l.w.things {
			if must(hufu.ParsePath(name)).Parent() == l.p {
				all = append(all, t.Entry)
			}
		}
		return nil
	})
	return all, err
}

func (w *world) Mkdir(ctx context.Context, p hufu.Path, mode uint32, _ bool) (made bool, err error) {
	err = w.control(ctx, "mkdir", p, func() error {
		if t := w.things[p.String()]; t != nil {
			if t.Kind != hufu.Folder {
				return failed(hufu.KindExists, "target_exists")
			}
			return nil
		}
		made = true
		w.things[p.String()] = &thing{Entry: hufu.Entry{Name: p.Base(), Kind: hufu.Folder, Mode: mode}}
		return nil
	})
	return made, err
}

// free says whether a condition holds; mu is held.
func (w *world) free(p hufu.Path, c hufu.Condition) error {
	t := w.things[p.String()]
	switch {
	case t != nil && t.Kind == hufu.Folder:
		return failed(hufu.KindWrongKind, "folder_in_the_way")
	case c.Kind == hufu.IfAbsent && t != nil:
		return failed(hufu.KindExists, "target_exists")
	case c.Kind == hufu.IfVersion && (t == nil || t.Version != c.Version):
		return failed(hufu.KindChanged, "target_changed")
	}
	return nil
}

func (w *world) Link(ctx context.Context, p hufu.Path, target string, mtime time.Time, c hufu.Condition) error {
	return w.control(ctx, "link", p, func() error {
		if err := w.free(p, c); err != nil {
			return err
		}
		w.things[p.String()] = &thing{Entry: hufu.Entry{Name: p.Base(), Kind: hufu.Link, Target: target, MTime: mtime, Version: w.version()}}
		return nil
	})
}

func (w *world) SetMeta(ctx context.Context, p hufu.Path, m Meta, version string) error {
	return w.control(ctx, "setmeta", p, func() error {
		t := w.things[p.String()]
		if t == nil {
			return failed(hufu.KindNotFound, "")
		}
		if version != "" && t.Version != version {
			return failed(hufu.KindChanged, "target_changed")
		}
		if t.Mode, t.MTime = m.Mode, m.MTime; t.Kind != hufu.Folder {
			t.Version = w.version()
		}
		return nil
	})
}

func (w *world) RemoveOne(ctx context.Context, p hufu.Path, version string) error {
	return w.control(ctx, "remove", p, func() error {
		t := w.things[p.String()]
		switch {
		case t == nil:
			return failed(hufu.KindNotFound, "")
		case version != "" && t.Version != version:
			return failed(hufu.KindChanged, "target_changed")
		}
		for name := range w.things {
			if must(hufu.ParsePath(name)).Below(p) && name != p.String() {
				return failed(hufu.KindNotEmpty, "")
			}
		}
		delete(w.things, p.String())
		return nil
	})
}

func (w *world) Rename(ctx context.Context, from, to hufu.Path, c hufu.Condition) error {
	return w.control(ctx, "rename", to, func() error {
		t := w.things[from.String()]
		if t == nil {
			return failed(hufu.KindNotFound, "")
		}
		if err := w.free(to, c); err != nil {
			return err
		}
		delete(w.things, from.String())
		t.Name, t.Version = to.Base(), w.version()
		w.things[to.String()] = t
		return nil
	})
}

func (w *world) Digest(ctx context.Context, p hufu.Path) (e hufu.Entry, err error) {
	err = w.control(ctx, "digest", p, func() error {
		t := w.things[p.String()]
		if t == nil || t.Kind != hufu.File {
			return failed(hufu.KindNotFound, "")
		}
		if t.Digest.IsZero() { // keeping it makes another version
			t.Digest, t.Version = digest.Sum(t.data), w.version()
		}
		e = t.Entry
		return nil
	})
	return e, err
}

func (w *world) Open(ctx context.Context, p hufu.Path, size int64, source string) (up Upload, err error) {
	err = w.control(ctx, "open", p, func() error {
		for id, a := range w.uploads {
			if a.path == p && a.size == size && a.source == source {
				up = Upload{ID: id, Unit: w.unit}
				for i, cv := range a.cvs {
					if a.have[i] && !up.There.Add(int64(i), cv[:], int64(len(a.cvs))) {
						panic("chunks out of order")
					}
				}
				return nil
			}
		}
		w.seq++
		n := digest.Chunks(size)
		id := fmt.Sprintf("upload%d", w.seq)
		w.uploads[id] = &arriving{p, size, source, make([]byte, size), make([]digest.CV, n), make([]bool, n), map[int64]half{}}
		up = Upload{ID: id, Unit: w.unit}
		return nil
	})
	return up, err
}

func (w *world) Commit(ctx context.Context, upload string, p hufu.Path, d hufu.Digest, m Meta, c hufu.Condition) (e hufu.Entry, err error) {
	if w.onCommit != nil {
		w.onCommit()
	}
	lacks := func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		a := w.uploads[upload]
		return a != nil && slices.Contains(a.have, false)
	}
	for end := time.Now().Add(2 * time.Second); lacks() && ctx.Err() == nil && time.Now().Before(end); {
		time.Sleep(time.Millisecond) // chunks may be on their way
	}
	err = w.control(ctx, "commit", p, func() error {
		if t := w.things[p.String()]; t != nil && t.Upload == upload {
			e = t.Entry
			return nil
		}
		a := w.uploads[upload]
		switch {
		case a == nil:
			return failed(hufu.KindNotFound, "upload_unknown")
		case slices.Contains(a.have, false):
			return failed(hufu.KindInvalid, "upload_incomplete")
		case digest.Root(a.cvs) != d || digest.Sum(a.data) != d:
			return failed(hufu.KindIntegrity, "digest_differs")
		}
		if err := w.free(p, c); err != nil {
			return err
		}
		delete(w.uploads, upload)
		e = hufu.Entry{
			Name: p.Base(), Kind: hufu.File, Size: a.size, Mode: m.Mode, MTime: m.MTime, Digest: d, Upload: upload, Version: w.version(),
		}
		w.things[p.String()] = &thing{e, a.data}
		return nil
	})
	return e, err
}

func (*world) Lanes(_ context.Context, jobs int) int { return cmp.Or(jobs, 2) }

func (w *world) Spread(ctx context.Context, _ int, use func(Lane, bool)) {
	if w.spread != nil {
		w.spread(ctx, use)
	}
}

func (w *world) Abandon(ctx context.Context, upload string) error {
	return w.control(ctx, "abandon", hufu.Path{}, func() error {
		delete(w.uploads, upload)
		return nil
	})
}

func (w *world) Lane(ctx context.Context) (Lane, error) {
	if err := w.ask("lane", hufu.Path{}, false); err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lanes++
	l := &testLane{w: w, done: make(chan struct{}), flushed: !w.hold}
	l.cond = sync.NewCond(&l.mu)
	go l.run()
	return l, nil
}

// laneRoom is how many requests may be unanswered on a test lane.
const laneRoom = 8

type testLane struct {
	w       *world
	mu      sync.Mutex
	cond    *sync.Cond
	queue   []request
	flushed bool
	err     error
	done    chan struct{}
}

type request struct {
	op   string
	p    hufu.Path
	do   func() error // carried out under the world's lock
	done func(error)
}

func (l *testLane) send(op string, p hufu.Path, do func() error, done func(error)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.err == nil && len(l.queue) >= laneRoom {
		l.flushed = true
		l.cond.Broadcast()
		l.cond.Wait()
	}
	if l.err != nil {
		return l.err
	}
	l.queue = append(l.queue, request{op, p, do, done})
	l.cond.Broadcast()
	return nil
}

// run answers requests in order until the lane is lost.
func (l *testLane) run() {
	defer close(l.done)
	for {
		l.mu.Lock()
		for l.err == nil && (len(l.queue) == 0 || !l.flushed) {
			l.cond.Wait()
		}
		if l.err != nil {
			rest := l.queue
			l.queue = nil
			l.mu.Unlock()
			for _, r := range rest {
				r.done(fmt.Errorf("%w: %w", ErrLost, l.err))
			}
			return
		}
		r := l.queue[0]
		l.mu.Unlock()
		err := l.w.ask(r.op, r.p, false)
		if err == nil {
			l.w.mu.Lock()
			err = r.do()
			l.w.mu.Unlock()
			if late := l.w.ask(r.op, r.p, true); late != nil {
				err = late
			}
		}
		if errors.Is(err, errLoseLane) {
			l.lose(&hufu.Error{Op: "lane", Kind: hufu.KindNetwork, Code: "connection_lost"})
			continue
		}
		l.mu.Lock()
		if l.err != nil {
			l.mu.Unlock()
			continue
		}
		l.queue = l.queue[1:]
		l.cond.Broadcast()
		l.mu.Unlock()
		r.done(err)
	}
}

func (l *testLane) lose(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = err
	}
	l.cond.Broadcast()
}

func (l *testLane) Put(p hufu.Path, m Meta, data []byte, d hufu.Digest, c hufu.Condition, done func(error)) error {
	data = bytes.Clone(data)
	return l.send("put", p, func() error {
		if digest.Sum(data) != d {
			return failed(hufu.KindIntegrity, "digest_differs")
		}
		if err := l.w.free(p, c); err != nil {
			return err
		}
		l.w.things[p.String()] = &thing{hufu.Entry{
			Name: p.Base(), Kind: hufu.File, Size: int64(len(data)), Mode: m.Mode, MTime: m.MTime, Digest: d, Version: l.w.version(),
		}, data}
		return nil
	}, done)
}

func (l *testLane) Range(upload string, index int64, data []byte, hole bool, cv digest.CV, done func(error)) error {
	data = bytes.Clone(data)
	l.w.mu.Lock()
	var p hufu.Path
	if a := l.w.uploads[upload]; a != nil {
		p = a.path
	}
	l.w.mu.Unlock()
	return l.send("range", p, func() error {
		a := l.w.uploads[upload]
		if a == nil {
			return failed(hufu.KindNotFound, "upload_unknown")
		}
		n := digest.ChunkLen(a.size, index)
		if hole {
			data = make([]byte, n)
		}
		if len(data) != n || digest.Chunk(data, index) != cv {
			return failed(hufu.KindIntegrity, "chunk_differs")
		}
		if a.have[index] && a.cvs[index] != cv {
			return failed(hufu.KindChanged, "file_changed")
		}
		per := l.w.unit / hufu.ChunkSize
		unit := index / per
		first, end := unit*per, min((unit+1)*per, int64(len(a.cvs)))
		h := a.half[unit]
		switch {
		case a.have[index]:
			return nil
		case index == first:
		case h.lane != l || h.next != index:
			return failed(hufu.KindInvalid, "unit_order")
		}
		copy(a.data[index*hufu.ChunkSize:], data)
		a.cvs[index], a.half[unit] = cv, half{l, index + 1}
		if index+1 == end {
			for i := first; i < end; i++ {
				a.have[i] = true
			}
		}
		return nil
	}, done)
}

func (l *testLane) Get(p hufu.Path, listed hufu.Entry, done func(hufu.Entry, []byte, error)) error {
	if l.w.onGet != nil {
		l.w.onGet()
	}
	var e hufu.Entry
	var data []byte
	return l.send("get", p, func() error {
		if l.w.get != nil {
			var err error
			e, data, err = l.w.get(p)
			return err
		}
		t := l.w.things[p.String()]
		if t == nil || t.Version != listed.Version {
			return failed(hufu.KindChanged, "file_changed")
		}
		e, data = t.Entry, t.data
		e.Digest = digest.Sum(data)
		return nil
	}, func(err error) { done(e, data, err) })
}

func (l *testLane) Read(p hufu.Path, version string, index int64, size int, done func(Chunk, error)) error {
	var c Chunk
	return l.send("read", p, func() error {
		if l.w.read != nil {
			var err error
			c.Data, c.Hole, c.Want, err = l.w.read(p, index, size)
			if 0 < len(c.Data) && len(c.Data) <= hufu.ChunkSize {
				c.Got = digest.Chunk(c.Data, index)
			}
			return err
		}
		t := l.w.things[p.String()]
		if t == nil || t.Version != version {
			return failed(hufu.KindChanged, "file_changed")
		}
		c.Data = t.data[index*hufu.ChunkSize:][:size]
		c.Want = digest.Chunk(c.Data, index)
		c.Got = c.Want
		return nil
	}, func(err error) { done(c, err) })
}

func (l *testLane) Flush() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flushed = true
	l.cond.Broadcast()
	return l.err
}

func (l *testLane) Close() error {
	l.lose(&hufu.Error{Op: "lane", Kind: hufu.KindCanceled, Code: "connection_closed"})
	<-l.done
	return nil
}

func (l *testLane) Node() string { return "" }

// near is this computer's side: a folder and a store over it.
type near struct {
	t     testing.TB
	dir   string
	store *disk.Store
}

func newNear(t testing.TB) *near {
	t.Helper()
	return nearWith(t, nil)
}

func nearWith(t testing.TB, hook func(string) error) *near {
	t.Helper()
	dir := memory(t)
	s, err := disk.Open(dir, disk.Options{Uploads: memory(t), Hook: hook})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return &near{t, dir, s}
}

// memory is a folder where syncing takes no time, if there is such a thing:
// durability is tested elsewhere.
func memory(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "hufu-test-") //nolint:usetesting // not where TempDir is
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func (n *near) write(name string, data []byte) {
	n.t.Helper()
	full := filepath.Join(n.dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(full), 0o755), os.WriteFile(full, data, 0o644)); err != nil {
		n.t.Fatal(err)
	}
}

func (n *near) content(name string) []byte {
	data, err := os.ReadFile(filepath.Join(n.dir, name))
	if err != nil {
		return nil
	}
	return data
}

// names lists all files below, with their folders.
func (n *near) names() []string {
	var all []string
	_ = filepath.WalkDir(n.dir, func(path string, _ os.DirEntry, err error) error {
		if rel, _ := filepath.Rel(n.dir, path); rel != "." && err == nil {
			all = append(all, filepath.ToSlash(rel))
		}
		return nil
	})
	return all
}

// all is the folder's contents as a source, or as the target of the far root.
func (n *near) all() []Source {
	return []Source{{Side: Side{Store: n.store, Local: n.dir}, Contents: true}}
}

func (n *near) one(name, far string) Source {
	p := must(hufu.ParsePath(name))
	return Source{Side: Side{n.store, p, filepath.Join(n.dir, name)}, Far: must(hufu.ParsePath(far))}
}

// reports collects what a transfer tells.
type reports []Report

func (r *reports) add(rep Report) { *r = append(*r, rep) }

func (r reports) of(o Outcome) (names []string) {
	for _, rep := range r {
		if rep.Outcome == o && rep.Kind != hufu.Folder {
			names = append(names, rep.Remote.String())
		}
	}
	slices.Sort(names)
	return names
}

func (r reports) codes() string {
	var all []string
	for _, rep := range r {
		if rep.Outcome == Failed {
			all = append(all, hufu.CodeOf(rep.Err))
		}
	}
	slices.Sort(all)
	return strings.Join(slices.Compact(all), " ")
}

func put(ctx context.Context, w *world, o Options, s []Source) (reports, error) {
	var r reports
	o.Report, o.Owner = r.add, "test"
	err := New(w, o).Put(ctx, s)
	return r, err
}

func get(ctx context.Context, w *world, o Options, s []Source) (reports, error) {
	var r reports
	o.Report, o.Owner = r.add, "test"
	err := New(w, o).Get(ctx, s)
	return r, err
}

// noise is n bytes that differ from chunk to chunk and from seed to seed.
func noise(n int, seed byte) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed, byte(n)}).Read(b)
	return b
}
