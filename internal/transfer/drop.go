package transfer

import (
	"context"
	"time"

	"hufu"
)

// Drop says which attributes of the source its copy does not get.
type Drop struct {
	// Mode: what exists at the target keeps its mode. What is new gets the usual one: 0777 for a folder
	// and 0666 for a file, without the bits of Umask.
	Mode  bool
	Umask uint32
	// Times: what is transferred gets the present time, everything else at the target keeps its own.
	Times bool
}

// NewMode returns the mode of a new entry of this kind.
func (d *Drop) NewMode(k hufu.EntryKind) uint32 {
	if k == hufu.Folder {
		return 0o777 &^ d.Umask
	}
	return 0o666 &^ d.Umask
}

// mode returns the mode that p gets.
func (pl *planner) mode(p pair) uint32 {
	switch d := &pl.e.o.Drop; {
	case !d.Mode:
		return pl.to.mode(p)
	case p.target != nil && p.target.Kind == p.source.Kind:
		return p.target.Mode
	default:
		return d.NewMode(p.source.Kind)
	}
}

// keptMeta returns the mode and time that p gets if its target has the same contents.
func (pl *planner) keptMeta(p pair) Meta {
	m := Meta{Mode: p.target.Mode, MTime: p.target.MTime}
	if !pl.e.o.Drop.Mode {
		m.Mode = settledMode(pl.to.keptMode(p), p.target)
	}
	if !pl.e.o.Drop.Times {
		m.MTime = p.source.MTime
	}
	return m
}

// meta returns the mode and time that the copy of it gets. m are those of the source.
func (e *Engine) meta(it *item, m Meta) Meta {
	if e.o.Drop.Mode {
		m.Mode = it.mode
	}
	if e.o.Drop.Times {
		m.MTime = time.Now()
	}
	return m
}

// changes notes that the folder of j gets another time, because something in it changes.
func (pl *planner) changes(j *folderJob) {
	if !pl.e.o.Drop.Times {
		pl.finishFolder(j)
	}
}

// sameBytes reports whether the source of p is what the entry t, called name in the folder of p's
// target, holds.
func (pl *planner) sameBytes(ctx context.Context, p pair, name string, t *hufu.Entry) bool {
	if p.rename(name) != nil {
		return false
	}
	p.target = t
	_, same, err := pl.to.same(ctx, p)
	return err == nil && same
}
