package transfer

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"hufu"
)

// verdict says what to do with one name.
type verdict struct {
	outcome Outcome // Transferred means: go on and transfer
	cond    hufu.Condition
	rename  bool
	err     error
}

// judge decides what to do with a file or link whose target may exist. same
// reports whether the contents are the same; it is called only if they must be
// compared.
func (e *Engine) judge(ctx context.Context, p *pair, same func(context.Context, pair) (pair, bool, error)) verdict {
	if p.target == nil {
		return verdict{outcome: Transferred, cond: hufu.Condition{Kind: hufu.IfAbsent}}
	}
	if s, t := p.source, *p.target; s.Kind == t.Kind {
		alike := false
		switch {
		case s.Kind == hufu.Link:
			alike = s.Target == t.Target
		case s.Kind == hufu.File && s.Size == t.Size && sameTime(s.MTime, t.MTime) && !e.o.Checksum:
			alike = true
		case mustCompare(&s, &t, p.toNear) || e.o.Checksum && s.Kind == hufu.File && s.Size == t.Size:
			var err error
			if *p, alike, err = same(ctx, *p); err != nil {
				return verdict{outcome: Failed, err: err}
			}
		}
		if alike {
			return verdict{outcome: Same}
		}
	}
	s, t := p.source, *p.target // same may have replaced them
	if t.Kind == hufu.Folder || t.Kind == hufu.Other {
		return verdict{outcome: Failed, err: wrongKind(*p)}
	}
	policy := e.o.Conflict
	if e.o.Ask != nil {
		var err error
		e.askMu.Lock()
		policy, err = e.o.Ask(ctx, Conflict{p.near.Local, p.far, s, t})
		e.askMu.Unlock()
		if err != nil {
			return verdict{outcome: Failed, err: err}
		}
	}
	return settle(policy, p)
}

// mustCompare reports whether two files may be the same although size and time do not say
// so: only their contents tell.
func mustCompare(source, target *hufu.Entry, toNear bool) bool {
	if source.Kind != hufu.File || target.Kind != hufu.File {
		return false
	}
	if source.Size == target.Size {
		return !sameTime(source.MTime, target.MTime)
	}
	return source.Size == 0 && !toNear // a file of /proc holds more than its size says
}

// wrongKind returns the error for a target whose kind the source must not replace.
func wrongKind(p pair) error {
	return &hufu.Error{
		Op: "compare", Path: p.near.Local, Kind: hufu.KindWrongKind, Code: "target_wrong_kind",
		Args: map[string]string{"target": p.into(), "kind": p.target.Kind.String()},
	}
}

// special returns the error of an entry that is neither a file nor a folder nor a
// link. If the user has named it, it fails; inside folders it is skipped.
func special(op, path string) error {
	return &hufu.Error{Op: op, Path: path, Kind: hufu.KindUnsupported, Code: "special_file"}
}

// settle decides by the policy about a target that differs.
func settle(policy Policy, p *pair) verdict {
	differs := &hufu.Error{
		Op: "compare", Path: p.near.Local, Kind: hufu.KindExists, Code: "target_differs",
		Args: map[string]string{"target": p.into()},
	}
	replace := verdict{outcome: Transferred, cond: hufu.Condition{Kind: hufu.IfVersion, Version: p.target.Version}}
	switch policy {
	case Skip:
		return verdict{outcome: Skipped, err: differs}
	case Replace:
		return replace
	case Newer:
		if p.source.MTime.After(p.target.MTime) && !sameTime(p.source.MTime, p.target.MTime) {
			return replace
		}
		return verdict{outcome: Skipped, err: differs}
	case Rename:
		return verdict{outcome: Transferred, cond: hufu.Condition{Kind: hufu.IfAbsent}, rename: true}
	default:
		return verdict{outcome: Failed, err: differs}
	}
}

// sameTime compares at the coarser side's precision: a time without fraction
// comes from a store that keeps whole seconds, and so on.
func sameTime(a, b time.Time) bool {
	d := a.Sub(b).Abs()
	for _, step := range []time.Duration{time.Second, time.Microsecond, 100 * time.Nanosecond} {
		if a.Nanosecond()%int(step) == 0 || b.Nanosecond()%int(step) == 0 {
			return d < step
		}
	}
	return d == 0
}

// freeNameFor finds a free name for p's source. same means that an earlier try already copied the
// source to this name. The function at looks a name up and returns its entry and whether it is
// taken. For a taken name that cannot be an earlier copy the entry is nil.
func (pl *planner) freeNameFor(ctx context.Context, p *pair, name string, at func(string) (*hufu.Entry, bool)) (free string, same bool) {
	o := &pl.e.o
	free = FreeName(name, func(n string) bool {
		t, taken := at(n)
		if t != nil && t.Kind == p.source.Kind && !o.Checksum {
			switch t.Kind {
			case hufu.File:
				same = t.Size == p.source.Size && (sameTime(t.MTime, p.source.MTime) || o.Drop.Times && pl.sameBytes(ctx, *p, n, t))
			case hufu.Link:
				same = t.Target == p.source.Target
			}
		}
		return taken && !same
	})
	return free, same
}

// FreeName finds a name beside the taken ones: "report (2).txt".
func FreeName(name string, taken func(string) bool) string {
	ext := filepath.Ext(name)
	stem := strings.TrimSuffix(name, ext)
	if stem == "" {
		stem, ext = name, ""
	}
	for n := 2; ; n++ {
		if c := fitted(stem, fmt.Sprintf(" (%d)%s", n, ext)); !taken(c) {
			return c
		}
	}
}

// fitted returns stem with end behind it. The stem is cut if the name would be too long.
func fitted(stem, end string) string {
	if excess := len(stem) + len(end) - hufu.MaxSegment; excess > 0 {
		stem = strings.ToValidUTF8(stem[:max(1, len(stem)-excess)], "")
	}
	return stem + end
}

// inSource reports whether the source has name beside p, so that the target will have it, too.
func (pl *planner) inSource(ctx context.Context, p pair, name string, source *listed) bool {
	if source != nil {
		if t, known := source.has(name); t != nil || known {
			return t != nil
		}
	}
	return pl.to.sourceHas(ctx, p, name)
}

// rename gives the target of p a free name and claims it. same reports whether an earlier try
// already copied the source to that name. Names of the source's folder are not free: they will
// exist at the target too.
func (pl *planner) rename(ctx context.Context, p *pair, beside neighbours) (same bool, err error) {
	at := func(n string) (*hufu.Entry, bool) {
		if q := *p; q.rename(n) == nil && pl.e.claimed.has(q.key()) {
			return nil, true // claimed by another source, whose file may not be there yet
		}
		if beside.source != nil && pl.inSource(ctx, *p, n, beside.source) {
			return nil, true
		}
		return pl.to.taken(ctx, *p, n, beside.target)
	}
	base := p.base()
	for {
		name, same := pl.freeNameFor(ctx, p, base, at)
		if err := p.rename(name); err != nil || pl.e.claimed.claim(p.key()) {
			return same, err
		}
		// Another source has claimed it just now.
	}
}
