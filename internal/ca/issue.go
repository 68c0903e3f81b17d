package ca

import (
	"cmp"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"net/url"
	"time"

	"hufu"
	"hufu/internal/identity"
	"hufu/internal/meta"
)

// serialBits is the length of every serial that hufu makes.
const serialBits = 127

// newSerial is 126 random bits. The top two are fixed so that every serial is
// positive, 16 bytes long and 32 hex digits.
func newSerial() *big.Int {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[0] = b[0]&0x3f | 0x40
	return new(big.Int).SetBytes(b[:])
}

// clientTemplate names a device of a user. Its subject is for people; hufu
// reads the URI.
func clientTemplate(user, device string) *x509.Certificate {
	return &x509.Certificate{
		Subject:     pkix.Name{CommonName: user + "/" + device},
		URIs:        []*url.URL{identity.UserURI(user, device)},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
}

func serverTemplate(first string, dns []string, ips []net.IP) *x509.Certificate {
	return &x509.Certificate{
		Subject:     pkix.Name{CommonName: first},
		DNSNames:    dns,
		IPAddresses: ips,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
}

// sign issues the certificate that template describes. It is the one place
// where the issuing key signs, and it never signs a CA.
func (a *Authority) sign(template *x509.Certificate, pub crypto.PublicKey, life time.Duration) (*x509.Certificate, error) {
	now, by := a.now(), a.issuer.Load()
	template.SerialNumber = newSerial()
	template.NotBefore = later(now.Add(-backdate), by.cert.NotBefore)
	template.NotAfter = now.Add(life)
	if template.NotAfter.After(by.cert.NotAfter) {
		template.NotAfter = by.cert.NotAfter
	}
	template.BasicConstraintsValid = true
	template.IsCA = false
	return create(template, by.cert, pub, by.key)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func create(template, parent *x509.Certificate, pub crypto.PublicKey, key crypto.Signer) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, pub, key)
	if err != nil {
		return nil, &hufu.Error{Op: "sign certificate", Kind: hufu.KindInternal, Err: err}
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, &hufu.Error{Op: "sign certificate", Kind: hufu.KindInternal, Err: err}
	}
	return c, nil
}

// row returns the database row of a new certificate.
func (a *Authority) row(c *x509.Certificate, use, user, device string) (meta.Certificate, error) {
	key, err := keySum(c.PublicKey)
	if err != nil {
		return meta.Certificate{}, err
	}
	serial := identity.Serial(c)
	return meta.Certificate{
		Serial: serial, Fingerprint: identity.Fingerprint(c), Lineage: serial, SPKI: key, Use: use, User: user, Device: device,
		NotBefore: c.NotBefore, NotAfter: c.NotAfter, Issued: a.now(), DER: c.Raw,
	}, nil
}

// keySum returns the digest of a public key in Go's own encoding, which does not depend on the
// encoding of the signing request.
func keySum(pub crypto.PublicKey) ([32]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return [32]byte{}, &hufu.Error{Op: "encode public key", Kind: hufu.KindInternal, Err: err}
	}
	return sha256.Sum256(der), nil
}

// chain returns a certificate with the issuing CA that signed it, which may be a
// former one, and the root.
func (a *Authority) chain(leaf []byte) [][]byte {
	by := a.issuer.Load()
	issuing := by.cert
	if c, err := x509.ParseCertificate(leaf); err == nil {
		issuing = cmp.Or(by.of(c), issuing)
	}
	return [][]byte{leaf, issuing.Raw, a.root.Raw}
}
