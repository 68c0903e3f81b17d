package client

import (
	"context"
	"fmt"
	"slices"
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
	// spare says that it goes to another server than the control connection. What that server cannot
	// do, for a reason that is not the file's, is done by others.
	spare bool
	at    string // the address of its server
}

// The number of lanes depends on the round trip to the server. For a near
// server two lanes are enough: one sends while the other waits for the disk. If the
// round trip is long, one connection carries at most what the kernel keeps
// unacknowledged, 4 MiB in a round trip, and each begins slowly.
const (
	fewLanes  = 2
	manyLanes = 12
	farFrom   = 5 * time.Millisecond
)

// Lanes returns how many lanes to the server are worth their cost, or its share of jobs lanes to all
// servers.
func (r *Remote) Lanes(ctx context.Context, jobs int) int {
	_, _ = r.Connect(ctx) // the next call reports the error
	n := 1 + len(r.servers.list())
	if jobs > 0 {
		return share(jobs, n, 0)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lanesPerServer(r.way, n)
}

// isSlowLink reports whether the round trip to the server is known to be long. The caller holds mu.
func (r *Remote) isSlowLink() bool { return r.way.RTT >= r.farRTT }

// laneWindow is how many bytes of answers one lane asks for ahead, at first.
const laneWindow = 4 << 20

// warming is a lane that is being opened before it is needed.
type warming struct {
	ready chan struct{} // closed when l and err are set
	l     *lane
	err   error
}

// WarmUp begins to open the lanes that a transfer over a far link will need, so that their round
// trips pass while the caller still logs in and looks around. Their number is lanes, or manyLanes
// if that is 0. If there is no connection yet, they are opened as soon as it is known that the
// server is far, or together with the first connection if the way was long and wide the last
// time. Near, WarmUp does nothing. Close closes the lanes that were not taken.
func (r *Remote) WarmUp(flow Flow, lanes int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.flow, r.lanes = flow, lanes
	if lanes == 0 {
		r.lanes = manyLanes
	}
	if r.control == nil {
		r.hurry = true
		return
	}
	if r.isSlowLink() {
		r.warmUp(false)
	}
}

// reached is called with the way to the server. The caller holds mu.
func (r *Remote) reached(w session.Way) {
	r.way = w
	if r.hurry && r.isSlowLink() {
		r.warmUp(false)
	}
	r.hurry = false // near, or begun
}

// warmUp dials the lanes. early means that the lanes will be idle for a round trip; they send
// padding meanwhile. The caller holds mu.
func (r *Remote) warmUp(early bool) {
	r.warm = slices.DeleteFunc(r.warm, (*warming).over)
	if r.closed || len(r.warm) > 0 {
		return
	}
	for range r.lanes {
		hello := r.helloMessage(r.token)
		if early {
			pad(hello, r.flow)
		}
		w := &warming{ready: make(chan struct{})}
		r.warm = append(r.warm, w)
		go func() { // ends with the dialling
			if w.l, w.err = r.openLane(context.Background(), hello, false); w.err == nil {
				_ = w.l.Flush() // hello: the server does not wait for it long
			}
			close(w.ready)
		}()
	}
}

// warmed takes a lane that was opened ahead. It returns nil if there is none.
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
			if w.alive() {
				r.bound(w.l)
				return w.l
			}
		case <-ctx.Done():
			go w.close()
			return nil
		}
	}
}

// idle returns one of the lanes that were opened ahead and are not taken yet, each in turn, or c
// if there is none. A new connection starts slowly, so long answers arrive sooner if requests are
// spread over all idle lanes. A lane that is still being opened is waited for, because that takes
// less than a round trip.
func (r *Remote) idle(ctx context.Context, c *session.Client) *session.Client {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.warm) == 0 {
		return c
	}
	w := r.warm[0]
	r.warm = append(r.warm[1:], w)
	late := time.NewTimer(r.way.RTT / 2)
	defer late.Stop()
	r.mu.Unlock()
	select {
	case <-w.ready:
	case <-late.C:
	case <-ctx.Done():
	}
	r.mu.Lock()
	i := slices.Index(r.warm, w) // -1 if a transfer has taken it meanwhile
	if i >= 0 && w.alive() {
		return w.l.c
	}
	if i = slices.IndexFunc(r.warm, (*warming).alive); i >= 0 {
		return r.warm[i].l.c
	}
	return c
}

// coolDown closes the lanes that were not taken. The caller holds mu.
func (r *Remote) coolDown() {
	for _, w := range r.warm {
		go w.close()
	}
	r.warm = nil
}

// dialled reports whether w.l and w.err are set.
func (w *warming) dialled() bool {
	select {
	case <-w.ready:
		return true
	default:
		return false
	}
}

// alive reports whether the lane is ready and has not ended, over whether it has
// ended or could not be opened.
func (w *warming) alive() bool { return w.dialled() && w.err == nil && w.l.c.Err() == nil }
func (w *warming) over() bool  { return w.dialled() && !w.alive() }

func (w *warming) close() {
	<-w.ready
	if w.err == nil {
		_ = w.l.Close()
	}
}

// Lane opens one more connection. From here on a put may change the server, so
// foreseen answers are dropped.
func (r *Remote) Lane(ctx context.Context) (transfer.Lane, error) {
	r.mu.Lock()
	r.ahead = nil
	r.mu.Unlock()
	if l := r.warmed(ctx); l != nil {
		return l, nil
	}
	var l *lane
	err := r.persist(ctx, func() (err error) {
		r.mu.Lock()
		hello := r.helloMessage(r.token)
		r.mu.Unlock()
		if l, err = r.openLane(ctx, hello, true); err == nil {
			r.bound(l)
		}
		return err
	})
	return l, err
}

// openLane connects. The login travels together with the first data: if it is not
// valid, each request fails. With ask, a server that refuses the certificate is
// asked for the reason.
func (r *Remote) openLane(ctx context.Context, hello *frame.Hello, ask bool) (*lane, error) {
	c, _, err := r.dial(ctx, nil, ask)
	if err != nil {
		return nil, err
	}
	return &lane{c: c, at: r.servers.address()}, c.Send(hello, nil, 0, func(session.Answer) {})
}

// bound gives a lane the limits that the server has named on the control connection.
func (r *Remote) bound(l *lane) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.hello != nil {
		l.c.Allow(int(r.hello.Requests), int(r.hello.Bytes))
		l.c.AskLess(laneWindow)
	}
}

// ofFile reports whether the reason of an error is a file or its name: every server says the same.
func ofFile(err error) bool {
	switch hufu.KindOf(err) {
	case hufu.KindInvalid, hufu.KindInvalidPath, hufu.KindNotFound, hufu.KindPermission, hufu.KindExists, hufu.KindNotEmpty,
		hufu.KindWrongKind, hufu.KindChanged, hufu.KindUnsupported:
		return true
	}
	return false
}

// lost returns the error of an answer, with transfer.ErrLost if the lane was lost.
func (l *lane) lost(a session.Answer) error {
	spared := !a.Lost && l.spare && a.Err != nil && !ofFile(a.Err)
	if spared {
		l.c.Drop()
	}
	if a.Lost || spared {
		return fmt.Errorf("%w: %w", transfer.ErrLost, a.Err)
	}
	return a.Err
}

func (l *lane) Put(p hufu.Path, m transfer.Meta, data []byte, d hufu.Digest, c hufu.Condition, done func(error)) error {
	return l.c.Send(&frame.Put{
		Path: frame.WirePath(p), Mode: m.Mode & 0o777, MTime: frame.Nanos(m.MTime), Digest: d[:], Condition: frame.WireCondition(c),
	}, data, 0, func(a session.Answer) { done(l.lost(a)) })
}

func (l *lane) Range(upload string, index int64, data []byte, hole bool, cv digest.CV, done func(error)) error {
	return l.c.Send(&frame.Range{Upload: upload, Index: index, CV: cv[:], Hole: hole}, data, 0, func(a session.Answer) { done(l.lost(a)) })
}

func (l *lane) Get(p hufu.Path, listed hufu.Entry, done func(hufu.Entry, []byte, error)) error {
	m := &frame.Get{Path: frame.WirePath(p), Version: listed.Version}
	if listed.Version != "" && !listed.Digest.IsZero() {
		m.Digest = listed.Digest[:]
	}
	return l.c.Send(m, nil, int(listed.Size), func(a session.Answer) {
		if err := l.lost(a); err != nil {
			done(hufu.Entry{}, nil, err)
			return
		}
		g, ok := a.Message.(*frame.GetAnswer)
		switch {
		case !ok, (g.Entry == nil) != (m.Digest != nil):
			done(hufu.Entry{}, nil, l.lost(session.Answer{Err: &hufu.Error{Op: "get", Kind: hufu.KindProtocol}}))
		case g.Entry == nil:
			done(listed, a.Raw, nil)
		default:
			done(g.Entry.Entry(), a.Raw, nil)
		}
	})
}

func (l *lane) Read(p hufu.Path, version string, index int64, size int, done func(transfer.Chunk, error)) error {
	return l.c.Send(&frame.Read{Path: frame.WirePath(p), Version: version, Index: index}, nil, size, func(a session.Answer) {
		if err := l.lost(a); err != nil {
			done(transfer.Chunk{}, err)
			return
		}
		g, ok := a.Message.(*frame.ReadAnswer)
		if !ok {
			done(transfer.Chunk{}, l.lost(session.Answer{Err: &hufu.Error{Op: "read", Kind: hufu.KindProtocol}}))
			return
		}
		done(transfer.Chunk{Data: a.Raw, Hole: g.Hole, Want: digest.CV(g.CV), Got: a.CV}, nil)
	})
}

func (l *lane) Flush() error { return l.c.Flush() }
func (l *lane) Close() error { return l.c.Close() }
func (l *lane) Node() string { return l.at }
