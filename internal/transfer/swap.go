package transfer

import (
	"context"
	"fmt"
	"regexp"
	"sync"
	"sync/atomic"

	"hufu"
	"hufu/internal/blob"
)

// A mirror replaces an entry by one of another kind only when that has arrived.
//
// A folder that a file or a link replaces stays until then: the file is brought to a name beside it,
// and after everything else the folder is removed and the file gets its name. A file or a link that
// a folder replaces gets another name, which is removed when the whole transfer is over and nothing
// in the folder has failed. If the transfer ends early, both are still at the target, and the next run
// goes on.
const (
	newSuffix = ".hufu-new" // of the file beside the folder
	oldSuffix = ".hufu-old" // of the file that has made way for a folder
)

// swap is an entry of the target that is of another kind than its source.
type swap struct {
	p       pair        // its target is the entry
	beside  pair        // the other name; its target is what stood there before
	arrived atomic.Bool // the source is at the other name, brought by this run or an earlier one
	barred  bool        // the filter protects something in the folder: it stays, and nothing is brought
	failed  bool        // something in the new folder could not be transferred
	unseen  error       // from looking at the entry under its other name
}

// markArrived notes that the source is at the other name. A nil s does nothing.
func (s *swap) markArrived() {
	if s != nil {
		s.arrived.Store(true)
	}
}

// tellKept reports that something stays under the name as: the old entry (sync_old_kept) or the new
// one (sync_new_kept).
func (pl *planner) tellKept(code string, target, as pair) {
	pl.e.report(Report{
		Local: target.near.Local, Remote: target.far, Kind: hufu.Folder, Outcome: Skipped,
		Err: &hufu.Error{Op: "compare", Kind: hufu.KindWrongKind, Code: code, Args: map[string]string{"target": target.into(), "as": as.into()}},
	})
}

// at reports whether p is the other name of s.
func (s *swap) at(p pair) bool {
	if p.toNear {
		return p.near.Store == s.beside.near.Store && p.near.Path == s.beside.near.Path
	}
	return p.far == s.beside.far
}

var otherName = regexp.MustCompile(`^(?s:(.+))(` + regexp.QuoteMeta(oldSuffix) + "|" + regexp.QuoteMeta(newSuffix) + `)(?:-[0-9]+)?$`)

// isNeeded reports whether x, which is at p, may be the only copy of an entry whose replacement has
// failed. Then x is kept, and that is reported.
func (pl *planner) isNeeded(ctx context.Context, x extra, p pair) bool {
	m := otherName.FindStringSubmatch(x.entry.Name)
	if m == nil || x.entry.Kind == hufu.Folder || pl.e.Stats.Failed.Load() == 0 {
		return false
	}
	for _, all := range [][]*swap{pl.swaps, pl.e.asides.all} {
		for _, s := range all {
			if !s.barred && s.at(p) {
				return true // reported already
			}
		}
	}
	target, err := x.in.entryOf(hufu.Entry{Name: m[1]})
	if err != nil {
		return false // then it is none of these names
	}
	if now, err := pl.to.look(ctx, target); err == nil && now != nil && now.Kind != hufu.Folder {
		return false // the entry is a file or a link, so this is over
	}
	code := "sync_old_kept"
	if m[2] == newSuffix {
		code = "sync_new_kept"
	}
	pl.tellKept(code, target, p)
	return true
}

// asides are the files and links that folders have replaced.
type asides struct {
	mu  sync.Mutex
	all []*swap
}

// failed notes that the entry at p of the far side could not be transferred.
func (a *asides) failed(p hufu.Path) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range a.all {
		s.failed = s.failed || p.Below(s.p.far)
	}
}

// besides returns p under another name in the same folder. The name is free, or usable accepts the
// entry there.
func (pl *planner) besides(ctx context.Context, p pair, suffix string, beside neighbours, usable func(*hufu.Entry) bool) (q pair, err error) {
	for n := 1; ; n++ {
		end := suffix
		if n > 1 {
			end = fmt.Sprint(suffix, "-", n)
		}
		name := fitted(p.base(), end)
		if pl.inSource(ctx, p, name, beside.source) {
			continue
		}
		q = p
		if err = q.rename(name); err != nil {
			return q, err
		}
		if q.target, err = pl.to.look(ctx, q); err != nil || q.target == nil || usable(q.target) {
			return q, err
		}
	}
}

// replacesFolder has the file or link p, whose target is a folder, brought to a name beside it. It
// changes p to that name, and reports whether it may be done; if not, it has reported why, or
// swapAll does.
func (pl *planner) replacesFolder(ctx context.Context, p *pair, beside neighbours) (*swap, bool) {
	barred, err := pl.protects(ctx, *p, p.below+"/")
	if barred && err == nil {
		pl.mu.Lock()
		defer pl.mu.Unlock()
		pl.swaps = append(pl.swaps, &swap{p: *p, barred: true})
		return nil, false
	}
	if err != nil {
		pl.e.fail(*p, err)
		return nil, false
	}
	q, err := pl.besides(ctx, *p, newSuffix, beside, func(x *hufu.Entry) bool { return x.Kind == p.source.Kind })
	if err != nil {
		pl.e.fail(*p, err)
		return nil, false
	}
	s := &swap{p: *p, beside: q}
	*p = q
	p.near.Local = s.p.near.Local // it is for people
	pl.mu.Lock()
	defer pl.mu.Unlock()
	pl.swaps = append(pl.swaps, s)
	return s, true
}

// replacedByFolder gives the target of p, a file or a link, another name, so that a folder can take its
// name. It reports whether the name is free; if not, it has reported why.
func (pl *planner) replacedByFolder(ctx context.Context, p *pair) bool {
	s := &swap{p: *p}
	now, err := pl.to.look(ctx, *p)
	if err == nil && (now == nil || now.Version != p.target.Version) {
		err = &hufu.Error{Op: "compare", Kind: hufu.KindChanged, Code: "target_changed", Far: !p.toNear}
	}
	if err == nil {
		s.beside, err = pl.besides(ctx, *p, oldSuffix, neighbours{}, func(*hufu.Entry) bool { return false })
	}
	if err == nil {
		err = pl.to.rename(ctx, *p, s.beside)
	}
	if err != nil {
		pl.e.fail(*p, err)
		return false
	}
	if s.beside.target, err = pl.to.look(ctx, s.beside); err != nil {
		if Stops(err) {
			pl.tellKept("sync_old_kept", s.p, s.beside)
			pl.e.fail(*p, err)
			return false
		}
		s.unseen = err
	}
	p.target = nil
	if err == nil && s.beside.target == nil {
		return true // somebody has removed it
	}
	pl.e.asides.mu.Lock()
	defer pl.e.asides.mu.Unlock()
	pl.e.asides.all = append(pl.e.asides.all, s)
	return true
}

// swapAll puts what has arrived beside a folder in its place. The transfer is whole.
func (pl *planner) swapAll(ctx context.Context) {
	r := newRemover(pl)
	for _, s := range pl.swaps {
		if ctx.Err() != nil {
			return
		}
		if s.barred {
			if pl.mayRemove() {
				pl.clear(ctx, r, s.p)
			}
			if ctx.Err() == nil {
				pl.e.fail(s.p, wrongKind(s.p))
			}
			continue
		}
		if !s.arrived.Load() {
			continue // that was reported
		}
		now, err := pl.to.look(ctx, s.beside)
		if err == nil && (now == nil || now.Kind != s.p.source.Kind) {
			err = &hufu.Error{Op: "compare", Kind: hufu.KindChanged, Code: "target_changed", Far: !s.p.toNear}
		}
		if err != nil {
			pl.failFolder(s.p, err)
			continue
		}
		if !pl.mayRemove() {
			pl.tellKept("sync_new_kept", s.p, s.beside)
			continue
		}
		gone := pl.clear(ctx, r, s.p)
		switch {
		case gone:
			if err = pl.to.rename(ctx, s.beside, s.p); err == nil {
				continue
			}
			pl.failFolder(s.p, err)
			pl.tellKept("sync_new_kept", s.p, s.beside)
		case ctx.Err() == nil:
			pl.failFolder(s.p, wrongKind(s.p))
			s.beside.target = now
			pl.to.remove(ctx, s.beside, func(err error) { // the next run brings it again
				if Stops(err) {
					pl.e.fatal(err)
				}
			})
			if s.p.toNear {
				pl.to.settle(ctx, true)
			}
		}
	}
}

// clear removes the target of p, a folder, but for what the filter protects, and reports whether it
// is gone.
func (pl *planner) clear(ctx context.Context, r *remover, p pair) bool {
	there := *p.target
	gone, _ := r.folder(ctx, pair{near: p.near, far: p.far, source: there, target: &there, toNear: p.toNear}, p.below+"/")
	if p.toNear {
		pl.to.settle(ctx, true)
	}
	return gone
}

// protects reports whether the filter protects something in the target of p, a folder. below is the
// path of the folder for the filter.
func (pl *planner) protects(ctx context.Context, p pair, below string) (bool, error) {
	if pl.e.o.Filter.Empty() {
		return false, nil
	}
	names := pl.to.lister(p)
	defer names.Close()
	j := folderJob{pair: p}
	found := false
	for after := ""; ; {
		var folders []hufu.Entry
		next, err := names.List(ctx, blob.Page{After: after, Limit: PageNames, Brief: true}, func(x hufu.Entry) error {
			found = found || pl.e.o.Filter.Excludes(below+x.Name, x.Kind == hufu.Folder)
			if x.Kind == hufu.Folder {
				folders = append(folders, x)
			}
			return nil
		})
		for _, x := range folders {
			if found || err != nil {
				break
			}
			var q pair
			if q, err = j.entryOf(x); err == nil {
				found, err = pl.protects(ctx, q, below+x.Name+"/")
			}
		}
		if after = next; found || err != nil || next == "" {
			return found, err
		}
	}
}

// failFolder reports a folder that has not made way. The file that was to replace it has its own
// report.
func (pl *planner) failFolder(p pair, err error) {
	p.source.Kind = hufu.Folder
	pl.e.fail(p, err)
}

// dropAsides removes what has made way for folders, unless something in such a folder has failed.
func (pl *planner) dropAsides(ctx context.Context) {
	for _, s := range pl.e.asides.all {
		if ctx.Err() != nil {
			return
		}
		as, err := s.beside, s.unseen
		if s.failed {
			pl.tellKept("sync_old_kept", s.p, as)
			continue
		}
		if err == nil {
			pl.to.remove(ctx, s.beside, func(failed error) { err = failed })
			if s.p.toNear {
				pl.to.settle(ctx, true)
			}
		}
		if err != nil && hufu.KindOf(err) != hufu.KindNotFound {
			as.source = *s.p.target
			pl.e.fail(as, err)
		}
	}
}

func (t *farEnd) look(ctx context.Context, p pair) (*hufu.Entry, error) {
	return t.e.farStat(ctx, p.far)
}

func (t *farEnd) rename(ctx context.Context, from, to pair) error {
	return t.e.far.Rename(ctx, from.far, to.far, hufu.Condition{Kind: hufu.IfAbsent})
}

func (t *nearEnd) look(ctx context.Context, p pair) (*hufu.Entry, error) {
	return nearStat(ctx, p.near)
}

func (t *nearEnd) rename(ctx context.Context, from, to pair) error {
	b := from.near.Store.Batch(blob.Guard{})
	b.Rename(ctx, from.near.Path, to.near.Path, hufu.Condition{Kind: hufu.IfAbsent}, "")
	return b.Finish(ctx)[0].Err
}

// sameMeta reports whether the target of p has the mode and time that it gets.
func (pl *planner) sameMeta(p *pair) bool {
	return (pl.e.o.Drop.Times || sameTime(p.target.MTime, p.source.MTime)) &&
		(p.source.Kind == hufu.Link || settledMode(pl.mode(*p), p.target) == p.target.Mode)
}
