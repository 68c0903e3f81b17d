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

// A put or a get asks one thing after the other, and each would take a round
// trip: hello, the folder, what stands at the target. What can be told before is
// asked together with hello instead. Whoever then asks the same finds the answer
// on its way.

// foreseenFor is how long an answer may wait for whoever asks, and maxForeseen
// how many are asked for: a long list is asked all at once anyway.
const (
	foreseenFor = 5 * time.Second
	maxForeseen = 16
)

// foreseen is one request that was sent before it is asked.
type foreseen struct {
	m    frame.Message
	c    *session.Client // that carries it, nil before there is a connection
	at   time.Time
	news chan struct{} // holds one when something has come

	mu      sync.Mutex
	answers []frame.Message // not yet asked for
	cost    int64           // of these
	most    int64
	over    bool
	err     error
}

// errNotKept says that an answer came and was not kept: it was too much to keep for
// somebody who might ask.
var errNotKept = errors.New("a foreseen answer was too large to keep")

func (r *Remote) foreseeing(m frame.Message) *foreseen {
	return &foreseen{m: m, most: r.sharedListing, news: make(chan struct{}, 1)}
}

// send puts the request into the buffers of c. After an error there will be no
// answer: c has ended.
func (f *foreseen) send(c *session.Client) error {
	f.c, f.at = c, time.Now()
	return c.Send(f.m, nil, 0, func(a session.Answer) {
		f.mu.Lock()
		switch {
		case a.Err != nil && f.err == nil:
			f.err = a.Err
		case f.err == nil:
			f.answers = append(f.answers, a.Message)
			if f.cost += cost(a.Message); f.cost > f.most {
				f.answers, f.err = nil, &hufu.Error{Op: f.m.Type().String(), Kind: hufu.KindNetwork, Code: "connection_lost", Err: errNotKept}
				c.Drop() // nobody may ever ask, and what follows may have no end
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

// wait gives the answer's messages to fn as they come.
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

// foresee sends requests as soon as there is a connection. In place of all that
// were foreseen before: what nobody has asked for by then will not be.
func (r *Remote) foresee(requests ...frame.Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ahead = nil
	if r.o.Teach || len(requests) > maxForeseen {
		return // nothing meant for the teaching world goes to the real one
	}
	for _, m := range requests {
		if frame.Check(m) != nil {
			continue // whoever asks is told
		}
		r.ahead = append(r.ahead, r.foreseeing(m))
	}
	if r.control != nil && r.control.Err() == nil {
		r.sendAhead(r.control)
	}
}

// sendAhead sends what is foreseen and was not sent on an earlier connection;
// the caller holds mu.
func (r *Remote) sendAhead(c *session.Client) {
	r.ahead = slices.DeleteFunc(r.ahead, func(f *foreseen) bool { return f.c != nil })
	for _, f := range r.ahead {
		if f.send(c) != nil {
			r.ahead = nil // the connection has ended; whoever asks finds out why
			break
		}
	}
	_ = c.Flush()
}

// each is session.Client.Each for a request that may have been foreseen.
func (r *Remote) each(ctx context.Context, c *session.Client, m frame.Message, fn func(frame.Message) error) error {
	if f := r.asked(c, m); f != nil {
		return f.wait(ctx, fn)
	}
	by := c
	if m.Type() == frame.TypeList {
		by = r.idle(ctx, c)
	}
	err := by.Each(ctx, m, func(a session.Answer) error { return fn(a.Message) })
	if err != nil && by != c && by.Err() != nil && ctx.Err() == nil {
		// The lane has ended, whoever ended it; c has not.
		return &hufu.Error{Op: m.Type().String(), Kind: hufu.KindNetwork, Code: "connection_lost", Err: err}
	}
	return err
}

// asked takes what was foreseen of m on this connection, nil if nothing was.
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

// ForeseePut tells of a put that PreparePut will be asked for with the same
// arguments, before the connection is made.
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
	c := r.newCopy()
	defer func() { _ = c.Close() }()
	for _, path := range sources {
		s, err := c.source(path, to, how)
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

// ForeseeGet is ForeseePut's counterpart.
func (r *Remote) ForeseeGet(sources []Fetch) {
	paths := make([]hufu.Path, len(sources))
	for i, s := range sources {
		paths[i] = s.Path
	}
	r.ForeseeList(paths)
}

// ForeseeList tells of what Stat will be asked for, and List where it is a
// folder, before the connection is made.
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

func listRequest(p hufu.Path) *frame.List { return &frame.List{Path: frame.WirePath(p)} }

func statRequest(p hufu.Path) *frame.Stat { return &frame.Stat{Path: frame.WirePath(p)} }

func mkdirRequest(p hufu.Path, mode uint32, parents bool) *frame.Mkdir {
	return &frame.Mkdir{Path: frame.WirePath(p), Mode: mode & 0o777, Parents: parents}
}

func openRequest(p hufu.Path, size int64, source string) *frame.Open {
	return &frame.Open{Path: frame.WirePath(p), Size: size, Source: source}
}

// folderRequest is how the folder of a put is made.
func folderRequest(p hufu.Path) *frame.Mkdir { return mkdirRequest(p, 0o755, true) }
