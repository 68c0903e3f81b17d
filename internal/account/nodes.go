package account

import (
	"context"
	"slices"
	"time"

	"hufu"
	"hufu/internal/meta"
)

// The times of nodes.
const (
	beatEvery = 500 * time.Millisecond // how often a node writes that it knows nothing new
	// NodeLife is the time after which a node that has written nothing counts as dead. It carries
	// out no request by then: its state is older than StateLimit.
	NodeLife = StateLimit
	// rememberNode is how long a dead node is listed.
	rememberNode = 10 * time.Minute
	forgetEvery  = time.Minute
	partTime     = time.Second // for the last words to the database
	awaitEvery   = 50 * time.Millisecond
)

// known is a version of the accounts and when it was the current one, by the clock of the database
// in milliseconds.
type known struct {
	version meta.Version
	clock   int64
}

// presence is this process as a node of a shared database. Only Join, Run and Leave change it, one
// after the other; Others reads row, before Run or in a process without Run.
type presence struct {
	row     *meta.Node // nil: it is none
	written known
	forgot  int64
	failing bool
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
// caller's. Earlier runs on the same data folder are forgotten. A database that is read-only at the
// moment is no error.
func (s *Service) Join(ctx context.Context, n meta.Node) (others []meta.Node, err error) {
	if err := s.Reload(ctx); err != nil {
		return nil, err
	}
	k := s.lastApplied()
	n.Started = time.UnixMilli(k.clock)
	s.node.row = &n
	err = s.db.DropNodes(ctx, n.Folder, k.clock-rememberNode.Milliseconds())
	if err == nil {
		err = s.write(ctx, k)
	}
	switch {
	case hufu.CodeOf(err) == "database_unreachable":
		// It can be read, or Reload had failed, so it is read-only. While it is read-only nobody can take trust
		// away, so no command has to wait for this node; Run writes as soon as it can.
		s.node.failing = true
		s.log.Warn("the other servers are not told what this one knows", "error", err)
	case err != nil:
		return nil, err
	}
	return s.Others(ctx)
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
		s.log.Warn("the other servers are not told that this one has ended", "error", err)
	}
	s.node.row = nil
}

func (s *Service) lastApplied() known {
	s.applying.Lock()
	defer s.applying.Unlock()
	return s.applied
}

// beat writes what this node acts on, at once if that is news.
func (s *Service) beat(ctx context.Context) {
	k, last := s.lastApplied(), s.node.written
	since := k.clock - last.clock // less than 0 if the clock was set back
	if s.node.row == nil || k.version == last.version && since >= 0 && since < beatEvery.Milliseconds() {
		return
	}
	err := s.write(ctx, k)
	if err == nil && k.clock-s.node.forgot >= forgetEvery.Milliseconds() {
		s.node.forgot = k.clock
		err = s.db.DropNodes(ctx, [32]byte{}, k.clock-rememberNode.Milliseconds())
	}
	if ctx.Err() != nil || (err != nil) == s.node.failing {
		return
	}
	if s.node.failing = err != nil; err != nil {
		s.log.Warn("the other servers are not told what this one knows", "error", err)
	} else {
		s.log.Info("the other servers are told again what this one knows")
	}
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
