package client

import (
	"context"
	"fmt"
	"time"

	"hufu"
	"hufu/internal/digest"
	"hufu/internal/frame"
	"hufu/internal/session"
	"hufu/internal/transfer"
)

// lane is one more connection to the server, for bytes.
type lane struct {
	c *session.Client
}

// Lanes, by the round trip to the server. Near, one of two goes on while the
// other's small files are made durable, or while the other writes its chunk, as
// only one at a time can; more bring nothing. Far, one connection is bound to
// what the kernel keeps unanswered (4 MiB in a round trip), and each starts
// slowly by itself.
const (
	nearLanes = 2
	farLanes  = 12
	farFrom   = 5 * time.Millisecond
)

// Lanes is how many lanes are worth their cost on the way to the server.
func (r *Remote) Lanes(ctx context.Context) int {
	_, _ = r.Connect(ctx) // whoever needs the connection meets the error
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.isFar() {
		return farLanes
	}
	return nearLanes
}

// isFar says whether the server is known to be far away; the caller holds mu.
func (r *Remote) isFar() bool { return r.way.RTT >= r.far }

// laneWindow is how many bytes of answers one lane asks for ahead, at first.
const laneWindow = 4 << 20

// warming is a lane that is being opened before somebody wants it.
type warming struct {
	ready chan struct{} // closed when l and err are set
	l     *lane
	err   error
}

// WarmUp begins to open the lanes that a transfer over a far link will want, so
// that their round trips pass while the caller still logs in and asks what is
// there: as soon as the server is reached, if it is not yet. Near it does
// nothing. Close closes what nobody has taken.
func (r *Remote) WarmUp() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.control == nil {
		r.hurry = true
		return
	}
	if r.isFar() {
		r.warmUp()
	}
}

// reached is told how far the server is; the caller holds mu.
func (r *Remote) reached(w session.Way) {
	r.way = w
	if r.hurry && r.isFar() {
		r.warmUp()
	}
	r.hurry = false // near, or begun
}

// warmUp dials the lanes; the caller holds mu.
func (r *Remote) warmUp() {
	if r.closed || len(r.warm) > 0 {
		return
	}
	for range farLanes {
		w := &warming{ready: make(chan struct{})}
		r.warm = append(r.warm, w)
		go func() { // ends with the dialling and the answer to the first hello
			if w.l, w.err = r.openLane(context.Background(), false); w.err == nil {
				_ = w.l.Flush() // hello: the server does not wait for it long
			}
			close(w.ready)
		}()
	}
}

// warmed takes a lane that was opened ahead, nil if there is none.
func (r *Remote) warmed(ctx context.Context) *lane {
	for {
		r.mu.Lock()
		if len(r.warm) == 0 {
			r.mu.Unlock()
			return nil
		}
		w := r.warm[0]
		r.warm = r.warm[1:]
		r.mu.Unlock()
		select {
		case <-w.ready:
			if w.err == nil && w.l.c.Err() == nil {
				r.bound(w.l)
				return w.l
			}
		case <-ctx.Done():
			go w.close()
			return nil
		}
	}
}

// idle is one of the lanes that nobody has taken yet, in turn, else c. Answers
// that are long need several round trips over a connection that has carried
// nothing so far; over all of them, fewer.
func (r *Remote) idle(c *session.Client) *session.Client {
	r.mu.Lock()
	defer r.mu.Unlock()
	for range r.warm {
		w := r.warm[0]
		r.warm = append(r.warm[1:], w)
		select {
		case <-w.ready:
			if w.err == nil && w.l.c.Err() == nil {
				return w.l.c
			}
		default:
		}
	}
	return c
}

func (w *warming) close() {
	<-w.ready
	if w.err == nil {
		_ = w.l.Close()
	}
}

// Lane connects once more. From here on things change at the server, and what
// was foreseen counts no more.
func (r *Remote) Lane(ctx context.Context) (transfer.Lane, error) {
	r.mu.Lock()
	r.ahead = nil
	r.mu.Unlock()
	if l := r.warmed(ctx); l != nil {
		return l, nil
	}
	var l *lane
	err := r.persist(ctx, func() (err error) {
		l, err = r.openLane(ctx, true)
		return err
	})
	return l, err
}

// openLane connects. The login travels in the same flight as the first data: if
// it is not good, every request says so. Only with ask is the server asked why
// it refuses us.
func (r *Remote) openLane(ctx context.Context, ask bool) (*lane, error) {
	c, _, err := r.dial(ctx, nil, ask)
	if err != nil {
		return nil, err
	}
	l := &lane{c}
	token := r.bound(l)
	return l, c.Send(r.helloMessage(token), nil, 0, func(session.Answer) {})
}

// bound gives a lane the bounds that the same server named before, and returns
// the login to be shown there.
func (r *Remote) bound(l *lane) (token []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.hello != nil {
		l.c.Allow(int(r.hello.Requests), int(r.hello.Bytes))
		l.c.Share(laneWindow)
	}
	return r.token
}

func lost(a session.Answer) error {
	if a.Lost {
		return fmt.Errorf("%w: %w", transfer.ErrLost, a.Err)
	}
	return a.Err
}

func (l *lane) Put(p hufu.Path, m transfer.Meta, data []byte, d hufu.Digest, c hufu.Condition, done func(error)) error {
	return l.c.Send(&frame.Put{
		Path: frame.WirePath(p), Mode: m.Mode & 0o777, MTime: frame.Nanos(m.MTime), Digest: d[:], Condition: frame.WireCondition(c),
	}, data, 0, func(a session.Answer) { done(lost(a)) })
}

func (l *lane) Range(upload string, index int64, data []byte, hole bool, cv digest.CV, done func(error)) error {
	return l.c.Send(&frame.Range{Upload: upload, Index: index, CV: cv[:], Hole: hole}, data, 0, func(a session.Answer) { done(lost(a)) })
}

func (l *lane) Get(p hufu.Path, version string, size int64, done func(hufu.Entry, []byte, error)) error {
	return l.c.Send(&frame.Get{Path: frame.WirePath(p), Version: version}, nil, int(size), func(a session.Answer) {
		if err := lost(a); err != nil {
			done(hufu.Entry{}, nil, err)
			return
		}
		g, ok := a.Message.(*frame.GetAnswer)
		if !ok {
			done(hufu.Entry{}, nil, &hufu.Error{Op: "get", Kind: hufu.KindProtocol})
			return
		}
		done(g.Entry.Entry(), a.Raw, nil)
	})
}

func (l *lane) Read(p hufu.Path, version string, index int64, size int, done func(transfer.Chunk, error)) error {
	return l.c.Send(&frame.Read{Path: frame.WirePath(p), Version: version, Index: index}, nil, size, func(a session.Answer) {
		if err := lost(a); err != nil {
			done(transfer.Chunk{}, err)
			return
		}
		g, ok := a.Message.(*frame.ReadAnswer)
		if !ok {
			done(transfer.Chunk{}, &hufu.Error{Op: "read", Kind: hufu.KindProtocol})
			return
		}
		done(transfer.Chunk{Data: a.Raw, Hole: g.Hole, Want: digest.CV(g.CV), Got: a.CV}, nil)
	})
}

func (l *lane) Flush() error    { return l.c.Flush() }
func (l *lane) Unanswered() int { return l.c.Unanswered() }
func (l *lane) Close() error    { return l.c.Close() }
