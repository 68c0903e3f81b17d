package ca

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"log/slog"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hufu/internal/identity"
)

// foreign makes a certificate as an operator does with openssl and the key of
// parent: a serial of 20 bytes, the name in CN.
func (w *world) foreign(cn string, key crypto.Signer, parent *x509.Certificate, parentKey crypto.Signer, change func(*x509.Certificate)) *x509.Certificate {
	w.t.Helper()
	template := &x509.Certificate{
		SerialNumber: new(big.Int).Lsh(big.NewInt(time.Now().UnixNano()), 90), Subject: pkix.Name{CommonName: cn},
		NotBefore: w.clock.now().Add(-time.Hour), NotAfter: w.clock.now().Add(365 * 24 * time.Hour),
	}
	if change != nil {
		change(template)
	}
	if parent == nil {
		parent = template
	}
	c, err := create(template, parent, key.Public(), parentKey)
	w.must(err)
	return c
}

func (w *world) ownCA(change func(*x509.Certificate)) (*x509.Certificate, crypto.Signer) {
	w.t.Helper()
	key := w.key()
	return w.foreign("own CA", key, nil, key, func(c *x509.Certificate) {
		c.IsCA, c.BasicConstraintsValid = true, true
		if change != nil {
			change(c)
		}
	}), key
}

func (w *world) trust(name string, certs ...*x509.Certificate) {
	w.t.Helper()
	dir := filepath.Join(w.dir, "ca", "trusted")
	w.must(os.MkdirAll(dir, 0o700))
	w.must(os.WriteFile(filepath.Join(dir, name), identity.MarshalCerts(certs...), 0o644))
}

func (w *world) reopen() error {
	a, err := Open(w.t.Context(), w.dir, w.db, w.acc, Options{Now: w.clock.now, Log: w.log})
	if err == nil {
		w.Authority = a
	}
	return err
}

// A server certificate that the operator has made is used as it is, one signed
// with our issuing key too; of its end he is warned, once a day.
func TestOwnServerCertificateIsLeftAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var log bytes.Buffer
	w.log = slog.New(slog.NewTextHandler(&log, nil))
	key := w.key()
	keyPEM, err := identity.MarshalKey(key, nil)
	w.must(err)
	own := w.foreign("SERVER", key, w.Issuing(), w.issuer.Load().key, nil)
	w.must(os.WriteFile(filepath.Join(w.dir, serverKey), keyPEM, 0o600))
	w.must(os.WriteFile(filepath.Join(w.dir, serverCert), identity.MarshalCerts(own, w.Issuing()), 0o644))
	w.must(w.reopen())
	for _, days := range []int{0, 300, 30} {
		w.clock.add(time.Duration(days) * 24 * time.Hour)
		warned := strings.Count(log.String(), "server certificate ends soon")
		for range 2 {
			c, err := w.ServerCertificate()
			w.must(err)
			if !c.Leaf.Equal(own) {
				t.Fatal("the operator's certificate was replaced")
			}
		}
		want := 0
		if days == 30 { // 35 days before its end
			w.clock.add(6 * 24 * time.Hour)
			_, err := w.ServerCertificate()
			w.must(err)
			_, err = w.ServerCertificate()
			w.must(err)
			want = 1
		}
		if got := strings.Count(log.String(), "server certificate ends soon") - warned; got != want {
			t.Errorf("%d days later there are %d warnings, not %d", days, got, want)
		}
	}
	if ok, err := w.Invitable(); err != nil || ok {
		t.Errorf("an invitation could prove it: %v, %v", ok, err)
	}
	if names, err := w.Names(); err != nil || len(names) != 1 || names[0] != "SERVER" {
		t.Errorf("names are %v, %v", names, err)
	}
}

func TestTrustedFolder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	own, ownKey := w.ownCA(nil)
	leaf := w.foreign("x", w.key(), own, ownKey, nil)
	w.trust("own.crt", own)
	w.must(w.reopen())
	if trust, err := w.Trust(); err != nil || len(trust.Roots) != 2 || !trust.Roots[1].Equal(own) {
		t.Errorf("trust is %+v, %v", trust, err)
	}
	w.trust("leaf.crt", own, leaf)
	w.code(w.reopen(), "trusted_not_a_ca")
	w.trust("leaf.crt")
	w.code(w.reopen(), "trust_file_broken")
}

// What is registered is looked up like what was issued, and is not renewed.
func TestAdd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must(w.acc.AddUser(t.Context(), "alice", false))
	own, ownKey := w.ownCA(nil)
	key := w.key()
	add := func(c *x509.Certificate, user string) (Added, error) {
		return w.Add(t.Context(), identity.MarshalCerts(c), user, "laptop")
	}
	good := w.foreign("CLIENT", key, own, ownKey, nil)
	_, err := add(good, "alice")
	w.code(err, "cert_not_good")
	w.trust("own.crt", own)
	w.must(w.reopen())
	_, err = add(good, "bob")
	w.code(err, "user_unknown")
	if _, err := w.acc.Admit(identity.Serial(good), identity.Fingerprint(good)); err == nil {
		t.Error("a certificate that is not registered is admitted")
	}
	added, err := add(good, "alice")
	w.must(err)
	if !added.CommonName || added.Poses || added.Serial != identity.Serial(good) {
		t.Errorf("added %+v", added)
	}
	sub, err := w.acc.Admit(added.Serial, identity.Fingerprint(good))
	if err != nil || sub.User != "alice" || sub.Device != "laptop" {
		t.Errorf("admitted %+v, %v", sub, err)
	}
	_, err = w.Renew(t.Context(), added.Serial, identity.Fingerprint(good), w.csr(key))
	w.code(err, "renew_outside")

	twin := w.foreign("TWIN", w.key(), own, ownKey, func(c *x509.Certificate) { c.SerialNumber = good.SerialNumber })
	_, err = add(twin, "alice")
	w.code(err, "cert_known")
	server, err := w.ServerCertificate()
	w.must(err)
	_, err = add(w.foreign("x", server.PrivateKey.(crypto.Signer), own, ownKey, nil), "alice")
	w.code(err, "cert_is_servers")

	full := func(c *x509.Certificate) {
		c.URIs = []*url.URL{identity.UserURI("alice", "phone")}
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}
	_, err = add(w.foreign("x", w.key(), own, ownKey, full), "alice")
	w.code(err, "cert_other_name")
	added, err = w.Add(t.Context(), identity.MarshalCerts(w.foreign("x", w.key(), own, ownKey, full)), "alice", "phone")
	if err != nil || added.CommonName {
		t.Errorf("added %+v, %v", added, err)
	}
	_, err = w.Add(t.Context(), identity.MarshalCerts(good), "alice", "MacBook")
	w.code(err, "device_name")
	named := w.foreign("x", w.key(), own, ownKey, func(c *x509.Certificate) {
		full(c)
		c.URIs = []*url.URL{identity.UserURI("alice", "MacBook")} // by an earlier rule
	})
	if _, err = w.Add(t.Context(), identity.MarshalCerts(named), "alice", "MacBook"); err != nil {
		t.Error(err)
	}
	added, err = add(w.foreign("Files.example.org", w.key(), own, ownKey, nil), "alice")
	if err != nil || !added.Poses {
		t.Errorf("added %+v, %v", added, err)
	}

	for what, change := range map[string]func(*x509.Certificate){
		"ended":         func(c *x509.Certificate) { c.NotAfter = w.clock.now().Add(-time.Minute) },
		"not yet valid": func(c *x509.Certificate) { c.NotBefore = w.clock.now().Add(time.Hour) },
		"a CA":          func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true },
		"a server's":    func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} },
		"long serial":   func(c *x509.Certificate) { c.SerialNumber = new(big.Int).Lsh(big.NewInt(1), 160) },
	} {
		if _, err := add(w.foreign("x", w.key(), own, ownKey, change), "alice"); err == nil {
			t.Errorf("%s: registered", what)
		} else {
			w.code(err, "cert_not_good")
		}
	}
}
