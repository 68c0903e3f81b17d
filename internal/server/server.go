// Package server accepts connections on one port. TLS verifies both ends, and ALPN chooses the
// protocol. A second listener, on loopback and without TLS, serves the teaching world only. The
// package owns the limits on connections, the cutting of those whose certificate or login is no
// longer valid, and the manner of stopping. Package account decides whether a user may act;
// packages files and access decide on what.
package server

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"hufu"
	"hufu/internal/account"
	"hufu/internal/ca"
	"hufu/internal/files"
	"hufu/internal/frame"
	"hufu/internal/identity"
	"hufu/internal/session"
)

// Limits on connections.
const (
	maxConnections = 8192             // past their handshake, at the same time; see full
	maxOfOneUser   = 1024             // of these, of one user
	MaxOfOneDevice = 512              // and of one device, all its certificates together
	maxSilent      = 512              // that have not said a word yet, at the same time; see crowd
	maxHandshakes  = 512              // that have sent a TLS ClientHello and are not verified yet; see crowd
	maxEnrolling   = 64               // on the enrollment protocol, at the same time; see crowd
	handshakeTime  = 10 * time.Second // for the peer to be verified
	helloTime      = 10 * time.Second // to say hello after that
	lookTime       = 2 * time.Second  // to look in the database before a certificate is refused
	enrollTime     = time.Minute      // for a whole enrollment
	judgeAllEvery  = time.Minute      // how often the end of a certificate or login is looked for on open connections
	// StopTime is the longest time that a server takes to stop after its time
	// for draining.
	StopTime = 3 * time.Second
)

// maxIntake is the limit in bytes for requests that were not carried out yet, on all native
// connections together, unless Options say otherwise; see session.Intake. Those of the teaching
// listener have one of their own.
const maxIntake = 128 << 20

// Options configure a server.
type Options struct {
	Account   *account.Service
	Authority *ca.Authority
	Files     *files.Service
	Teach     *Teach // nil: no teaching world
	Log       *Log
	Now       func() time.Time
	Intake    int // bytes of requests that were not carried out yet; 0 is 128 MiB
	Chunks    int // of answers, for all connections of one user; 0 is no other limit than that of all users
	// AdminInvites leaves invitations to the administrator: a user cannot make one for another device.
	AdminInvites bool
	// CommonName also accepts certificates of an operator's CA, without usage and hufu name; see
	// identity.
	CommonName bool
}

// Server serves any number of listeners.
type Server struct {
	o        Options
	tls      identity.Server
	codec    *frame.Codec
	instance []byte
	intake   *session.Intake
	started  time.Time

	silent     crowd
	handshakes crowd
	enrolling  crowd
	slots      chan struct{}
	held       held // for chunks of answers
	long       held // for requests that read whole files here
	aheadRoom  aheadRoom
	handles    handles

	conns    *connections
	draining atomic.Bool
	watch    atomic.Pointer[func(context.Context) context.Context] // makes the context of each request; for tests, nil normally
	count    counters
}

type counters struct {
	connections, refused, in, out atomic.Int64
}

// New makes a server; it does no I/O.
func New(o Options) (*Server, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Intake == 0 {
		o.Intake = maxIntake
	}
	s := &Server{
		o: o, codec: frame.NewCodec(), instance: make([]byte, 16), started: o.Now(), intake: session.NewIntake(o.Intake),
		silent: crowd{limit: maxSilent}, handshakes: crowd{limit: maxHandshakes}, enrolling: crowd{limit: maxEnrolling},
		slots:   make(chan struct{}, maxConnections+maxSilent+maxHandshakes+maxEnrolling),
		held:    held{limit: maxHeld, ofUser: o.Chunks, drops: true, holders: map[*conn]struct{}{}},
		long:    held{limit: maxLong, ofUser: maxLongOfUser, holders: map[*conn]struct{}{}},
		handles: handles{limit: maxHandlesOfUser, of: map[string]int{}},
		conns:   newConnections(),
	}
	s.aheadRoom = aheadRoom{held: &s.held, ofConn: map[*conn]int64{}, ofUser: map[string]int64{}}
	_, _ = rand.Read(s.instance) // never fails
	s.tls = identity.Server{
		Certificate: o.Authority.ServerCertificate, Trust: o.Authority.Trust,
		Admit: func(p identity.Peer) error {
			ctx, cancel := context.WithTimeout(context.Background(), lookTime)
			defer cancel()
			_, err := o.Account.AdmitOrLook(ctx, p.Serial, p.Fingerprint)
			return err
		},
		CommonName: o.CommonName, Now: o.Now,
	}
	if _, err := s.tls.Config(); err != nil {
		return nil, err
	}
	o.Account.OnChange(s.conns.judge)
	return s, nil
}

// Serve accepts connections from ln until ctx ends, then drains: a connection whose requests are
// all answered is told to try again later, and so is every other one when drain has passed.
// Handshakes are closed at once. Enrollments are closed when no transfer and no enrollment is under
// way, at the latest after drain. Neither is told why. When Serve returns, every connection is
// closed, unless the error is serve_stuck.
func (s *Server) Serve(ctx context.Context, ln net.Listener, drain time.Duration) error {
	config, err := s.tls.Config()
	if err != nil {
		return err
	}
	config = s.withSteps(config)
	var judging sync.WaitGroup
	judging.Go(func() { s.judgeOften(ctx) })
	defer judging.Wait()
	return s.serve(ctx, ln, drain, func(ctx context.Context, c net.Conn) func() { return s.handle(ctx, c, config) })
}

// judgeOften finds what no change announces: certificates and logins that end
// while their connection is open.
func (s *Server) judgeOften(ctx context.Context) {
	tick := time.NewTicker(judgeAllEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.conns.judge()
		case <-ctx.Done():
			return
		}
	}
}

// serve gives each connection of ln to handle, on a goroutine of its own. The function
// that handle returns, if any, runs on a fresh goroutine: a handshake needs a large
// stack, and a goroutine keeps its stack while it waits.
func (s *Server) serve(ctx context.Context, ln net.Listener, drain time.Duration, handle func(context.Context, net.Conn) func()) error {
	var open sync.WaitGroup // the connections of this listener
	stop := context.AfterFunc(ctx, func() { _ = ln.Close() })
	defer stop()
	for {
		select {
		case s.slots <- struct{}{}:
		case <-ctx.Done():
			return s.drain(drain, &open)
		}
		c, err := ln.Accept()
		if err != nil {
			<-s.slots
			if ctx.Err() != nil {
				return s.drain(drain, &open)
			}
			// Out of descriptors, or the peer left before it was accepted.
			s.o.Log.Warn("accept", "err", err)
			select {
			case <-time.After(50 * time.Millisecond):
			case <-ctx.Done():
			}
			continue
		}
		open.Go(func() {
			var then func()
			defer func() {
				if then == nil {
					<-s.slots
				}
			}()
			defer s.recovered(c)
			// Connections outlive ctx by the time of draining.
			if then = handle(context.WithoutCancel(ctx), c); then != nil {
				open.Go(func() {
					defer func() { <-s.slots }()
					defer s.recovered(c)
					then()
				})
			}
		})
	}
}

// recovered keeps a connection whose handling panics from ending the server.
func (s *Server) recovered(c net.Conn) {
	if r := recover(); r != nil {
		trace := debug.Stack()
		if p, ok := r.(*session.Panic); ok {
			trace = p.Stack
		}
		s.o.Log.Error("panic", "remote", c.RemoteAddr().String(), "panic", r, "stack", string(trace))
		_ = c.Close()
	}
}

// handle makes the handshake and returns what serves the connection, nil if that is
// done already.
func (s *Server) handle(ctx context.Context, raw net.Conn, config *tls.Config) func() {
	remote := raw.RemoteAddr().String()
	stream := session.NewStream(raw)
	c := tls.Server(stream, config)
	cut := func() { _ = raw.Close() }
	st := &step{remote: raw.RemoteAddr(), cut: cut, place: s.silent.enter(raw.RemoteAddr(), cut, nil)}
	defer func() { st.place.leave() }()
	hctx, cancel := context.WithTimeout(context.WithValue(ctx, stepKey{}, st), handshakeTime)
	_ = raw.SetDeadline(time.Now().Add(handshakeTime))
	refused := func(level slog.Level, attrs ...any) {
		s.o.Log.bounded(originOf(stream.RemoteAddr()).String(), level, "refused", append([]any{"remote", remote}, attrs...)...)
	}
	err := c.HandshakeContext(hctx)
	cancel()
	if err != nil {
		s.count.refused.Add(1)
		why := refusal(err)
		if st.place.out.Load() {
			why = "made room for others"
		}
		if s.draining.Load() {
			why = "stopping"
		}
		refused(slog.LevelWarn, "why", why)
		part(stream) // within its place: a peer that never reads the alert counts, and makes room for others
		return nil
	}
	st.place.leave()
	_ = raw.SetDeadline(time.Time{})
	state := c.ConnectionState()
	switch state.NegotiatedProtocol {
	case identity.ProtoNative:
		peer, err := identity.ProvenPeer(state)
		if err != nil {
			refused(slog.LevelWarn, "why", refusal(err))
			_ = c.Close()
			return nil
		}
		return func() { s.native(ctx, c, stream, peer, remote) }
	case identity.ProtoEnroll:
		s.enroll(ctx, c, stream, remote)
	default:
		refused(slog.LevelInfo, "why", "protocol not served", "alpn", state.NegotiatedProtocol)
		_ = c.Close()
	}
	return nil
}

// refusal returns the reason in a handshake error, short for the log.
func refusal(err error) string {
	if e, ok := errors.AsType[*hufu.Error](err); ok {
		return e.Error()
	}
	return hufu.Printable(err.Error())
}

// part lets the alert that TLS has written reach the peer: closing while its
// bytes are unread would make the kernel send a reset that overtakes the alert.
func part(stream *session.Stream) {
	_ = stream.CloseWrite()
	_ = stream.SetReadDeadline(time.Now().Add(session.PartTimeout))
	_, _ = io.Copy(io.Discard, io.LimitReader(stream, 1<<20))
	_ = stream.Close()
}

func (s *Server) native(ctx context.Context, c net.Conn, stream *session.Stream, peer identity.Peer, remote string) {
	// If Admit refuses, the log has no user name. run judges again and sends the reason.
	sub, _ := s.o.Account.Admit(peer.Serial, peer.Fingerprint)
	h := &conn{
		s: s, peer: peer, sub: sub, session: session.NewServer(c, stream, s.codec), stream: stream,
		log: s.o.Log.about(slog.String("remote", remote), slog.String("user", sub.User), slog.String("device", sub.Device)), opened: s.o.Now(),
	}
	h.session.UseIntake(s.intake, sub.User)
	s.run(ctx, h, s.o.Files, "tls")
}

// run serves one connection of the native protocol.
func (s *Server) run(ctx context.Context, h *conn, fs *files.Service, over string) {
	h.files = fs
	s.count.connections.Add(1)
	s.conns.join(h)
	defer s.gone(h)
	// A change of accounts reaches this connection only from here on, so it is
	// judged again.
	err := h.judge()
	switch {
	case err != nil:
		h.session.Part(asError(err))
	case s.draining.Load():
		h.session.Part(stopping())
	}
	h.log.Info("connected", "over", over, "serial", h.sub.Serial, "way", h.stream.Way().String())
	defer afterRunning(helloTime, func() bool { return !h.greeted.Load() }, func() {
		h.session.Part(&hufu.Error{Op: "hello", Kind: hufu.KindProtocol, Code: "hello_missing"})
	})()
	err = h.session.Serve(ctx, h)
	h.close() // its last lines in the log come before the line "gone"
	in, out := h.stream.Bytes()
	attrs := []any{"bytes_in", in, "bytes_out", out, "seconds", s.o.Now().Sub(h.opened).Seconds()}
	if err != nil && !errors.Is(err, io.EOF) {
		attrs = append(attrs, "why", hufu.Printable(err.Error()))
	}
	h.log.Info("gone", attrs...)
}

// gone removes a connection that has ended, for any reason.
func (s *Server) gone(h *conn) {
	defer h.cuts.Wait()
	defer func() { // even if close panics: a connection that is not there must not be counted
		s.conns.leave(h)
		in, out := h.stream.Bytes()
		s.count.in.Add(in)
		s.count.out.Add(out)
	}()
	h.close()
}

func stopping() *hufu.Error {
	return &hufu.Error{Op: "server", Kind: hufu.KindUnavailable, Code: "server_stopping"}
}

func asError(err error) *hufu.Error {
	if e, ok := errors.AsType[*hufu.Error](err); ok {
		return e
	}
	return &hufu.Error{Op: "server", Kind: hufu.KindInternal, Err: err}
}

// drain waits for running transfers, tells the rest to come back later, and waits until all are
// gone. Connections that do not end within StopTime after that are abandoned, since the process
// is about to end: the error says so, and those that were admitted are counted in it and logged.
func (s *Server) drain(limit time.Duration, open *sync.WaitGroup) error {
	s.draining.Store(true)
	s.silent.end()
	s.handshakes.end()
	deadline := time.Now().Add(limit)
	for {
		more := time.Now().Before(deadline)
		if s.conns.partIdle(more) == 0 && (!more || !s.enrolling.working()) {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	s.enrolling.end()
	over := make(chan struct{})
	go func() { open.Wait(); close(over) }() // ends with the last connection, or the process
	select {
	case <-over:
		return nil
	case <-time.After(StopTime):
	}
	return s.conns.stuck()
}

// Status is shown by the administration commands for a running server.
type Status struct {
	Started     time.Time `json:"started"`
	Version     string    `json:"version"`
	Open        int       `json:"open"`        // connections now
	Connections int64     `json:"connections"` // since the start
	Refused     int64     `json:"refused"`
	Puts        int64     `json:"puts"`
	Gets        int64     `json:"gets"`
	BytesIn     int64     `json:"bytes_in"`
	BytesOut    int64     `json:"bytes_out"`
	Users       []string  `json:"users"` // connected now
	Fresh       bool      `json:"fresh"` // accounts are up to date
}

// Status returns the state and the counters of the server.
func (s *Server) Status() Status {
	open, users, in, out := s.conns.totals()
	puts, gets := s.o.Files.Transfers()
	if s.o.Teach != nil {
		p, g := s.o.Teach.files.Transfers()
		puts, gets = puts+p, gets+g
	}
	return Status{
		Started: s.started, Version: hufu.Version, Open: open, Connections: s.count.connections.Load(), Refused: s.count.refused.Load(),
		Puts: puts, Gets: gets, BytesIn: in + s.count.in.Load(), BytesOut: out + s.count.out.Load(), Users: users, Fresh: s.o.Account.Fresh(),
	}
}
