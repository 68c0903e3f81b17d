package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"

	"hufu"
)

// maxCerts is the number of certificates that one file may hold.
const maxCerts = 64

// MarshalCerts writes certificates as PEM, in the order given.
func MarshalCerts(certs ...*Certificate) []byte {
	var out []byte
	for _, c := range certs {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return out
}

// ParseCerts reads every certificate of a PEM file, at least one. Text between
// them, as `openssl x509 -text` writes, is passed over; keys are refused,
// because a key does not belong into a file that is shown around.
func ParseCerts(data []byte) ([]*Certificate, error) {
	bad := func(err error) ([]*Certificate, error) {
		return nil, &hufu.Error{Op: "read certificates", Kind: hufu.KindUsage, Code: "cert_unreadable", Err: err}
	}
	if len(data) > maxPEM {
		return bad(nil)
	}
	var certs []*Certificate
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if (block.Type != "CERTIFICATE" && block.Type != "TRUSTED CERTIFICATE") || len(certs) == maxCerts {
			return bad(fmt.Errorf("unexpected %q", block.Type))
		}
		c, err := ParseCert(block.Bytes)
		if err != nil {
			return nil, err
		}
		certs = append(certs, c)
	}
	if len(certs) == 0 {
		return bad(nil)
	}
	return certs, nil
}

// ParseCert reads one certificate in DER and nothing after it.
func ParseCert(der []byte) (*Certificate, error) {
	bad := func(err error) (*Certificate, error) {
		return nil, &hufu.Error{Op: "read a certificate", Kind: hufu.KindUsage, Code: "cert_unreadable", Err: err}
	}
	if len(der) > maxDER {
		return bad(nil)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return bad(err)
	}
	return c, nil
}

// MakeCSR returns a certificate request for key, in DER. It contains no name:
// name, usage and lifetime are decided by the server.
func MakeCSR(key crypto.Signer) ([]byte, error) {
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, &hufu.Error{Op: "make a signing request", Kind: hufu.KindInternal, Err: err}
	}
	return der, nil
}

// ParseCSR reads a signing request in DER, and checks that its sender has the
// private key and that the key is strong enough. Everything else in it is a
// request that the caller may ignore.
func ParseCSR(der []byte) (*x509.CertificateRequest, error) {
	bad := func(err error) (*x509.CertificateRequest, error) {
		return nil, &hufu.Error{Op: "read a signing request", Kind: hufu.KindInvalid, Code: "csr_invalid", Err: err}
	}
	if len(der) > maxDER {
		return bad(nil)
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return bad(err)
	}
	if what := weakKey(csr.PublicKey); what != "" {
		return nil, &hufu.Error{
			Op: "read a signing request", Kind: hufu.KindInvalid, Code: "key_too_weak", Args: map[string]string{"key": what},
		}
	}
	if weakSignature(csr.SignatureAlgorithm) {
		return bad(x509.InsecureAlgorithmError(csr.SignatureAlgorithm))
	}
	if err := csr.CheckSignature(); err != nil {
		return bad(err)
	}
	return csr, nil
}

// ParseCSRPEM is ParseCSR for a file as openssl req writes it.
func ParseCSRPEM(data []byte) (*x509.CertificateRequest, error) {
	if len(data) <= maxPEM {
		for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
			if block.Type == "CERTIFICATE REQUEST" || block.Type == "NEW CERTIFICATE REQUEST" {
				return ParseCSR(block.Bytes)
			}
		}
	}
	return nil, &hufu.Error{Op: "read a signing request", Kind: hufu.KindInvalid, Code: "csr_invalid"}
}

// Pair joins a private key with its certificate and the chain above it, leaf
// first, and refuses a key that is not the leaf's.
func Pair(key crypto.Signer, chain ...*Certificate) (*tls.Certificate, error) {
	if len(chain) == 0 || key == nil || !samePublic(key.Public(), chain[0].PublicKey) {
		return nil, &hufu.Error{Op: "join key and certificate", Kind: hufu.KindUsage, Code: "key_other_cert"}
	}
	pair := &tls.Certificate{PrivateKey: key, Leaf: chain[0]}
	for _, c := range chain {
		pair.Certificate = append(pair.Certificate, c.Raw)
	}
	return pair, nil
}

// ParsePair is Pair from two PEM files.
func ParsePair(certs, key, passphrase []byte) (*tls.Certificate, error) {
	chain, err := ParseCerts(certs)
	if err != nil {
		return nil, err
	}
	signer, err := ParseKey(key, passphrase)
	if err != nil {
		return nil, err
	}
	return Pair(signer, chain...)
}

func samePublic(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}

// keyName describes a public key to people: "RSA 2048", "ECDSA P-256".
func keyName(pub crypto.PublicKey) string {
	switch k := pub.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", k.N.BitLen())
	case *ecdsa.PublicKey:
		return "ECDSA " + k.Curve.Params().Name
	case ed25519.PublicKey:
		return "Ed25519"
	}
	return fmt.Sprintf("%T", pub)
}
