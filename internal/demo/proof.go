package demo

import (
	"hufu/internal/client"
	"hufu/internal/identity"
)

// Proof is what the two ends of a connection have proven to each other.
type Proof struct {
	identity.Session
	Root identity.Cert `json:"root"` // the pinned root
	Own  identity.Cert `json:"own"`  // what the client has shown
}

// ProofOf describes the control connection of r. It returns nil without TLS and
// before Connect.
func ProofOf(r *client.Remote) (*Proof, error) {
	state := r.State()
	if state == nil {
		return nil, nil
	}
	p := &Proof{Session: identity.Describe(*state)}
	roots, err := r.Profile().Roots()
	if err != nil {
		return nil, err
	}
	pair, err := r.Profile().Certificate()
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
