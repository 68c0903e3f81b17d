package account

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"hufu"
	"hufu/internal/meta"
)

// The times of nodes.
const (
	beatEvery = 500 * time.Millisecond // how often a node writes that it knows nothing new
	// NodeLife is the time after which a node that has written nothing counts as dead. If it cannot
	// read the database either, it carries out no request by then: its state is older than StateLimit.
	NodeLife = StateLimit
	// rememberNode is how long a dead node is listed.
	rememberNode = 10 * time.Minute
	forgetEvery  = time.Minute
	partTime     = time.Second // for the last words to the database
	awaitEvery   = 50 * time.Millisecond
	// aliveFor is how long a node that does not fit is watched before it counts as one that was
	// killed. A live one writes twice a second.
	aliveFor = 3 * time.Second
)

// known is a version of the accounts and when it was the current one, by the clock of the database
// in milliseconds.
type known struct {
	version meta.Version
	clock   int64
}

// presence is this process as a node of a shared database. Only Join, Run and Leave change it, one
// after the other. Others reads row: within Join and Run, before Run, or in a process without Run.
type presence struct {
	row     *meta.Node // nil: it is none
	fits    func(other meta.Node) error
	misfits map[meta.ID]int64 // nodes that do not fit and started earlier: At as it was first seen
	written known
	forgot  int64
	failing bool
	told    atomic.Pointer[[]string] // see Nodes
}

// stillApplied notes that the applied state is still the current one. It does nothing while a newer
// one is being applied.
func (s *Service) stillApplied(k known) {
	if s.applying.TryLock() {
		defer s.applying.Unlock()
		if s.applied.version == k.version {
			s.applied.clock = k.clock
		}
	}
}

// Join makes this process a node of the shared database until Run ends, and returns the other nodes
// that may be alive. It comes before Run. ID, Folder, Address, Program, Root and Files of n are the
// caller's. Earlier runs on the same data folder are forgotten. A database that takes no changes at
// the moment, because it is read-only or full, is no error.
//
// fits returns why this node cannot serve beside another one, as an error of KindUsage, or nil. Of two
// nodes that do not fit, the one that started later gives way to a live one: Join returns that error,
// or Run does if the other node is noticed only then. Run ignores errors of any other kind.
func (s *Service) Join(ctx context.Context, n meta.Node, fits func(other meta.Node) error) (others []meta.Node, err error) {
	if err := s.Reload(ctx); err != nil {
		return nil, err
	}
	k := s.lastApplied()
	n.Started = time.UnixMilli(k.clock)
	s.node.row, s.node.fits, s.node.misfits = &n, fits, map[meta.ID]int64{}
	defer func() {
		if err != nil {
			s.Leave(context.WithoutCancel(ctx))
		}
	}()
	err = s.db.DropNodes(ctx, n.Folder, k.clock-rememberNode.Milliseconds())
	if err == nil {
		err = s.write(ctx, k)
	}
	switch code := hufu.CodeOf(err); {
	case code == "database_unreachable", code == "database_full":
		// The database was read just now, so it only takes no changes, and Run writes as soon as it
		// does. Until then commands do not wait for this node. In a read-only database they can revoke
		// nothing; a revocation in a full one is noticed at the next look.
		s.node.failing = true
		s.log.Warn("this server cannot report its state to the other servers yet", "error", err)
	case err != nil:
		return nil, err
	}
	// From now on a command that takes trust away waits for this node. Changes made before are read
	// now.
	if err := s.look(ctx); err != nil {
		return nil, err
	}
	return s.settle(ctx)
}

// settle waits until no node that does not fit, and started earlier, can be alive.
func (s *Service) settle(ctx context.Context) (others []meta.Node, err error) {
	tick := time.NewTicker(PollInterval)
	defer tick.Stop()
	var doubt bool
	for end := time.Now().Add(aliveFor); ; {
		if others, doubt, err = s.clash(ctx); err != nil && hufu.KindOf(err) != hufu.KindUnavailable {
			return nil, err
		}
		if err == nil && !doubt || time.Now().After(end) {
			return others, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, &hufu.Error{Op: "join servers", Kind: hufu.KindCanceled, Err: context.Cause(ctx)}
		}
		_ = s.look(ctx) // logged there
		s.beat(ctx)     // others watch this one, too
	}
}

// clash returns the other nodes that may be alive, and the error of fits for one that does not fit,
// started earlier and has written since it was first seen. doubt says that one has not written since.
func (s *Service) clash(ctx context.Context) (others []meta.Node, doubt bool, err error) {
	if others, err = s.Others(ctx); err != nil {
		return others, false, err
	}
	s.tell(others)
	if s.node.fits == nil {
		return others, false, nil
	}
	for _, o := range others {
		if !earlier(o, *s.node.row) {
			continue
		}
		why := s.node.fits(o)
		if why == nil {
			continue
		}
		if at, seen := s.node.misfits[o.ID]; seen && o.At > at { // a restored backup may bring back an earlier one
			return nil, false, why
		}
		s.node.misfits[o.ID] = o.At
		doubt = true
	}
	return others, doubt, nil
}

// tell notes the addresses of the other nodes for Nodes.
func (s *Service) tell(others []meta.Node) {
	told := []string{}
	for _, o := range others {
		if o.Age < aliveFor && o.Address != s.node.row.Address && !slices.Contains(told, o.Address) {
			told = append(told, o.Address)
		}
	}
	s.node.told.Store(&told)
}

// Nodes returns where clients reach the other live nodes, and whether this process is a node. Nodes
// behind one address are none that a client can choose, so an address is there once, and that of this
// node is not.
func (s *Service) Nodes() (at []string, node bool) {
	if told := s.node.told.Load(); told != nil {
		return *told, true
	}
	return nil, false
}

// earlier reports whether a started before b. Of two that started in the same moment, their ids
// decide.
func earlier(a, b meta.Node) bool {
	if at, bt := a.Started.UnixMilli(), b.Started.UnixMilli(); at != bt {
		return at < bt
	}
	return a.ID.Compare(b.ID) < 0
}

// Others returns the other nodes that may be alive.
func (s *Service) Others(ctx context.Context) ([]meta.Node, error) {
	all, err := s.db.Nodes(ctx)
	return slices.DeleteFunc(all, func(o meta.Node) bool { return o.Age >= NodeLife || s.node.row != nil && o.ID == s.node.row.ID }), err
}

// Await waits, at most for limit, until every live node acts on all changes made before the call,
// and returns the nodes that do not.
func (s *Service) Await(ctx context.Context, limit time.Duration) (late []meta.Node, err error) {
	v, err := s.db.Version(ctx)
	if err != nil {
		return nil, err
	}
	end := time.NewTimer(limit)
	defer end.Stop()
	for {
		nodes, err := s.Others(ctx)
		if err != nil {
			return nil, err
		}
		late = slices.DeleteFunc(nodes, func(n meta.Node) bool { return n.Known.Covers(v) })
		if len(late) == 0 {
			return nil, nil
		}
		select {
		case <-time.After(awaitEvery):
		case <-end.C:
			return late, nil
		case <-ctx.Done():
			return nil, &hufu.Error{Op: "wait for servers", Kind: hufu.KindCanceled, Err: ctx.Err()}
		}
	}
}

// Leave ends what Join began.
func (s *Service) Leave(ctx context.Context) {
	if s.node.row == nil {
		return
	}
	if err := s.db.DropNode(ctx, s.node.row.ID); err != nil {
		s.log.Warn("this server cannot report its end to the other servers", "error", err)
	}
	s.node.row = nil
}

func (s *Service) lastApplied() known {
	s.applying.Lock()
	defer s.applying.Unlock()
	return s.applied
}

// beat writes what this node acts on, at once if that is news, and reports whether it has.
func (s *Service) beat(ctx context.Context) bool {
	k, last := s.lastApplied(), s.node.written
	since := k.clock - last.clock // less than 0 if the clock was set back
	if s.node.row == nil || k.version == last.version && since >= 0 && since < beatEvery.Milliseconds() {
		return false
	}
	if last.clock > 0 && since >= NodeLife.Milliseconds() {
		// Others have taken this node for dead, and some may have started that do not fit.
		s.node.row.Started = time.UnixMilli(k.clock)
	}
	err := s.write(ctx, k)
	if err == nil && k.clock-s.node.forgot >= forgetEvery.Milliseconds() {
		s.node.forgot = k.clock
		err = s.db.DropNodes(ctx, [32]byte{}, k.clock-rememberNode.Milliseconds())
	}
	if ctx.Err() != nil {
		return false
	}
	if (err != nil) != s.node.failing {
		if s.node.failing = err != nil; err != nil {
			s.log.Warn("this server cannot report its state to the other servers; commands that revoke will name it", "error", err)
		} else {
			s.log.Info("this server reports its state to the other servers again")
		}
	}
	return err == nil
}

// misfit returns the error of fits if this node has to give way.
func (s *Service) misfit(ctx context.Context) error {
	_, _, err := s.clash(ctx)
	if err == nil || hufu.KindOf(err) != hufu.KindUsage {
		return nil // the database is asked again at the next beat
	}
	s.log.Error("another server on this database does not fit, so this one ends", "error", err)
	return err
}

func (s *Service) write(ctx context.Context, k known) error {
	n := *s.node.row
	n.Known, n.At = k.version, k.clock
	err := s.db.Beat(ctx, n)
	if err == nil {
		s.node.written = k
	}
	return err
}
