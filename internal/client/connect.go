package client

import (
	"context"
	"crypto/tls"
	"net"
	"slices"
	"time"

	"hufu"
	"hufu/internal/frame"
	"hufu/internal/profile"
	"hufu/internal/session"
)

// Connect makes the control connection if there is none. It tries once, unless Options have a
// Patience, and succeeds without a login too.
func (r *Remote) Connect(ctx context.Context) (a *frame.HelloAnswer, err error) {
	if r.o.Patience == nil {
		return r.connect(ctx)
	}
	err = r.persist(ctx, func() error { a, err = r.connect(ctx); return err })
	return a, err
}

func (r *Remote) connect(ctx context.Context) (*frame.HelloAnswer, error) {
	asked := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	_, err := r.connected(ctx, asked)
	return r.hello, err
}

// connected returns the control connection. It connects if there is none. The
// caller holds mu. If another call has failed to connect since asked, while this
// one waited for mu, its error is returned: otherwise a hundred calls would wait
// for a silent server one after the other.
func (r *Remote) connected(ctx context.Context, asked time.Time) (*session.Client, error) {
	if r.closed {
		return nil, &hufu.Error{Op: "connect", Kind: hufu.KindCanceled, Code: "connection_closed"}
	}
	if r.control != nil && r.control.Err() == nil {
		return r.control, nil
	}
	if r.failed != nil && r.tried.After(asked) {
		return nil, r.failed
	}
	err := r.connectAnew(ctx)
	if ctx.Err() == nil { // else it is this caller's own
		r.failed, r.tried = err, time.Now()
	}
	if err != nil {
		return nil, err
	}
	return r.control, nil
}

// connectAnew makes the control connection. The caller holds mu.
func (r *Remote) connectAnew(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(r.life, cancel)()
	if !r.recalled { // once: the next tries begin with those that have not failed
		r.recalled = true
		r.recall()
	}
	if r.dialer == nil || r.o.NoRenew {
		return r.connectOnce(ctx)
	}
	return r.dialer.Among(r.servers.candidates()).Renewing(ctx, func() error { return r.connectOnce(ctx) })
}

func (r *Remote) connectOnce(ctx context.Context) error {
	if r.hurry && r.wasLongAndWide() {
		r.warmUp(true)
	}
	c, state, err := r.dial(ctx, r.reached, true)
	if err != nil {
		r.hurry = false // once is enough for a server that is not there
		r.coolDown()
		return err
	}
	r.way = c.Way() // now measured from several samples
	a, err := r.greet(ctx, c)
	if err != nil {
		_ = c.Close()
		return err
	}
	if r.o.Teach && !slices.Contains(a.Features, frame.FeatureTeach) {
		_ = c.Close() // nothing meant for the teaching world goes to the real one
		return TeachOff()
	}
	c.Allow(int(a.Requests), int(a.Bytes))
	r.control, r.hello, r.greeted, r.state = c, a, time.Now(), state
	r.learn(a.Nodes)
	return nil
}

// greet sends hello with the requests that are foreseen, and waits for the answer
// to hello. The caller holds mu.
func (r *Remote) greet(ctx context.Context, c *session.Client) (*frame.HelloAnswer, error) {
	m := r.helloMessage(r.token)
	if r.spreads() {
		m.Features = append(m.Features, frame.FeatureNodes)
	}
	hello := r.foreseeing(m)
	if err := hello.send(c); err != nil {
		return nil, err
	}
	r.sendAhead(c)
	var answer *frame.HelloAnswer
	err := hello.wait(ctx, func(m frame.Message) error {
		var ok bool
		if answer, ok = m.(*frame.HelloAnswer); !ok {
			return &hufu.Error{Op: "hello", Kind: hufu.KindProtocol}
		}
		return nil
	})
	return answer, err
}

// dial makes one connection and starts a session on it. The caller sends hello. If the server does not
// answer, another one of its installation does as well. If none can be used, the error is that of the
// server itself: what is at another address may be anything.
func (r *Remote) dial(ctx context.Context, reached func(session.Way), ask bool) (_ *session.Client, _ *tls.ConnectionState, err error) {
	limit := session.DialTimeout
	if p := r.o.Patience; p != nil && p.For > 0 {
		limit = min(limit, p.For)
	}
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	all := r.servers.candidates()
	for i, at := range all {
		one, stop := limited, context.CancelFunc(func() {})
		if i < len(all)-1 {
			one, stop = context.WithTimeout(limited, nextAfter)
		}
		c, s, failure := r.dialAt(one, at, reached, ask)
		stop()
		if failure == nil {
			r.servers.move(at)
			return c, s, nil
		}
		home := at == all[0]
		if home || ctx.Err() != nil {
			err = failure
		}
		if limited.Err() != nil || home && !Transient(failure) {
			break
		}
		r.servers.failed(at)
	}
	return nil, nil, err
}

// dialAt is dial to one address. reached, if not nil, is told how far the server is, before TLS is
// spoken. With ask, a server that refuses the certificate is asked for the reason.
func (r *Remote) dialAt(ctx context.Context, address string, reached func(session.Way), ask bool) (*session.Client, *tls.ConnectionState, error) {
	raw, err := session.Dial(ctx, r.p.Dirs().Proxy, address)
	if err != nil {
		return nil, nil, err
	}
	if r.o.Plaintext {
		if a, ok := raw.RemoteAddr().(*net.TCPAddr); !ok || !a.IP.IsLoopback() {
			_ = raw.Close()
			return nil, nil, &hufu.Error{Op: "plaintext", Path: r.o.Address, Kind: hufu.KindUsage, Code: "plaintext_not_loopback"}
		}
	}
	if r.o.Tap != nil {
		raw = r.o.Tap(raw)
	}
	stream := session.NewStream(raw)
	if reached != nil {
		reached(stream.Way())
	}
	if r.dialer == nil {
		return session.NewClient(stream, stream, frame.NewCodec(), nil), nil, nil
	}
	return r.dialer.At(address).Handshake(ctx, stream, ask)
}

func (r *Remote) helloMessage(token []byte) *frame.Hello {
	m := profile.Hello(token)
	if r.o.Teach {
		m.Features = append(m.Features, frame.FeatureTeach)
	}
	return m
}

// loggedIn returns the control connection, if there is a login.
func (r *Remote) loggedIn(ctx context.Context) (*session.Client, error) {
	asked := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	c, err := r.connected(ctx, asked)
	if err != nil {
		return nil, err
	}
	return c, r.notLoggedIn(r.hello)
}

// call sends one request on the control connection until it is answered.
func call[A frame.Message](ctx context.Context, r *Remote, m frame.Message) (A, error) {
	answer, _, err := repeated[A](ctx, r, m, func() {})
	return answer, err
}

// repeated is call. maybe reports whether an earlier try may have been carried out
// although its answer never came. In that case caution is called before the next
// try; it may change m.
func repeated[A frame.Message](ctx context.Context, r *Remote, m frame.Message, caution func()) (answer A, maybe bool, err error) {
	err = r.persist(ctx, func() error {
		c, err := r.loggedIn(ctx)
		if err != nil {
			return err
		}
		if maybe {
			caution()
		}
		err = r.each(ctx, c, m, func(got frame.Message) error {
			var ok bool
			if answer, ok = got.(A); !ok {
				return &hufu.Error{Op: m.Type().String(), Kind: hufu.KindProtocol}
			}
			return nil
		})
		maybe = maybe || Transient(err)
		return err
	})
	return answer, maybe, err
}
