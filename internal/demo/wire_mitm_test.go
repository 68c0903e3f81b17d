package demo

import (
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"hufu/internal/identity"
)

// The proof by the man in the middle is worth something only if one that is
// believed does learn the password: this one passes everything on.
func TestInterloperHearsWhoBelievesIt(t *testing.T) {
	t.Parallel()
	far, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	go func() { // ends with its only connection, or the listener
		if c, err := far.Accept(); err == nil {
			_, _ = io.Copy(c, c)
			_ = c.Close()
		}
	}()
	key, err := identity.GenerateKey(identity.ECDSA)
	if err != nil {
		t.Fatal(err)
	}
	leaf := selfSigned(t, key, "files.example")
	m, err := interpose(tls.ConnectionState{PeerCertificates: []*identity.Certificate{leaf}}, far.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer m.close()

	config := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{identity.ProtoNative}, MinVersion: tls.VersionTLS13}
	c, err := tls.Dial("tcp", m.ln.Addr().String(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	const secret = "the password"
	if _, err := io.WriteString(c, secret); err != nil {
		t.Fatal(err)
	}
	echo := make([]byte, len(secret))
	if _, err := io.ReadFull(c, echo); err != nil || string(echo) != secret {
		t.Errorf("back came %q, %v", echo, err)
	}
	if !m.knows(secret) {
		t.Error("it has not heard the password")
	}
	shown := c.ConnectionState().PeerCertificates
	if len(shown) != 2 || shown[0].Subject.String() != leaf.Subject.String() || shown[0].VerifyHostname("files.example") != nil {
		t.Errorf("it shows %v", identity.DescribeCerts(shown))
	}
	if shown[0].Equal(leaf) || !strings.Contains(shown[1].Subject.String(), "files.example") {
		t.Errorf("its CA is %s", shown[1].Subject)
	}
}

func selfSigned(t *testing.T, key crypto.Signer, host string) *identity.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := identity.ParseCert(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
