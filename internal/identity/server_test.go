package identity

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"hufu"
)

func TestMutualHandshake(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var admitted Peer
	s := w.serve(t)
	s.Admit = func(p Peer) error { admitted = p; return nil }
	o := shake(t, config(t, s), config(t, w.dial(t, w.alice)))
	if o.clientErr != nil || o.serverErr != nil {
		t.Fatal(o.clientErr, o.serverErr)
	}
	p, err := ProvenPeer(o.server)
	if err != nil || p != admitted || p.User != "alice" || p.Device != "laptop" || p.Serial != Serial(w.alice.cert) || p.Fingerprint != Fingerprint(w.alice.cert) {
		t.Errorf("server saw %+v, %v", p, err)
	}
	if p, err := ProvenPeer(o.client); err != nil || p.Host != "files.example" {
		t.Errorf("client saw %+v, %v", p, err)
	}
	if d := Describe(o.client); d.Version != "TLS 1.3" || !d.PostQuantum || d.Protocol != ProtoNative || len(d.Peer) != 2 || d.Peer[0].Words == "" {
		t.Errorf("described as %+v", d)
	}
}

// A client may send its leaf alone: the server knows its issuing CA.
func TestLeafAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.alice.up = nil
	if o := shake(t, config(t, w.serve(t)), config(t, w.dial(t, w.alice))); o.clientErr != nil {
		t.Error(o.clientErr)
	}
}

// A client sends what leads to the root only to a server that does not name
// its issuing CA: each way to the root is verified.
func TestIssuingCAIsSentOnDemand(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	rootAlone := w.serve(t)
	rootAlone.Trust = func() (Trust, error) { return Trust{Roots: []*Certificate{w.root.cert}}, nil }
	for name, c := range map[string]struct {
		server      Server
		sent, paths int
	}{
		"known":   {w.serve(t), 1, 1},
		"unknown": {rootAlone, 2, 1},
	} {
		o := shake(t, config(t, c.server), config(t, w.dial(t, w.alice)))
		if o.clientErr != nil || o.serverErr != nil {
			t.Fatal(name, o.clientErr, o.serverErr)
		}
		if sent, paths := len(o.server.PeerCertificates), len(o.server.VerifiedChains); sent != c.sent || paths != c.paths {
			t.Errorf("%s: %d certificates sent, %d ways verified", name, sent, paths)
		}
	}
}

func TestHT01NoSessionIsResumed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var revoked error
	s := w.serve(t)
	s.Admit = func(Peer) error { return revoked }
	strict := config(t, s)

	// The ticket keys of both configurations are the same, so that only our
	// settings stand between a ticket and a resumed session.
	keys := [][32]byte{{1, 2, 3}}
	lax := strict.Clone()
	lax.GetConfigForClient, lax.SessionTicketsDisabled = nil, false
	lax.NextProtos = []string{ProtoNative}
	lax.SetSessionTicketKeys(keys)
	strict.SetSessionTicketKeys(keys)

	client := config(t, w.dial(t, w.alice))
	client.SessionTicketsDisabled = false
	client.ClientSessionCache = tls.NewLRUClientSessionCache(4)
	client.VerifyConnection = nil
	for range 2 {
		if o := shake(t, strict, client); o.clientErr != nil || o.client.DidResume {
			t.Fatal(o.clientErr, o.client.DidResume)
		}
	}
	// A session saved from a server with tickets …
	lax.VerifyConnection = nil
	if o := shake(t, lax, client); o.clientErr != nil {
		t.Fatal(o.clientErr)
	}
	if o := shake(t, lax, client); !o.client.DidResume {
		t.Fatal("the test has no ticket to try")
	}
	// … resumes nothing: a full handshake, and after revocation a refusal.
	if o := shake(t, strict, client); o.clientErr != nil || o.client.DidResume {
		t.Fatal(o.clientErr, o.client.DidResume)
	}
	revoked = &hufu.Error{Kind: hufu.KindRefused, Code: "cert_revoked"}
	o := shake(t, strict, client)
	wantCode(t, Classify(o.clientErr, true), hufu.KindRefused, "refused_by_server")
	wantCode(t, Classify(o.serverErr, false), hufu.KindRefused, "cert_revoked")

	// And should a session be resumed by whatever way, it is refused.
	lax.VerifyConnection = s.demanding(must[Trust](t)(s.Trust()), ProtoNative).VerifyConnection
	o = shake(t, lax, client)
	if !o.client.DidResume {
		t.Error("the session was not resumed")
	}
	wantCode(t, Classify(o.serverErr, false), hufu.KindRefused, "client_resumed")
	if _, err := ProvenPeer(tls.ConnectionState{HandshakeComplete: true, DidResume: true}); err == nil {
		t.Error("a resumed session yielded an identity")
	}
	plain := config(t, w.dial(t, w.alice))
	wantCode(t, plain.VerifyConnection(tls.ConnectionState{DidResume: true}), hufu.KindUnproven, "server_resumed")
}

func TestHT03IdentityFromVerifiedChainsOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	chain := [][]*Certificate{{w.alice.cert, w.issuing.cert, w.root.cert}}
	good := tls.ConnectionState{HandshakeComplete: true, NegotiatedProtocol: ProtoNative, PeerCertificates: w.alice.chain(), VerifiedChains: chain}
	if p, err := ProvenPeer(good); err != nil || p.User != "alice" {
		t.Errorf("proven: %+v, %v", p, err)
	}
	for name, change := range map[string]func(*tls.ConnectionState){
		"presented only":  func(cs *tls.ConnectionState) { cs.VerifiedChains = nil },
		"enrolling":       func(cs *tls.ConnectionState) { cs.NegotiatedProtocol = ProtoEnroll },
		"unfinished":      func(cs *tls.ConnectionState) { cs.HandshakeComplete = false },
		"resumed":         func(cs *tls.ConnectionState) { cs.DidResume = true },
		"anchor as leaf":  func(cs *tls.ConnectionState) { cs.VerifiedChains = [][]*Certificate{{w.root.cert}} },
		"an empty chain":  func(cs *tls.ConnectionState) { cs.VerifiedChains = [][]*Certificate{{}} },
		"nothing at all":  func(cs *tls.ConnectionState) { *cs = tls.ConnectionState{HandshakeComplete: true} },
		"plain connected": func(cs *tls.ConnectionState) { *cs = tls.ConnectionState{} },
	} {
		cs := good
		change(&cs)
		if p, err := ProvenPeer(cs); err == nil || p != (Peer{}) {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
}

// The rest of the source takes no identity from what was merely presented, and
// switches no verification off.
func TestHT03HT11SourceHasNoOtherWay(t *testing.T) {
	t.Parallel()
	seen := 0
	err := filepath.WalkDir("../..", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && name != "../.." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "test" || d.Name() == "bin") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		here := filepath.Base(filepath.Dir(name)) == "identity"
		skips := bytes.Count(data, []byte("InsecureSkipVerify"))
		seen += skips
		if skips > 0 && (!here || filepath.Base(name) != "judge.go" || skips > 1) {
			t.Errorf("%s switches verification off", name)
		}
		if !here && bytes.Contains(data, []byte("PeerCertificates")) {
			t.Errorf("%s looks at certificates that prove nothing", name)
		}
		return nil
	})
	if err != nil || seen != 1 {
		t.Errorf("%v; %d places without verification, want 1", err, seen)
	}
}

func TestHT04BrokenTrustRefusesToStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := newWorld(t)
	notCA := issue(t, &w.root, newKey(t), asUser("mallory", "x"))
	noSign := issue(t, nil, newKey(t), and(asCA("no sign", 1), func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign }))
	failing := errors.New("file is gone")
	for name, change := range map[string]func(*Server){
		"no certificate":        func(s *Server) { s.Certificate = nil },
		"no trust":              func(s *Server) { s.Trust = nil },
		"no admission":          func(s *Server) { s.Admit = nil },
		"certificate unread":    func(s *Server) { s.Certificate = func() (*tls.Certificate, error) { return nil, failing } },
		"certificate nil":       func(s *Server) { s.Certificate = func() (*tls.Certificate, error) { return nil, nil } },
		"certificate of other":  func(s *Server) { s.Certificate = other.server.source(t) },
		"certificate of client": func(s *Server) { s.Certificate = w.alice.source(t) },
		"certificate expired":   func(s *Server) { s.Now = func() time.Time { return now.AddDate(1, 0, 0) } },
		"other key": func(s *Server) {
			pair := *w.server.pair(t)
			pair.PrivateKey = w.alice.key
			s.Certificate = func() (*tls.Certificate, error) { return &pair, nil }
		},
		"trust unread": func(s *Server) { s.Trust = func() (Trust, error) { return Trust{}, failing } },
		"trust empty":  func(s *Server) { s.Trust = func() (Trust, error) { return Trust{}, nil } },
		"only issuing": func(s *Server) {
			s.Trust = func() (Trust, error) { return Trust{Issuing: []*Certificate{w.issuing.cert}}, nil }
		},
		"root nil":        func(s *Server) { s.Trust = func() (Trust, error) { return Trust{Roots: []*Certificate{nil}}, nil } },
		"root not CA":     func(s *Server) { s.Trust = roots(notCA, w.root) },
		"root signs none": func(s *Server) { s.Trust = roots(w.root, noSign) },
		"issuing not CA": func(s *Server) {
			s.Trust = func() (Trust, error) {
				return Trust{Roots: []*Certificate{w.root.cert}, Issuing: []*Certificate{notCA.cert}}, nil
			}
		},
		"enroll name twice": func(s *Server) { s.ALPN = []string{ProtoEnroll} },
		"empty name":        func(s *Server) { s.ALPN = []string{""} },
	} {
		s := w.serve(t)
		change(&s)
		if cfg, err := s.Config(); err == nil || cfg != nil {
			t.Errorf("%s: a server was configured", name)
		}
	}

	// What breaks later refuses the handshake.
	s := w.serve(t)
	broken := false
	s.Trust = func() (Trust, error) {
		if broken {
			return Trust{}, nil
		}
		return w.trust()
	}
	cfg := config(t, s)
	broken = true
	for _, proto := range []string{ProtoNative, ProtoEnroll, "h2"} {
		c := w.dial(t, w.alice)
		client := config(t, c)
		client.NextProtos = []string{proto}
		if o := shake(t, cfg, client); o.clientErr == nil || o.serverErr == nil {
			t.Errorf("%s: a server without trust went on", proto)
		}
	}
}

func roots(all ...party) func() (Trust, error) {
	return func() (Trust, error) {
		var tr Trust
		for _, p := range all {
			tr.Roots = append(tr.Roots, p.cert)
		}
		return tr, nil
	}
}

// Whatever names a client offers: without a certificate it gets no further
// than the enrollment name, and only if that is all it offers.
func TestHT04ALPNChoosesNoWayRoundTheCertificate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.serve(t)
	s.ALPN = []string{"extra/1"}
	for _, commonName := range []bool{false, true} {
		s.CommonName = commonName
		cfg := config(t, s)
		names := []string{ProtoNative, ProtoEnroll, "h2", "http/1.1", "extra/1", "other"}
		offers := [][]string{nil, {ProtoEnroll, ProtoEnroll}, {"HUFU-ENROLL/1"}, {"hufu-enroll/1 "}}
		for _, a := range names {
			offers = append(offers, []string{a})
			for _, b := range names {
				if a != b {
					offers = append(offers, []string{a, b})
				}
			}
		}
		for _, offer := range offers {
			client := config(t, w.dial(t, w.alice))
			client.NextProtos, client.VerifyConnection = offer, nil
			bare := client.Clone()
			bare.GetClientCertificate = nil
			o := shake(t, cfg, bare)
			enroll := slices.Equal(offer, []string{ProtoEnroll})
			if (o.clientErr == nil) != enroll || (o.serverErr == nil) != enroll {
				t.Errorf("%q without a certificate: %v, %v", offer, o.clientErr, o.serverErr)
			}
			o = shake(t, cfg, client)
			if o.serverErr == nil && !enroll && (len(o.server.VerifiedChains) == 0 || o.server.NegotiatedProtocol == ProtoEnroll) {
				t.Errorf("%q with a certificate: nothing was verified on %q", offer, o.server.NegotiatedProtocol)
			}
			if _, err := ProvenPeer(o.server); enroll && err == nil {
				t.Error("enrollment yielded an identity")
			}
			if slices.Contains(offer, ProtoNative) && o.server.NegotiatedProtocol != ProtoNative {
				t.Errorf("%q: agreed on %q, %v", offer, o.server.NegotiatedProtocol, o.serverErr)
			}
		}
		// Should the choice by name be lost, the strict rules stand.
		outer := cfg.Clone()
		outer.GetConfigForClient = nil
		bare := config(t, w.dial(t, w.alice))
		bare.NextProtos, bare.GetClientCertificate = nil, nil
		if o := shake(t, outer, bare); o.serverErr == nil {
			t.Error("the outermost configuration demands no certificate")
		}
	}
}

func TestHT05ClientsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cfg := config(t, w.serve(t))
	weak := must[*rsa.PrivateKey](t)(rsa.GenerateKey(rand.Reader, 1024))
	impostor := issue(t, nil, newKey(t), asCA("hufu issuing", 0))
	leafCA := issue(t, &w.issuing, newKey(t), asUser("mallory", "x"))
	below := issue(t, &w.issuing, newKey(t), asCA("too deep", 0))
	narrow := issue(t, &w.root, newKey(t), and(asCA("narrow", 0), func(c *x509.Certificate) {
		c.PermittedDNSDomainsCritical, c.PermittedDNSDomains = true, []string{"inside.example"}
	}))
	oldCA := issue(t, &w.root, newKey(t), and(asCA("old", 0), func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Minute) }))
	rsaCA := issue(t, &w.root, rsaKey(), asCA("rsa", 0))
	weakCA := issue(t, &w.root, weak, asCA("weak", 0))
	alice := asUser("alice", "laptop")
	user := func(change func(*x509.Certificate)) func(*x509.Certificate) { return and(alice, change) }

	for name, c := range map[string]struct {
		who  party
		code string
	}{
		"leaf as issuer":             {issue(t, &leafCA, newKey(t), alice), "client_unknown_ca client_bad_issuer"},
		"path too long":              {issue(t, &below, newKey(t), alice), "client_bad_issuer"},
		"name constraints":           {issue(t, &narrow, newKey(t), user(func(c *x509.Certificate) { c.DNSNames = []string{"outside.example"} })), "client_bad_issuer"},
		"issuer expired":             {issue(t, &oldCA, newKey(t), alice), "client_bad_issuer"},
		"server as client":           {w.server, "client_wrong_use"},
		"both usages":                {issue(t, &w.issuing, newKey(t), user(func(c *x509.Certificate) { c.ExtKeyUsage = append(c.ExtKeyUsage, x509.ExtKeyUsageServerAuth) })), "client_wrong_use"},
		"any usage":                  {issue(t, &w.issuing, newKey(t), user(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageAny} })), "client_wrong_use"},
		"no usage":                   {issue(t, &w.issuing, newKey(t), user(func(c *x509.Certificate) { c.ExtKeyUsage = nil })), "client_wrong_use"},
		"key not for signing":        {issue(t, &w.issuing, newKey(t), user(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment })), "client_wrong_use"},
		"expired":                    {issue(t, &w.issuing, newKey(t), user(func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Second) })), "client_expired"},
		"future":                     {issue(t, &w.issuing, newKey(t), user(func(c *x509.Certificate) { c.NotBefore = now.Add(time.Second) })), "client_not_yet_valid"},
		"another CA, same name":      {issue(t, &impostor, newKey(t), alice), "client_bad_signature client_unknown_ca"},
		"another CA":                 {newWorld(t).alice, "client_unknown_ca client_bad_signature"},
		"self-signed":                {issue(t, nil, newKey(t), alice), "client_unknown_ca"},
		"SHA-1":                      {issue(t, &rsaCA, newKey(t), user(func(c *x509.Certificate) { c.SignatureAlgorithm = x509.SHA1WithRSA })), "client_weak"},
		"RSA 1024":                   {issue(t, &w.issuing, weak, alice), "client_weak"},
		"CA's key RSA 1024":          {issue(t, &weakCA, newKey(t), alice), "client_weak"},
		"the root itself":            {party{cert: w.root.cert, key: w.root.key}, "client_is_ca"},
		"the issuing CA itself":      {party{cert: w.issuing.cert, key: w.issuing.key}, "client_is_ca"},
		"CA:TRUE leaf":               {issue(t, &w.root, newKey(t), user(func(c *x509.Certificate) { c.IsCA = true })), "client_is_ca"},
		"no name":                    {issue(t, &w.issuing, newKey(t), user(func(c *x509.Certificate) { c.URIs = nil })), "client_no_name"},
		"two names":                  {issue(t, &w.issuing, newKey(t), user(func(c *x509.Certificate) { c.URIs = append(c.URIs, UserURI("bob", "x")) })), "client_no_name"},
		"name that is none":          {issue(t, &w.issuing, newKey(t), user(func(c *x509.Certificate) { c.URIs[0].Opaque = "user/Alice/laptop" })), "client_no_name"},
		"unknown critical":           {issue(t, &w.issuing, newKey(t), user(func(c *x509.Certificate) { c.ExtraExtensions = []pkix.Extension{{Id: []int{1, 2, 3}, Critical: true}} })), "client_bad_certificate"},
		"serial of 20 bytes":         {issue(t, &w.issuing, newKey(t), user(func(c *x509.Certificate) { c.SerialNumber = new(big.Int).Lsh(big.NewInt(1), 158) })), ""},
		"X.509 v1":                   {issueV1(t, &rsaCA, rsaKey(), pkix.Name{CommonName: "alice"}), "client_wrong_use client_unknown_ca"},
		"altered by one bit":         {altered(t, w.alice), "client_unknown_ca client_bad_signature client_bad_certificate"},
		"and a good one, to be fair": {w.alice, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := shake(t, cfg, config(t, w.dial(t, c.who)))
			if c.code == "" {
				if o.clientErr != nil || o.serverErr != nil {
					t.Error(o.clientErr, o.serverErr)
				}
				return
			}
			e := Classify(o.serverErr, false)
			if e == nil || e.Kind != hufu.KindRefused || !slices.Contains(strings.Fields(c.code), e.Code) {
				t.Errorf("server says %v, want %s", o.serverErr, c.code)
			}
			wantCode(t, Classify(o.clientErr, true), hufu.KindRefused, "refused_by_server")
		})
	}
}

// altered returns the same certificate with a bit of its signature turned.
func altered(t testing.TB, p party) party {
	t.Helper()
	der := bytes.Clone(p.cert.Raw)
	der[len(der)-3] ^= 1
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return party{cert: c, key: p.key, up: p.up}
}

func TestStolenCertificateWithoutItsKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	thief := w.dial(t, w.alice)
	pair := *w.alice.pair(t)
	pair.PrivateKey = newKey(t)
	thief.Certificate = func() (*tls.Certificate, error) { return &pair, nil }
	o := shake(t, config(t, w.serve(t)), config(t, thief))
	wantCode(t, Classify(o.serverErr, false), hufu.KindRefused, "client_no_key")
}

func TestOnlyTLS13(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	server, client := config(t, w.serve(t)), config(t, w.dial(t, w.alice))
	for _, proto := range []string{ProtoNative, ProtoEnroll, "http/1.1"} {
		old := client.Clone()
		old.MinVersion, old.MaxVersion, old.NextProtos = tls.VersionTLS12, tls.VersionTLS12, []string{proto}
		o := shake(t, server, old)
		wantCode(t, Classify(o.serverErr, false), hufu.KindProtocol, "peer_old_tls")
		wantCode(t, Classify(o.clientErr, true), hufu.KindProtocol, "peer_old_tls")
	}
	old := &tls.Config{Certificates: []tls.Certificate{*w.server.pair(t)}, MaxVersion: tls.VersionTLS12}
	o := shake(t, old, client)
	wantCode(t, Classify(o.clientErr, true), hufu.KindProtocol, "peer_old_tls")
}

func TestEnrollPeer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := newWorld(t)
	s := w.serve(t)
	expired := issue(t, &w.issuing, newKey(t), and(asUser("alice", "old"), func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = now.Add(-91*24*time.Hour), now.Add(-24*time.Hour)
	}))
	future := issue(t, &w.issuing, newKey(t), and(asUser("alice", "new"), func(c *x509.Certificate) { c.NotBefore = now.Add(26 * time.Hour) }))
	for name, c := range map[string]struct {
		who          party
		device, code string
	}{
		"good":             {w.alice, "laptop", ""},
		"expired":          {expired, "old", "client_expired"},
		"future":           {future, "new", "client_not_yet_valid"},
		"other CA":         {other.alice, "", "client_bad_signature"},
		"server's":         {w.server, "", "client_wrong_use"},
		"the root":         {w.root, "", "client_is_ca"},
		"none":             {party{}, "", "client_no_certificate"},
		"expired stranger": {issue(t, &other.issuing, newKey(t), func(c *x509.Certificate) { asUser("alice", "old")(c); c.NotAfter = now.Add(-time.Minute) }), "", "client_bad_signature"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := Client{Roots: []*Certificate{w.root.cert}, Host: "127.0.0.1", ALPN: ProtoEnroll, Now: clock}
			if c.who.cert != nil {
				client.Certificate = c.who.source(t)
			}
			o := shake(t, config(t, s), config(t, client))
			if o.clientErr != nil || o.serverErr != nil {
				t.Fatal(o.clientErr, o.serverErr)
			}
			p, err := s.EnrollPeer(o.server)
			if p.Device != c.device {
				t.Errorf("peer %+v", p)
			}
			switch {
			case c.code != "":
				wantCode(t, err, hufu.KindRefused, c.code)
			case err != nil:
				t.Error(err)
			}
			if e, ok := errors.AsType[*hufu.Error](err); ok && name == "future" && !strings.HasPrefix(e.Args["by"], "26h") {
				t.Errorf("no distance told: %v", err)
			}
		})
	}
	// It serves the one protocol only.
	o := shake(t, config(t, s), config(t, w.dial(t, w.alice)))
	if p, err := s.EnrollPeer(o.server); err == nil || p != (Peer{}) {
		t.Error("judged a login connection")
	}
}

func TestCertificatesChangeWithoutRestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	renewed := issue(t, &w.issuing, newKey(t), asHost("files.example"))
	current := w.server
	s := w.serve(t)
	s.Certificate = func() (*tls.Certificate, error) { return current.pair(t), nil }
	cfg := config(t, s)
	for _, p := range []party{w.server, renewed} {
		current = p
		o := shake(t, cfg, config(t, w.dial(t, w.alice)))
		if o.clientErr != nil || !o.client.PeerCertificates[0].Equal(p.cert) {
			t.Error(o.clientErr)
		}
	}
}

// Connections share a configuration, and trust that changes makes another one.
func TestOneConfigurationForAll(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.serve(t)
	trust := must[Trust](t)(s.Trust())
	s.Trust = func() (Trust, error) { return trust, nil }
	choose := config(t, s).GetConfigForClient
	hello := func(protos ...string) *tls.Config {
		return must[*tls.Config](t)(choose(&tls.ClientHelloInfo{SupportedProtos: protos}))
	}
	first := hello(ProtoNative)
	if hello(ProtoNative) != first {
		t.Error("a second connection got a configuration of its own")
	}
	if got := hello("h2"); got == first || slices.Contains(got.NextProtos, ProtoNative) {
		t.Error("another protocol got the same configuration")
	}
	other := newWorld(t)
	trust = must[Trust](t)(other.serve(t).Trust())
	if again := hello(ProtoNative); again == first || again.ClientCAs.Equal(first.ClientCAs) {
		t.Error("what is trusted has changed, the configuration has not")
	}
	trust = Trust{}
	if _, err := choose(&tls.ClientHelloInfo{SupportedProtos: []string{ProtoNative}}); err == nil {
		t.Error("a server that trusts nobody goes on with the old configuration")
	}
}
