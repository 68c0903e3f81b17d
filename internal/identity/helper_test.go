package identity

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"io"
	"math/big"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"hufu"
)

// now is the moment of all tests, so that none of them depends on the clock.
var now = time.Date(2030, 6, 15, 12, 0, 0, 0, time.UTC)

func clock() time.Time { return now }

// Making an RSA key takes long enough to share two of them.
var (
	rsaKey      = sync.OnceValue(makeRSA)
	otherRSAKey = sync.OnceValue(makeRSA)
)

func makeRSA() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
}

// A party is a certificate with its key and the certificates above it.
type party struct {
	cert *Certificate
	key  crypto.Signer
	up   []*Certificate // without the root
}

func (p party) chain() []*Certificate { return append([]*Certificate{p.cert}, p.up...) }

func (p party) pair(t testing.TB) *tls.Certificate {
	t.Helper()
	pair, err := Pair(p.key, p.chain()...)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

func (p party) source(t testing.TB) func() (*tls.Certificate, error) {
	pair := p.pair(t)
	return func() (*tls.Certificate, error) { return pair, nil }
}

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func newKey(t testing.TB) crypto.Signer {
	t.Helper()
	return must[crypto.Signer](t)(GenerateKey(ECDSA))
}

// issue makes a certificate from a template that change may bend; a nil
// issuer signs itself.
func issue(t testing.TB, issuer *party, key crypto.Signer, change func(*x509.Certificate)) party {
	t.Helper()
	serial := must[*big.Int](t)(rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100)))
	tmpl := &x509.Certificate{
		SerialNumber: serial.Add(serial, big.NewInt(1)), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(90 * 24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
	}
	change(tmpl)
	parent, signer := tmpl, key
	var up []*Certificate
	if issuer != nil {
		parent, signer = issuer.cert, issuer.key
		if issuer.up != nil || !issuer.cert.Equal(root(issuer)) {
			up = issuer.chain()
		}
	}
	der := must[[]byte](t)(x509.CreateCertificate(rand.Reader, tmpl, parent, key.Public(), signer))
	return party{cert: must[*Certificate](t)(ParseCert(der)), key: key, up: up}
}

// root returns the certificate itself if it is self-signed.
func root(p *party) *Certificate {
	if p.cert.CheckSignatureFrom(p.cert) == nil {
		return p.cert
	}
	return nil
}

func asCA(name string, pathLen int) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		c.Subject = pkix.Name{CommonName: name}
		c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign
		c.NotBefore, c.NotAfter = now.AddDate(-1, 0, 0), now.AddDate(3, 0, 0)
		c.MaxPathLen, c.MaxPathLenZero = pathLen, pathLen == 0
	}
}

func asUser(user, device string) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		c.Subject = pkix.Name{CommonName: user}
		c.URIs = []*url.URL{UserURI(user, device)}
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}
}

func asHost(names ...string) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		c.Subject = pkix.Name{CommonName: names[0]}
		for _, n := range names {
			if ip := net.ParseIP(n); ip != nil {
				c.IPAddresses = append(c.IPAddresses, ip)
			} else {
				c.DNSNames = append(c.DNSNames, n)
			}
		}
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	}
}

func and(all ...func(*x509.Certificate)) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		for _, f := range all {
			f(c)
		}
	}
}

// world is a private CA as hufud makes it, with a server and alice.
type world struct{ root, issuing, server, alice party }

func newWorld(t testing.TB) world {
	t.Helper()
	var w world
	w.root = issue(t, nil, newKey(t), asCA("hufu root", 1))
	w.issuing = issue(t, &w.root, newKey(t), asCA("hufu issuing", 0))
	w.server = issue(t, &w.issuing, newKey(t), asHost("files.example", "127.0.0.1"))
	w.alice = issue(t, &w.issuing, newKey(t), asUser("alice", "laptop"))
	return w
}

func (w world) trust() (Trust, error) {
	return Trust{Roots: []*Certificate{w.root.cert}, Issuing: []*Certificate{w.issuing.cert}}, nil
}

func (w world) serve(t testing.TB) Server {
	return Server{
		Certificate: w.server.source(t), Trust: w.trust, Now: clock,
		Admit: func(Peer) error { return nil },
	}
}

func (w world) dial(t testing.TB, who party) Client {
	return Client{Roots: []*Certificate{w.root.cert}, Certificate: who.source(t), Host: "files.example", Now: clock}
}

// outcome is what both ends know after a handshake and one byte from the
// server.
type outcome struct {
	client, server       tls.ConnectionState
	clientErr, serverErr error
}

func shake(t testing.TB, server, client *tls.Config) outcome {
	t.Helper()
	l := must[net.Listener](t)(net.Listen("tcp", "127.0.0.1:0"))
	defer l.Close()
	var o outcome
	var wg sync.WaitGroup
	wg.Go(func() {
		raw, err := l.Accept()
		if err != nil {
			o.serverErr = err
			return
		}
		defer raw.Close()
		conn := tls.Server(raw, server)
		if o.serverErr = conn.Handshake(); o.serverErr != nil {
			// A closed socket with input unread resets, and the alert is lost.
			raw.(*net.TCPConn).CloseWrite()
			_, _ = io.Copy(io.Discard, raw)
			return
		}
		o.server = conn.ConnectionState()
		_, _ = conn.Write([]byte{'!'})
		conn.Close()
	})
	raw := must[net.Conn](t)(net.Dial("tcp", l.Addr().String()))
	conn := tls.Client(raw, client)
	if o.clientErr = Handshake(t.Context(), conn, client); o.clientErr == nil {
		_, o.clientErr = io.ReadFull(conn, make([]byte, 1))
	}
	o.client = conn.ConnectionState()
	raw.Close()
	wg.Wait()
	return o
}

func config(t testing.TB, c interface{ Config() (*tls.Config, error) }) *tls.Config {
	t.Helper()
	return must[*tls.Config](t)(c.Config())
}

// wantCode checks an error's code and kind.
func wantCode(t *testing.T, err error, kind hufu.Kind, code string) {
	t.Helper()
	e, ok := errors.AsType[*hufu.Error](err)
	if !ok || e.Kind != kind || e.Code != code {
		t.Errorf("got %v, want %v %s", err, kind, code)
	}
}

// issueV1 makes an X.509 version 1 certificate, which Go reads but does not
// write: what `openssl x509 -req` makes without an extension file.
func issueV1(t testing.TB, issuer *party, key *rsa.PrivateKey, subject pkix.Name) party {
	t.Helper()
	alg := pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}, Parameters: asn1.NullRawValue}
	name := must[[]byte](t)(asn1.Marshal(subject.ToRDNSequence()))
	issuerName, signer := name, key
	if issuer != nil {
		issuerName, signer = issuer.cert.RawSubject, issuer.key.(*rsa.PrivateKey)
	}
	spki := must[[]byte](t)(x509.MarshalPKIXPublicKey(key.Public()))
	serial := must[*big.Int](t)(rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 159)))
	tbs := must[[]byte](t)(asn1.Marshal(struct {
		Serial   *big.Int
		Alg      pkix.AlgorithmIdentifier
		Issuer   asn1.RawValue
		Validity struct{ NotBefore, NotAfter time.Time }
		Subject  asn1.RawValue
		Key      asn1.RawValue
	}{
		serial, alg,
		asn1.RawValue{FullBytes: issuerName},
		struct{ NotBefore, NotAfter time.Time }{now.Add(-time.Hour), now.AddDate(1, 0, 0)},
		asn1.RawValue{FullBytes: name},
		asn1.RawValue{FullBytes: spki},
	}))
	sum := sha256.Sum256(tbs)
	sig := must[[]byte](t)(rsa.SignPKCS1v15(rand.Reader, signer, crypto.SHA256, sum[:]))
	der := must[[]byte](t)(asn1.Marshal(struct {
		TBS asn1.RawValue
		Alg pkix.AlgorithmIdentifier
		Sig asn1.BitString
	}{asn1.RawValue{FullBytes: tbs}, alg, asn1.BitString{Bytes: sig, BitLength: 8 * len(sig)}}))
	return party{cert: must[*Certificate](t)(ParseCert(der)), key: key}
}
