package demo_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hufu"
	"hufu/internal/client"
	"hufu/internal/demo"
	"hufu/internal/identity"
	"hufu/internal/profile"
	"hufu/internal/testenv"
)

// forge makes certificates with the keys of a real server, as somebody with
// openssl would, and knows how to break them.
type forge struct {
	t                *testing.T
	root, issuing    *identity.Certificate
	rootKey, issuKey crypto.Signer
	stranger         *identity.Certificate // another CA
	strangerKey      crypto.Signer
	weak             *rsa.PrivateKey
}

func newForge(t *testing.T, env *testenv.Env) *forge {
	t.Helper()
	f := &forge{t: t}
	f.root, f.rootKey = f.load(env, "root")
	f.issuing, f.issuKey = f.load(env, "issuing")
	var err error
	if f.weak, err = rsa.GenerateKey(rand.Reader, 1024); err != nil {
		t.Fatal(err)
	}
	f.strangerKey = f.key()
	f.stranger = f.sign(nil, nil, f.strangerKey, func(c *x509.Certificate) {
		c.Subject = pkix.Name{CommonName: "another CA"}
		c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign
	})
	return f
}

func (f *forge) load(env *testenv.Env, name string) (*identity.Certificate, crypto.Signer) {
	f.t.Helper()
	read := func(ext string) []byte {
		data, err := os.ReadFile(filepath.Join(env.Data, "ca", name+ext))
		if err != nil {
			f.t.Fatal(err)
		}
		return data
	}
	certs, err := identity.ParseCerts(read(".crt"))
	if err != nil {
		f.t.Fatal(err)
	}
	key, err := identity.ParseKey(read(".key"), nil)
	if err != nil {
		f.t.Fatal(err)
	}
	return certs[0], key
}

func (f *forge) key() crypto.Signer {
	key, err := identity.GenerateKey(identity.ECDSA)
	if err != nil {
		f.t.Fatal(err)
	}
	return key
}

// sign makes a certificate from a template that change may bend; without an
// issuer it signs itself.
func (f *forge) sign(issuer *identity.Certificate, issuerKey, key crypto.Signer, change ...func(*x509.Certificate)) *identity.Certificate {
	f.t.Helper()
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100))
	if err != nil {
		f.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
	}
	for _, c := range change {
		if c != nil {
			c(template)
		}
	}
	if issuer == nil {
		issuer, issuerKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), issuerKey)
	if err != nil {
		f.t.Fatal(err)
	}
	c, err := identity.ParseCert(der)
	if err != nil {
		f.t.Fatal(err)
	}
	return c
}

// shown is what somebody presents.
type shown struct {
	chain []*identity.Certificate
	key   crypto.Signer
}

func (s shown) pair() tls.Certificate {
	p := tls.Certificate{PrivateKey: s.key}
	for _, c := range s.chain {
		p.Certificate = append(p.Certificate, c.Raw)
	}
	return p
}

// leaf is one of the issuing CA.
func (f *forge) leaf(key crypto.Signer, change ...func(*x509.Certificate)) shown {
	return shown{[]*identity.Certificate{f.sign(f.issuing, f.issuKey, key, change...), f.issuing}, key}
}

func asServer(c *x509.Certificate) {
	c.Subject = pkix.Name{CommonName: "127.0.0.1"}
	c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
}

func asAlice(c *x509.Certificate) {
	c.Subject = pkix.Name{CommonName: "alice/forged"}
	c.URIs = []*url.URL{identity.UserURI("alice", "forged")}
	c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
}

// broken are the ten cases on one side: good makes a good leaf of it.
func (f *forge) broken(good func(*x509.Certificate), other x509.ExtKeyUsage) map[string]struct {
	step int
	s    shown
} {
	type row = struct {
		step int
		s    shown
	}
	key := f.key()
	bend := func(change func(*x509.Certificate)) shown { return f.leaf(key, good, change) }
	under := func(ca *identity.Certificate, caKey crypto.Signer) shown {
		return shown{[]*identity.Certificate{f.sign(ca, caKey, key, good), ca}, key}
	}
	noFlagKey := f.key()
	noFlag := f.sign(f.root, f.rootKey, noFlagKey, func(c *x509.Certificate) { c.Subject = pkix.Name{CommonName: "not a CA"} })
	altered := bend(nil)
	c, err := identity.ParseCert(tamper(altered.chain[0].Raw))
	if err != nil {
		f.t.Fatal(err)
	}
	altered.chain[0] = c
	return map[string]row{
		"good":            {0, bend(nil)},
		"expired":         {1, bend(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })},
		"not yet valid":   {1, bend(func(c *x509.Certificate) { c.NotBefore = time.Now().Add(10 * time.Minute) })},
		"wrong CA":        {3, under(f.stranger, f.strangerKey)},
		"CA flag missing": {4, under(noFlag, noFlagKey)},
		"altered":         {5, altered},
		"weak key":        {7, f.leaf(f.weak, good)},
		"wrong name": {8, bend(func(c *x509.Certificate) {
			c.IPAddresses, c.URIs = nil, nil
			c.DNSNames = []string{"other.example"}
		})},
		"CN only":     {8, bend(func(c *x509.Certificate) { c.IPAddresses, c.URIs = nil, nil })},
		"wrong usage": {9, bend(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{other} })},
	}
}

// tamper changes one byte of the signature, the last of a certificate.
func tamper(der []byte) []byte {
	der = slices.Clone(der)
	der[len(der)-1] ^= 1
	return der
}

// failing are the steps of a side that failed.
func failing(e *demo.Explained, side string) []int {
	var steps []int
	for _, s := range e.Steps {
		if s.Side == side && !s.OK {
			steps = append(steps, s.Step)
		}
	}
	return steps
}

func TestExplainNamesTheStepOfAServer(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	alice := env.Person("alice")
	f := newForge(t, env)
	for name, c := range f.broken(asServer, x509.ExtKeyUsageClientAuth) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, err := demo.Explain(t.Context(), profile.Dirs{}, alice.Profile, pose(t, c.s))
			if c.step == 0 {
				// It has our keys and is no hufu server behind them.
				if hufu.KindOf(err).Exit() != 5 {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := failing(e, "server"); !slices.Equal(got, []int{c.step}) {
				t.Errorf("failing steps %v, want %d: %+v", got, c.step, e.Steps)
			}
			if e.Verdict() != hufu.KindUnproven || e.Verdict().Exit() != 7 {
				t.Errorf("verdict %v", e.Verdict())
			}
			checkFixes(t, e)
			if len(e.Server) != len(c.s.chain) || e.Session != nil {
				t.Errorf("chain of %d, session %v", len(e.Server), e.Session)
			}
		})
	}
}

// pose is a process that shows a certificate and then hangs up.
func pose(t *testing.T, s shown) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{s.pair()}, NextProtos: []string{identity.ProtoNative},
		ClientAuth: tls.RequestClientCert,
	}
	var wg sync.WaitGroup
	wg.Go(func() { // ends with the listener
		for {
			raw, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer raw.Close()
				_ = raw.SetDeadline(time.Now().Add(10 * time.Second))
				if c := tls.Server(raw, config); c.Handshake() == nil {
					_ = c.CloseWrite()
					_, _ = io.Copy(io.Discard, c)
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		wg.Wait()
	})
	return ln.Addr().String()
}

func checkFixes(t *testing.T, e *demo.Explained) {
	t.Helper()
	for _, s := range e.Steps {
		if s.What == "" || s.Why == "" || (s.Fix == "") != s.OK {
			t.Errorf("step %+v", s)
		}
	}
}

func TestExplainNamesTheStepOfAClient(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	f := newForge(t, env)
	person := env.Person("alice")
	for name, c := range f.broken(asAlice, x509.ExtKeyUsageServerAuth) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, err := demo.Explain(t.Context(), profile.Dirs{}, withCertificate(t, person, c.s), "")
			if err != nil {
				t.Fatal(err)
			}
			step := c.step
			if step == 0 {
				step = 10 // signed by the CA, but the server has not issued it
			}
			if got := failing(e, "client"); !slices.Equal(got, []int{step}) {
				t.Errorf("failing steps %v, want %d: %+v", got, step, e.Steps)
			}
			if got := failing(e, "server"); got != nil {
				t.Errorf("the server fails at %v", got)
			}
			if e.Verdict() != hufu.KindRefused || e.Verdict().Exit() != 6 {
				t.Errorf("verdict %v", e.Verdict())
			}
			checkFixes(t, e)
		})
	}
}

// withCertificate is a person's profile with another certificate and key.
func withCertificate(t *testing.T, p *testenv.Person, s shown) *profile.Profile {
	t.Helper()
	dirs := profile.Dirs{Config: t.TempDir(), State: t.TempDir()}
	from := filepath.Join(p.Dirs.Config, "profiles", profile.Default)
	to := filepath.Join(dirs.Config, "profiles", profile.Default)
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(s.key)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"client.crt": identity.MarshalCerts(s.chain...),
		"client.key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
	} {
		file := filepath.Join(to, name)
		if err := errors.Join(os.WriteFile(file, data, 0o600), os.Chmod(file, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	profile, err := profile.Load(dirs, profile.Default)
	if err != nil {
		t.Fatal(err)
	}
	return profile
}

// The tenth case can only be met at a live server.
func TestExplainRevoked(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	alice := env.Person("alice")
	e, err := demo.Explain(t.Context(), profile.Dirs{}, alice.Profile, "")
	if err != nil {
		t.Fatal(err)
	}
	if len(e.Steps) != 20 || e.Verdict() != 0 || !e.Session.PostQuantum || len(e.Server) == 0 || len(e.Client) == 0 || len(e.Trusted) != 1 {
		t.Errorf("before: verdict %v, session %+v, %d steps", e.Verdict(), e.Session, len(e.Steps))
	}
	if err := env.Account.Revoke(t.Context(), e.Client[0].Serial, "the laptop was stolen"); err != nil {
		t.Fatal(err)
	}
	if err := env.Account.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if e, err = demo.Explain(t.Context(), profile.Dirs{}, alice.Profile, ""); err != nil {
		t.Fatal(err)
	}
	if got := failing(e, "client"); !slices.Equal(got, []int{10}) || e.Verdict() != hufu.KindRefused {
		t.Fatalf("failing steps %v, verdict %v", got, e.Verdict())
	}
	i := slices.IndexFunc(e.Steps, func(s identity.Step) bool { return !s.OK })
	if s := e.Steps[i]; s.Why != "error.cert_revoked_reason" || !strings.Contains(s.Args["reason"], "stolen") {
		t.Errorf("told %+v", s)
	}
	checkFixes(t, e)
}

// Whoever has not enrolled learns who the server says it is, and no more.
func TestExplainWithoutAProfile(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	e, err := demo.Explain(t.Context(), profile.Dirs{}, nil, env.Address)
	if err != nil {
		t.Fatal(err)
	}
	if got := failing(e, "server"); !slices.Equal(got, []int{3}) || e.Verdict() != hufu.KindUnproven || len(e.Server) == 0 {
		t.Errorf("failing steps %v, verdict %v", got, e.Verdict())
	}
	if i := slices.IndexFunc(e.Steps, func(s identity.Step) bool { return s.Why == "explain.3.no_trust" }); i < 0 {
		t.Errorf("steps %+v", e.Steps)
	}
}

func TestExplainAnotherServer(t *testing.T) {
	t.Parallel()
	env, other := testenv.New(t, testenv.Options{}), testenv.New(t, testenv.Options{})
	alice := env.Person("alice")
	e, err := demo.Explain(t.Context(), profile.Dirs{}, alice.Profile, other.Address)
	if err != nil {
		t.Fatal(err)
	}
	if got := failing(e, "server"); !slices.Equal(got, []int{3}) {
		t.Errorf("failing steps %v", got)
	}
}

// A stranger's certificate holds the names that the stranger chose. No command
// may advise to use one of them: the chain comes before the name.
func TestStrangerOfAnotherName(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	alice := env.Person("alice")
	f := newForge(t, env)
	key := f.key()
	leaf := f.sign(f.stranger, f.strangerKey, key, asServer, func(c *x509.Certificate) {
		c.IPAddresses, c.DNSNames = nil, []string{"chosen.example"}
	})
	address := pose(t, shown{[]*identity.Certificate{leaf, f.stranger}, key})
	r := alice.Remote(client.Options{Address: address})
	if _, err := r.Connect(t.Context()); hufu.CodeOf(err) != "server_unknown_ca" {
		t.Errorf("connect: %v", err)
	}
	e, err := demo.Explain(t.Context(), profile.Dirs{}, alice.Profile, address)
	if err != nil {
		t.Fatal(err)
	}
	if got := failing(e, "server"); len(got) == 0 || got[0] != 3 || len(e.Server) != 2 {
		t.Errorf("explain: failing steps %v, %d certificates", got, len(e.Server))
	}
}

func TestExplainUnreachable(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	alice := env.Person("alice")
	env.Stop()
	if _, err := demo.Explain(t.Context(), profile.Dirs{}, alice.Profile, ""); hufu.KindOf(err) != hufu.KindNetwork {
		t.Errorf("got %v", err)
	}
	if _, err := demo.Explain(t.Context(), profile.Dirs{}, alice.Profile, "no port"); hufu.KindOf(err) != hufu.KindUsage {
		t.Errorf("got %v", err)
	}
}

func TestExplainFiles(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	f := newForge(t, env)
	ca := identity.MarshalCerts(f.root)
	for name, c := range f.broken(asServer, x509.ExtKeyUsageClientAuth) {
		e, err := demo.ExplainFiles(identity.MarshalCerts(c.s.chain...), ca, "127.0.0.1")
		if err != nil {
			t.Fatal(err)
		}
		want := []int{c.step}
		if c.step == 0 {
			want = nil
		}
		if got := failing(e, "server"); !slices.Equal(got, want) {
			t.Errorf("server %s: failing steps %v, want %v", name, got, want)
		}
	}
	for name, c := range f.broken(asAlice, x509.ExtKeyUsageServerAuth) {
		e, err := demo.ExplainFiles(identity.MarshalCerts(c.s.chain...), ca, "")
		if err != nil {
			t.Fatal(err)
		}
		want := []int{c.step}
		if c.step == 0 {
			want = nil
		}
		// Made for servers and naming a user, it is a client's all the same.
		if got := failing(e, "client"); !slices.Equal(got, want) {
			t.Errorf("client %s: failing steps %v, want %v", name, got, want)
		}
	}
	if _, err := demo.ExplainFiles([]byte("no certificate"), ca, ""); hufu.CodeOf(err) != "cert_unreadable" {
		t.Errorf("got %v", err)
	}
}
