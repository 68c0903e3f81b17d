package demo

import (
	"context"
	"strings"

	"hufu"
	"hufu/internal/identity"
	"hufu/internal/profile"
)

// Explained is the verification of both sides, step by step.
type Explained struct {
	Address string          // empty: of files
	Steps   []identity.Step // texts are keys of the catalogues, Args fill them
	// What was agreed with the server; nil if there was no whole handshake.
	Session *identity.Session
	// The chains as presented, leaf first, and the CAs that they were compared
	// with: what there is to draw.
	Server, Client, Trusted []identity.Cert
}

// Verdict is KindUnproven if the server's side failed, KindRefused if the client's
// side failed, 0 if both are proven.
func (e *Explained) Verdict() hufu.Kind { return identity.Verdict(e.Steps) }

// Explain connects to the server of a profile, or with its certificates to the
// server at address (HOST:PORT), and explains how each side was verified. If the
// server refuses the certificate, it is asked for the reason. A server that
// cannot be reached, or does not speak the protocol, is an error; a verification
// that fails is told in the steps. Without a profile (nil) nothing is trusted and
// nothing shown, and the steps end there. dirs say through which proxy the server is reached.
func Explain(ctx context.Context, dirs profile.Dirs, p *profile.Profile, address string) (*Explained, error) {
	if p != nil && address == "" {
		address = p.Address
	}
	in, err := profile.Probe(ctx, dirs.Proxy, p, address)
	if err != nil {
		return nil, err
	}
	return explained(address, in), nil
}

// ExplainFiles explains how the chain of certificates in cert (PEM, leaf first) is
// verified with the CAs in ca. The chain is judged as that of a server with the
// name host. If host is empty, a leaf that was made for clients is judged as that
// of a client, and any other as that of a server of any name.
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
