package ca

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"hufu"
	"hufu/internal/account"
	"hufu/internal/identity"
	"hufu/internal/meta"
)

// clock is a time that stands still until it is told to go on.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// world is a data folder with its authority open.
type world struct {
	*Authority
	t     *testing.T
	dir   string
	acc   *account.Service
	clock *clock
}

const password = "correct horse"

func initialize(t *testing.T, dir string, now func() time.Time) {
	t.Helper()
	if err := Init(t.Context(), dir, InitOptions{Names: []string{"files.example.org", "192.0.2.7"}, Common: true, Now: now}); err != nil {
		t.Fatal(err)
	}
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, dir: filepath.Join(t.TempDir(), "data"), clock: &clock{t: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)}}
	initialize(t, w.dir, w.clock.now)
	db, err := meta.Open(t.Context(), meta.File(filepath.Join(w.dir, Database)))
	w.must(err)
	t.Cleanup(func() { w.must(db.Close()) })
	w.acc, err = account.Open(t.Context(), db, account.Options{Judges: true, Now: w.clock.now})
	w.must(err)
	w.Authority, err = Open(t.Context(), w.dir, db, w.acc, Options{Now: w.clock.now})
	w.must(err)
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) code(err error, want string) {
	w.t.Helper()
	if got := hufu.CodeOf(err); err == nil || got != want {
		w.t.Errorf("got %v, want %s", err, want)
	}
}

func (w *world) key() crypto.Signer {
	w.t.Helper()
	k, err := identity.GenerateKey(identity.ECDSA)
	w.must(err)
	return k
}

func (w *world) csr(key crypto.Signer) []byte {
	w.t.Helper()
	der, err := identity.MakeCSR(key)
	w.must(err)
	return der
}

func (w *world) invite(user string) string {
	w.t.Helper()
	v, err := w.acc.Invite(w.t.Context(), user, 0)
	w.must(err)
	return v.Secret
}

// enrolled returns a new device of a user with the usual password.
func (w *world) enrolled(user, device string) (*x509.Certificate, crypto.Signer) {
	w.t.Helper()
	key := w.key()
	got, err := w.Enroll(w.t.Context(), EnrollRequest{Secret: w.invite(user), Password: password, Device: device, CSR: w.csr(key)})
	w.must(err)
	leaf, err := x509.ParseCertificate(got.Chain[0])
	w.must(err)
	return leaf, key
}

func (w *world) admit(c *x509.Certificate) (account.Subject, error) {
	return w.acc.Admit(identity.Serial(c), identity.Fingerprint(c))
}

func TestInitMakesWhatItShould(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	root, issuing := w.Root(), w.Issuing()
	server, err := w.ServerCertificate()
	w.must(err)
	if !root.IsCA || root.MaxPathLen != 1 || !issuing.IsCA || !issuing.MaxPathLenZero || issuing.MaxPathLen != 0 {
		t.Errorf("path lengths are %d and %d", root.MaxPathLen, issuing.MaxPathLen)
	}
	now := w.clock.now()
	for c, life := range map[*x509.Certificate]time.Duration{root: RootLife, issuing: IssuingLife, server.Leaf: ServerLife} {
		if !c.NotBefore.Equal(now.Add(-time.Hour)) || !c.NotAfter.Equal(now.Add(life)) {
			t.Errorf("%s is valid from %v to %v", c.Subject, c.NotBefore, c.NotAfter)
		}
		if c.SerialNumber.Sign() <= 0 || len(c.SerialNumber.Bytes()) > 16 || len(identity.Serial(c)) != 32 {
			t.Errorf("%s has serial %x", c.Subject, c.SerialNumber)
		}
	}
	if len(server.Leaf.ExtKeyUsage) != 1 || server.Leaf.ExtKeyUsage[0] != x509.ExtKeyUsageServerAuth || server.Leaf.IsCA {
		t.Errorf("the server's certificate is for %v", server.Leaf.ExtKeyUsage)
	}
	for host, want := range map[string]bool{
		"files.example.org": true, "192.0.2.7": true, "127.0.0.1": true, "::1": true, "localhost": true, "example.org": false, "192.0.2.8": false,
	} {
		if got, err := w.HasName(host); err != nil || got != want {
			t.Errorf("%s: %v, %v", host, got, err)
		}
	}
	names, err := w.Names()
	if err != nil || names[0] != "files.example.org" {
		t.Errorf("names are %v, %v", names, err)
	}
	certs, err := w.acc.Certificates(t.Context())
	if err != nil || len(certs) != 1 || certs[0].Serial != identity.Serial(server.Leaf) || certs[0].Use != meta.UseServer {
		t.Errorf("certificates are %+v, %v", certs, err)
	}
}

// Two fresh installations share no key, and what is secret is its owner's
// alone.
func TestHT26InstallationsShareNothing(t *testing.T) {
	t.Parallel()
	seen := make(map[string]string)
	for _, dir := range []string{filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")} {
		initialize(t, dir, nil)
		for _, name := range []string{rootKey, issueKey, serverKey, rootCert, issueCert, serverCert} {
			data, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			if other, ok := seen[string(data)]; ok {
				t.Errorf("%s and %s are the same", name, other)
			}
			seen[string(data)] = name
		}
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || runtime.GOOS == "windows" {
				return err
			}
			fi, err := d.Info()
			if err != nil {
				return err
			}
			want := fs.FileMode(0o600)
			switch {
			case d.IsDir():
				want = 0o700
			case strings.HasSuffix(path, ".crt"):
				want = 0o644
			}
			if fi.Mode().Perm() != want {
				t.Errorf("%s has mode %v", path, fi.Mode())
			}
			if strings.HasPrefix(d.Name(), ".hufu-new-") {
				t.Errorf("%s was left behind", path)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Setting up is a local command, once: a folder in use is refused and stays as
// it is.
func TestHT16SetupHappensOnce(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	initialize(t, dir, nil)
	before, err := os.ReadFile(filepath.Join(dir, rootKey))
	if err != nil {
		t.Fatal(err)
	}
	err = Init(t.Context(), dir, InitOptions{Names: []string{"evil.example"}})
	if hufu.CodeOf(err) != "data_folder_used" || hufu.KindOf(err).Exit() != 2 {
		t.Errorf("%v", err)
	}
	if after, err := os.ReadFile(filepath.Join(dir, rootKey)); err != nil || !bytes.Equal(before, after) {
		t.Error("the key is another one")
	}
	foreign := t.TempDir()
	if err := os.WriteFile(filepath.Join(foreign, "diary.txt"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := Init(t.Context(), foreign, InitOptions{Names: []string{"a"}}); hufu.CodeOf(err) != "data_folder_used" {
		t.Errorf("%v", err)
	}
	if fi, err := os.Stat(foreign); err != nil || runtime.GOOS != "windows" && fi.Mode().Perm() == 0o700 {
		t.Errorf("somebody's folder was changed: %v, %v", fi, err)
	}
}

func TestInitOptions(t *testing.T) {
	t.Parallel()
	dir := t.TempDir() // empty, so it is taken
	err := Init(t.Context(), dir, InitOptions{
		Names: []string{"SERVER"}, Subject: `/C=CN/ST=GD/L=SZ/O=COM/OU=NSP/CN=CA/emailAddress=me@example.org`,
		KeyType: identity.Ed25519, Passphrase: []byte("open sesame"),
	})
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, rootKey))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := identity.ParseKey(data, nil); hufu.CodeOf(err) != "key_passphrase_needed" {
		t.Errorf("the root key is not protected: %v", err)
	}
	if _, err := identity.ParseKey(data, []byte("open sesame")); err != nil {
		t.Error(err)
	}
	data, err = os.ReadFile(filepath.Join(dir, rootCert))
	if err != nil {
		t.Fatal(err)
	}
	certs, err := identity.ParseCerts(data)
	if err != nil {
		t.Fatal(err)
	}
	if s := certs[0].Subject; s.CommonName != "CA" || s.Country[0] != "CN" || !strings.Contains(s.String(), "1.2.840.113549.1.9.1") {
		t.Errorf("subject is %s", s)
	}
	if certs[0].PublicKeyAlgorithm != x509.Ed25519 {
		t.Errorf("key is %v", certs[0].PublicKeyAlgorithm)
	}
	if _, err := os.Stat(filepath.Join(dir, "files", "shared", "common")); err == nil {
		t.Error("the shared folder was made")
	}
	for _, o := range []InitOptions{
		{},
		{Names: []string{"a b"}},
		{Names: []string{"' OR '1'='1' -- "}},
		{Names: []string{"a_b"}},
		{Names: []string{"[::1]"}},
		{Names: []string{"a:1"}},
		{Names: []string{"a"}, Subject: "CN=x"},
		{Names: []string{"a"}, Subject: "/XX=x"},
	} {
		dir := filepath.Join(t.TempDir(), "data")
		if err := Init(t.Context(), dir, o); hufu.KindOf(err).Exit() != 2 {
			t.Errorf("%+v: %v", o, err)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%+v left a folder behind", o)
		}
	}
}

// What cannot be finished is taken away, so that the command can be given
// again.
func TestInitCleansUp(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Init(ctx, dir, InitOptions{Names: []string{"a"}}); err == nil {
		t.Fatal("a canceled init came to an end")
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("a half-made folder was left behind")
	}
	initialize(t, dir, nil)
}

// Any doubt about what everything rests on, and nothing opens.
func TestHT04BrokenTrustDoesNotOpen(t *testing.T) {
	t.Parallel()
	other := filepath.Join(t.TempDir(), "other")
	initialize(t, other, nil)
	put := func(dst, src string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			data, err := os.ReadFile(filepath.Join(other, src))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, dst), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	write := func(name, text string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	type spoilt struct {
		name, code string
		spoil      func(*testing.T, string)
	}
	cases := []spoilt{
		{"no root", "data_folder_incomplete", func(_ *testing.T, dir string) { _ = os.Remove(filepath.Join(dir, rootCert)) }},
		{"no issuing key", "data_folder_incomplete", func(_ *testing.T, dir string) { _ = os.Remove(filepath.Join(dir, issueKey)) }},
		{"no server certificate", "data_folder_incomplete", func(_ *testing.T, dir string) { _ = os.Remove(filepath.Join(dir, serverCert)) }},
		{"another root", "ca_chain_broken", put(rootCert, rootCert)},
		{"another issuing ca", "ca_chain_broken", put(issueCert, issueCert)},
		{"another issuing key", "ca_key_foreign", put(issueKey, issueKey)},
		{"another server key", "trust_file_broken", put(serverKey, serverKey)},
		{"a leaf as root", "ca_not_a_ca", put(rootCert, serverCert)},
		{"nonsense", "trust_file_broken", write(rootCert, "nonsense")},
		{"empty", "trust_file_broken", write(issueKey, "")},
	}
	if runtime.GOOS != "windows" { // there the modes say nothing
		cases = append(
			cases,
			spoilt{"readable key", "key_file_open", func(_ *testing.T, dir string) { _ = os.Chmod(filepath.Join(dir, issueKey), 0o640) }},
			spoilt{"readable root key", "key_file_open", func(_ *testing.T, dir string) { _ = os.Chmod(filepath.Join(dir, rootKey), 0o644) }},
			spoilt{"readable server key", "key_file_open", func(_ *testing.T, dir string) { _ = os.Chmod(filepath.Join(dir, serverKey), 0o604) }},
		)
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "data")
			initialize(t, dir, nil)
			c.spoil(t, dir)
			_, err := Open(t.Context(), dir, nil, nil, Options{})
			if hufu.CodeOf(err) != c.code || hufu.KindOf(err).Exit() != 2 {
				t.Errorf("opened with %v", err)
			}
		})
	}
	for name, now := range map[string]time.Time{
		"ca_expired": time.Now().Add(IssuingLife + time.Hour), "ca_not_yet_valid": time.Now().Add(-24 * time.Hour),
	} {
		if _, err := Open(t.Context(), other, nil, nil, Options{Now: func() time.Time { return now }}); hufu.CodeOf(err) != name {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func csrPEM(t *testing.T, key crypto.Signer) []byte {
	t.Helper()
	der, err := identity.MakeCSR(key)
	if err != nil {
		t.Fatal(err)
	}
	return pemBlock("CERTIFICATE REQUEST", der)
}

func TestSign(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	w.must(w.acc.AddUser(ctx, "alice", false))
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	w.must(err)
	request, err := x509.CreateCertificateRequest(rand.Reader, greedyRequest(), rsaKey)
	w.must(err)
	out, err := w.Sign(ctx, pemBlock("CERTIFICATE REQUEST", request), SignOptions{Use: meta.UseClient, User: "alice", Device: "old"})
	w.must(err)
	certs, err := identity.ParseCerts(out)
	w.must(err)
	if len(certs) != 2 || !certs[1].Equal(w.Issuing()) {
		t.Errorf("got %d certificates", len(certs))
	}
	checkClient(t, certs[0], "alice", "old")
	if s, err := w.admit(certs[0]); err != nil || s.User != "alice" {
		t.Errorf("admitted as %+v, %v", s, err)
	}
	for _, c := range []struct {
		code string
		o    SignOptions
	}{
		{"user_unknown", SignOptions{Use: meta.UseClient, User: "bob", Device: "x"}},
		{"user_name", SignOptions{Use: meta.UseClient, User: "' OR '1'='1' -- ", Device: "x"}},
		{"device_name", SignOptions{Use: meta.UseClient, User: "alice", Device: "a/b"}},
		{"server_name", SignOptions{Use: meta.UseServer, Names: []string{"a b"}}},
		{"sign_use", SignOptions{}},
	} {
		_, err := w.Sign(ctx, csrPEM(t, w.key()), c.o)
		w.code(err, c.code)
	}
	weak, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	w.must(err)
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, weak)
	w.must(err)
	if _, err := w.Sign(ctx, pemBlock("CERTIFICATE REQUEST", der), SignOptions{Use: meta.UseServer}); err == nil {
		t.Error("a weak key was signed")
	}
}
