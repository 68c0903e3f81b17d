package profile

import (
	"context"
	"crypto/tls"
	"io"
	"maps"

	"hufu"
	"hufu/internal/frame"
	"hufu/internal/identity"
	"hufu/internal/session"
)

// Dialer connects to one server with the identity of one profile. Both ends
// prove themselves by TLS.
type Dialer struct {
	p       *Profile
	address string
	others  []string // further addresses to renew at, see Among
	config  *tls.Config
	codec   *frame.Codec
}

// Dialer returns a Dialer for the server at address, that of the profile if
// address is empty. TLS writes its secrets to keyLog if that is not nil.
func (p *Profile) Dialer(address string, keyLog io.Writer) (*Dialer, error) {
	if address == "" {
		address = p.Address
	}
	config, err := p.config(identity.ProtoNative, keyLog)
	if err != nil {
		return nil, err
	}
	return &Dialer{p: p, address: address, config: config, codec: frame.NewCodec()}, nil
}

// At returns a Dialer for another server of the same installation. It has to prove the same name.
func (d *Dialer) At(address string) *Dialer {
	at := *d
	at.address = address
	return &at
}

// Among returns a Dialer for the first of several servers of an installation. It renews the certificate at
// another one if the first does not answer.
func (d *Dialer) Among(addresses []string) *Dialer {
	among := d.At(addresses[0])
	among.others = addresses[1:]
	return among
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

// Hello returns the first message of a session.
func Hello(token []byte) *frame.Hello {
	return &frame.Hello{
		Version: frame.Version, Features: []string{frame.FeatureCore, frame.FeatureCopy, frame.FeatureDevices},
		Token: token, Program: "hufu " + hufu.Version,
	}
}

// Handshake runs the TLS handshake over stream and starts a session. The caller
// sends hello. After an error stream is closed. With ask, a server that refuses
// the certificate is asked for the reason, which is then the error.
func (d *Dialer) Handshake(ctx context.Context, stream *session.Stream, ask bool) (*session.Client, *tls.ConnectionState, error) {
	c := tls.Client(stream, d.config)
	if err := identity.Handshake(ctx, c, d.config); err != nil {
		_ = stream.Close()
		if ask {
			err = d.judge(ctx, err)
		}
		return nil, nil, err
	}
	state := c.ConnectionState()
	if !ask {
		return session.NewClient(c, stream, d.codec, nil), &state, nil
	}
	judge := func(err error) error {
		ctx, cancel := context.WithTimeout(context.Background(), session.DialTimeout)
		defer cancel()
		return d.judge(ctx, err)
	}
	return session.NewClient(c, stream, d.codec, judge), &state, nil
}

// judge finds out what the error of a connection means. TLS lets a server say
// little more than "bad certificate", so a client that is refused asks for the
// reason with the enrollment protocol.
func (d *Dialer) judge(ctx context.Context, err error) error {
	e := from(d.address, err)
	if e.Kind != hufu.KindRefused {
		return e
	}
	why, askErr := d.why(ctx)
	switch {
	case askErr == nil && why != nil:
		return why
	case askErr == nil: // the reason has passed: its database was away, or the user locked
		return &hufu.Error{Op: "connect", Kind: hufu.KindUnavailable, Err: e.Err}
	}
	return e
}

// why asks the server why it refuses the certificate. It returns nil if the
// server does not refuse it.
func (d *Dialer) why(ctx context.Context) (*hufu.Error, error) {
	config, err := d.p.config(identity.ProtoEnroll, nil)
	if err != nil {
		return nil, err
	}
	c, err := dialEnroll(ctx, d.p.dirs.Proxy, d.address, config)
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

// dialEnroll connects with the enrollment protocol, which also serves clients that have no
// certificate, or one that the server refuses.
func dialEnroll(ctx context.Context, via *session.Proxy, address string, config *tls.Config) (*session.Client, error) {
	raw, err := session.Dial(ctx, via, address)
	if err != nil {
		return nil, err
	}
	stream := session.NewStream(raw)
	c := tls.Client(stream, config)
	if err := identity.Handshake(ctx, c, config); err != nil {
		_ = raw.Close()
		return nil, from(address, err)
	}
	return session.NewClient(c, stream, frame.NewCodec(), func(err error) error { return from(address, err) }), nil
}

// from classifies the error of a connection to address, and adds the address.
func from(address string, err error) *hufu.Error {
	e := identity.Classify(err, true)
	if e == nil || e.Far || e.Args["address"] != "" {
		return e
	}
	c := *e
	c.Args = map[string]string{"address": address}
	maps.Copy(c.Args, e.Args)
	return &c
}

// connect opens a session for one or two requests and sends hello.
func (d *Dialer) connect(ctx context.Context) (c *session.Client, a *frame.HelloAnswer, err error) {
	err = d.Renewing(ctx, func() (err error) {
		c, a, err = d.connectOnce(ctx)
		return err
	})
	return c, a, err
}

func (d *Dialer) connectOnce(ctx context.Context) (*session.Client, *frame.HelloAnswer, error) {
	dial, cancel := context.WithTimeout(ctx, session.DialTimeout)
	defer cancel()
	raw, err := session.Dial(dial, d.p.dirs.Proxy, d.address)
	if err != nil {
		return nil, nil, err
	}
	c, _, err := d.Handshake(dial, session.NewStream(raw), true)
	if err != nil {
		return nil, nil, err
	}
	m, err := c.Do(ctx, Hello(nil))
	if err == nil {
		if a, ok := m.(*frame.HelloAnswer); ok {
			return c, a, nil
		}
		err = &hufu.Error{Op: "hello", Kind: hufu.KindProtocol}
	}
	_ = c.Close()
	return nil, nil, err
}

// login proves the password over c and keeps the login.
func (p *Profile) login(ctx context.Context, c *session.Client, password string) error {
	m, err := c.Do(ctx, &frame.Login{User: p.User, Password: password})
	if err != nil {
		return err
	}
	a, ok := m.(*frame.LoginAnswer)
	if !ok {
		return &hufu.Error{Op: "login", Kind: hufu.KindProtocol}
	}
	return p.SetToken(a.Token)
}
