package identity

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"slices"
	"strings"
	"sync"
	"time"

	"hufu"
)

// Trust is the certificates a server believes in: roots, and the issuing CAs
// below them that peers need not send.
type Trust struct {
	Roots   []*Certificate
	Issuing []*Certificate
}

func (t Trust) anchors() []*Certificate { return slices.Concat(t.Roots, t.Issuing) }

// Server holds a server's certificate and the rules for its clients. All
// functions are called again at each handshake, so that certificates change
// without a restart; an error from any of them refuses the handshake.
type Server struct {
	Certificate func() (*tls.Certificate, error) // leaf and issuing CA
	Trust       func() (Trust, error)
	// Admit looks the exact certificate up and says why it is not welcome.
	Admit      func(Peer) error
	ALPN       []string // more protocols that demand a certificate
	CommonName bool     // accept an operator's certificates without usage and hufu name, X.509 v1 too
	Now        func() time.Time
}

// Config returns the TLS configuration of the one port. The protocol names in the ClientHello
// choose the rules: exactly the enrollment name alone gets the configuration that requests a
// certificate without demanding it; all others, and no name at all, must show a certificate that
// is verified and admitted before the handshake ends. Every error in a trust setting refuses.
func (s Server) Config() (*tls.Config, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	// The outermost configuration demands a certificate as well, in case
	// GetConfigForClient is ever removed.
	demanding := &shared{s: s, by: map[string]*tls.Config{}}
	trust, err := s.trust()
	if err != nil {
		return nil, err
	}
	cfg := s.demanding(trust, "h2", "http/1.1")
	cfg.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		offered := hello.SupportedProtos
		if len(offered) == 1 && offered[0] == ProtoEnroll {
			return s.enrolling()
		}
		for _, name := range append([]string{ProtoNative}, s.ALPN...) {
			if slices.Contains(offered, name) {
				return demanding.config(name)
			}
		}
		return demanding.config("h2", "http/1.1")
	}
	return cfg, nil
}

func (s Server) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}

func (s Server) rules() rules { return rules{side: sideClient, commonName: s.CommonName} }

// base holds what all configurations of a server share.
func (s Server) base() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		// Small first records help browsers; a transfer benefits from large
		// ones.
		DynamicRecordSizingDisabled: true,
		Time:                        s.now,
		// A resumed session would skip the checks of chain and revocation.
		SessionTicketsDisabled: true,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return s.Certificate()
		},
	}
}

// shared holds the configurations that demand a certificate, one for each choice of
// protocols, so that thousands of connections share one. They are made again when
// the trusted certificates change.
type shared struct {
	s       Server
	mu      sync.Mutex
	anchors []*Certificate
	by      map[string]*tls.Config
}

func (h *shared) config(protos ...string) (*tls.Config, error) {
	trust, err := h.s.trust()
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if anchors := trust.anchors(); !slices.Equal(anchors, h.anchors) {
		h.anchors = anchors
		clear(h.by)
	}
	key := strings.Join(protos, " ")
	if h.by[key] == nil {
		h.by[key] = h.s.demanding(trust, protos...)
	}
	return h.by[key], nil
}

func (s Server) demanding(trust Trust, protos ...string) *tls.Config {
	cfg := s.base()
	cfg.NextProtos = protos
	cfg.ClientAuth = tls.RequireAndVerifyClientCert
	cfg.ClientCAs = pool(trust.anchors())
	cfg.VerifyConnection = func(cs tls.ConnectionState) error {
		// Not done by Go on a resumed session, so it must not be one.
		if cs.DidResume {
			return refuse(sideClient, reasonResumed, nil, nil)
		}
		if err := s.rules().examineAny(cs.VerifiedChains); err != nil {
			return err
		}
		peer, err := provenPeer(cs)
		if err != nil {
			return err
		}
		return s.Admit(peer)
	}
	return cfg
}

func (s Server) enrolling() (*tls.Config, error) {
	cfg := s.base()
	cfg.NextProtos = []string{ProtoEnroll}
	cfg.ClientAuth = tls.RequestClientCert
	cfg.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return s.withRoot() }
	cfg.VerifyConnection = func(cs tls.ConnectionState) error {
		if cs.DidResume || cs.NegotiatedProtocol != ProtoEnroll {
			return refuse(sideClient, reasonResumed, nil, nil)
		}
		return nil
	}
	return cfg, nil
}

// withRoot is our certificate with the root at its end: a new client
// knows the root by its fingerprint only.
func (s Server) withRoot() (*tls.Certificate, error) {
	cert, err := s.Certificate()
	if err != nil {
		return nil, err
	}
	trust, err := s.trust()
	if err != nil {
		return nil, err
	}
	last, err := x509.ParseCertificate(cert.Certificate[len(cert.Certificate)-1])
	if err != nil {
		return nil, refuse(sideServer, reasonBad, nil, err)
	}
	whole := *cert
	whole.Certificate = slices.Clone(cert.Certificate)
	for _, root := range trust.Roots {
		if last.CheckSignatureFrom(root) == nil && !last.Equal(root) {
			whole.Certificate = append(whole.Certificate, root.Raw)
			break
		}
	}
	return &whole, nil
}

// EnrollPeer verifies the certificate presented on the enrollment protocol, for
// renewal and for explaining a refusal; it never makes a login. TLS has proven
// that the peer holds the key. Without an error the certificate is valid today,
// before the caller's look-up. A Peer together with an error is ours but
// outside its validity (it is judged at the end that it misses); an empty Peer
// is not ours at all.
func (s Server) EnrollPeer(cs tls.ConnectionState) (Peer, error) {
	if !cs.HandshakeComplete || cs.DidResume || cs.NegotiatedProtocol != ProtoEnroll {
		return Peer{}, refuse(sideClient, reasonResumed, nil, nil)
	}
	if len(cs.PeerCertificates) == 0 {
		return Peer{}, refuse(sideClient, reasonNone, nil, nil)
	}
	trust, err := s.trust()
	if err != nil {
		return Peer{}, err
	}
	leaf, now := cs.PeerCertificates[0], s.now()
	at := now
	switch {
	case now.After(leaf.NotAfter):
		at = leaf.NotAfter
	case now.Before(leaf.NotBefore):
		at = leaf.NotBefore
	}
	if err := s.rules().verify(cs.PeerCertificates, trust.anchors(), at); err != nil {
		return Peer{}, err
	}
	peer, err := peerOf(leaf)
	if err != nil {
		return Peer{}, err
	}
	return peer, nilOr(checkTime(sideClient, leaf, now))
}

// CheckClient verifies a client's certificate, leaf first, as a server with
// this trust and this setting for common names would at the time at, without
// the look-up. The returned Peer holds the names in the certificate.
func CheckClient(chain []*Certificate, t Trust, at time.Time, commonName bool) (Peer, error) {
	if err := checkRoots(t.Roots, commonName); err != nil {
		return Peer{}, err
	}
	if err := checkAnchors(t.Issuing, false); err != nil {
		return Peer{}, err
	}
	if err := (rules{side: sideClient, commonName: commonName}).verify(chain, t.anchors(), at); err != nil {
		return Peer{}, err
	}
	return peerOf(chain[0])
}

// trust returns the trusted certificates and refuses any that cannot be one: a
// list that is empty or holds a foreign certificate must never mean "anybody".
func (s Server) trust() (Trust, error) {
	t, err := s.Trust()
	if err != nil {
		return Trust{}, &hufu.Error{Op: "read the trusted certificates", Kind: hufu.KindUsage, Code: "trust_unreadable", Err: err}
	}
	if err := checkRoots(t.Roots, s.CommonName); err != nil {
		return Trust{}, err
	}
	if err := checkAnchors(t.Issuing, false); err != nil {
		return Trust{}, err
	}
	return t, nil
}

// check refuses to start with settings that a handshake would trip over.
func (s Server) check() error {
	if s.Certificate == nil || s.Trust == nil || s.Admit == nil {
		return &hufu.Error{Op: "configure the server", Kind: hufu.KindInternal, Code: "trust_missing"}
	}
	for _, name := range s.ALPN {
		if name == "" || name == ProtoEnroll || name == ProtoNative || len(name) > 255 {
			return &hufu.Error{Op: "configure the server", Kind: hufu.KindInternal, Code: "trust_missing"}
		}
	}
	trust, err := s.trust()
	if err != nil {
		return err
	}
	cert, err := s.Certificate()
	if err != nil {
		return err
	}
	return s.checkOwn(cert, trust)
}

// checkOwn verifies the server's own certificate as a client will.
func (s Server) checkOwn(cert *tls.Certificate, trust Trust) error {
	bad := func(err error) error {
		return &hufu.Error{Op: "check the server's certificate", Kind: hufu.KindUsage, Code: "own_certificate", Err: err}
	}
	if cert == nil || len(cert.Certificate) == 0 {
		return bad(nil)
	}
	var chain []*Certificate
	for _, der := range cert.Certificate {
		c, err := ParseCert(der)
		if err != nil {
			return bad(err)
		}
		chain = append(chain, c)
	}
	signer, ok := cert.PrivateKey.(crypto.Signer)
	if !ok {
		return bad(nil)
	}
	if _, err := Pair(signer, chain...); err != nil {
		return err
	}
	r := rules{side: sideServer, commonName: s.CommonName}
	if err := r.verify(chain, trust.anchors(), s.now()); err != nil {
		return bad(err)
	}
	return nil
}

func checkRoots(roots []*Certificate, commonName bool) error {
	if len(roots) == 0 {
		return &hufu.Error{Op: "read the trusted certificates", Kind: hufu.KindUsage, Code: "trust_empty"}
	}
	return checkAnchors(roots, commonName)
}

// checkAnchors refuses certificates that may not sign others. An operator's
// X.509 v1 root cannot say that it may; it is accepted on the operator's word.
func checkAnchors(certs []*Certificate, commonName bool) error {
	for _, c := range certs {
		ok := c != nil && ((c.BasicConstraintsValid && c.IsCA) || (commonName && c.Version == 1))
		if !ok || !maySign(c) || weakKey(c.PublicKey) != "" {
			e := &hufu.Error{Op: "read the trusted certificates", Kind: hufu.KindUsage, Code: "trust_bad_root", Args: map[string]string{"subject": "-"}}
			if c != nil {
				e.Args["subject"] = c.Subject.String()
			}
			return e
		}
	}
	return nil
}
