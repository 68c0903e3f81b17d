package capture

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"
)

const (
	sampleUser     = "alice"
	samplePassword = "correct horse battery"
	sampleName     = "报告 2026.txt"
)

// sampleFile is content that does not repeat, so that no needle is found twice.
func sampleFile(n int) []byte {
	b := make([]byte, n)
	state := uint32(1)
	for i := range b {
		state = state*1664525 + 1013904223
		b[i] = byte(state >> 24)
	}
	return b
}

func sampleNeedles(file []byte) []Needle {
	return []Needle{
		{Role: RoleUser, Bytes: []byte(sampleUser)},
		{Role: RolePassword, Bytes: []byte(samplePassword)},
		{Role: RoleFileName, Bytes: []byte(sampleName)},
		FileNeedle(file),
	}
}

// certificate is a CA that is its own server, for 127.0.0.1 and ::1.
func certificate(t testing.TB) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "server"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"hufu.test"}, IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
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
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// configs are both ends of a TLS 1.3 connection.
func configs(t testing.TB, keyLog io.Writer) (client, server *tls.Config) {
	t.Helper()
	cert, pool := certificate(t)
	server = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13, NextProtos: []string{"hufu/1"}}
	client = &tls.Config{
		RootCAs: pool, ServerName: "hufu.test", MinVersion: tls.VersionTLS13,
		NextProtos: []string{"hufu/1"}, KeyLogWriter: keyLog,
	}
	return client, server
}

// listen answers each connection by serve until the test ends.
func listen(t testing.TB, address string, serve func(net.Conn)) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(func() {
		_ = ln.Close()
		wg.Wait()
	})
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				serve(c)
			})
		}
	})
	return ln
}

// echo sends back what comes, then ends.
func echo(c net.Conn) { _, _ = io.Copy(c, c) }

// dial connects through a tap.
func dial(t testing.TB, ln net.Listener, r *Recorder) net.Conn { return dialPort(t, ln, r, 0) }

// dialPort is dial, and records port as the server's unless it is 0.
func dialPort(t testing.TB, ln net.Listener, r *Recorder, port int) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if port != 0 {
		c = atPort{c.(*net.TCPConn), port}
	}
	return Wrap(c, r)
}

// atPort is a connection to a server that could have that port, which is not the
// test's to take.
type atPort struct {
	*net.TCPConn
	port int
}

func (c atPort) RemoteAddr() net.Addr {
	return &net.TCPAddr{IP: c.TCPConn.RemoteAddr().(*net.TCPAddr).IP, Port: c.port}
}

// story is a log-in and a put of file, echoed, over c, which is closed then.
func story(t testing.TB, c net.Conn, file []byte) {
	t.Helper()
	said := []byte("user=" + sampleUser + " password=" + samplePassword + "\nput " + sampleName + "\n")
	said = append(said, file...)
	var wg sync.WaitGroup
	wg.Go(func() {
		for rest := said; len(rest) > 0; {
			n := min(len(rest), 100_000)
			if _, err := c.Write(rest[:n]); err != nil {
				t.Error(err)
				return
			}
			rest = rest[n:]
		}
		if err := c.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
			t.Error(err)
		}
	})
	heard, err := io.ReadAll(c)
	wg.Wait()
	if err != nil || !bytes.Equal(heard, said) {
		t.Errorf("echo: %d of %d bytes, %v", len(heard), len(said), err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// record tells the story over loopback, over TLS if secrets is not nil.
func record(t testing.TB, address string, overTLS bool, secrets *Secrets, file []byte) *Recorder {
	t.Helper()
	r := NewRecorder(Options{Secrets: secrets})
	host, number, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(number)
	if err != nil {
		t.Fatal(err)
	}
	address = net.JoinHostPort(host, "0")
	if !overTLS {
		story(t, dialPort(t, listen(t, address, echo), r, port), file)
		return r
	}
	var keyLog io.Writer
	if secrets != nil {
		keyLog = secrets
	}
	client, server := configs(t, keyLog)
	ln := listen(t, address, func(c net.Conn) {
		s := tls.Server(c, server)
		defer s.Close()
		echo(s)
	})
	story(t, tls.Client(dialPort(t, ln, r, port), client), file)
	return r
}
