package transfer

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"hufu"
	"hufu/internal/blob"
)

// Mirror says how a target is made equal to its source: an entry of another kind is replaced, too.
// What the filter excludes is not removed.
type Mirror struct {
	// Delete removes from the target what the source does not have, after everything else, and
	// only if all of the source could be read. It also allows that a folder is replaced with everything in it.
	Delete bool
	Most   int64 // names are removed at most; below 0 there is no bound
	// There, if not nil, returns an error if a part of the source has vanished. It is called before
	// something is removed; after an error nothing is.
	There func() error
}

// Kept says why names that the source does not have are still at the target.
type Kept struct {
	Unread bool  // a part of the source could not be read, so nothing was removed
	Over   int64 // names over Mirror.Most
}

// removals count what a mirror removes.
type removals struct {
	begun  atomic.Int64
	over   atomic.Int64
	unread atomic.Bool // a part of the source could not be read
	kept   atomic.Bool // so something was not removed
}

// Kept returns what a mirror has not removed.
func (e *Engine) Kept() Kept { return Kept{e.removals.kept.Load(), e.removals.over.Load()} }

// extra is an entry of the target that the source does not have.
type extra struct {
	in    *folderJob
	entry hufu.Entry
}

// extra notes an entry of the target folder of j that the source does not have.
func (pl *planner) extra(j *folderJob, x hufu.Entry) {
	if pl.e.o.Filter.Excludes(j.below+x.Name, x.Kind == hufu.Folder) {
		return
	}
	pl.changes(j)
	pl.mu.Lock()
	defer pl.mu.Unlock()
	pl.extras = append(pl.extras, extra{j, hufu.Entry{Name: x.Name, Kind: x.Kind, Size: x.Size, Version: x.Version}})
}

// unread reports whether a failure may be one of reading the source. If the source is here, all
// errors of this side are, but those of a target of another kind.
func (e *Engine) unread(err error) bool {
	met, ok := errors.AsType[*hufu.Error](err)
	switch {
	case !ok || met.Kind == hufu.KindIntegrity:
		return true
	case e.gets:
		return met.Far
	}
	return !met.Far && met.Kind != hufu.KindWrongKind
}

// mayRemove reports whether all of the source could be read so far, and is there. If not, it notes that
// something is kept.
func (pl *planner) mayRemove() bool {
	m, r := pl.e.o.Mirror, &pl.e.removals
	if m.There != nil && !r.unread.Load() && m.There() != nil {
		r.unread.Store(true)
	}
	if r.unread.Load() {
		r.kept.Store(true)
	}
	return !r.unread.Load()
}

// removeExtras removes what the source does not have, unless a part of the source could not be
// read.
func (pl *planner) removeExtras(ctx context.Context) {
	if len(pl.extras) == 0 || !pl.mayRemove() {
		return
	}
	r := newRemover(pl)
	var all sync.WaitGroup
	for _, x := range pl.extras {
		if ctx.Err() != nil {
			break
		}
		p, err := x.in.entryOf(x.entry)
		if err != nil {
			pl.e.fail(p, err)
			continue
		}
		if pl.isNeeded(ctx, x, p) {
			continue
		}
		if is, merged := pl.isNew(ctx, x); merged {
			continue // it has what the source has under the other spelling
		} else if is {
			pl.e.fail(p, &hufu.Error{Op: "compare", Kind: hufu.KindExists, Code: "sync_same_name", Args: map[string]string{"target": p.into()}})
			continue
		}
		if x.entry.Kind == hufu.Folder {
			r.folder(ctx, p, x.in.below+x.entry.Name+"/")
		} else {
			r.each(&all, func() { r.one(ctx, p) })
		}
	}
	all.Wait()
	pl.to.settle(ctx, ctx.Err() == nil)
}

// entryOf returns the pair of an entry of the target folder of j, which stands for both sides.
func (j *folderJob) entryOf(x hufu.Entry) (p pair, err error) {
	p = pair{source: x, target: &x, toNear: j.toNear}
	if p.near, err = j.near.Join(x.Name); err == nil {
		p.far, err = j.far.Join(x.Name)
	}
	return p, err
}

// remover removes entries of the target, many at the same time.
type remover struct {
	pl    *planner
	slots chan struct{}
}

func newRemover(pl *planner) *remover { return &remover{pl, make(chan struct{}, 2*planners)} }

func (r *remover) each(all *sync.WaitGroup, do func()) {
	r.slots <- struct{}{}
	all.Go(func() {
		defer func() { <-r.slots }()
		do()
	})
}

// folder removes the folder p of the target with everything in it. below is its path for the
// filter: what the filter excludes stays, and the folders above it. It reports whether p is gone, and
// whether Mirror.Most alone kept it.
func (r *remover) folder(ctx context.Context, p pair, below string) (gone, over bool) {
	e := r.pl.e
	if p.toNear {
		if err := e.o.Leave(ctx, p.near); err != nil {
			e.report(Report{Local: p.near.Local, Remote: p.far, Kind: hufu.Folder, Outcome: Skipped, Err: err})
			return false, false
		}
	}
	var all sync.WaitGroup
	var left, most atomic.Bool
	note := func(gone, over bool) {
		switch {
		case over:
			most.Store(true)
		case !gone:
			left.Store(true)
		}
	}
	names := r.pl.to.lister(p)
	defer names.Close()
	j := folderJob{pair: p}
	for after := ""; ; {
		var page []hufu.Entry
		next, err := names.List(ctx, blob.Page{After: after, Limit: PageNames, Brief: true}, func(x hufu.Entry) error { page = append(page, x); return nil })
		if err != nil {
			e.fail(p, err)
			left.Store(true)
			break
		}
		for _, x := range page {
			q, err := j.entryOf(x)
			if err != nil {
				e.fail(p, err)
				left.Store(true)
				continue
			}
			switch folder := x.Kind == hufu.Folder; {
			case e.o.Filter.Excludes(below+x.Name, folder):
				left.Store(true)
				e.report(Report{Local: q.near.Local, Remote: q.far, Kind: x.Kind, Size: x.Size, Outcome: Excluded})
			case folder:
				note(r.folder(ctx, q, below+x.Name+"/"))
			default:
				r.each(&all, func() { note(r.one(ctx, q)) })
			}
		}
		if after = next; next == "" || ctx.Err() != nil {
			break
		}
	}
	all.Wait()
	switch {
	case left.Load() || ctx.Err() != nil:
		return false, false
	case most.Load():
		e.removals.over.Add(1)
		return false, true
	}
	return r.one(ctx, p)
}

// one removes the entry p of the target, a folder only if it is empty. It reports whether the entry
// is gone, or will be when the target has settled, and whether it is over Mirror.Most.
func (r *remover) one(ctx context.Context, p pair) (gone, over bool) {
	e := r.pl.e
	if most := e.o.Mirror.Most; e.removals.begun.Add(1) > most && most >= 0 {
		e.removals.over.Add(1)
		return false, true
	}
	told := Report{Local: p.near.Local, Remote: p.far, Kind: p.target.Kind, Size: p.target.Size, Outcome: Deleted}
	if e.o.DryRun {
		told.Outcome = WouldDelete
		e.report(told)
		return true, false
	}
	var failed atomic.Bool
	r.pl.to.remove(ctx, p, func(err error) {
		switch {
		case err == nil:
			e.report(told)
		case hufu.KindOf(err) != hufu.KindNotFound: // somebody else has removed it
			failed.Store(true)
			e.fail(p, err)
		}
	})
	return !failed.Load(), false
}

// displace has the target of p, which is of another kind than the source, make way. It reports
// whether the name is free; if not, it has reported why, or swapAll does. A swap is returned if the
// source is brought to a name beside a folder; p is changed to that name.
func (pl *planner) displace(ctx context.Context, p *pair, beside neighbours) (*swap, bool) {
	switch m := pl.e.o.Mirror; {
	case m == nil:
		pl.e.fail(*p, wrongKind(*p))
		return nil, false
	case !pl.mayGo(*p):
		return nil, false
	case pl.e.o.DryRun, p.target.Kind == hufu.Other, p.target.Kind == hufu.Folder && !m.Delete:
		return nil, pl.makeWay(ctx, p)
	case p.target.Kind == hufu.Folder:
		return pl.replacesFolder(ctx, p, beside)
	}
	return nil, pl.replacedByFolder(ctx, p)
}

// mayGo reports whether the mirror may remove the target of p. If not, it has reported that. swapAll
// asks later whether all of the source could be read.
func (pl *planner) mayGo(p pair) bool {
	m, folder := pl.e.o.Mirror, p.target.Kind == hufu.Folder
	if pl.e.o.Filter.Excludes(p.below, folder) || folder && m.Delete && (m.Most >= 0 || pl.e.o.DryRun && pl.e.removals.unread.Load()) {
		pl.e.fail(p, wrongKind(p))
		return false
	}
	return true
}

// makeWay removes the target of p at once, or in a dry run reports that. It is for an empty folder
// without Delete, and for what is neither file nor folder nor link. It reports whether the name is
// free; if not, it has reported why.
func (pl *planner) makeWay(ctx context.Context, p *pair) bool {
	m := pl.e.o.Mirror
	there := *p.target
	q := pair{near: p.near, far: p.far, source: there, target: &there, toNear: p.toNear}
	free := false
	var err error
	switch r := newRemover(pl); {
	case there.Kind == hufu.Folder && m.Delete:
		free, _ = r.folder(ctx, q, p.below+"/")
	case pl.e.o.DryRun:
		free = there.Kind != hufu.Folder
	default:
		pl.to.remove(ctx, q, func(failed error) { free, err = failed == nil, failed })
	}
	if p.toNear && !pl.e.o.DryRun {
		pl.to.settle(ctx, true)
	}
	switch {
	case free:
		p.target = nil
	case ctx.Err() != nil: // that is the reason
	case Stops(err):
		pl.e.fail(*p, err)
	case there.Kind == hufu.Folder && !m.Delete:
		pl.e.fail(*p, &hufu.Error{Op: "compare", Kind: hufu.KindWrongKind, Code: "sync_folder_in_the_way", Args: map[string]string{"target": p.into()}})
	default:
		pl.e.fail(*p, wrongKind(*p))
	}
	return free
}

// wouldChange reports a folder in a dry run of a mirror.
func (pl *planner) wouldChange(j folderJob) {
	r := Report{Local: j.near.Local, Remote: j.far, Kind: hufu.Folder}
	switch {
	case pl.e.o.Mirror == nil:
	case j.fresh:
		r.Outcome = WouldMake
		pl.e.report(r)
	case j.told:
		r.Outcome = WouldUpdate
		pl.e.report(r)
	}
}

// Changed reports whether the transfer has changed anything at the target, or in a dry run would.
func (s *Stats) Changed() bool {
	return s.Transferred.Load()+s.Made.Load()+s.Deleted.Load()+s.Updated.Load()+s.would.Load() > 0
}

// report is the report of a folder.
func (m *folderMeta) report(o Outcome) Report {
	return Report{Local: m.near.Local, Remote: m.far, Kind: hufu.Folder, Outcome: o}
}
