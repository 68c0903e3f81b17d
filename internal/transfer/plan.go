package transfer

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"hufu"
	"hufu/internal/blob"
)

// planners is how many folders are compared at the same time, so that a far
// link's round trips overlap.
const planners = 32

// errAborted stands for a file that was not finished because the whole
// transfer ended; the reason is the transfer's.
var errAborted = errors.New("transfer ended")

// Side is where a transfer reads or writes on this machine.
type Side struct {
	Store blob.Tree
	Path  hufu.Path // in Store
	Local string    // the same as people write it
}

// Join is a name in the folder that s is.
func (s Side) Join(name string) (Side, error) {
	p, err := s.Path.Join(name)
	return Side{s.Store, p, filepath.Join(s.Local, name)}, err
}

// pair is one name on both sides.
type pair struct {
	near    Side
	far     hufu.Path
	source  hufu.Entry
	target  *hufu.Entry // nil when nothing is there
	fetched bool        // the target is the near one
}

// into is the target's name, for people.
func (p pair) into() string {
	if p.fetched {
		return p.near.Local
	}
	return p.far.Remote()
}

// Together calls do with 0 to n-1, as many at the same time as folders are
// compared, and returns when all are done.
func Together(n int, do func(i int)) {
	var g errgroup.Group
	g.SetLimit(planners)
	for i := range n {
		g.Go(func() error { do(i); return nil })
	}
	_ = g.Wait()
}

// look finds the sources at both ends. Of folders whose contents are copied only
// the names are known.
func look(sources []Source, find func(Source, *pair) error) ([]pair, []error) {
	pairs, errs := make([]pair, len(sources)), make([]error, len(sources))
	Together(len(sources), func(i int) {
		s := sources[i]
		pairs[i] = pair{near: s.Side, far: s.Far}
		if !s.Contents {
			errs[i] = find(s, &pairs[i])
		}
	})
	return pairs, errs
}

// folderJob compares one folder of the source with its target.
type folderJob struct {
	pair
	fresh bool // the target folder was just made: it is empty
}

// manyNames is from where on one folder is compared at a time: together they would
// take too much memory.
const manyNames = 50_000

// listFar lists a folder of the far side. From manyNames on it is the only such
// folder until done is called, which it must be in any case.
func (e *Engine) listFar(ctx context.Context, p hufu.Path, fn func(hufu.Entry)) (done func(), err error) {
	n := 0
	err = e.far.List(ctx, p, func(t hufu.Entry) error {
		if n++; n == manyNames {
			e.largeMu.Lock()
		}
		fn(t)
		return nil
	})
	return func() {
		if n >= manyNames {
			e.largeMu.Unlock()
		}
	}, err
}

// stack is the folders still to compare, last in first out so that it stays
// short, for a fixed number of planners.
type stack struct {
	mu   sync.Mutex
	cond *sync.Cond
	jobs []folderJob
	busy int
	over bool
}

func (s *stack) push(j folderJob) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.jobs = append(s.jobs, j)
	s.cond.Signal()
}

func (s *stack) pop() (folderJob, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		if s.over {
			return folderJob{}, false
		}
		if n := len(s.jobs); n > 0 {
			j := s.jobs[n-1]
			s.jobs = s.jobs[:n-1]
			s.busy++
			return j, true
		}
		if s.busy == 0 {
			s.over = true
			s.cond.Broadcast()
			return folderJob{}, false
		}
		s.cond.Wait()
	}
}

func (s *stack) done() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy--
	if s.busy == 0 && len(s.jobs) == 0 {
		s.cond.Broadcast()
	}
}

func (s *stack) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	s.cond.Broadcast()
}

// walk compares folders until none is left. step handles one folder and may
// push more.
func walk(ctx context.Context, first []folderJob, step func(folderJob, *stack)) {
	s := &stack{jobs: first}
	s.cond = sync.NewCond(&s.mu)
	defer context.AfterFunc(ctx, s.stop)()
	var wg sync.WaitGroup
	for range planners {
		wg.Go(func() {
			for {
				j, ok := s.pop()
				if !ok {
					return
				}
				step(j, s)
				s.done()
			}
		})
	}
	wg.Wait()
}

// folderMeta is set when everything below the folder is in place, because
// placing it changes the time and may need the permission to write.
type folderMeta struct {
	near Side
	far  hufu.Path
	meta Meta
	made bool // by this transfer
}

type verdict struct {
	outcome Outcome // Transferred means: go on and transfer
	cond    hufu.Condition
	rename  bool
	err     error
}

// judge decides what to do with a file or link whose target may exist.
// compare says whether the contents are the same; it is called only when needed.
func (e *Engine) judge(ctx context.Context, p *pair, compare func() (bool, error)) verdict {
	if p.target == nil {
		return verdict{outcome: Transferred, cond: hufu.Condition{Kind: hufu.IfAbsent}}
	}
	if s, t := p.source, *p.target; s.Kind == t.Kind {
		same := false
		switch {
		case s.Kind == hufu.Link:
			same = s.Target == t.Target
		case s.Kind == hufu.File && (s.Size == t.Size || s.Size == 0 && !p.fetched): // a file of /proc holds more than its size says
			if s.Size == t.Size && sameTime(s.MTime, t.MTime) && !e.o.Checksum {
				same = true
				break
			}
			var err error
			if same, err = compare(); err != nil {
				return verdict{outcome: Failed, err: err}
			}
		}
		if same {
			return verdict{outcome: Same}
		}
	}
	s, t := p.source, *p.target // as compare left them
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

// wrongKind is the error of a target that nothing of the source's kind replaces.
func wrongKind(p pair) error {
	return &hufu.Error{
		Op: "compare", Path: p.near.Local, Kind: hufu.KindWrongKind, Code: "target_wrong_kind",
		Args: map[string]string{"target": p.into(), "kind": p.target.Kind.String()},
	}
}

// special is the error of what is neither a file nor a folder nor a link. One
// that is named fails; those in folders are skipped.
func special(op, path string) error {
	return &hufu.Error{Op: op, Path: path, Kind: hufu.KindUnsupported, Code: "special_file"}
}

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

// beside finds a name for p's source beside the taken ones, or, with same, the
// name that an earlier try has given it: there the very same stands, and it is
// no other source's name. at tells what stands under a name, nil if it does not
// matter, and whether it is taken.
func (e *Engine) beside(p *pair, name string, at func(string) (*hufu.Entry, bool)) (free string, same bool) {
	free = freeName(name, func(n string) bool {
		t, taken := at(n)
		if t != nil && t.Kind == p.source.Kind && !e.o.Checksum {
			switch t.Kind {
			case hufu.File:
				same = t.Size == p.source.Size && sameTime(t.MTime, p.source.MTime)
			case hufu.Link:
				same = t.Target == p.source.Target
			}
		}
		return taken && !same
	})
	return free, same
}

// freeName finds a name beside the taken ones: "report (2).txt".
func freeName(name string, taken func(string) bool) string {
	ext := filepath.Ext(name)
	stem := strings.TrimSuffix(name, ext)
	if stem == "" {
		stem, ext = name, ""
	}
	for n := 2; ; n++ {
		suffix := fmt.Sprintf(" (%d)", n)
		s := stem
		if over := len(s) + len(suffix) + len(ext) - hufu.MaxSegment; over > 0 {
			s = strings.ToValidUTF8(s[:max(1, len(s)-over)], "")
		}
		if c := s + suffix + ext; !taken(c) {
			return c
		}
	}
}

// within names what an error is about, on the side that has met it.
func (e *Engine) within(op, local string, remote hufu.Path, err error) error {
	if err == nil {
		return nil
	}
	met, ok := errors.AsType[*hufu.Error](err)
	if !ok {
		return &hufu.Error{Op: op, Path: local, Kind: hufu.KindInternal, Err: err}
	}
	c := *met
	if c.Far {
		c.Path = remote.Remote()
		return &c
	}
	c.Path = local
	missing := c.Kind == hufu.KindNotFound && c.Code == ""
	switch {
	case missing && e.gets: // not the file that was asked for: its place
		c.Kind, c.Code = hufu.KindUnreadable, "target_unwritable"
	case missing:
		c.Code = "no_such_file"
	case e.gets && c.Kind == hufu.KindPermission: // this system's, not the server's
		c.Kind = hufu.KindUnreadable
	}
	return &c
}
