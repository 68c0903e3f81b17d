package ca

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"hufu"
	"hufu/internal/account"
	"hufu/internal/identity"
	"hufu/internal/meta"
)

func TestServerCertificateRenewsItself(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first, err := w.ServerCertificate()
	w.must(err)
	w.clock.add(19 * 24 * time.Hour)
	if c, err := w.ServerCertificate(); err != nil || c != first {
		t.Errorf("renewed too early, %v", err)
	}
	w.clock.add(2 * 24 * time.Hour)
	second, err := w.ServerCertificate()
	w.must(err)
	if second.Leaf.Equal(first.Leaf) || !second.Leaf.NotAfter.Equal(w.clock.now().Add(ServerLife)) {
		t.Error("not renewed at two thirds of its life")
	}
	if !slices.Equal(second.Leaf.DNSNames, first.Leaf.DNSNames) || len(second.Leaf.IPAddresses) != len(first.Leaf.IPAddresses) {
		t.Errorf("the names are now %v", second.Leaf.DNSNames)
	}
	w.clock.add(2 * lookEvery)
	third, err := w.ServerCertificate()
	w.must(err)
	if !third.Leaf.Equal(second.Leaf) {
		t.Error("what the file holds is something else")
	}
	names, err := w.Names()
	if err != nil || names[0] != "files.example.org" {
		t.Errorf("names are %v, %v", names, err)
	}
	certs, err := w.acc.Certificates(t.Context())
	if err != nil || len(certs) != 2 {
		t.Errorf("certificates are %+v, %v", certs, err)
	}
	// After a long sleep it is renewed before anybody sees the old one.
	w.clock.add(300 * 24 * time.Hour)
	fourth, err := w.ServerCertificate()
	w.must(err)
	if w.clock.now().After(fourth.Leaf.NotAfter) {
		t.Error("an expired certificate is presented")
	}
}

// A certificate that was made while the clock was ahead is made anew, while the
// server runs and at its start.
func TestServerCertificateFromTheFuture(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.clock.add(40 * 24 * time.Hour)
	future, err := w.ServerCertificate()
	w.must(err)
	w.clock.add(-40 * 24 * time.Hour)
	good := func(a *Authority) {
		t.Helper()
		c, err := a.ServerCertificate()
		w.must(err)
		if now := w.clock.now(); now.Before(c.Leaf.NotBefore) || now.After(c.Leaf.NotAfter) {
			t.Errorf("at %v the certificate from %v to %v is presented", now, c.Leaf.NotBefore, c.Leaf.NotAfter)
		}
		if !slices.Equal(c.Leaf.DNSNames, future.Leaf.DNSNames) || len(c.Leaf.IPAddresses) != len(future.Leaf.IPAddresses) {
			t.Errorf("the names are now %v", c.Leaf.DNSNames)
		}
	}
	good(w.Authority)
	w.must(os.WriteFile(filepath.Join(w.dir, serverCert), identity.MarshalCerts(future.Leaf, w.Issuing()), 0o644))
	var said bytes.Buffer
	again, err := Open(t.Context(), w.dir, w.db, w.acc, Options{Now: w.clock.now, Log: slog.New(slog.NewTextHandler(&said, nil))})
	w.must(err)
	good(again)
	if !strings.Contains(said.String(), "level=WARN") {
		t.Errorf("the log says %q", said.String())
	}
}

// So is a client's, when it asks: it gets one that is good now, and the same one
// again if the answer was lost.
func TestClientCertificateFromTheFuture(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx, key := t.Context(), w.key()
	renew := func(old *x509.Certificate) *x509.Certificate {
		t.Helper()
		chain, err := w.Renew(ctx, identity.Serial(old), identity.Fingerprint(old), w.csr(key))
		w.must(err)
		leaf, err := x509.ParseCertificate(chain[0])
		w.must(err)
		return leaf
	}
	first, _ := w.enrolled("alice", "laptop")
	w.clock.add(20 * 24 * time.Hour)
	future := renew(first)
	w.clock.add(-20*24*time.Hour + time.Minute)
	c, err := w.acc.Certificate(ctx, identity.Serial(future))
	if err != nil || c.State != account.CertEarly {
		t.Errorf("its state is %s, %v", c.State, err)
	}
	for _, old := range []*x509.Certificate{future, first} { // the answer from the future may have been lost
		good := renew(old)
		if now := w.clock.now(); now.Before(good.NotBefore) || now.After(good.NotAfter) {
			t.Errorf("at %v the certificate is good from %v to %v", now, good.NotBefore, good.NotAfter)
		}
		if again := renew(old); !again.Equal(good) {
			t.Error("asked again, it makes another one")
		}
	}
}

// A renewal that fails is no reason to stop as long as the old one is good, and
// every reason afterwards.
func TestServerCertificateRenewalFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first, err := w.ServerCertificate()
	w.must(err)
	w.must(os.Remove(filepath.Join(w.dir, serverKey)))
	w.clock.add(25 * 24 * time.Hour)
	if c, err := w.ServerCertificate(); err != nil || c != first {
		t.Errorf("%v", err)
	}
	w.clock.add(10 * 24 * time.Hour)
	_, err = w.ServerCertificate()
	w.code(err, "server_cert_expired")
}

// Certificates are replaced without a restart.
func TestServerCertificateIsReadAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	pem, err := w.Sign(t.Context(), csrPEM(t, w.key()), SignOptions{Use: meta.UseServer})
	w.must(err)
	w.must(os.WriteFile(filepath.Join(w.dir, serverCert), pem, 0o644))
	w.clock.add(2 * lookEvery)
	c, err := w.ServerCertificate() // its key is missing, so the old pair goes on
	w.must(err)
	if _, ok := c.PrivateKey.(crypto.Signer); !ok {
		t.Error("no key")
	}
	key := w.key()
	pem, err = w.Sign(t.Context(), csrPEM(t, key), SignOptions{Use: meta.UseServer, Names: []string{"new.example.org"}})
	w.must(err)
	keyPEM, err := identity.MarshalKey(key, nil)
	w.must(err)
	w.must(os.WriteFile(filepath.Join(w.dir, serverKey), keyPEM, 0o600))
	w.must(os.WriteFile(filepath.Join(w.dir, serverCert), pem, 0o644))
	w.clock.add(2 * lookEvery)
	if ok, err := w.HasName("new.example.org"); err != nil || !ok {
		t.Errorf("the new certificate is not in use: %v", err)
	}
}

// The whole of it works in a handshake, with what identity demands.
func TestHandshakeWithEnrolledClient(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	leaf, key := w.enrolled("alice", "laptop")
	serverConfig, err := identity.Server{
		Certificate: w.ServerCertificate, Trust: w.Trust, Now: w.clock.now,
		Admit: func(p identity.Peer) error { _, err := w.acc.Admit(p.Serial, p.Fingerprint); return err },
	}.Config()
	w.must(err)
	pair, err := identity.Pair(key, leaf, w.Issuing())
	w.must(err)
	clientConfig, err := identity.Client{
		Roots: []*x509.Certificate{w.Root()}, Host: "files.example.org", Now: w.clock.now,
		Certificate: func() (*tls.Certificate, error) { return pair, nil },
	}.Config()
	w.must(err)
	shake := func() (identity.Peer, error) {
		a, b := net.Pipe()
		server, client := tls.Server(a, serverConfig), tls.Client(b, clientConfig)
		defer func() { _ = a.Close(); _ = b.Close() }()
		go func() {
			if client.HandshakeContext(t.Context()) == nil {
				_, _ = client.Read(make([]byte, 1))
			}
		}()
		if err := server.HandshakeContext(t.Context()); err != nil {
			return identity.Peer{}, err
		}
		return identity.ProvenPeer(server.ConnectionState())
	}
	p, err := shake()
	w.must(err)
	if p.User != "alice" || p.Device != "laptop" || p.Serial != identity.Serial(leaf) {
		t.Errorf("peer is %+v", p)
	}
	w.must(w.acc.Revoke(t.Context(), p.Serial, "stolen"))
	_, err = shake()
	w.code(err, "cert_revoked_reason")
}

// TestAFurtherServer: on a second computer, with the CA alone, a server's certificate is made, once.
func TestAFurtherServer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir := t.TempDir()
	w.must(os.Chmod(dir, 0o700))
	w.must(os.Mkdir(filepath.Join(dir, Folder), 0o700))
	for _, name := range []string{rootCert, issueCert, issueKey} {
		data, err := os.ReadFile(filepath.Join(w.dir, name))
		w.must(err)
		w.must(os.WriteFile(filepath.Join(dir, name), data, 0o600))
	}
	if _, err := Open(t.Context(), dir, w.db, w.acc, Options{Now: w.clock.now}); hufu.CodeOf(err) != "data_folder_incomplete" {
		t.Fatal("a certificate without names:", err)
	}
	var serial string
	for range 2 {
		a, err := Open(t.Context(), dir, w.db, w.acc, Options{Now: w.clock.now, Names: []string{"b.example.org", "files.example.org"}})
		w.must(err)
		c, err := a.ServerCertificate()
		w.must(err)
		names, err := a.Names()
		w.must(err)
		if got := strings.Join(names, " "); got != "b.example.org files.example.org localhost 127.0.0.1 ::1" {
			t.Error("the names are", got)
		}
		if serial != "" && serial != identity.Serial(c.Leaf) {
			t.Error("it was made twice")
		}
		serial = identity.Serial(c.Leaf)
	}
	if _, err := w.db.Certificate(t.Context(), serial); err != nil {
		t.Error("the certificate is not in the database:", err)
	}
}
