package client

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"hufu"
	"hufu/internal/frame"
	"hufu/internal/identity"
	"hufu/internal/session"
)

// Times of a client.
const (
	DialTimeout = 15 * time.Second
	// RetryFor is how long a lost connection is tried again before giving up.
	RetryFor = 2 * time.Minute
	// restartTime is the same for a server that nobody has spoken to yet.
	restartTime = 30 * time.Second

	firstTry = 100 * time.Millisecond
	lastTry  = 5 * time.Second
)

// Options change how a server is reached.
type Options struct {
	// Teach asks for the teaching world: real accounts and files are not there.
	Teach bool
	// Plaintext reaches the teaching world without TLS, at Address.
	Plaintext bool
	Address   string // instead of the profile's
	// Remember keeps a login to the teaching world in the profile's state, apart
	// from the real one.
	Remember bool
	// Tap, if not nil, stands between TLS and the network: it records.
	Tap    func(net.Conn) net.Conn
	KeyLog io.Writer
	// Notify is told when the connection is lost (with the reason) and when it
	// is back (nil).
	Notify func(error)
	// NoRenew leaves the certificate as it is.
	NoRenew bool
}

// Remote is one server as one profile sees it. Its methods are safe for
// concurrent use and reconnect by themselves; what they return is final.
type Remote struct {
	p     *Profile
	o     Options
	codec *frame.Codec
	tls   *tls.Config     // nil without TLS
	far   time.Duration   // the round trip from which the server is far away
	life  context.Context // ends with Close, which must not wait for a dial
	end   context.CancelFunc

	mu      sync.Mutex // guards what follows; held while connecting
	control *session.Client
	hello   *frame.HelloAnswer
	state   *tls.ConnectionState
	token   []byte
	way     session.Way // to the server, zero before it was reached
	hurry   bool        // WarmUp was called: lanes are opened as soon as it is known how far it is, or now if it was far
	flow    Flow        // which way their bytes will go
	lanes   int         // how many
	warm    []*warming
	ahead   []*foreseen
	lost    time.Time // since when there is no connection, zero while there is
	closed  bool
	failed  error     // of the last try to connect, nil if it succeeded
	tried   time.Time // when it ended

	outage outage        // has its own lock
	large  chan struct{} // taken by the listing that may be large

	mostListing, sharedListing int64 // the constants, but in tests
}

// New prepares a Remote; it reads the profile's certificates and does not
// connect.
func New(p *Profile, o Options) (*Remote, error) {
	r := &Remote{p: p, o: o, codec: frame.NewCodec(), far: farFrom, large: make(chan struct{}, 1), mostListing: mostListing, sharedListing: sharedListing}
	r.life, r.end = context.WithCancel(context.Background())
	if r.outage.notify = o.Notify; o.Notify == nil {
		r.outage.notify = func(error) {}
	}
	if o.Address == "" {
		r.o.Address = p.Address
	}
	if !o.Teach && !o.Plaintext {
		r.token = p.Token()
	}
	if r.o.Remember = o.Remember && (o.Teach || o.Plaintext); r.o.Remember {
		r.token = p.teachLogin().Token
	}
	if o.Plaintext {
		r.o.Teach = true
		return r, checkLoopback(r.o.Address)
	}
	config, err := p.config(identity.ProtoNative, o.KeyLog)
	r.tls = config
	return r, err
}

func (p *Profile) config(alpn string, keyLog io.Writer) (*tls.Config, error) {
	roots, err := p.Roots()
	if err != nil {
		return nil, err
	}
	return identity.Client{
		Roots: roots, Certificate: p.Certificate, Host: p.Host, ALPN: alpn, CommonName: p.CommonName, KeyLog: keyLog,
	}.Config()
}

// checkLoopback refuses to speak without TLS to any other machine.
func checkLoopback(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return &hufu.Error{Op: "plaintext", Path: address, Kind: hufu.KindUsage, Code: "bad_address", Err: err}
	}
	ips := []net.IP{net.ParseIP(host)}
	if ips[0] == nil {
		if ips, err = net.LookupIP(host); err != nil {
			return &hufu.Error{Op: "plaintext", Path: address, Kind: hufu.KindNetwork, Code: "name_not_found", Err: err}
		}
	}
	for _, ip := range ips {
		if !ip.IsLoopback() {
			return &hufu.Error{Op: "plaintext", Path: address, Kind: hufu.KindUsage, Code: "plaintext_not_loopback"}
		}
	}
	return nil
}

// Profile is who we are there.
func (r *Remote) Profile() *Profile { return r.p }

// dial makes one connection and starts a session on it; hello is the caller's.
// reached, if not nil, is told how far the server is, before TLS is spoken. Only
// with ask is a server that refuses us asked why.
func (r *Remote) dial(ctx context.Context, reached func(session.Way), ask bool) (*session.Client, *tls.ConnectionState, error) {
	ctx, cancel := context.WithTimeout(ctx, DialTimeout)
	defer cancel()
	raw, err := dialTCP(ctx, r.o.Address)
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
	if r.tls == nil {
		return session.NewClient(stream, stream, r.codec, nil), nil, nil
	}
	c := tls.Client(stream, r.tls)
	if err := identity.Handshake(ctx, c, r.tls); err != nil {
		_ = raw.Close()
		if ask {
			err = r.judge(ctx, err)
		}
		return nil, nil, err
	}
	state := c.ConnectionState()
	if !ask {
		return session.NewClient(c, stream, r.codec, nil), &state, nil
	}
	judge := func(err error) error {
		ctx, cancel := context.WithTimeout(context.Background(), DialTimeout)
		defer cancel()
		return r.judge(ctx, err)
	}
	return session.NewClient(c, stream, r.codec, judge), &state, nil
}

func dialTCP(ctx context.Context, address string) (net.Conn, error) {
	d := net.Dialer{}
	d.SetMultipathTCP(false)
	raw, err := d.DialContext(ctx, "tcp", address)
	if errors.Is(err, context.Canceled) {
		return nil, &hufu.Error{Op: "connect", Path: address, Kind: hufu.KindCanceled, Err: err}
	}
	if exhausted(err) {
		return nil, &hufu.Error{Op: "connect", Path: address, Kind: hufu.KindUnavailable, Code: "too_many_open_files", Err: err}
	}
	if err != nil {
		code := "cannot_connect"
		if e, ok := errors.AsType[*net.DNSError](err); ok && e.IsNotFound {
			code = "name_not_found"
		}
		return nil, &hufu.Error{Op: "connect", Path: address, Kind: hufu.KindNetwork, Code: code, Args: map[string]string{"address": address}, Err: err}
	}
	return raw, nil
}

// judge finds out what an error of a connection means. TLS lets a server say
// little more than "bad certificate", so a refused client asks why on the
// enrollment protocol.
func (r *Remote) judge(ctx context.Context, err error) error {
	e := identity.Classify(err, true)
	if e.Kind != hufu.KindRefused {
		return e
	}
	if why, askErr := r.Why(ctx); askErr == nil && why != nil {
		return why
	}
	return e
}

// Why asks the server why it refuses our certificate; nil if it does not.
func (r *Remote) Why(ctx context.Context) (*hufu.Error, error) {
	config, err := r.p.config(identity.ProtoEnroll, nil)
	if err != nil {
		return nil, err
	}
	c, err := dialEnroll(ctx, r.o.Address, config)
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }()
	m, err := c.Do(ctx, &frame.Why{})
	if err != nil {
		return nil, err
	}
	a, ok := m.(*frame.WhyAnswer)
	if !ok || a.Error == nil {
		return nil, nil
	}
	return a.Error.Err("connect"), nil
}

func dialEnroll(ctx context.Context, address string, config *tls.Config) (*session.Client, error) {
	raw, err := dialTCP(ctx, address)
	if err != nil {
		return nil, err
	}
	stream := session.NewStream(raw)
	c := tls.Client(stream, config)
	if err := identity.Handshake(ctx, c, config); err != nil {
		_ = raw.Close()
		return nil, identity.Classify(err, true)
	}
	return session.NewClient(c, stream, frame.NewCodec(), func(err error) error { return identity.Classify(err, true) }), nil
}

func (r *Remote) features() []string {
	f := []string{frame.FeatureCore}
	if r.o.Teach {
		f = append(f, frame.FeatureTeach)
	}
	return f
}

func (r *Remote) helloMessage(token []byte) *frame.Hello {
	return &frame.Hello{Version: frame.Version, Features: r.features(), Token: token, Program: "hufu " + hufu.Version}
}

// Connect makes the control connection, once. It succeeds without a login too.
func (r *Remote) Connect(ctx context.Context) (*frame.HelloAnswer, error) {
	asked := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	_, err := r.connected(ctx, asked)
	return r.hello, err
}

// connected returns the control connection, made anew if need be; mu is held.
// Whoever has waited for mu since asked takes what became of a try meanwhile: a
// hundred calls would else wait for a silent server one after the other.
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

// connectAnew makes the control connection; the caller holds mu.
func (r *Remote) connectAnew(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(r.life, cancel)()
	if err := r.renewIfDue(ctx); err != nil {
		return err
	}
	err := r.connectOnce(ctx)
	switch hufu.CodeOf(err) {
	case "client_not_yet_valid", "client_expired":
		// By the server's clock, which decides: ours may be wrong, or the server's
		// was ahead when it made the certificate.
		if !r.o.NoRenew && !r.p.Own && r.renew(ctx) == nil {
			err = r.connectOnce(ctx)
		}
	}
	return err
}

func (r *Remote) connectOnce(ctx context.Context) error {
	if r.hurry && r.wasFar() {
		r.warmUp(true)
	}
	c, state, err := r.dial(ctx, r.reached, true)
	if err != nil {
		r.hurry = false // once is enough for a server that is not there
		r.coolDown()
		return err
	}
	r.way = c.Way() // by several samples now
	a, err := r.greet(ctx, c)
	if err != nil {
		_ = c.Close()
		return err
	}
	if r.o.Teach && !slices.Contains(a.Features, frame.FeatureTeach) {
		_ = c.Close() // nothing meant for the teaching world goes to the real one
		return teachOff()
	}
	c.Allow(int(a.Requests), int(a.Bytes))
	r.control, r.hello, r.state = c, a, state
	r.lost = time.Time{}
	return nil
}

// greet sends hello with all that is foreseen, and waits for its answer; the caller
// holds mu.
func (r *Remote) greet(ctx context.Context, c *session.Client) (*frame.HelloAnswer, error) {
	hello := r.foreseeing(r.helloMessage(r.token))
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

// LoggedIn says why there is no login, nil if there is one. It connects. A
// server that took the connection and broke it off is just being restarted, and
// is waited for; one that is not there, or that is silent, is told at once.
func (r *Remote) LoggedIn(ctx context.Context) error {
	a, err := r.Connect(ctx)
	if brokenOff(err) {
		err = r.persistFor(ctx, restartTime, func() error { a, err = r.Connect(ctx); return err })
	}
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.notLoggedIn(a)
}

func (r *Remote) notLoggedIn(a *frame.HelloAnswer) error {
	switch {
	case a.LoggedIn:
		return nil
	case r.o.Teach:
		return &hufu.Error{Op: "login", Kind: hufu.KindCredentials, Code: "teach_not_logged_in"}
	case a.Why != nil:
		return a.Why.Err("login")
	}
	return &hufu.Error{Op: "login", Kind: hufu.KindCredentials, Code: "not_logged_in"}
}

// Login proves the password and keeps the token in the profile.
func (r *Remote) Login(ctx context.Context, user, password string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, err := r.connected(ctx, time.Now())
	if err != nil {
		return err
	}
	m, err := c.Do(ctx, &frame.Login{User: user, Password: password})
	if err != nil {
		return err
	}
	a, ok := m.(*frame.LoginAnswer)
	if !ok {
		return &hufu.Error{Op: "login", Kind: hufu.KindProtocol}
	}
	r.token = a.Token
	r.hello.LoggedIn, r.hello.Why = true, nil
	switch {
	case r.o.Remember:
		return r.p.setTeachLogin(teachLogin{user, a.Token})
	case r.o.Teach:
		return nil
	}
	return r.p.SetToken(a.Token)
}

// Logout ends the login at the server and forgets it here, even if the server
// cannot be reached.
func (r *Remote) Logout(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var err error
	if r.token != nil {
		var c *session.Client
		if c, err = r.connected(ctx, time.Now()); err == nil && r.hello.LoggedIn {
			_, err = c.Do(ctx, &frame.Logout{})
		}
	}
	r.token = nil
	if r.hello != nil {
		r.hello.LoggedIn = false
	}
	switch {
	case r.o.Remember:
		return errors.Join(err, r.p.setTeachLogin(teachLogin{}))
	case r.o.Teach:
		return err
	}
	return errors.Join(err, r.p.SetToken(nil))
}

// State is what TLS has proven on the control connection, nil without TLS.
func (r *Remote) State() *tls.ConnectionState {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state
}

// Close ends the control connection, or the attempt to make one.
func (r *Remote) Close() error {
	r.end()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	r.coolDown()
	if r.control != nil {
		return r.control.Close()
	}
	return nil
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

// repeated is call, and says whether an earlier try may have been carried out
// although its answer never came. Then caution is called before the next try: it
// may change m.
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
		maybe = maybe || again(err)
		return err
	})
	return answer, maybe, err
}
