package identity

import (
	"bytes"
	"crypto/tls"
	"io"
	"slices"
	"time"

	"hufu"
)

// minFingerprint is the number of bytes of a root's fingerprint that an
// invitation must hold: 128 bits.
const minFingerprint = 16

// Client holds a client's own certificate and its trust in servers.
type Client struct {
	Roots []*Certificate // the private CA and nothing else
	// Certificate is asked at each handshake; nil only for enrollment.
	Certificate func() (*tls.Certificate, error)
	Host        string // the name the server must prove, whatever address is dialed
	ALPN        string // ProtoNative or ProtoEnroll; empty means ProtoNative
	CommonName  bool   // accept an operator's certificates: name in CN alone, no usage, X.509 v1
	KeyLog      io.Writer
	Now         func() time.Time
}

// Config returns the TLS configuration for one server. The chain and the name are
// judged by Go's verifier, usage and strength by ours after it; there is no
// way to switch that off.
func (c Client) Config() (*tls.Config, error) {
	if err := checkRoots(c.Roots, c.CommonName); err != nil {
		return nil, err
	}
	cfg, err := clientConfig(c.Host, c.ALPN, c.Certificate, c.Now)
	if err != nil {
		return nil, err
	}
	cfg.KeyLogWriter = c.KeyLog
	cfg.RootCAs = pool(c.Roots)
	r := rules{side: sideServer, commonName: c.CommonName}
	if c.CommonName {
		roots, host := slices.Clone(c.Roots), c.Host
		verifyOurselves(cfg, func(presented []*Certificate) error {
			if err := r.verify(presented, roots, cfg.Time()); err != nil {
				return err
			}
			return r.checkName(presented[0], host)
		})
		return cfg, nil
	}
	cfg.VerifyConnection = func(cs tls.ConnectionState) error {
		if cs.DidResume {
			return refuse(sideServer, reasonResumed, nil, nil)
		}
		if err := r.examineAny(cs.VerifiedChains); err != nil {
			return err
		}
		return checkALPN(cfg, cs)
	}
	return cfg, nil
}

// EnrollClient returns the TLS configuration of a client that knows its
// server's root by a fingerprint only (at least the first 16 bytes of the
// SHA-256). The root is taken from the certificates that the server presents if
// its fingerprint is right, and then everything is verified with it; found is
// called with it after that has succeeded. cert may be nil.
func EnrollClient(fingerprint []byte, host string, cert *tls.Certificate, found func(root *Certificate)) (*tls.Config, error) {
	if len(fingerprint) < minFingerprint || len(fingerprint) > 32 {
		return nil, &hufu.Error{Op: "configure enrollment", Kind: hufu.KindInvalid, Code: "invitation_mistyped"}
	}
	var own func() (*tls.Certificate, error)
	if cert != nil {
		own = func() (*tls.Certificate, error) { return cert, nil }
	}
	cfg, err := clientConfig(host, ProtoEnroll, own, nil)
	if err != nil {
		return nil, err
	}
	fingerprint = bytes.Clone(fingerprint)
	r := rules{side: sideServer}
	verifyOurselves(cfg, func(presented []*Certificate) error {
		if len(presented) == 0 {
			return refuse(sideServer, reasonNone, nil, nil)
		}
		at := slices.IndexFunc(presented, func(c *Certificate) bool {
			sum := Fingerprint(c)
			return bytes.Equal(sum[:len(fingerprint)], fingerprint)
		})
		// The leaf cannot be its own root.
		if at < 1 || checkRoots(presented[at:at+1], false) != nil {
			return refuse(sideServer, reasonWrongRoot, nil, nil)
		}
		root := presented[at]
		if err := r.verify(presented, []*Certificate{root}, cfg.Time()); err != nil {
			return err
		}
		if err := r.checkName(presented[0], host); err != nil {
			return err
		}
		if found != nil {
			found(root)
		}
		return nil
	})
	return cfg, nil
}

// clientConfig holds what all configurations of a client share.
func clientConfig(host, proto string, cert func() (*tls.Certificate, error), now func() time.Time) (*tls.Config, error) {
	if proto == "" {
		proto = ProtoNative
	}
	if host == "" || (proto != ProtoNative && proto != ProtoEnroll) {
		return nil, &hufu.Error{Op: "configure the client", Kind: hufu.KindUsage, Code: "host_missing"}
	}
	if cert == nil && proto != ProtoEnroll {
		return nil, refuse(sideClient, reasonNone, nil, nil)
	}
	if now == nil {
		now = time.Now
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		// Small first records help browsers; a transfer benefits from large
		// ones.
		DynamicRecordSizingDisabled: true,
		ServerName:                  host,
		NextProtos:                  []string{proto},
		Time:                        now,
		// No ClientSessionCache: no session is ever resumed.
		SessionTicketsDisabled: true,
		// The client presents its one certificate whatever CAs the server
		// names: the server can then say what is wrong with it. A server that
		// names its issuer has the issuing CA (RFC 8446, section 4.2.4):
		// sending it as well would add a second path to the root, and each path
		// is verified.
		GetClientCertificate: func(asked *tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if cert == nil {
				return &tls.Certificate{}, nil
			}
			own, err := cert()
			if err != nil || own.Leaf == nil || len(own.Certificate) < 2 || !named(asked.AcceptableCAs, own.Leaf.RawIssuer) {
				return own, err
			}
			alone := *own
			alone.Certificate = own.Certificate[:1]
			return &alone, nil
		},
	}, nil
}

func named(subjects [][]byte, issuer []byte) bool {
	return slices.ContainsFunc(subjects, func(s []byte) bool { return bytes.Equal(s, issuer) })
}

// checkALPN refuses a server that did not agree on our protocol: it is ours,
// but not a hufu server.
func checkALPN(cfg *tls.Config, cs tls.ConnectionState) error {
	if len(cfg.NextProtos) != 1 || cs.NegotiatedProtocol != cfg.NextProtos[0] {
		return &hufu.Error{Op: "agree on a protocol", Kind: hufu.KindProtocol, Code: "server_not_hufu"}
	}
	return nil
}
