// Package identity owns keys, certificates and every TLS setting of hufu: how a
// key is made and kept, what a certificate must look like, which certificates a
// server demands and a client accepts, and the verified identity of the peer of
// a connection. It promises that no configuration of this package lets an
// unverified peer further than the enrollment protocol, and that a name comes
// from a verified chain alone; [Server.EnrollPeer] is the one exception and
// yields no login. Whether a verified certificate is still accepted (revoked,
// locked) is decided by the caller's exact look-up, in Admit; issuing belongs
// to package ca. Explain explains the same checks to users, step by step.
package identity

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"net/url"
	"strings"
	"time"

	"hufu"
)

// The names by which a client chooses a protocol in its ClientHello.
const (
	ProtoNative = "hufu/1"        // everything fast: command line and GUI
	ProtoEnroll = "hufu-enroll/1" // enrollment, renewal and "why was I refused?"
)

// Certificate lets packages that have no business with crypto/x509 hold a
// certificate and hand it on.
type Certificate = x509.Certificate

// Peer is the verified identity of the other side of a connection.
type Peer struct {
	User, Device string // of a client; empty if its certificate carries no hufu name (operator's CA)
	Host         string // of a server: the first name in its certificate
	Serial       string // lower-case hex, as `cert revoke` takes it
	Fingerprint  [32]byte
	NotBefore    time.Time
	NotAfter     time.Time
	Subject      string
	Issuer       string
}

// ProvenPeer returns the identity of the peer of a finished handshake. It uses verified chains
// only: a certificate that a peer merely presented proves nothing, and on the enrollment protocol
// nothing is proven.
func ProvenPeer(cs tls.ConnectionState) (Peer, error) {
	switch {
	case !cs.HandshakeComplete:
		return Peer{}, &hufu.Error{Op: "take the peer's identity before the handshake ended", Kind: hufu.KindInternal}
	case cs.NegotiatedProtocol == ProtoEnroll:
		return Peer{}, &hufu.Error{Op: "take an identity from the enrollment protocol", Kind: hufu.KindInternal}
	}
	return provenPeer(cs)
}

// provenPeer is ProvenPeer inside the handshake, from VerifyConnection.
func provenPeer(cs tls.ConnectionState) (Peer, error) {
	if cs.DidResume {
		return Peer{}, refuse(sideClient, reasonResumed, nil, nil)
	}
	if len(cs.VerifiedChains) == 0 || len(cs.VerifiedChains[0]) < 2 {
		return Peer{}, refuse(sideClient, reasonUnknownCA, map[string]string{"issuer": "-"}, nil)
	}
	return peerOf(cs.VerifiedChains[0][0])
}

// peerOf returns the identity in a certificate, verified or not.
func peerOf(c *Certificate) (Peer, error) {
	p := Peer{
		Serial:      Serial(c),
		Fingerprint: Fingerprint(c),
		NotBefore:   c.NotBefore,
		NotAfter:    c.NotAfter,
		Subject:     subjectText(c.Subject),
		Issuer:      subjectText(c.Issuer),
	}
	if names := hostNames(c); len(names) > 0 {
		p.Host = names[0]
	}
	switch {
	case len(c.URIs) == 1:
		user, device, err := ParseUserURI(c.URIs[0])
		if err != nil {
			return Peer{}, refuse(sideClient, reasonNoName, nil, err)
		}
		p.User, p.Device = user, device
	case len(c.URIs) > 1:
		return Peer{}, refuse(sideClient, reasonNoName, nil, nil)
	}
	return p, nil
}

// Serial returns a certificate's serial number as hufu writes it: lower-case hex
// without leading zeros.
func Serial(c *Certificate) string {
	if c.SerialNumber == nil {
		return ""
	}
	return c.SerialNumber.Text(16)
}

// Fingerprint returns the SHA-256 of the certificate in DER.
func Fingerprint(c *Certificate) [32]byte { return sha256.Sum256(c.Raw) }

// FingerprintHex is Fingerprint in lower-case hex.
func FingerprintHex(c *Certificate) string {
	sum := Fingerprint(c)
	return hex.EncodeToString(sum[:])
}

// UserURI returns the name of a user's device as written in a client certificate:
// hufu:user/<user>/<device>. Both names must be valid.
func UserURI(user, device string) *url.URL {
	return &url.URL{Scheme: "hufu", Opaque: "user/" + user + "/" + device}
}

// ParseUserURI is the strict inverse of UserURI: one spelling for each name.
func ParseUserURI(u *url.URL) (user, device string, err error) {
	bad := func() (string, string, error) {
		s := ""
		if u != nil {
			s = u.String()
		}
		return "", "", &hufu.Error{
			Op: "read the name in a certificate", Kind: hufu.KindInvalid, Code: "name_in_certificate",
			Args: map[string]string{"name": s},
		}
	}
	if u == nil {
		return bad()
	}
	parts := strings.Split(u.Opaque, "/")
	if len(parts) != 3 || !hufu.ValidName(parts[1]) || !hufu.ValidCertifiedName(parts[2]) || u.String() != UserURI(parts[1], parts[2]).String() {
		return bad()
	}
	return parts[1], parts[2], nil
}

// hostNames lists the names that a server certificate is valid for, the common
// name only if there is no other.
func hostNames(c *Certificate) []string {
	names := append([]string(nil), c.DNSNames...)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 && len(c.URIs) == 0 && c.Subject.CommonName != "" {
		names = append(names, c.Subject.CommonName)
	}
	return names
}
