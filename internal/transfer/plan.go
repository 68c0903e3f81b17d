package transfer

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"hufu"
	"hufu/internal/blob"
)

// errAborted stands for a file that was not finished because the whole transfer ended; run
// returns the reason.
var errAborted = errors.New("transfer ended")

// targetEnd is the side that a transfer copies to. A put copies to the farEnd, a get to
// the nearEnd. The same planner compares both.
type targetEnd interface {
	op() string
	// find finds source and target of s.
	find(ctx context.Context, s Source, p *pair) error
	// leave returns an error that says why a folder is left out, nil if it is copied.
	leave(ctx context.Context, near Side) error
	// check returns an error if the name must not be copied.
	check(near Side) error
	// same reports whether two files have the same contents. It returns p with what
	// it has learnt of them.
	same(ctx context.Context, p pair) (_ pair, same bool, err error)
	// taken returns the entry called name in the folder of p's target, and whether there is one.
	// The argument there is the listing of that folder, nil if it was not listed.
	taken(ctx context.Context, p pair, name string, there *listed) (*hufu.Entry, bool)
	// sourceHas reports whether the folder of p's source has an entry called name. It is called
	// only if the listing pages that are still in memory cannot answer.
	sourceHas(ctx context.Context, p pair, name string) bool
	// mode returns the mode that p gets.
	mode(p pair) uint32
	// keptMode returns the mode that p gets if its target has the same contents.
	keptMode(p pair) uint32
	// stripped are the bits of a mode that p may not have, because another user uploaded it.
	stripped(p pair) uint32
	// setMeta gives the target of p, if it is still the version that was seen, another mode and
	// time, and calls done.
	setMeta(ctx context.Context, p pair, m Meta, done func(error))
	// mkdir makes the folder p and reports it. Nobody waits for it: an entry below the folder
	// also creates the folder if it is missing.
	mkdir(ctx context.Context, p pair)
	// link makes the link p and calls done.
	link(ctx context.Context, p pair, c hufu.Condition, done func(error))
	// lister lists the folder p of the target.
	lister(p pair) blob.Lister
	// look describes what stands at the target's name now, nil if nothing does.
	look(ctx context.Context, p pair) (*hufu.Entry, error)
	// rename gives the entry at from the name of to, which must be free.
	rename(ctx context.Context, from, to pair) error
	// remove removes the target of p, if it is still the version that was seen and no folder with
	// something in it, and calls done. It may do so as late as in settle.
	remove(ctx context.Context, p pair, done func(error))
	// settle ends what the other methods have begun, or if the transfer is not whole gives it up.
	settle(ctx context.Context, whole bool)
	// setFolders sets mode and time of the folders.
	setFolders(ctx context.Context, folders []folderMeta)
}

// planner compares the sources of one transfer with their targets, and queues what
// is to be transferred.
type planner struct {
	e      *Engine
	to     targetEnd
	larges chan<- *item

	mu      sync.Mutex // guards what follows
	folders []folderMeta
	extras  []extra
	swaps   []*swap         // folders that files and links replace
	fresh   map[uint64]bool // names of the source that the target did not list; see isFresh
}

// folderMeta holds the mode and time of a folder. They are set last. Writing into a
// folder changes its time and needs write permission.
type folderMeta struct {
	near Side
	far  hufu.Path
	meta Meta // a zero time keeps that of the target
	made bool // by this transfer
	told bool // a change of mode or time is reported
}

// neighbours are the names in the folder of one entry.
type neighbours struct {
	source *listed // its names will exist at the target too; nil if it was not listed
	target *listed // nil if it was not listed
}

// plan compares the sources with their targets on the side that "to" stands for. after must be
// called when everything queued is at its place, with false if the transfer has ended early.
func (e *Engine) plan(ctx context.Context, sources []Source, to targetEnd, larges chan<- *item) (after func(whole bool)) {
	if len(sources) > 1 {
		e.claimed = newNameSet()
	}
	pl := &planner{e: e, to: to, larges: larges}
	pairs, errs := make([]pair, len(sources)), make([]error, len(sources))
	Together(len(sources), func(i int) {
		s := sources[i]
		pairs[i] = pair{near: s.Side, far: s.Far, toNear: e.gets}
		if !s.Contents || s.Itself { // otherwise only the entries are compared, which needs no Stat
			errs[i] = to.find(ctx, s, &pairs[i])
		}
	})
	var first []folderJob
	for i, s := range sources {
		if j, ok := pl.named(ctx, s, pairs[i], errs[i]); ok {
			first = append(first, j)
		}
	}
	begun := slices.Clone(first) // walk uses the other
	walk(ctx, first, func(j folderJob, s *stack) { pl.compare(ctx, j, s) })
	if e.o.Only != nil {
		for _, j := range begun {
			pl.failMissing(ctx, j.only, j.pair)
		}
	}
	return func(whole bool) {
		to.settle(ctx, whole)
		if whole {
			pl.swapAll(ctx)
			pl.dropAsides(ctx)
			pl.removeExtras(ctx)
			to.setFolders(ctx, pl.folders)
		}
	}
}

// named plans a source that the user has named. It returns a job if the source is a
// folder to be walked.
func (pl *planner) named(ctx context.Context, s Source, p pair, err error) (folderJob, bool) {
	var below string
	if err == nil && !s.Contents && !pl.e.o.Filter.Empty() {
		below = filepath.Base(s.Local)
		if pl.e.gets {
			below = s.Far.Base()
		}
		if pl.excludes(p, below) {
			return folderJob{}, false
		}
		below += "/"
	}
	if p.source.Kind == hufu.Folder || s.Contents {
		if err := pl.to.leave(ctx, p.near); err != nil {
			pl.e.fail(p, err)
			return folderJob{}, false
		}
	}
	if !s.Contents {
		pl.e.found(p.source)
	}
	switch {
	case s.Contents && !s.Itself:
		return folderJob{pair: p, fresh: s.Fresh, only: pl.e.o.Only.first()}, true
	case err != nil:
		pl.e.fail(p, err)
	case s.Contents && p.source.Kind != hufu.Folder:
		pl.e.fail(p, &hufu.Error{Op: pl.to.op(), Kind: hufu.KindWrongKind, Code: "source_no_folder"})
	case p.source.Kind == hufu.Folder:
		j, ok := pl.folder(ctx, p)
		j.below, j.only = below, pl.e.o.Only.first()
		return j, ok
	case p.source.Kind == hufu.Other:
		pl.e.fail(p, special(pl.to.op(), p.from()))
	default:
		pl.one(ctx, p, neighbours{})
	}
	return folderJob{}, false
}

// folder plans a folder itself. Its mode and time are set when everything below it
// is at its place.
func (pl *planner) folder(ctx context.Context, p pair) (folderJob, bool) {
	fresh := p.target == nil
	if !fresh && p.target.Kind != hufu.Folder {
		if _, free := pl.displace(ctx, &p, neighbours{}); !free {
			return folderJob{}, false
		}
		fresh = true
	}
	p.source.Mode = settledMode(pl.mode(p), p.target)
	differs := fresh || p.target.Mode != p.source.Mode || !pl.e.o.Drop.Times && !sameTime(p.target.MTime, p.source.MTime)
	j := folderJob{pair: p, fresh: fresh, itself: true, told: differs && !fresh && pl.e.o.Mirror != nil}
	if pl.e.o.DryRun {
		pl.wouldChange(j)
		return j, true
	}
	if fresh {
		pl.to.mkdir(ctx, p)
	}
	if differs {
		pl.finishFolder(&j)
	}
	return j, true
}

// finishFolder has mode and time of a folder set when everything in it is at its place. A change
// in a folder gives it another time, so it is called for each folder that has one.
func (pl *planner) finishFolder(j *folderJob) {
	if !j.itself || j.finishes || pl.e.o.DryRun {
		return
	}
	j.finishes = true
	m := Meta{Mode: j.source.Mode}
	if !pl.e.o.Drop.Times {
		m.MTime = j.source.MTime
		pl.e.noteClamped(j.near.Local, m.MTime)
	}
	pl.mu.Lock()
	defer pl.mu.Unlock()
	pl.folders = append(pl.folders, folderMeta{j.near, j.far, m, j.fresh, j.told})
}

// compare compares one folder with its target, and pushes the folders in it. Both are listed page
// by page and in order, so memory does not depend on the number of files.
func (pl *planner) compare(ctx context.Context, j folderJob, s *stack) {
	e := pl.e
	j.inside = j.near.inside()
	listing, cancel := context.WithCancel(ctx)
	alone := false
	admit := func(ctx context.Context) error {
		if alone {
			return nil
		}
		select {
		case e.bigFolder <- struct{}{}:
			alone = true
			return nil
		case <-ctx.Done():
			return &hufu.Error{Op: "list", Kind: hufu.KindCanceled, Err: context.Cause(ctx)}
		}
	}
	keep := e.o.Conflict == Rename || e.o.Ask != nil
	far := &listed{open: func() blob.Lister { return e.far.Lister(j.far) }, admit: admit, keep: keep, brief: e.inBrief, modes: e.o.Conflict != Skip}
	near := &listed{open: func() blob.Lister { return j.near.Store.Lister(j.near.Path) }, admit: admit, keep: keep}
	source, target := near, far
	if e.gets {
		source, target = far, near
	}
	if j.fresh { // it is empty
		target.open = nil
	}
	defer func() {
		cancel()
		far.close()
		near.close()
		if alone {
			<-e.bigFolder
		}
	}()
	var passed func(hufu.Entry)
	last := "" // the name of the source that was compared last, whose target is passed next
	if m := e.o.Mirror; m != nil && m.Delete {
		j.spared = j.spared || e.gets && e.o.Leave(ctx, j.near) != nil
	}
	if m := e.o.Mirror; m != nil && m.Delete && !j.spared {
		passed = func(x hufu.Entry) {
			if x.Name != last {
				pl.extra(&j, x)
			}
		}
	}
	far.begin(listing)
	near.begin(listing)
	for _, side := range []*listed{far, near} {
		if _, err := side.peek(listing); err != nil {
			pl.failListing(ctx, j, err)
			return
		}
	}
	for ctx.Err() == nil {
		t, err := source.peek(listing)
		if t == nil && err == nil {
			if passed != nil {
				err = target.rest(listing, passed)
			}
			if err != nil {
				pl.failListing(ctx, j, err)
			}
			return
		}
		var x *hufu.Entry
		if err == nil {
			x, err = target.pass(listing, t.Name, passed)
			last = t.Name
		}
		if err == nil && e.needsAll(t, x) && far.page.brief {
			// The page again, with the digests: one request instead of one for each file.
			var all *hufu.Entry
			if all, err = far.whole(listing, t.Name); !e.gets {
				x = all
			} else if t = all; t == nil && err == nil {
				continue // it has vanished
			}
		}
		if err != nil {
			pl.failListing(ctx, j, err)
			return
		}
		if pl.entry(ctx, &j, *t, x, neighbours{source, target}, s) {
			pl.changes(&j)
		}
		source.at++
	}
}

// failListing reports a folder that cannot be listed, unless the transfer has ended.
func (pl *planner) failListing(ctx context.Context, j folderJob, err error) {
	if j.only.forget(); ctx.Err() == nil {
		pl.e.fail(j.pair, err)
	}
}

// entry plans the entry t of the source folder of j. x stands at its target, nil if
// nothing does. It reports whether the target folder will change.
func (pl *planner) entry(ctx context.Context, j *folderJob, t hufu.Entry, x *hufu.Entry, beside neighbours, s *stack) (changes bool) {
	e := pl.e
	below, listed := j.only.take(t.Name, t.Kind)
	if !listed {
		return false
	}
	p := pair{source: t, target: x, toNear: e.gets}
	var err error
	p.near = Side{Store: j.near.Store, Local: j.inside + t.Name}
	if p.near.Path, err = j.near.Path.Join(t.Name); err == nil {
		p.far, err = j.far.Join(t.Name)
	}
	if err != nil {
		e.found(t)
		e.fail(pair{near: j.near, far: j.far, source: t}, err)
		return false
	}
	if !e.o.Filter.Empty() {
		if p.below = j.below + t.Name; pl.excludes(p, p.below) {
			below.forget()
			if m := e.o.Mirror; m != nil && m.Delete && x != nil {
				pl.extra(j, *x) // unless it is excluded, too: it may be of another kind
			}
			return false
		}
	}
	e.found(t)
	if x == nil && e.gets && (!j.fresh || t.Kind == hufu.Folder) {
		if p.target, err = e.otherwise(ctx, p); err != nil {
			below.forget()
			e.fail(p, err)
			return false
		}
	}
	if m := e.o.Mirror; m != nil && m.Delete && x == nil {
		pl.isFresh(j, t.Name, p.target != nil)
	}
	if err := pl.to.check(p.near); err != nil {
		e.fail(p, err)
		return false
	}
	if x != nil && t.Kind != hufu.File { // folders and links keep p: the copy lets the page go. A file does not keep its target
		there := *x
		p.target = &there
	}
	if t.Kind != hufu.Folder {
		return pl.one(ctx, p, beside)
	}
	if err := pl.to.leave(ctx, p.near); err != nil {
		below.forget()
		e.report(Report{Local: p.near.Local, Remote: p.far, Kind: hufu.Folder, Outcome: Skipped, Err: err})
		return false
	}
	f, ok := pl.folder(ctx, p)
	if !ok {
		below.forget()
		return false
	}
	if f.only = below; !below.bare() {
		if p.below != "" {
			f.below = p.below + "/"
		}
		f.spared = j.spared
		s.push(f)
	}
	return f.fresh
}

// one decides about one entry that is no folder: it queues a file, makes a link, and skips
// anything else. It reports whether the target's folder will change.
func (pl *planner) one(ctx context.Context, p pair, beside neighbours) (changes bool) {
	e := pl.e
	r := Report{Local: p.near.Local, Remote: p.far, Kind: p.source.Kind, Size: p.source.Size}
	if p.source.Kind == hufu.Other {
		r.Outcome, r.Err = Skipped, special(pl.to.op(), p.from())
		e.report(r)
		return false
	}
	if !e.claimed.claim(p.key()) {
		e.fail(p, &hufu.Error{Op: pl.to.op(), Kind: hufu.KindExists, Code: "collision", Args: map[string]string{"target": p.into()}})
		return false
	}
	var sw *swap
	if t := p.target; e.o.Mirror != nil && t != nil && (t.Kind == hufu.Folder || t.Kind == hufu.Other) {
		var free bool
		if sw, free = pl.displace(ctx, &p, beside); !free {
			return true
		}
	}
	v := e.judge(ctx, &p, pl.to.same)
	if sw != nil && v.outcome == Same && pl.sameMeta(&p) { // an earlier run has brought it
		sw.markArrived()
		r.Outcome, r.Resumed = Transferred, p.source.Size
		e.Stats.BytesDone.Add(p.source.Size)
		e.Stats.Resumed.Add(p.source.Size)
		e.report(r)
		return true
	}
	if sw != nil && v.outcome == Same {
		v = settle(Replace, &p)
	}
	if v.rename {
		same, err := pl.rename(ctx, &p, beside)
		if err != nil {
			e.fail(p, err)
			return false
		}
		r.Local, r.Remote, r.Renamed = p.near.Local, p.far, true
		if same {
			v.outcome = Same
		}
	}
	switch {
	case v.outcome == Transferred:
	case v.outcome == Failed:
		e.fail(p, v.err)
		return false
	case v.outcome == Same && !v.rename && pl.update(ctx, p, r):
		return false
	default:
		r.Outcome, r.Err = v.outcome, v.err
		e.Stats.BytesDone.Add(p.source.Size)
		e.report(r)
		return false
	}
	if e.o.DryRun {
		r.Outcome = Would
		e.Stats.BytesDone.Add(p.source.Size)
		e.report(r)
		return true
	}
	if v.rename {
		p.target = nil // which is not at the new name
	}
	p.source.Mode = pl.mode(p) &^ pl.to.stripped(p) // whatever Drop keeps: these are other bytes
	if !e.o.Drop.Times {
		e.noteClamped(p.near.Local, p.source.MTime)
	} else if p.source.Kind == hufu.Link {
		p.source.MTime = time.Now()
	}
	if p.source.Kind == hufu.Link {
		pl.link(ctx, p, v.cond, r, sw)
		return true
	}
	it := &item{local: p.near.Local, store: p.near.Store, path: p.near.Path, remote: p.far, from: p.source, cond: v.cond, mode: p.source.Mode, renamed: v.rename, swap: sw}
	if !IsLarge(it.from) {
		e.queue.addSmall(it)
		return true
	}
	select {
	case pl.larges <- it:
	case <-ctx.Done():
	}
	return true
}

// link makes a link at the target and reports it. sw is that of the link, if it has one.
func (pl *planner) link(ctx context.Context, p pair, c hufu.Condition, r Report, sw *swap) {
	pl.to.link(ctx, p, c, func(err error) {
		if err != nil {
			pl.e.fail(p, err)
			return
		}
		sw.markArrived()
		r.Outcome = Transferred
		pl.e.report(r)
	})
}
