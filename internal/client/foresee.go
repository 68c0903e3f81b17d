package client

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"sync"
	"time"

	"hufu"
	"hufu/internal/frame"
	"hufu/internal/session"
	"hufu/internal/transfer"
)

// A put or a get sends one request after the other, and each would take a round
// trip: hello, the folder, the entry at the target. A request that can be foreseen
// is sent together with hello instead. The call that makes the same request later
// finds the answer on its way.

// foreseenFor is how long an answer may wait for its call, and maxForeseen how many
// requests are foreseen: those of a long list are sent together anyway.
const (
	foreseenFor = 5 * time.Second
	maxForeseen = 16
)

// foreseen is one request that is sent before its call is made.
type foreseen struct {
	m    frame.Message
	c    *session.Client // that carries it, nil before there is a connection
	at   time.Time
	news chan struct{} // holds one when something has come

	mu      sync.Mutex
	answers []frame.Message // not yet asked for
	cost    int64           // of these
	maxCost int64
	over    bool
	err     error
}

// errNotKept means that an answer came and was dropped: it was too large to keep for
// a call that may never be made.
var errNotKept = errors.New("a foreseen answer was too large to keep")

func (r *Remote) foreseeing(m frame.Message) *foreseen {
	return &foreseen{m: m, maxCost: r.maxForeseenBytes, news: make(chan struct{}, 1)}
}

// send puts the request into the buffers of c. After an error c has ended and there
// will be no answer.
func (f *foreseen) send(c *session.Client) error {
	f.c, f.at = c, time.Now()
	return c.Send(f.m, nil, 0, func(a session.Answer) {
		f.mu.Lock()
		switch {
		case a.Err != nil && f.err == nil:
			f.err = a.Err
		case f.err == nil:
			f.answers = append(f.answers, a.Message)
			if f.cost += cost(a.Message); f.cost > f.maxCost {
				f.answers, f.err = nil, &hufu.Error{Op: f.m.Type().String(), Kind: hufu.KindNetwork, Code: "connection_lost", Err: errNotKept}
				c.Drop() // the call may never be made, and the answer may have no end
			}
		}
		f.over = !a.More
		f.mu.Unlock()
		select {
		case f.news <- struct{}{}:
		default:
		}
	})
}

// wait calls fn for the messages of the answer as they come.
func (f *foreseen) wait(ctx context.Context, fn func(frame.Message) error) error {
	for {
		f.mu.Lock()
		answers, over, err := f.answers, f.over, f.err
		f.answers, f.cost = nil, 0
		f.mu.Unlock()
		for _, a := range answers {
			if err := fn(a); err != nil {
				if !over {
					f.c.Drop()
				}
				return err
			}
		}
		if over {
			return err
		}
		select {
		case <-f.news:
		case <-ctx.Done():
			return &hufu.Error{Op: f.m.Type().String(), Kind: hufu.KindCanceled, Err: context.Cause(ctx)}
		}
	}
}

// foresee sends requests as soon as there is a connection. They replace those that
// were foreseen before.
func (r *Remote) foresee(requests ...frame.Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ahead = nil
	// Nothing meant for the teaching world may go to the real one, and only the
	// answer to hello shows which one it is. The requests of a long list gain
	// nothing: their calls send them together.
	if r.o.Teach || len(requests) > maxForeseen {
		return
	}
	for _, m := range requests {
		if frame.Check(m) != nil {
			continue // the call reports it
		}
		r.ahead = append(r.ahead, r.foreseeing(m))
	}
	if r.control != nil && r.control.Err() == nil {
		r.sendAhead(r.control)
	}
}

// sendAhead sends the foreseen requests that were not sent on an earlier connection.
// The caller holds mu.
func (r *Remote) sendAhead(c *session.Client) {
	r.ahead = slices.DeleteFunc(r.ahead, func(f *foreseen) bool { return f.c != nil })
	for _, f := range r.ahead {
		if f.send(c) != nil {
			r.ahead = nil // the connection has ended; the call finds out why
			break
		}
	}
	_ = c.Flush()
}

// each is session.Client.Each for a request that may have been foreseen.
func (r *Remote) each(ctx context.Context, c *session.Client, m frame.Message, fn func(frame.Message) error) error {
	_, err := r.eachBy(ctx, c, m, fn)
	return err
}

// eachBy is like each and also returns the connection that carried the request, which for the
// first page of a listing may not be c.
func (r *Remote) eachBy(ctx context.Context, c *session.Client, m frame.Message, fn func(frame.Message) error) (by *session.Client, err error) {
	if f := r.asked(c, m); f != nil {
		return c, f.wait(ctx, fn)
	}
	by = c
	if l, ok := m.(*frame.List); ok && len(l.After) == 0 {
		by = r.idle(ctx, c)
	}
	err = by.Each(ctx, m, func(a session.Answer) error { return fn(a.Message) })
	if err != nil && by != c && by.Err() != nil && ctx.Err() == nil {
		// The lane has ended, but c has not.
		return by, &hufu.Error{Op: m.Type().String(), Kind: hufu.KindNetwork, Code: "connection_lost", Err: err}
	}
	return by, err
}

// asked takes the foreseen request m of this connection, nil if there is none.
func (r *Remote) asked(c *session.Client, m frame.Message) *foreseen {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, f := range r.ahead {
		if f.c == c && time.Since(f.at) < foreseenFor && reflect.DeepEqual(f.m, m) {
			r.ahead = append(r.ahead[:i:i], r.ahead[i+1:]...)
			return f
		}
	}
	return nil
}

// ForeseePut sends the first requests of a coming PreparePut together with hello. One of
// them makes the target folder, so it must be called only if PreparePut follows, with the
// same arguments. It should come before the connection is made.
func (r *Remote) ForeseePut(ctx context.Context, sources []string, to hufu.Path, how How) {
	var ask []frame.Message
	switch {
	case how.Folder && to.IsRoot():
	case how.Folder:
		ask = append(ask, folderRequest(to))
	case len(sources) != 1:
		return
	default:
		ask = append(ask, statRequest(to))
		if !to.Parent().IsRoot() {
			ask = append(ask, folderRequest(to.Parent()))
		}
	}
	var open []frame.Message
	c, own := r.newCopy(), r.ownFolders()
	defer func() { _ = c.Close() }()
	for _, path := range sources {
		s, err := c.source(path, to, how)
		if err == nil {
			err = own.notOwn(s, how.Links)
		}
		if err == nil {
			err = r.notInside("put", s)
		}
		if err != nil {
			r.foresee() // PreparePut says what is wrong, before a folder is made
			return
		}
		if s.Contents {
			continue
		}
		ask = append(ask, statRequest(s.Far))
		if e, err := s.Store.Stat(ctx, s.Path); err == nil && transfer.IsLarge(e) {
			open = append(open, openRequest(s.Far, e.Size, e.Version))
		}
	}
	if len(ask)+len(open) > maxForeseen {
		open = nil
	}
	r.foresee(append(ask, open...)...)
}

// ForeseeGet sends the first requests of a coming PrepareGet of sources. They change
// nothing on the server.
func (r *Remote) ForeseeGet(sources []Fetch) {
	paths := make([]hufu.Path, len(sources))
	for i, s := range sources {
		paths[i] = s.Path
	}
	r.ForeseeList(paths)
}

// ForeseeList sends the requests of coming calls of Stat for paths, and of a listing for
// those that are folders. It should come before the connection is made.
func (r *Remote) ForeseeList(paths []hufu.Path) {
	var ask []frame.Message
	for _, p := range paths {
		ask = append(ask, statRequest(p))
	}
	if 2*len(ask) <= maxForeseen {
		for _, p := range paths {
			ask = append(ask, listRequest(p))
		}
	}
	r.foresee(ask...)
}

func statRequest(p hufu.Path) *frame.Stat { return &frame.Stat{Path: frame.WirePath(p)} }

func mkdirRequest(p hufu.Path, mode uint32, parents bool) *frame.Mkdir {
	return &frame.Mkdir{Path: frame.WirePath(p), Mode: mode & 0o777, Parents: parents}
}

func openRequest(p hufu.Path, size int64, source string) *frame.Open {
	return &frame.Open{Path: frame.WirePath(p), Size: size, Source: source}
}

// folderRequest makes the folder of a put.
func folderRequest(p hufu.Path) *frame.Mkdir { return mkdirRequest(p, 0o755, true) }
