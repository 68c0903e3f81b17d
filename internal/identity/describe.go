package identity

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"strings"
	"time"
)

// Cert is a certificate described for people and for --json. It proves nothing.
type Cert struct {
	Subject     string    `json:"subject"`
	Issuer      string    `json:"issuer"`
	Serial      string    `json:"serial"`
	Fingerprint string    `json:"fingerprint"`
	Words       string    `json:"words"`
	Names       []string  `json:"names,omitempty"`
	User        string    `json:"user,omitempty"`
	Device      string    `json:"device,omitempty"`
	NotBefore   time.Time `json:"not_before"`
	NotAfter    time.Time `json:"not_after"`
	Version     int       `json:"version"`
	Key         string    `json:"key"`
	Signature   string    `json:"signature"`
	Usage       string    `json:"usage"`
	IsCA        bool      `json:"is_ca"`
}

// Session is a TLS connection described for people and for --json.
type Session struct {
	Version     string `json:"version"`
	Cipher      string `json:"cipher"`
	KeyExchange string `json:"key_exchange"`
	PostQuantum bool   `json:"post_quantum"`
	Protocol    string `json:"protocol"`
	ServerName  string `json:"server_name"`
	Peer        []Cert `json:"peer,omitempty"` // as presented, leaf first
}

// DescribeCert returns the contents of a certificate.
func DescribeCert(c *Certificate) Cert {
	sum := Fingerprint(c)
	d := Cert{
		Subject: subjectText(c.Subject), Issuer: subjectText(c.Issuer), Serial: Serial(c),
		Fingerprint: FingerprintHex(c), Words: FingerprintWords(sum[:]), Names: hostNames(c),
		NotBefore: c.NotBefore, NotAfter: c.NotAfter, Version: c.Version,
		Key: keyName(c.PublicKey), Signature: c.SignatureAlgorithm.String(), Usage: usageNames(c), IsCA: c.IsCA,
	}
	if p, err := peerOf(c); err == nil {
		d.User, d.Device = p.User, p.Device
	}
	return d
}

// DescribeCerts returns the contents of each certificate of a chain.
func DescribeCerts(certs []*Certificate) []Cert {
	var all []Cert
	for _, c := range certs {
		all = append(all, DescribeCert(c))
	}
	return all
}

// Describe returns the agreed parameters of a connection and the certificates
// that the peer presented.
func Describe(cs tls.ConnectionState) Session {
	s := Session{
		Protocol: cs.NegotiatedProtocol, ServerName: cs.ServerName, PostQuantum: postQuantum(cs.CurveID),
		Peer: DescribeCerts(cs.PeerCertificates),
	}
	if cs.Version != 0 {
		s.Version, s.Cipher = tls.VersionName(cs.Version), tls.CipherSuiteName(cs.CipherSuite)
	}
	if cs.CurveID != 0 {
		s.KeyExchange = cs.CurveID.String()
	}
	return s
}

func postQuantum(id tls.CurveID) bool {
	return id == tls.X25519MLKEM768 || strings.Contains(id.String(), "MLKEM")
}

// usageNames lists the usages of a certificate, in openssl's words.
func usageNames(c *Certificate) string {
	var names []string
	for _, u := range c.ExtKeyUsage {
		switch u {
		case x509.ExtKeyUsageServerAuth:
			names = append(names, "serverAuth")
		case x509.ExtKeyUsageClientAuth:
			names = append(names, "clientAuth")
		case x509.ExtKeyUsageAny:
			names = append(names, "anyExtendedKeyUsage")
		default:
			names = append(names, fmt.Sprintf("usage %d", u))
		}
	}
	for _, oid := range c.UnknownExtKeyUsage {
		names = append(names, oid.String())
	}
	if len(names) == 0 {
		return "-"
	}
	return strings.Join(names, ", ")
}
