package transfer

import (
	"context"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"hufu"
	"hufu/internal/blob"
)

// largeAbove is the size in bytes of the largest file that travels in one frame. A larger
// one is an upload of chunks.
const largeAbove = hufu.ChunkSize

// IsLarge reports whether e is sent as an upload of chunks.
func IsLarge(e hufu.Entry) bool { return e.Kind == hufu.File && e.Size > largeAbove }

// Source is one thing to transfer and the name it gets.
type Source struct {
	Side
	Far hufu.Path
	// Contents means what is in the folder, not the folder itself.
	Contents bool
	// Itself says, with Contents, that the target folder gets the mode and time of the source, too.
	Itself bool
	// Fresh says that the far folder that receives the source was just made, so it is empty. With
	// Contents that folder is Far itself, otherwise it is Far's parent.
	Fresh bool
	// Entry is what stands at the far side, for a get, if it is known already.
	Entry *hufu.Entry
}

// Put copies sources to the far side. The error is what ended the transfer as
// a whole; what became of each name is in the reports.
func (e *Engine) Put(ctx context.Context, sources []Source) error {
	return e.run(ctx, sources, newFarEnd(e), e.putLarge, e.putWorker)
}

// farEnd is the far side as a target.
type farEnd struct {
	e      *Engine
	making errgroup.Group // folders, modes and times
}

func newFarEnd(e *Engine) *farEnd {
	t := &farEnd{e: e}
	t.making.SetLimit(2 * planners)
	return t
}

func (t *farEnd) op() string { return "put" }

func (t *farEnd) find(ctx context.Context, s Source, p *pair) (err error) {
	if p.source, err = s.Store.Stat(ctx, s.Path); err == nil && !s.Fresh {
		p.target, err = t.e.farStat(ctx, s.Far)
	}
	return err
}

func (t *farEnd) leave(ctx context.Context, near Side) error { return t.e.o.Leave(ctx, near) }

func (t *farEnd) check(near Side) error {
	if near.Path.Reserved() {
		return &hufu.Error{Op: "put", Path: near.Local, Kind: hufu.KindInvalidPath, Code: "name_reserved"}
	}
	return nil
}

func (t *farEnd) mode(p pair) uint32     { return p.source.Mode }
func (t *farEnd) keptMode(p pair) uint32 { return p.source.Mode }

// stripped: what this user uploads is this user's.
func (t *farEnd) stripped(pair) uint32 { return 0 }

func (t *farEnd) setMeta(ctx context.Context, p pair, m Meta, done func(error)) {
	t.making.Go(func() error { done(t.e.far.SetMeta(ctx, p.far, m, p.target.Version)); return nil })
}

func (t *farEnd) taken(ctx context.Context, p pair, name string, there *listed) (*hufu.Entry, bool) {
	if there != nil {
		if x, known := there.has(name); x != nil || known {
			return x, x != nil
		}
	}
	return t.e.farTaken(ctx, p, name)
}

func (t *farEnd) sourceHas(ctx context.Context, p pair, name string) bool {
	_, there := nearTaken(ctx, p, name)
	return there
}

func (t *farEnd) mkdir(ctx context.Context, p pair) {
	t.making.Go(func() error {
		if _, err := t.e.far.Mkdir(ctx, p.far, p.source.Mode|0o700, true); err != nil {
			t.e.fail(p, err)
		} else {
			t.e.report(Report{Local: p.near.Local, Remote: p.far, Kind: hufu.Folder, Outcome: Made})
		}
		return nil
	})
}

func (t *farEnd) link(ctx context.Context, p pair, c hufu.Condition, done func(error)) {
	err := t.e.far.Link(ctx, p.far, p.source.Target, p.source.MTime, c)
	if overtaken(err) {
		x, unknown := t.e.farStat(ctx, p.far)
		if unknown != nil || x != nil && x.Kind == hufu.Link && x.Target == p.source.Target {
			err = unknown
		}
	}
	done(err)
}

func (t *farEnd) lister(p pair) blob.Lister { return t.e.far.Lister(p.far) }

func (t *farEnd) remove(ctx context.Context, p pair, done func(error)) {
	done(t.e.far.RemoveOne(ctx, p.far, p.target.Version))
}

func (t *farEnd) settle(context.Context, bool) { _ = t.making.Wait() } // each has told its own error

// farStat describes the entry at p, nil if there is none.
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

// farTaken returns the entry called name in the folder of p at the far side, and whether
// there is one.
func (e *Engine) farTaken(ctx context.Context, p pair, name string) (*hufu.Entry, bool) {
	q, err := p.far.Parent().Join(name)
	if err != nil {
		return nil, false
	}
	x, err := e.farStat(ctx, q)
	return x, err == nil && x != nil
}

// same compares digests. That of the file here is computed now. The Digest call may
// change the version of the far file, because the server stores the digest with it.
// So the entry that the call returns becomes the new target.
func (t *farEnd) same(ctx context.Context, p pair) (pair, bool, error) {
	near, err := p.near.Store.Digest(ctx, p.near.Path)
	if err != nil || near.Size != p.target.Size {
		return p, false, err
	}
	if p.target.Digest.IsZero() || t.e.o.Checksum {
		far, err := t.e.far.Digest(ctx, p.far)
		if err != nil {
			return p, false, err
		}
		p.target = &far
	}
	return p, near.Digest == p.target.Digest, nil
}

// setFolders begins with the deepest, but many run at once: the server needs no order.
func (t *farEnd) setFolders(ctx context.Context, metas []folderMeta) {
	e := t.e
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
			var err error
			if m.meta.MTime.IsZero() {
				var now hufu.Entry
				now, err = e.far.Stat(ctx, m.far)
				m.meta.MTime = now.MTime
			}
			if err == nil {
				err = e.far.SetMeta(ctx, m.far, m.meta, "")
			}
			switch {
			case err == nil && m.told:
				e.report(m.report(Updated))
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
