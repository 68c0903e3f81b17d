package profile

import (
	"context"
	"crypto/tls"
	"net"

	"hufu"
	"hufu/internal/frame"
	"hufu/internal/identity"
	"hufu/internal/session"
)

// Probe connects to the server of p, or with its certificates to the server at
// address (HOST:PORT), and returns what each end has shown the other. If the
// server refuses the certificate, it is asked for the reason. A server that
// cannot be reached, or does not speak the protocol, is an error. Without a
// profile (nil) nothing is trusted and nothing shown. The server is reached through via, if that is
// not nil.
func Probe(ctx context.Context, via *session.Proxy, p *Profile, address string) (identity.Explanation, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*session.DialTimeout)
	defer cancel()
	c, shown, err := p.asClient()
	if err != nil {
		return identity.Explanation{}, err
	}
	if p == nil || address != p.Address {
		if c.Host, _, err = net.SplitHostPort(address); err != nil {
			return identity.Explanation{}, &hufu.Error{Op: "explain", Path: address, Kind: hufu.KindUsage, Code: "bad_address", Err: err}
		}
	}
	in, err := probe(ctx, via, c, address)
	if err != nil {
		return in, err
	}
	if in.Client == nil {
		in.Client = shown
	}
	if in.Refused != nil && p != nil {
		other := *p // the certificates are those of p, the server may be another
		other.Address, other.Host = address, c.Host
		if why, err := (&Dialer{p: &other, address: address}).why(ctx); err == nil && why != nil {
			in.Refused = why
		}
	}
	return in, nil
}

// asClient returns the client's part of a handshake. A certificate whose key is
// too weak to be used is not shown to the server. It is returned as well, to be
// explained.
func (p *Profile) asClient() (identity.Client, []*identity.Certificate, error) {
	if p == nil {
		return identity.Client{}, nil, nil
	}
	roots, err := p.Roots()
	if err != nil {
		return identity.Client{}, nil, err
	}
	c := identity.Client{Roots: roots, Host: p.Host, Certificate: p.Certificate, CommonName: p.CommonName}
	if _, err = p.Certificate(); hufu.CodeOf(err) != "key_too_weak" {
		return c, nil, err
	}
	data, err := p.read("client.crt")
	if err != nil {
		return c, nil, err
	}
	c.ALPN, c.Certificate = identity.ProtoEnroll, nil
	shown, err := identity.ParseCerts(data)
	return c, shown, err
}

// probe shakes hands and says hello, because a TLS 1.3 client learns at its
// first read that it is refused.
func probe(ctx context.Context, via *session.Proxy, c identity.Client, address string) (identity.Explanation, error) {
	raw, err := session.Dial(ctx, via, address)
	if err != nil {
		return identity.Explanation{}, err
	}
	defer func() { _ = raw.Close() }()
	stream := session.NewStream(raw)
	conn, in, err := identity.Probe(ctx, stream, c)
	if err != nil {
		if in.Failed == nil && in.Refused == nil {
			return in, err
		}
		return in, nil
	}
	if c.ALPN == identity.ProtoEnroll {
		return in, nil // it has no hello
	}
	err = hello(ctx, conn, stream)
	switch e := identity.Classify(err, true); {
	case e == nil:
		in.Accepted = true
	case e.Kind == hufu.KindRefused:
		in.Refused = e
	default:
		return in, e
	}
	return in, nil
}

func hello(ctx context.Context, conn *tls.Conn, stream *session.Stream) error {
	s := session.NewClient(conn, stream, frame.NewCodec(), func(err error) error { return identity.Classify(err, true) })
	defer func() { _ = s.Close() }()
	_, err := s.Do(ctx, Hello(nil))
	return err
}
