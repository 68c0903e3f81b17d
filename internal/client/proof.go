package client

import (
	"hufu"
	"hufu/internal/identity"
)

// Proof is what the two ends of a connection have proven to each other.
type Proof struct {
	identity.Session
	Root identity.Cert `json:"root"` // the CA that this profile believes in
	Own  identity.Cert `json:"own"`  // what we have shown
}

// Proof describes the control connection; nil without TLS or before Connect.
func (r *Remote) Proof() (*Proof, error) {
	state := r.State()
	if state == nil {
		return nil, nil
	}
	p := &Proof{Session: identity.Describe(*state)}
	roots, err := r.p.Roots()
	if err != nil {
		return nil, err
	}
	pair, err := r.p.Certificate()
	if err != nil {
		return nil, err
	}
	own, err := identity.ParseCert(pair.Certificate[0])
	if err != nil {
		return nil, err
	}
	p.Own = identity.DescribeCert(own)
	if len(roots) > 0 {
		p.Root = identity.DescribeCert(roots[0])
	}
	return p, nil
}

// FingerprintWords are the words that stand for an invitation's fingerprint.
func FingerprintWords(inv hufu.Invitation) string { return identity.FingerprintWords(inv.Fingerprint) }
