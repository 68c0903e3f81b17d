package identity

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"hufu"
)

// bare returns a server that proves p and asks nobody anything: what a man in the
// middle would run.
func bare(t testing.TB, p party) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{*p.pair(t)}, NextProtos: []string{ProtoNative, ProtoEnroll}, ClientAuth: tls.RequestClientCert}
}

func TestHT11ServersRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	host := asHost("files.example")
	serve := func(change func(*x509.Certificate)) party {
		return issue(t, &w.issuing, newKey(t), and(host, change))
	}
	stranger := issue(t, nil, newKey(t), asCA("another CA", 1))
	leafCA := issue(t, &w.issuing, newKey(t), host)
	old := func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Hour) }
	expiredCA := issue(t, &w.root, newKey(t), and(asCA("hufu issuing of last year", 0), old))
	otherHost := newWorld(t)
	otherHost.server = issue(t, &otherHost.issuing, newKey(t), asHost("evil.example"))
	for name, c := range map[string]struct {
		who  party
		code string
	}{
		"good":                {w.server, ""},
		"another CA":          {issue(t, &stranger, newKey(t), host), "server_unknown_ca"},
		"another, same name":  {newWorld(t).server, "server_bad_signature"},
		"self-signed":         {issue(t, nil, newKey(t), host), "server_unknown_ca"},
		"another CA and host": {issue(t, &stranger, newKey(t), asHost("evil.example")), "server_unknown_ca"},
		"same CA name, host":  {otherHost.server, "server_bad_signature"},
		"expired CA and host": {issue(t, &expiredCA, newKey(t), asHost("evil.example")), "server_bad_issuer"},
		"expired, wrong host": {issue(t, &w.issuing, newKey(t), and(asHost("evil.example"), old)), "server_expired"},
		"right CA wrong host": {issue(t, &w.issuing, newKey(t), asHost("evil.example")), "server_wrong_name"},
		"client as server":    {issue(t, &w.issuing, newKey(t), and(host, asUser("alice", "laptop"))), "server_wrong_use"},
		"alice as server":     {w.alice, "server_wrong_name"},
		"both usages":         {serve(func(c *x509.Certificate) { c.ExtKeyUsage = append(c.ExtKeyUsage, x509.ExtKeyUsageClientAuth) }), "server_wrong_use"},
		"any usage":           {serve(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageAny} }), "server_wrong_use"},
		"no usage":            {serve(func(c *x509.Certificate) { c.ExtKeyUsage = nil }), "server_wrong_use"},
		"CA:TRUE leaf":        {issue(t, &w.root, newKey(t), and(host, func(c *x509.Certificate) { c.IsCA = true })), "server_is_ca"},
		"leaf as issuer":      {issue(t, &leafCA, newKey(t), host), "server_bad_issuer"},
		"expired":             {serve(func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Hour) }), "server_expired"},
		"future":              {serve(func(c *x509.Certificate) { c.NotBefore = now.Add(time.Hour) }), "server_not_yet_valid"},
		"name in CN alone": {serve(func(c *x509.Certificate) {
			c.DNSNames = nil
		}), "server_name_in_cn_only"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := bare(t, c.who)
			o := shake(t, server, config(t, w.dial(t, w.alice)))
			if c.code == "" {
				if o.clientErr != nil {
					t.Error(o.clientErr)
				}
				return
			}
			wantCode(t, Classify(o.clientErr, true), hufu.KindUnproven, c.code)
			wantCode(t, Classify(o.serverErr, false), hufu.KindRefused, "refused_by_client")
			if len(o.server.PeerCertificates) > 0 {
				t.Error("the client showed its certificate to a server that was not proven")
			}
			// The setting for common names opens nothing of this.
			lax := w.dial(t, w.alice)
			lax.CommonName = true
			o = shake(t, server, config(t, lax))
			if open := name == "no usage" || name == "name in CN alone"; (o.clientErr == nil) != open {
				t.Errorf("with common names allowed: %v", o.clientErr)
			}
		})
	}
}

func TestClientRefusesBrokenSettings(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, change := range map[string]func(*Client){
		"no roots":       func(c *Client) { c.Roots = nil },
		"leaf as root":   func(c *Client) { c.Roots = []*Certificate{w.server.cert} },
		"no host":        func(c *Client) { c.Host = "" },
		"other protocol": func(c *Client) { c.ALPN = "h2" },
		"no certificate": func(c *Client) { c.Certificate = nil },
	} {
		c := w.dial(t, w.alice)
		change(&c)
		if cfg, err := c.Config(); err == nil || cfg != nil {
			t.Errorf("%s: configured", name)
		}
	}
	// A certificate that cannot be read ends the handshake; none is not shown instead.
	c := w.dial(t, w.alice)
	c.Certificate = func() (*tls.Certificate, error) { return nil, errors.New("gone") }
	if o := shake(t, config(t, w.serve(t)), config(t, c)); o.clientErr == nil {
		t.Error("went on without its certificate")
	}
}

func TestClientWantsItsProtocol(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, protos := range [][]string{nil, {"h2"}} {
		server := bare(t, w.server)
		server.NextProtos = protos
		for _, commonName := range []bool{false, true} {
			c := w.dial(t, w.alice)
			c.CommonName = commonName
			o := shake(t, server, config(t, c))
			wantCode(t, Classify(o.clientErr, true), hufu.KindProtocol, "server_not_hufu")
		}
	}
}

func TestKeyLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var log bytes.Buffer
	c := w.dial(t, w.alice)
	c.KeyLog = &log
	if o := shake(t, config(t, w.serve(t)), config(t, c)); o.clientErr != nil || !strings.Contains(log.String(), "CLIENT_TRAFFIC_SECRET_0") {
		t.Error(o.clientErr, log.String())
	}
}

func TestEnrollClient(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	// EnrollClient has no clock of its own to set: the certificates are today's.
	today := time.Now()
	fresh := func(c *x509.Certificate) { c.NotBefore, c.NotAfter = today.Add(-time.Hour), today.Add(time.Hour) }
	w.root = issue(t, nil, newKey(t), and(asCA("hufu root", 1), fresh))
	w.issuing = issue(t, &w.root, newKey(t), and(asCA("hufu issuing", 0), fresh))
	w.server = issue(t, &w.issuing, newKey(t), and(asHost("files.example"), fresh))
	w.alice = issue(t, &w.issuing, newKey(t), and(asUser("alice", "laptop"), fresh))
	s := w.serve(t)
	s.Now = nil
	server := config(t, s)
	sum := Fingerprint(w.root.cert)

	var found *Certificate
	cfg := must[*tls.Config](t)(EnrollClient(sum[:20], "files.example", nil, func(c *Certificate) { found = c }))
	o := shake(t, server, cfg)
	if o.clientErr != nil || found == nil || !found.Equal(w.root.cert) || o.server.NegotiatedProtocol != ProtoEnroll {
		t.Fatal(o.clientErr, o.serverErr, found)
	}
	cfg = must[*tls.Config](t)(EnrollClient(sum[:], "files.example", w.alice.pair(t), nil))
	if o := shake(t, server, cfg); o.clientErr != nil || len(o.server.PeerCertificates) != 2 {
		t.Error(o.clientErr)
	}

	var evil world
	evil.root = issue(t, nil, newKey(t), and(asCA("hufu root", 1), fresh))
	evil.issuing = issue(t, &evil.root, newKey(t), and(asCA("hufu issuing", 0), fresh))
	evilServer := issue(t, &evil.issuing, newKey(t), and(asHost("files.example"), fresh))
	withRoot := func(p party, root *Certificate) party {
		p.up = append(slices.Clone(p.up), root)
		return p
	}
	leaf := Fingerprint(w.server.cert)
	issuing := Fingerprint(w.issuing.cert)
	for name, c := range map[string]struct {
		server *tls.Config
		print  []byte
		host   string
		code   string
	}{
		"wrong host":             {server, sum[:20], "other.example", "server_wrong_name"},
		"another CA":             {bare(t, withRoot(evilServer, evil.root.cert)), sum[:20], "files.example", "server_wrong_root"},
		"our root pasted on":     {bare(t, withRoot(evilServer, w.root.cert)), sum[:20], "files.example", "server_bad_signature"},
		"root not shown":         {bare(t, w.server), sum[:20], "files.example", "server_wrong_root"},
		"a leaf's fingerprint":   {server, leaf[:20], "files.example", "server_wrong_root"},
		"client as server":       {bare(t, withRoot(issue(t, &w.issuing, newKey(t), and(asHost("files.example"), asUser("a", "b"), fresh)), w.root.cert)), sum[:20], "files.example", "server_wrong_use"},
		"nothing but our root":   {bare(t, party{cert: w.root.cert, key: w.root.key}), sum[:20], "files.example", "server_wrong_root"},
		"the issuing CA's print": {server, issuing[:20], "files.example", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			called := false
			cfg := must[*tls.Config](t)(EnrollClient(c.print, c.host, nil, func(*Certificate) { called = true }))
			o := shake(t, c.server, cfg)
			if c.code == "" {
				if o.clientErr != nil {
					t.Error(o.clientErr)
				}
				return
			}
			wantCode(t, Classify(o.clientErr, true), hufu.KindUnproven, c.code)
			if called {
				t.Error("a root was handed out")
			}
		})
	}
	for _, short := range [][]byte{nil, sum[:15], append(sum[:], 0)} {
		if _, err := EnrollClient(short, "files.example", nil, nil); err == nil {
			t.Errorf("%d bytes of fingerprint are enough", len(short))
		}
	}
}

// What the page of openssl commands makes: RSA 2048, X.509 v1, the name in CN.
func TestOpensslCertificatesNeedTheSetting(t *testing.T) {
	t.Parallel()
	subject := func(cn string) pkix.Name {
		name, err := ParseSubject("/C=CN/ST=GD/L=SZ/O=COM/OU=NSP/CN=" + cn + "/emailAddress=a@b.cn")
		if err != nil {
			t.Fatal(err)
		}
		return name
	}
	v3 := issue(t, nil, rsaKey(), and(asCA("CA", 0), func(c *x509.Certificate) { c.Subject = subject("CA"); c.MaxPathLen = -1; c.MaxPathLenZero = false }))
	v1 := issueV1(t, nil, rsaKey(), subject("CA"))
	for name, ca := range map[string]party{"v3 root": v3, "v1 root": v1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, client := issueV1(t, &ca, otherRSAKey(), subject("SERVER")), issueV1(t, &ca, otherRSAKey(), subject("CLIENT"))
			if server.cert.Version != 1 || len(server.cert.DNSNames) != 0 {
				t.Fatal("not what openssl makes")
			}
			var seen Peer
			s := Server{
				Certificate: server.source(t), Trust: roots(ca), Now: clock,
				Admit: func(p Peer) error {
					seen = p
					if p.Fingerprint != Fingerprint(client.cert) {
						return &hufu.Error{Kind: hufu.KindRefused, Code: "cert_unknown"}
					}
					return nil
				},
			}
			if _, err := s.Config(); err == nil {
				t.Error("the server starts with a v1 certificate without being told to")
			}
			s.CommonName = true
			cfg := config(t, s)
			c := Client{Roots: []*Certificate{ca.cert}, Certificate: client.source(t), Host: "SERVER", Now: clock, CommonName: true}
			o := shake(t, cfg, config(t, c))
			if o.clientErr != nil || o.serverErr != nil {
				t.Fatal(o.clientErr, o.serverErr)
			}
			if p, err := ProvenPeer(o.server); err != nil || p != seen || p.User != "" || p.Subject == "" {
				t.Errorf("%+v, %v", p, err)
			}

			c.Host = "OTHER"
			o = shake(t, cfg, config(t, c))
			wantCode(t, Classify(o.clientErr, true), hufu.KindUnproven, "server_wrong_name")
			// In the CA's own name, another CA, or not looked up: no.
			c.Host = "SERVER"
			thief := issueV1(t, &ca, otherRSAKey(), subject("THIEF"))
			c.Certificate = thief.source(t)
			o = shake(t, cfg, config(t, c))
			wantCode(t, Classify(o.serverErr, false), hufu.KindRefused, "cert_unknown")
			c.Certificate = ca.source(t)
			o = shake(t, cfg, config(t, c))
			wantCode(t, Classify(o.serverErr, false), hufu.KindRefused, "client_is_ca")
			stranger := issueV1(t, nil, otherRSAKey(), subject("CA"))
			c.Roots = []*Certificate{stranger.cert}
			o = shake(t, cfg, config(t, c))
			wantCode(t, Classify(o.clientErr, true), hufu.KindUnproven, "server_bad_signature")

			c = Client{Roots: []*Certificate{v3.cert}, Certificate: client.source(t), Host: "SERVER", Now: clock}
			if name == "v3 root" {
				o = shake(t, cfg, config(t, c))
				wantCode(t, Classify(o.clientErr, true), hufu.KindUnproven, "server_name_in_cn_only")
			}
		})
	}
	if _, err := (Client{Roots: []*Certificate{v1.cert}, Host: "SERVER", Certificate: v1.source(t)}).Config(); err == nil {
		t.Error("a v1 root is trusted without the setting")
	}
}

func TestClassifyOther(t *testing.T) {
	t.Parallel()
	if e := Classify(nil, true); e != nil {
		t.Error(e)
	}
	inner := &hufu.Error{Kind: hufu.KindRefused, Code: "cert_revoked"}
	if e := Classify(&hufu.Error{Op: "x", Kind: hufu.KindRefused, Code: "cert_revoked", Err: inner}, true); e.Code != "cert_revoked" {
		t.Error(e)
	}
	wantCode(t, Classify(io.ErrUnexpectedEOF, true), hufu.KindNetwork, "")
	wantCode(t, Classify(tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}, true), hufu.KindProtocol, "peer_not_tls")
}
