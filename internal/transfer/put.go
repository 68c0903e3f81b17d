package transfer

import (
	"context"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"hufu"
)

// largeAbove is the size in bytes from which a file is an upload of chunks;
// up to it the file travels in one frame.
const largeAbove = hufu.ChunkSize

// IsLarge says whether e is sent as an upload of chunks.
func IsLarge(e hufu.Entry) bool { return e.Kind == hufu.File && e.Size > largeAbove }

// Source is one thing to transfer and the name it gets.
type Source struct {
	Side
	Far hufu.Path
	// Contents means what is in the folder, not the folder itself.
	Contents bool
	// Fresh says that the folder at the far side was just made: nothing is in it.
	Fresh bool
	// Entry is what stands at the far side, for a get, if it is known already.
	Entry *hufu.Entry
}

// Put copies sources to the far side. The error is what ended the transfer as
// a whole; what became of each name is in the reports.
func (e *Engine) Put(ctx context.Context, sources []Source) error {
	return e.run(ctx, func(ctx context.Context, larges chan<- *item) func(bool) { return e.planPut(ctx, sources, larges) }, e.putLarge, e.putLane)
}

func (e *Engine) planPut(ctx context.Context, sources []Source, larges chan<- *item) (after func(bool)) {
	if len(sources) > 1 {
		e.written = newNameSet()
	}
	var first []folderJob
	var metaMu sync.Mutex
	var metas []folderMeta
	var making errgroup.Group
	making.SetLimit(2 * planners)
	planFolder := func(p pair) (folderJob, bool) {
		fresh := p.target == nil
		switch {
		case fresh:
			// Nothing waits for the answer: what is put below makes the folder as
			// well, whichever comes first.
			making.Go(func() error {
				if _, err := e.far.Mkdir(ctx, p.far, p.source.Mode|0o700, true); err != nil {
					e.fail(p, err)
				} else {
					e.report(Report{Local: p.near.Local, Remote: p.far, Kind: hufu.Folder, Outcome: Made})
				}
				return nil
			})
		case p.target.Kind != hufu.Folder:
			e.fail(p, wrongKind(p))
			return folderJob{}, false
		}
		if fresh || p.target.Mode != p.source.Mode || !sameTime(p.target.MTime, p.source.MTime) {
			metaMu.Lock()
			metas = append(metas, folderMeta{p.near, p.far, Meta{p.source.Mode, p.source.MTime}, fresh})
			e.carried(p.near.Local, p.source.MTime)
			metaMu.Unlock()
		}
		return folderJob{p, fresh}, true
	}
	pairs, errs := look(sources, func(s Source, p *pair) (err error) {
		if p.source, err = s.Store.Stat(ctx, s.Path); err == nil && !s.Fresh {
			p.target, err = e.farStat(ctx, s.Far)
		}
		return err
	})
	for i, s := range sources {
		p := pairs[i]
		if p.source.Kind == hufu.Folder || s.Contents {
			if err := e.o.Leave(ctx, p.near); err != nil {
				e.fail(p, err) // it was named
				continue
			}
		}
		if s.Contents {
			first = append(first, folderJob{p, s.Fresh})
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
			e.fail(p, special("put", p.near.Local)) // it was named
			continue
		}
		e.planOnePut(ctx, p, larges, func(n string) (*hufu.Entry, bool) { return e.farBeside(ctx, s.Far.Parent(), n) })
	}
	walk(ctx, first, func(j folderJob, s *stack) {
		there := map[string]hufu.Entry{}
		if !j.fresh {
			done, err := e.listFar(ctx, j.far, func(t hufu.Entry) { there[t.Name] = t })
			defer done()
			if err != nil {
				e.fail(j.pair, err)
				return
			}
		}
		var here []hufu.Entry
		err := listNear(ctx, j.near, func(t hufu.Entry) { here = append(here, t) })
		if err != nil {
			e.fail(j.pair, err)
			return
		}
		names := make(map[string]struct{}, len(here))
		for _, t := range here {
			names[t.Name] = struct{}{}
		}
		beside := func(n string) (*hufu.Entry, bool) {
			t, far := there[n]
			if _, near := names[n]; near || !far { // will be there
				return nil, near
			}
			return &t, true
		}
		for _, t := range here {
			if ctx.Err() != nil {
				return
			}
			p := pair{source: t}
			if p.near, err = j.near.Join(t.Name); err == nil {
				p.far, err = j.far.Join(t.Name)
			}
			if err != nil {
				e.fail(pair{near: j.near, far: j.far, source: t}, err)
				continue
			}
			if p.near.Path.Reserved() {
				e.fail(p, &hufu.Error{Op: "put", Path: p.near.Local, Kind: hufu.KindInvalidPath, Code: "name_reserved"})
				continue
			}
			if x, ok := there[t.Name]; ok {
				p.target = &x
			}
			if t.Kind == hufu.Folder {
				if err := e.o.Leave(ctx, p.near); err != nil {
					e.report(Report{Local: p.near.Local, Remote: p.far, Kind: hufu.Folder, Outcome: Skipped, Err: err})
					continue
				}
				if f, ok := planFolder(p); ok {
					s.push(f)
				}
				continue
			}
			e.planOnePut(ctx, p, larges, beside)
		}
	})
	return func(whole bool) {
		_ = making.Wait() // each has told its own error
		if whole {
			e.setFolders(ctx, metas)
		}
	}
}

func (e *Engine) farStat(ctx context.Context, p hufu.Path) (*hufu.Entry, error) {
	t, err := e.far.Stat(ctx, p)
	switch {
	case hufu.KindOf(err) == hufu.KindNotFound:
		return nil, nil
	case err != nil:
		return nil, err
	}
	return &t, nil
}

func (e *Engine) farBeside(ctx context.Context, folder hufu.Path, name string) (*hufu.Entry, bool) {
	p, err := folder.Join(name)
	if err != nil {
		return nil, false
	}
	t, err := e.farStat(ctx, p)
	return t, err == nil && t != nil
}

// planOnePut decides about one file or link and queues it.
func (e *Engine) planOnePut(ctx context.Context, p pair, larges chan<- *item, beside func(string) (*hufu.Entry, bool)) {
	if p.source.Kind == hufu.File {
		e.Stats.Files.Add(1)
		e.Stats.Bytes.Add(p.source.Size)
	}
	r := Report{Local: p.near.Local, Remote: p.far, Kind: p.source.Kind, Size: p.source.Size}
	if p.source.Kind == hufu.Other {
		r.Outcome, r.Err = Skipped, special("put", p.near.Local)
		e.report(r)
		return
	}
	if !e.written.take(p.far.String()) {
		e.fail(p, &hufu.Error{Op: "put", Path: p.near.Local, Kind: hufu.KindExists, Code: "collision", Args: map[string]string{"target": p.far.Remote()}})
		return
	}
	v := e.judge(ctx, &p, func() (bool, error) { return e.sameContent(ctx, &p) })
	if v.rename {
		name, same := e.beside(&p, p.far.Base(), beside)
		far, err := p.far.Parent().Join(name)
		if err != nil {
			e.fail(p, err)
			return
		}
		p.far, r.Remote, r.Renamed = far, far, true
		if fresh := e.written.take(far.String()); same && fresh {
			v.outcome = Same
		}
	}
	if v.outcome != Transferred {
		if r.Outcome, r.Err = v.outcome, v.err; v.outcome == Failed {
			e.fail(p, v.err)
			return
		}
		e.Stats.BytesDone.Add(p.source.Size)
		e.report(r)
		return
	}
	e.carried(p.near.Local, p.source.MTime)
	if p.source.Kind == hufu.Link {
		err := e.far.Link(ctx, p.far, p.source.Target, p.source.MTime, v.cond)
		if hufu.KindOf(err) == hufu.KindExists { // perhaps made before the answer was lost
			if t, statErr := e.farStat(ctx, p.far); statErr == nil && t != nil && t.Kind == hufu.Link && t.Target == p.source.Target {
				err = nil
			}
		}
		if err != nil {
			e.fail(p, err)
			return
		}
		r.Outcome = Transferred
		e.report(r)
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

// sameContent compares digests, the local one computed now. What was read is
// from then on the target: the digest that is kept with a file makes another
// version of it.
func (e *Engine) sameContent(ctx context.Context, p *pair) (bool, error) {
	near, err := p.near.Store.Digest(ctx, p.near.Path)
	if err != nil || near.Size != p.target.Size {
		return false, err
	}
	if p.target.Digest.IsZero() || e.o.Checksum {
		far, err := e.far.Digest(ctx, p.far)
		if err != nil {
			return false, err
		}
		p.target = &far
	}
	return near.Digest == p.target.Digest, nil
}

// setFolders sets modes and times of folders when all files are in place,
// deepest first.
func (e *Engine) setFolders(ctx context.Context, metas []folderMeta) {
	slices.Reverse(metas)
	var wg sync.WaitGroup
	slots := make(chan struct{}, 2*planners)
	for _, m := range metas {
		if ctx.Err() != nil {
			break
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			err := e.far.SetMeta(ctx, m.far, m.meta.Mode, m.meta.MTime)
			switch {
			case err == nil:
			case !m.made && hufu.KindOf(err) == hufu.KindPermission:
				// Somebody else's folder may be added to and keeps its mode and time.
				e.report(Report{Local: m.near.Local, Remote: m.far, Kind: hufu.Folder, Outcome: Skipped, Err: e.within("set meta", m.near.Local, m.far, err)})
			default:
				e.fail(pair{near: m.near, far: m.far, source: hufu.Entry{Kind: hufu.Folder}}, err)
			}
		})
	}
	wg.Wait()
}
