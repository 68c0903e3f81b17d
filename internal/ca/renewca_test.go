package ca

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hufu/internal/account"
	"hufu/internal/identity"
	"hufu/internal/meta"
)

// shaker returns a function that makes one connection to w's server with a
// client's certificate.
func shaker(t *testing.T, w *world) func(pair *tls.Certificate) error {
	t.Helper()
	serverConfig, err := identity.Server{
		Certificate: w.ServerCertificate, Trust: w.Trust, Now: w.clock.now,
		Admit: func(p identity.Peer) error { _, err := w.acc.Admit(p.Serial, p.Fingerprint); return err },
	}.Config()
	w.must(err)
	return func(pair *tls.Certificate) error {
		w.must(w.acc.Reload(t.Context()))
		clientConfig, err := identity.Client{
			Roots: []*x509.Certificate{w.Root()}, Host: "files.example.org", Now: w.clock.now,
			Certificate: func() (*tls.Certificate, error) { return pair, nil },
		}.Config()
		w.must(err)
		a, b := net.Pipe()
		server, client := tls.Server(a, serverConfig), tls.Client(b, clientConfig)
		defer func() { _ = a.Close(); _ = b.Close() }()
		told := make(chan error, 1)
		go func() {
			err := client.HandshakeContext(t.Context())
			if err == nil {
				_, _ = client.Read(make([]byte, 1))
			}
			told <- err
		}()
		err = server.HandshakeContext(t.Context())
		_ = a.Close()
		return errors.Join(err, <-told)
	}
}

// The issuing CA is renewed beside a running server. Clients with the old chain
// get in and are renewed, new ones are signed by the new one, answers that were
// lost are given again as they were; and a server that starts afterwards finds
// all of it.
func TestRenewIssuing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	shake := shaker(t, w)
	oldLeaf, oldKey := w.enrolled("alice", "laptop")
	before := w.Issuing()
	oldPair, err := identity.Pair(oldKey, oldLeaf, before)
	w.must(err)
	w.must(shake(oldPair))

	// It is asked for while the server runs, once a day.
	var said bytes.Buffer
	w.log = slog.New(slog.NewTextHandler(&said, nil))
	w.clock.add(IssuingLife - IssuingWarning + time.Hour)
	for range 3 {
		_, err := w.ServerCertificate()
		w.must(err)
		w.clock.add(time.Hour)
	}
	if n := strings.Count(said.String(), "issuing ca ends soon"); n != 1 {
		t.Errorf("warned %d times: %s", n, said.String())
	}
	w.log = slog.New(slog.DiscardHandler)
	w.clock.add(-IssuingLife + IssuingWarning - 4*time.Hour)

	renew := func() *x509.Certificate {
		t.Helper()
		c, err := RenewIssuing(ctx, w.dir, RenewIssuingOptions{Now: w.clock.now})
		w.must(err)
		w.clock.add(2 * lookEvery)
		return c
	}
	names := map[string]bool{string(before.RawSubject): true}
	for range 3 { // more than once on one day
		c := renew()
		if names[string(c.RawSubject)] {
			t.Errorf("%s was the name of one before", c.Subject)
		}
		names[string(c.RawSubject)] = true
	}
	second := renew()
	w.must(shake(oldPair))
	if !w.Issuing().Equal(second) {
		t.Error("the running server has not taken the new one over")
	}

	// The server's own certificate stays, and is still one of ours.
	if ok, err := w.Invitable(); err != nil || !ok {
		t.Errorf("no invitations: %v", err)
	}
	newLeaf, newKey := w.enrolled("bob", "phone")
	if newLeaf.CheckSignatureFrom(second) != nil {
		t.Error("a new certificate is not signed by the new issuing ca")
	}
	newPair, err := identity.Pair(newKey, newLeaf, second)
	w.must(err)
	w.must(shake(newPair))

	// The old client renews and gets the new chain.
	key := w.key()
	chain, err := w.Renew(ctx, identity.Serial(oldLeaf), identity.Fingerprint(oldLeaf), w.csr(key))
	w.must(err)
	leaf, err := x509.ParseCertificate(chain[0])
	w.must(err)
	if leaf.CheckSignatureFrom(second) != nil || string(chain[1]) != string(second.Raw) {
		t.Error("not renewed by the new issuing ca")
	}
	renewed, err := identity.Pair(key, leaf, second)
	w.must(err)
	w.must(shake(renewed))

	// A lost answer is given again with the issuing CA that it had.
	third := renew()
	again, err := w.Renew(ctx, identity.Serial(oldLeaf), identity.Fingerprint(oldLeaf), w.csr(key))
	w.must(err)
	if string(again[0]) != string(chain[0]) || string(again[1]) != string(second.Raw) {
		t.Error("the lost answer came with another issuing ca")
	}
	w.must(shake(renewed))

	// At two thirds of its life the server's certificate comes from the new one.
	w.clock.add(21 * 24 * time.Hour)
	c, err := w.ServerCertificate()
	w.must(err)
	if c.Leaf.CheckSignatureFrom(third) != nil {
		t.Error("the server's certificate is not renewed by the new issuing ca")
	}
	w.must(shake(oldPair))
	w.Authority, err = Open(ctx, w.dir, w.db, w.acc, Options{Now: w.clock.now})
	w.must(err)
	w.must(shaker(t, w)(oldPair))
}

// An issuing CA that has ended is renewed, too: nothing else could be done with
// the data folder. Its clients have ended with it.
func TestRenewIssuingThatHasEnded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.clock.add(IssuingLife + time.Hour)
	_, err := Open(t.Context(), w.dir, w.db, w.acc, Options{Now: w.clock.now})
	w.code(err, "ca_expired")
	_, err = RenewIssuing(t.Context(), w.dir, RenewIssuingOptions{Now: w.clock.now})
	w.must(err)
	w.Authority, err = Open(t.Context(), w.dir, w.db, w.acc, Options{Now: w.clock.now})
	w.must(err)
	leaf, key := w.enrolled("alice", "laptop")
	pair, err := identity.Pair(key, leaf, w.Issuing())
	w.must(err)
	w.must(shaker(t, w)(pair))
}

// Wherever a renewal ends, the data folder opens: with the old pair or the new.
func TestRenewIssuingIsCutShort(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := func(name string) string { return filepath.Join(w.dir, filepath.FromSlash(name)) }
	oldCert, err := os.ReadFile(path(issueCert))
	w.must(err)
	oldKey, err := os.ReadFile(path(issueKey))
	w.must(err)
	next, err := RenewIssuing(t.Context(), w.dir, RenewIssuingOptions{Now: w.clock.now})
	w.must(err)
	newKey, err := os.ReadFile(path(issueKey))
	w.must(err)
	open := func() *Authority {
		t.Helper()
		a, err := Open(t.Context(), w.dir, w.db, w.acc, Options{Now: w.clock.now})
		w.must(err)
		return a
	}
	w.must(os.WriteFile(path(nextKey), newKey, 0o600)) // the certificate has not been replaced
	w.must(os.WriteFile(path(issueKey), oldKey, 0o600))
	newCert, err := os.ReadFile(path(issueCert))
	w.must(err)
	w.must(os.WriteFile(path(issueCert), oldCert, 0o644))
	if a := open(); a.Issuing().Equal(next) {
		t.Error("the certificate is the new one")
	}
	w.must(os.WriteFile(path(issueCert), newCert, 0o644)) // and now it has
	if a := open(); !a.Issuing().Equal(next) {
		t.Error("the certificate is the old one")
	}
	if _, err := os.Stat(path(nextKey)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the new key is still under its first name: %v", err)
	}
	open()
}

// The root key may be elsewhere, and protected.
func TestRenewIssuingRootKey(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	err := Init(t.Context(), dir, InitOptions{
		Names: []string{"localhost"}, Passphrase: []byte("sesame"), KeyType: identity.Ed25519,
		Subject: "/C=CN/ST=GD/L=SZ/O=COM/OU=NSP/CN=CA/emailAddress=a@b.cn",
	})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t}
	stick := filepath.Join(t.TempDir(), "root.key")
	w.must(os.Rename(filepath.Join(dir, "ca", "root.key"), stick))
	secret := func(s string) func(context.Context) ([]byte, error) {
		return func(context.Context) ([]byte, error) { return []byte(s), nil }
	}
	_, err = RenewIssuing(t.Context(), dir, RenewIssuingOptions{Passphrase: secret("sesame")})
	w.code(err, "root_key_away")
	_, err = RenewIssuing(t.Context(), dir, RenewIssuingOptions{RootKey: stick, Passphrase: secret("wrong")})
	w.code(err, "key_passphrase_wrong")
	_, err = RenewIssuing(t.Context(), dir, RenewIssuingOptions{RootKey: filepath.Join(dir, "ca", "issuing.key"), Passphrase: secret("")})
	w.code(err, "root_key_foreign")
	c, err := RenewIssuing(t.Context(), dir, RenewIssuingOptions{RootKey: stick, Passphrase: secret("sesame")})
	w.must(err)
	if c.Subject.Organization[0] != "COM" || len(c.Subject.Names) != 7 || c.PublicKeyAlgorithm != x509.Ed25519 {
		t.Errorf("the new one is %s, %v", c.Subject, c.PublicKeyAlgorithm)
	}
	db, err := meta.Open(t.Context(), meta.File(filepath.Join(dir, Database)))
	w.must(err)
	t.Cleanup(func() { w.must(db.Close()) })
	acc, err := account.Open(t.Context(), db, account.Options{Judges: true})
	w.must(err)
	_, err = Open(t.Context(), dir, db, acc, Options{})
	w.must(err)
}
