package transfer

import (
	"context"
	"runtime"

	"hufu"
)

// update gives the target of p, which has the same contents as the source, the mode and time of
// the source, unless it has them or --conflict protects it. It reports whether it does; then it
// also reports p.
func (pl *planner) update(ctx context.Context, p pair, r Report) bool {
	e := pl.e
	m := pl.keptMeta(p)
	later := !sameTime(m.MTime, p.target.MTime)
	switch {
	case !later && (p.source.Kind == hufu.Link || m.Mode == p.target.Mode):
		return false
	case e.o.Ask != nil:
	case e.o.Conflict == Skip, e.o.Conflict == Newer && later && m.MTime.Before(p.target.MTime):
		return false
	}
	pl.updateTo(ctx, p, m, r)
	return true
}

// updateTo gives the target of p mode and time, and reports it. It is not part of update because
// its closure has p on the heap, which for most files is not necessary.
func (pl *planner) updateTo(ctx context.Context, p pair, m Meta, r Report) {
	e := pl.e
	e.Stats.BytesDone.Add(p.source.Size)
	if e.o.DryRun {
		r.Outcome = WouldUpdate
		e.report(r)
		return
	}
	e.noteClamped(p.near.Local, m.MTime)
	there := *p.target
	p.target = &there // the copy lets the page go
	pl.to.setMeta(ctx, p, m, func(err error) {
		switch {
		case err == nil:
			r.Outcome = Updated
		case hufu.KindOf(err) == hufu.KindPermission:
			// Somebody else's file has the contents already, and keeps its mode and time.
			r.Outcome, r.Err = Skipped, e.within("set meta", p.near.Local, p.far, err)
		default:
			e.fail(p, err)
			return
		}
		e.report(r)
	})
}

// settledMode returns the mode that an entry gets, whose wanted mode may come from a system, or go
// to one, that knows no more of it than whether it may be written. There is what is at the target.
func settledMode(want uint32, there *hufu.Entry) uint32 {
	if runtime.GOOS == "windows" && there != nil && (want^there.Mode)&0o200 == 0 {
		return there.Mode
	}
	return want
}
