package report

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"hufu/internal/capture"
)

const (
	sampleUser     = "alice"
	samplePassword = "correct horse battery"
	sampleName     = "报告 2026.txt"
)

// found is what stands in three captures of a client that logs in and puts a file: without
// TLS, with it, and with a server that it refuses.
type found struct{ plain, sealed, refused *capture.Findings }

func captures(t *testing.T) found {
	t.Helper()
	file := make([]byte, 50_000)
	_, _ = rand.Read(file)
	said := append([]byte("user="+sampleUser+" password="+samplePassword+"\nput "+sampleName+"\n"), file...)
	needles := []capture.Needle{
		{Role: capture.RoleUser, Bytes: []byte(sampleUser)},
		{Role: capture.RolePassword, Bytes: []byte(samplePassword)},
		{Role: capture.RoleFileName, Bytes: []byte(sampleName)},
		capture.FileNeedle(file),
	}
	client, server := configs(t)
	stranger := client.Clone()
	stranger.ServerName = "somebody.else"
	return found{
		plain:   record(t, said, needles, nil, nil),
		sealed:  record(t, said, needles, client, server),
		refused: record(t, said, needles, stranger, server),
	}
}

// configs are both ends of TLS, with a certificate that signs itself.
func configs(t *testing.T) (client, server *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"hufu.test"}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	client = &tls.Config{RootCAs: pool, ServerName: "hufu.test", MinVersion: tls.VersionTLS13, NextProtos: []string{"hufu/1"}}
	server = &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS13, NextProtos: []string{"hufu/1"},
	}
	return client, server
}

// record has a client say something to a server that echoes it, over TLS if there is a
// configuration, and returns what an eavesdropper finds. A client that refuses the server
// says nothing.
func record(t *testing.T, said []byte, needles []capture.Needle, client, server *tls.Config) *capture.Findings {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		if server != nil {
			c = tls.Server(c, server)
		}
		_, _ = io.Copy(c, c)
		_ = c.Close()
	})
	defer wg.Wait()
	defer ln.Close()
	o := capture.Options{}
	if client != nil {
		o.Secrets = &capture.Secrets{}
		client = client.Clone()
		client.KeyLogWriter = o.Secrets
	}
	r := capture.NewRecorder(o)
	below, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c := capture.Wrap(below, r)
	if client != nil {
		proven := tls.Client(c, client)
		if err := proven.Handshake(); err != nil {
			if refused := (*tls.CertificateVerificationError)(nil); !errors.As(err, &refused) {
				t.Error(err)
			}
			_ = proven.Close()
			return r.Analyse(needles)
		}
		c = proven
	}
	defer c.Close()
	wg.Go(func() {
		if _, err := c.Write(said); err != nil {
			t.Error(err)
		}
		_ = c.(interface{ CloseWrite() error }).CloseWrite()
	})
	_, _ = io.Copy(io.Discard, c)
	_ = c.Close()
	return r.Analyse(needles)
}

// broken is a writer that takes nothing.
type broken struct{}

func (*broken) Write([]byte) (int, error) { return 0, io.ErrShortWrite }
