package client

import (
	"context"
	"crypto/tls"
	"net"
	"strings"

	"hufu"
	"hufu/internal/frame"
	"hufu/internal/identity"
	"hufu/internal/session"
)

// Explained is a verification told step by step, of both sides.
type Explained struct {
	Address string          // empty: of files
	Steps   []identity.Step // texts are keys of the catalogues, Args fill them
	// What was agreed with the server; nil if there was no whole handshake.
	Session *identity.Session
	// The chains as presented, leaf first, and the CAs that they were compared
	// with: what there is to draw.
	Server, Client, Trusted []identity.Cert
}

// Verdict is KindUnproven if the server's side failed, KindRefused if ours
// did, 0 if both are proven.
func (e *Explained) Verdict() hufu.Kind { return identity.Verdict(e.Steps) }

// Explain connects to the server of a profile, or with its certificates to the
// one at address (HOST:PORT), and tells how each side was verified; if the
// server refuses us, it is asked why. A server that cannot be reached, or does
// not speak the protocol, is an error; a verification that fails is told in
// the steps. Without a profile (nil) nothing is trusted and nothing shown: the
// steps end there.
func Explain(ctx context.Context, p *Profile, address string) (*Explained, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*DialTimeout)
	defer cancel()
	c, shown, err := p.asClient()
	if err != nil {
		return nil, err
	}
	if p != nil && address == "" {
		address = p.Address
	}
	if p == nil || address != p.Address {
		if c.Host, _, err = net.SplitHostPort(address); err != nil {
			return nil, &hufu.Error{Op: "explain", Path: address, Kind: hufu.KindUsage, Code: "bad_address", Err: err}
		}
	}
	in, err := probe(ctx, c, address)
	if err != nil {
		return nil, err
	}
	if in.Client == nil {
		in.Client = shown
	}
	if in.Refused != nil && p != nil {
		other := *p // the certificates are its, the server may be another
		other.Address, other.Host = address, c.Host
		why, err := (&Remote{p: &other, o: Options{Address: address}}).Why(ctx)
		if err == nil && why != nil {
			in.Refused = why
		}
	}
	return explained(address, in), nil
}

// asClient is who we are in a handshake. A certificate whose key is too weak
// to be used is not shown to the server; it is returned, to be explained.
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

// probe shakes hands and says hello, because a TLS 1.3 client learns of its
// refusal at its first read.
func probe(ctx context.Context, c identity.Client, address string) (identity.Explanation, error) {
	raw, err := dialTCP(ctx, address)
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
		return in, nil // nobody is greeted there
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
	_, err := s.Do(ctx, &frame.Hello{Version: frame.Version, Features: []string{frame.FeatureCore}, Program: "hufu " + hufu.Version})
	return err
}

// ExplainFiles tells how the chain of certificates in cert (PEM, leaf first)
// is verified with the CAs in ca. It is judged as a server's, by the name host
// if that is not empty, unless its leaf is made for clients and no host is
// given.
func ExplainFiles(cert, ca []byte, host string) (*Explained, error) {
	chain, err := identity.ParseCerts(cert)
	if err != nil {
		return nil, err
	}
	roots, err := identity.ParseCerts(ca)
	if err != nil {
		return nil, err
	}
	in := identity.Explanation{Roots: roots, Host: host}
	leaf := identity.DescribeCert(chain[0])
	if host == "" && (leaf.User != "" || strings.Contains(leaf.Usage, "clientAuth")) {
		in.Client = chain
	} else {
		in.Server = chain
	}
	return explained("", in), nil
}

func explained(address string, in identity.Explanation) *Explained {
	e := &Explained{
		Address: address, Steps: identity.Explain(in),
		Server: identity.DescribeCerts(in.Server), Client: identity.DescribeCerts(in.Client), Trusted: identity.DescribeCerts(in.Roots),
	}
	if in.State != nil && in.State.HandshakeComplete {
		s := identity.Describe(*in.State)
		e.Session = &s
	}
	return e
}
