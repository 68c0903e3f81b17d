package transfer

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/digest"
)

// Get copies sources from the far side: for each, Far is what to fetch and
// Side the name it gets.
func (e *Engine) Get(ctx context.Context, sources []Source) error {
	e.gets = true
	return e.run(ctx, func(ctx context.Context, larges chan<- *item) func(bool) { return e.planGet(ctx, sources, larges) }, e.getLarge, e.getLane)
}

func (e *Engine) planGet(ctx context.Context, sources []Source, larges chan<- *item) (after func(bool)) {
	if len(sources) > 1 {
		e.written = newNameSet()
	}
	var first []folderJob
	var metaMu sync.Mutex
	var metas []folderMeta
	made := &staged{e: e}
	planFolder := func(p pair) (folderJob, bool) {
		if p.target != nil && p.target.Kind != hufu.Folder {
			p.fetched = true
			e.fail(p, wrongKind(p))
			return folderJob{}, false
		}
		created := p.target == nil
		p.source.Mode = e.modeHere(p)
		if created {
			meta := blob.Meta{Mode: p.source.Mode | 0o700}
			made.add(ctx, p.near.Store, func(b blob.Batch) { b.Mkdir(ctx, p.near.Path, meta, true) }, func(r blob.Result) {
				if r.Err != nil {
					e.fail(p, r.Err)
					return
				}
				e.report(Report{Local: p.near.Local, Remote: p.far, Kind: hufu.Folder, Outcome: Made})
			})
		}
		if created || p.target.Mode != p.source.Mode || !sameTime(p.target.MTime, p.source.MTime) {
			metaMu.Lock()
			metas = append(metas, folderMeta{p.near, p.far, Meta{p.source.Mode, p.source.MTime}, created})
			e.carried(p.near.Local, p.source.MTime)
			metaMu.Unlock()
		}
		return folderJob{p, created}, true
	}
	pairs, errs := look(sources, func(s Source, p *pair) (err error) {
		if s.Entry != nil {
			p.source = *s.Entry
		} else if p.source, err = e.far.Stat(ctx, s.Far); err != nil {
			return err
		}
		p.target, err = nearStat(ctx, s.Side)
		return err
	})
	for i, s := range sources {
		p := pairs[i]
		if s.Contents {
			first = append(first, folderJob{pair: p})
			continue
		}
		if errs[i] != nil {
			e.fail(p, errs[i])
			continue
		}
		if p.source.Kind == hufu.Folder {
			if j, ok := planFolder(p); ok {
				first = append(first, j)
			}
			continue
		}
		if p.source.Kind == hufu.Other {
			e.fail(p, special("get", p.far.Remote())) // it was named
			continue
		}
		e.planOneGet(ctx, p, made, larges, nil)
	}
	walk(ctx, first, func(j folderJob, s *stack) {
		var far []hufu.Entry
		done, err := e.listFar(ctx, j.far, func(t hufu.Entry) { far = append(far, t) })
		defer done()
		if err != nil {
			e.fail(j.pair, err)
			return
		}
		there := map[string]hufu.Entry{}
		if !j.fresh {
			err := listNear(ctx, j.near, func(t hufu.Entry) { there[t.Name] = t })
			if err != nil {
				e.fail(j.pair, err)
				return
			}
		}
		names := make(map[string]struct{}, len(far))
		for _, t := range far {
			names[t.Name] = struct{}{}
		}
		for _, t := range far {
			if ctx.Err() != nil {
				return
			}
			p := pair{source: t}
			var err error
			if p.near, err = j.near.Join(t.Name); err == nil {
				p.far, err = j.far.Join(t.Name)
			}
			if err != nil {
				e.fail(pair{near: j.near, far: j.far, source: t}, err)
				continue
			}
			if x, ok := there[t.Name]; ok {
				p.target = &x
			}
			if t.Kind == hufu.Folder {
				if f, ok := planFolder(p); ok {
					s.push(f)
				}
				continue
			}
			e.planOneGet(ctx, p, made, larges, names)
		}
	})
	return func(whole bool) {
		if !whole {
			made.discard()
			return
		}
		made.commit(ctx)
		e.setNear(ctx, metas)
	}
}

// planOneGet decides about one file or link and queues it. The names beside it
// at its source are not free on this side either.
func (e *Engine) planOneGet(ctx context.Context, p pair, made *staged, larges chan<- *item, names map[string]struct{}) {
	p.fetched = true
	if p.source.Kind == hufu.File {
		e.Stats.Files.Add(1)
		e.Stats.Bytes.Add(p.source.Size)
	}
	r := Report{Local: p.near.Local, Remote: p.far, Kind: p.source.Kind, Size: p.source.Size}
	if p.source.Kind == hufu.Other {
		r.Outcome, r.Err = Skipped, special("get", p.far.Remote())
		e.report(r)
		return
	}
	if !e.written.take(p.near.Local) {
		e.fail(p, &hufu.Error{Op: "get", Kind: hufu.KindExists, Code: "collision", Args: map[string]string{"target": p.near.Local}})
		return
	}
	v := e.judge(ctx, &p, func() (bool, error) { return e.sameAsFar(ctx, &p) })
	if v.rename {
		name, same := e.beside(&p, p.near.Path.Base(), func(n string) (*hufu.Entry, bool) {
			if _, beside := names[n]; beside {
				return nil, true
			}
			q, err := p.near.Path.Parent().Join(n)
			if err != nil {
				return nil, false
			}
			t, err := nearStat(ctx, Side{Store: p.near.Store, Path: q})
			return t, err == nil && t != nil
		})
		parent := Side{p.near.Store, p.near.Path.Parent(), filepath.Dir(p.near.Local)}
		near, err := parent.Join(name)
		if err != nil {
			e.fail(p, err)
			return
		}
		p.near, r.Local, r.Renamed = near, near.Local, true
		if fresh := e.written.take(near.Local); same && fresh {
			v.outcome = Same
		}
	}
	if v.outcome != Transferred {
		if v.outcome == Failed {
			e.fail(p, v.err)
			return
		}
		r.Outcome, r.Err = v.outcome, v.err
		e.Stats.BytesDone.Add(p.source.Size)
		e.report(r)
		return
	}
	p.source.Mode = e.modeHere(p)
	e.carried(p.near.Local, p.source.MTime)
	if p.source.Kind == hufu.Link {
		meta := blob.Meta{Mode: 0o777, MTime: p.source.MTime}
		made.add(ctx, p.near.Store, func(b blob.Batch) { b.Symlink(ctx, p.near.Path, p.source.Target, meta, v.cond) }, func(res blob.Result) {
			if res.Err != nil {
				e.fail(p, res.Err)
				return
			}
			e.keptNear(ctx, p.near, p.source.MTime)
			r.Outcome = Transferred
			e.report(r)
		})
		return
	}
	it := &item{local: p.near.Local, store: p.near.Store, path: p.near.Path, remote: p.far, from: p.source, cond: v.cond, renamed: v.rename}
	if IsLarge(it.from) {
		select {
		case larges <- it:
		case <-ctx.Done():
		}
		return
	}
	e.queue.addSmall(it)
}

// modeHere is the mode that a file or folder gets on this machine. A folder
// that was there before is never opened to more people than it was. Who put it
// there is not known of a file that came to the server without hufu: among
// shared folders it is taken for somebody else's.
func (e *Engine) modeHere(p pair) uint32 {
	mode := p.source.Mode & 0o777
	if p.source.Kind == hufu.Folder && p.target != nil {
		mode &= p.target.Mode | 0o700 // what was there is not opened further
	}
	place, _ := p.far.Cut()
	if !e.o.Strip || p.source.By == e.o.Me || p.source.By == "" && !strings.HasPrefix(place, "@") {
		return mode
	}
	mode &^= 0o022
	if p.source.Kind == hufu.File {
		mode &^= 0o111
	}
	return mode
}

// sameAsFar is sameContent's counterpart.
func (e *Engine) sameAsFar(ctx context.Context, p *pair) (bool, error) {
	near, err := p.near.Store.Digest(ctx, p.near.Path)
	if err != nil {
		return false, err
	}
	if p.source.Digest.IsZero() || e.o.Checksum {
		far, err := e.far.Digest(ctx, p.far)
		if err != nil {
			return false, err
		}
		far.Name = p.source.Name
		p.source = far
	}
	return near.Digest == p.source.Digest, nil
}

// getLarge lets the lanes fetch the chunks of one file and gives it its name.
func (e *Engine) getLarge(ctx context.Context, it *item) {
	e.setActive(it, true)
	defer e.setActive(it, false)
	entry, resumed, err := e.getUpload(ctx, it)
	if err != nil {
		e.failItem(it, err)
		return
	}
	e.keptNear(ctx, Side{it.store, it.path, it.local}, it.from.MTime)
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
			_ = up.Abort() // nothing of another version can be used
		}
		return entry, 0, err
	}
	root, err := up.Root()
	if err != nil {
		return entry, 0, err
	}
	if !it.from.Digest.IsZero() && it.from.Digest != root {
		_ = up.Abort()
		return entry, 0, &hufu.Error{
			Op: "get", Kind: hufu.KindIntegrity, Code: "digest_differs",
			Args: map[string]string{"want": it.from.Digest.String(), "got": root.String()},
		}
	}
	entry, err = blob.CommitUpload(ctx, up, root, blob.Meta{Mode: it.from.Mode, MTime: it.from.MTime, Digest: root}, it.cond)
	return entry, l.resumed.Load(), err
}

// getLane is putLane's counterpart.
func (e *Engine) getLane(ctx context.Context, n int) error {
	var g *group
	return e.onLanes(ctx, n, func(lane Lane, t task) error {
		if g == nil || g.lane != lane {
			g = &group{e: e, ctx: context.WithoutCancel(ctx), lane: lane}
		}
		if t.it.large != nil {
			return g.fetchUnit(t)
		}
		return g.fetch(t)
	})
}

// store puts chunk index, of size bytes, in its place, if it is what the far
// side says.
func (l *large) store(ctx context.Context, index int64, size int, c Chunk) error {
	if !c.Hole && len(c.Data) != size {
		return &hufu.Error{Op: "get", Kind: hufu.KindProtocol, Code: "chunk_length"}
	}
	if c.Hole {
		c.Got = digest.Zeros(size, index)
	}
	switch {
	case c.Got != c.Want:
		return &hufu.Error{Op: "get", Kind: hufu.KindIntegrity, Code: "chunk_differs"}
	case c.Hole:
		return l.target.Write(ctx, index, nil, c.Got)
	}
	return l.target.Write(ctx, index, c.Data, c.Got)
}

// setNear sets modes and times of folders when all files are in place,
// deepest first.
func (e *Engine) setNear(ctx context.Context, metas []folderMeta) {
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
			e.keptNear(ctx, m.near, m.meta.MTime)
		}
		metas = metas[n:]
	}
}
