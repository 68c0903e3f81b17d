package transfer

import (
	"context"
	"errors"
	"slices"
	"strings"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/digest"
)

// Get copies sources from the far side: for each, Far is what to fetch and
// Side the name it gets.
func (e *Engine) Get(ctx context.Context, sources []Source) error {
	e.gets = true
	return e.run(ctx, sources, &nearEnd{e, &staged{e: e}}, e.getLarge, e.getWorker)
}

// nearEnd is this computer as a target.
type nearEnd struct {
	e    *Engine
	made *staged // folders and links, modes and times
}

func (t *nearEnd) op() string { return "get" }

func (t *nearEnd) find(ctx context.Context, s Source, p *pair) (err error) {
	if s.Entry != nil {
		p.source = *s.Entry
	} else if p.source, err = t.e.far.Stat(ctx, s.Far); err != nil {
		return err
	}
	p.target, err = nearStat(ctx, s.Side)
	return err
}

func (t *nearEnd) leave(context.Context, Side) error { return nil }
func (t *nearEnd) check(Side) error                  { return nil }

func (t *nearEnd) taken(ctx context.Context, p pair, name string, _ *listed) (*hufu.Entry, bool) {
	return nearTaken(ctx, p, name) // ask the file system, not the listing: to it two spellings may be one name
}

func (t *nearEnd) sourceHas(ctx context.Context, p pair, name string) bool {
	_, there := t.e.farTaken(ctx, p, name)
	return there
}

func (t *nearEnd) mkdir(ctx context.Context, p pair) {
	meta := blob.Meta{Mode: p.source.Mode | 0o700}
	t.made.add(ctx, p.near.Store, func(b blob.Batch) { b.Mkdir(ctx, p.near.Path, meta, true) }, func(r blob.Result) {
		if r.Err != nil {
			t.e.fail(p, r.Err)
			return
		}
		t.e.report(Report{Local: p.near.Local, Remote: p.far, Kind: hufu.Folder, Outcome: Made})
	})
}

func (t *nearEnd) link(ctx context.Context, p pair, c hufu.Condition, done func(error)) {
	meta := blob.Meta{Mode: 0o777, MTime: p.source.MTime}
	t.made.add(ctx, p.near.Store, func(b blob.Batch) { b.Symlink(ctx, p.near.Path, p.source.Target, meta, c) }, func(r blob.Result) {
		if r.Err == nil {
			t.e.noteUnkept(ctx, p.near, p.source.MTime)
		}
		done(r.Err)
	})
}

func (t *nearEnd) lister(p pair) blob.Lister { return p.near.Store.Lister(p.near.Path) }

func (t *nearEnd) remove(ctx context.Context, p pair, done func(error)) {
	version := p.target.Version
	t.made.add(ctx, p.near.Store, func(b blob.Batch) { b.Remove(ctx, p.near.Path, false, version) }, func(r blob.Result) { done(r.Err) })
}

func (t *nearEnd) settle(ctx context.Context, whole bool) {
	if !whole {
		t.made.discard()
		return
	}
	t.made.commit(ctx)
}

// mode is the mode that a file or folder gets on this computer. A folder that was
// there before is never opened to more people, unless it is to be equal to its source. A file that came to the server
// without hufu has no known owner: among shared folders it counts as another
// user's.
func (t *nearEnd) mode(p pair) uint32 {
	mode := p.source.Mode & 0o777
	if p.source.Kind == hufu.Folder && p.target != nil && t.e.o.Mirror == nil {
		mode &= p.target.Mode | 0o700 // an existing folder is not opened further
	}
	return mode &^ t.stripped(p)
}

// stripped are the bits of a mode that p may not have, because another user uploaded it.
func (t *nearEnd) stripped(p pair) uint32 {
	e := t.e
	place, _ := p.far.Cut()
	switch {
	case !e.o.Strip || p.source.By == e.o.Me || p.source.By == "" && !strings.HasPrefix(place, "@"):
		return 0
	case p.source.Kind == hufu.File:
		return 0o133
	}
	return 0o022
}

// keptMode leaves the bits that are stripped as the user of this computer has set them.
func (t *nearEnd) keptMode(p pair) uint32 { return t.mode(p) | p.target.Mode&t.stripped(p) }

func (t *nearEnd) setMeta(ctx context.Context, p pair, m Meta, done func(error)) {
	meta := blob.Meta{Mode: m.Mode, MTime: m.MTime}
	t.made.add(ctx, p.near.Store, func(b blob.Batch) { b.SetMeta(ctx, p.near.Path, meta, p.target.Version) }, func(r blob.Result) {
		if r.Err == nil {
			t.e.noteUnkept(ctx, p.near, m.MTime)
		}
		done(r.Err)
	})
}

// same compares digests. That of the file here is computed now.
func (t *nearEnd) same(ctx context.Context, p pair) (pair, bool, error) {
	near, err := p.near.Store.Digest(ctx, p.near.Path)
	if err != nil {
		return p, false, err
	}
	if p.source.Digest.IsZero() || t.e.o.Checksum {
		far, err := t.e.far.Digest(ctx, p.far)
		if err != nil {
			return p, false, err
		}
		far.Name = p.source.Name
		p.source = far
	}
	return p, near.Digest == p.source.Digest, nil
}

// getLarge lets the lanes fetch the chunks of one file and gives it its name.
func (e *Engine) getLarge(ctx context.Context, it *item) {
	e.setActive(it, true)
	defer e.setActive(it, false)
	entry, resumed, err := e.getUpload(ctx, it)
	if errors.Is(err, errSpareBytes) {
		entry, resumed, err = e.getUpload(ctx, it)
	}
	if err != nil {
		e.failItem(it, err)
		return
	}
	e.noteUnkept(ctx, Side{it.store, it.path, it.local}, it.from.MTime)
	it.swap.markArrived()
	r := it.rep(Transferred, nil)
	r.Digest, r.Resumed = entry.Digest, resumed
	e.report(r)
}

func (e *Engine) getUpload(ctx context.Context, it *item) (entry hufu.Entry, resumed int64, err error) {
	size := it.from.Size
	up, err := it.store.OpenUpload(ctx, blob.UploadKey{Path: it.path, Size: size, Source: it.from.Version, Owner: e.o.Owner}, blob.Guard{})
	if err != nil {
		return entry, 0, err
	}
	defer func() { _ = up.Close() }()
	l := &large{it: it, target: up, chunks: digest.Chunks(size), end: make(chan struct{})}
	have := up.Info().Have
	l.setUnit(up.Info().Unit)
	l.left -= (have + l.per - 1) / l.per // a unit is there whole or not at all
	there := have * hufu.ChunkSize
	if up.Missing(l.chunks-1) == l.chunks { // the last one is there, which may be shorter
		there -= hufu.ChunkSize - int64(digest.ChunkLen(size, l.chunks-1))
	}
	l.resumed.Store(there)
	e.Stats.Resumed.Add(there)
	e.Stats.BytesDone.Add(there)
	it.done.Store(there)
	it.large = l
	e.queue.addLarge(l)
	<-l.end
	if err := e.queue.failure(l); err != nil {
		if hufu.KindOf(err) == hufu.KindChanged || discarded(ctx) {
			_ = up.Abort() // chunks of another version are useless, and a discarded transfer keeps nothing
		}
		return entry, 0, err
	}
	root, err := up.Root()
	if err != nil {
		return entry, 0, err
	}
	if !it.from.Digest.IsZero() && it.from.Digest != root {
		_ = up.Abort()
		if l.distrust(e) {
			e.Stats.BytesDone.Add(-it.done.Swap(0))
			e.Stats.Resumed.Add(-l.resumed.Load())
			return entry, 0, errSpareBytes
		}
		return entry, 0, &hufu.Error{
			Op: "get", Kind: hufu.KindIntegrity, Code: "digest_differs",
			Args: map[string]string{"want": it.from.Digest.String(), "got": root.String()},
		}
	}
	m := e.meta(it, Meta{it.from.Mode, it.from.MTime})
	entry, err = blob.CommitUpload(ctx, up, root, blob.Meta{Mode: m.Mode, MTime: m.MTime, Digest: root}, it.cond)
	return entry, l.resumed.Load(), err
}

// getWorker is putWorker's counterpart.
func (e *Engine) getWorker(ctx context.Context) (do worker, end func()) {
	var g *group
	return func(lane Lane, t task) error {
		if g == nil || g.lane != lane {
			g = &group{e: e, ctx: context.WithoutCancel(ctx), life: ctx, lane: lane}
		}
		if t.it.large != nil {
			return g.fetchUnit(t)
		}
		return g.fetch(t)
	}, func() {}
}

// errSpareBytes says that a file whose digest is wrong is to be fetched again, over the own server.
var errSpareBytes = errors.New("other servers have sent wrong bytes")

// distrust reports whether other servers have brought chunks of the file. They are used no more, and the
// file goes over the own server from now on.
func (l *large) distrust(e *Engine) bool {
	l.it.own.Store(true)
	found := false
	l.spares.Range(func(node, _ any) bool {
		e.distrust(l.it, node.(string))
		found = true
		return true
	})
	return found
}

// checkChunk returns an error unless chunk index, of size bytes, is what the far side says.
func checkChunk(index int64, size int, c *Chunk) error {
	if !c.Hole && len(c.Data) != size {
		return &hufu.Error{Op: "get", Kind: hufu.KindProtocol, Code: "chunk_length"}
	}
	if c.Hole {
		c.Got = digest.Zeros(size, index)
	}
	if c.Got != c.Want {
		return &hufu.Error{Op: "get", Kind: hufu.KindIntegrity, Code: "chunk_differs"}
	}
	return nil
}

// placeChunk puts a chunk that was checked in its place.
func (l *large) placeChunk(ctx context.Context, index int64, c Chunk, by Lane) error {
	if lane, ok := by.(*countingLane); ok && lane.spare {
		l.spares.Store(lane.Node(), nil)
	}
	if c.Hole {
		return l.target.Write(ctx, index, nil, c.Got)
	}
	return l.target.Write(ctx, index, c.Data, c.Got)
}

// setFolders begins with the deepest.
func (t *nearEnd) setFolders(ctx context.Context, metas []folderMeta) {
	e := t.e
	slices.Reverse(metas)
	for len(metas) > 0 {
		n := 0
		b := metas[0].near.Store.Batch(blob.Guard{})
		for n < len(metas) && n < groupFiles && metas[n].near.Store == metas[0].near.Store {
			m := metas[n]
			b.SetMeta(ctx, m.near.Path, blob.Meta{Mode: m.meta.Mode, MTime: m.meta.MTime}, "")
			n++
		}
		for i, r := range b.Finish(ctx) {
			m := metas[i]
			if r.Err != nil {
				e.fail(pair{near: m.near, far: m.far, source: hufu.Entry{Kind: hufu.Folder}}, r.Err)
				continue
			}
			e.noteUnkept(ctx, m.near, m.meta.MTime)
			if m.told {
				e.report(m.report(Updated))
			}
		}
		metas = metas[n:]
	}
}
