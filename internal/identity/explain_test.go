package identity

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"io"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hufu"
)

// A broken case is told on both sides, from files and from a live connection.
type brokenCase struct {
	name   string
	step   int
	why    string
	change func(*x509.Certificate) // of a leaf of the issuing CA
	make   func(leaf func(*x509.Certificate)) party
	only   side // where the case exists
}

func TestExplainNamesTheFailingStep(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	stranger := issue(t, nil, newKey(t), asCA("another CA", 1))
	sameName := newWorld(t)
	noFlag := issue(t, &w.root, newKey(t), func(c *x509.Certificate) { c.Subject = pkix.Name{CommonName: "no CA"} })
	weak := must[*rsa.PrivateKey](t)(rsa.GenerateKey(rand.Reader, 1024))
	rsaCA := issue(t, &w.root, rsaKey(), asCA("rsa", 0))
	weakCA := issue(t, &w.root, weak, asCA("weak", 0))
	deep := issue(t, &w.issuing, newKey(t), asCA("too deep", 0))
	under := func(ca *party) func(func(*x509.Certificate)) party {
		return func(leaf func(*x509.Certificate)) party { return issue(t, ca, newKey(t), leaf) }
	}
	cases := []brokenCase{
		{name: "good"},
		{name: "expired", step: 1, why: "explain.1.expired", change: func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Minute) }},
		{name: "not yet valid", step: 1, why: "explain.1.not_yet_valid", change: func(c *x509.Certificate) { c.NotBefore = now.Add(time.Minute) }},
		{name: "wrong CA", step: 3, why: "explain.3.unknown", make: under(&stranger)},
		{name: "wrong CA of the same name", step: 3, why: "explain.3.same_name", make: under(&sameName.issuing)},
		{name: "self-signed", step: 3, why: "explain.3.self_signed", make: under(nil)},
		{name: "wrong name", step: 8, why: "explain.8.wrong_name", only: sideServer, change: func(c *x509.Certificate) { c.DNSNames = []string{"other.example"} }},
		{name: "CN only", step: 8, why: "explain.8.cn_only", only: sideServer, change: func(c *x509.Certificate) { c.DNSNames = nil }},
		{name: "no user", step: 8, why: "explain.8.no_name", only: sideClient, change: func(c *x509.Certificate) { c.URIs = nil }},
		{name: "wrong usage", step: 9, why: "explain.9.wrong_use", change: func(c *x509.Certificate) {
			if c.ExtKeyUsage[0] == x509.ExtKeyUsageClientAuth {
				c.ExtKeyUsage[0] = x509.ExtKeyUsageServerAuth
			} else {
				c.ExtKeyUsage[0] = x509.ExtKeyUsageClientAuth
			}
		}},
		{name: "CA as leaf", step: 9, why: "explain.9.is_ca", make: func(leaf func(*x509.Certificate)) party {
			return issue(t, &w.root, newKey(t), and(leaf, func(c *x509.Certificate) { c.IsCA = true }))
		}},
		{name: "revoked", step: 10, why: "error.cert_revoked"},
		{name: "CA flag missing", step: 4, why: "explain.4.not_ca", make: under(&noFlag)},
		{name: "CA's key weak", step: 4, why: "explain.4.weak", make: under(&weakCA)},
		{name: "weak key", step: 7, why: "explain.7.weak", make: func(leaf func(*x509.Certificate)) party { return issue(t, &w.issuing, weak, leaf) }},
		{name: "SHA-1", step: 6, why: "explain.6.weak", make: func(leaf func(*x509.Certificate)) party {
			return issue(t, &rsaCA, newKey(t), and(leaf, func(c *x509.Certificate) { c.SignatureAlgorithm = x509.SHA1WithRSA }))
		}},
		{name: "altered signature", step: 5, why: "explain.5.altered", make: func(leaf func(*x509.Certificate)) party {
			return altered(t, issue(t, &rsaCA, newKey(t), leaf))
		}},
		{name: "path too long", step: 7, why: "explain.7.rule", make: under(&deep)},
	}
	texts := catalogue(t)
	for _, c := range cases {
		for _, s := range []side{sideServer, sideClient} {
			if c.only != "" && c.only != s {
				continue
			}
			t.Run(c.name+"/"+string(s), func(t *testing.T) {
				t.Parallel()
				leaf, good := asHost("files.example"), w.alice
				if s == sideClient {
					leaf, good = asUser("alice", "laptop"), w.server
				}
				if c.change != nil {
					leaf = and(leaf, c.change)
				}
				var p party
				if c.make != nil {
					p = c.make(leaf)
				} else {
					p = issue(t, &w.issuing, newKey(t), leaf)
				}
				revoked := &hufu.Error{Kind: hufu.KindRefused, Code: "cert_revoked", Args: map[string]string{"when": "today"}}

				files := Explanation{Roots: []*Certificate{w.root.cert}, Host: "files.example", Now: now, Server: p.chain()}
				if s == sideClient {
					files.Server, files.Client = nil, p.chain()
				}
				if c.name == "revoked" {
					files.Revoked = func(string, [32]byte) error { return revoked }
				}
				checkSteps(t, texts, "files", Explain(files), s, c.step, c.why)

				if c.name == "revoked" && s == sideServer {
					return // a live client does not ask
				}
				server, client := p, good
				if s == sideClient {
					server, client = good, p
				}
				in := probe(t, w, bare(t, server), client)
				if s == sideClient && c.step != 0 {
					// What the server answers, by name or by the alert alone.
					in.Refused = &hufu.Error{Kind: hufu.KindRefused, Code: "refused_by_server", Args: map[string]string{"alert": "bad certificate"}}
					if c.name == "revoked" {
						in.Refused = revoked
					}
				} else {
					in.Accepted = true
				}
				checkSteps(t, texts, "live", Explain(in), s, c.step, c.why)
			})
		}
	}
}

func checkSteps(t *testing.T, texts map[string]string, from string, steps []Step, s side, step int, why string) {
	t.Helper()
	failing := slices.DeleteFunc(slices.Clone(steps), func(s Step) bool { return s.OK })
	want := hufu.KindUnproven
	if s == sideClient {
		want = hufu.KindRefused
	}
	switch {
	case step == 0 && (len(failing) != 0 || len(steps)%10 != 0 || len(steps) == 0 || Verdict(steps) != 0):
		t.Errorf("%s: %+v", from, steps)
	case step != 0 && (len(failing) != 1 || failing[0].Step != step || failing[0].Why != why || failing[0].Side != string(s) || Verdict(steps) != want):
		t.Errorf("%s: want %s step %d %s, got %+v", from, s, step, why, failing)
	}
	last := 0
	for _, st := range steps {
		if st.Step <= last && st.Step != 1 {
			t.Errorf("%s: step %d after %d", from, st.Step, last)
		}
		last = st.Step
		for _, key := range []string{st.What, st.Why, st.Fix} {
			if key == "" && st.OK || strings.HasPrefix(key, "error.cert_revoked") {
				continue
			}
			text, ok := texts[key]
			if !ok {
				t.Errorf("no text %q", key)
			}
			for _, m := range regexp.MustCompile(`\{([a-z_]+)\}`).FindAllStringSubmatch(text, -1) {
				if st.Args[m[1]] == "" {
					t.Errorf("%s: %s wants {%s}", from, key, m[1])
				}
			}
		}
		if st.OK != (st.Fix == "") {
			t.Errorf("%s: step %d ok=%v with the fix %q", from, st.Step, st.OK, st.Fix)
		}
	}
}

func catalogue(t *testing.T) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, name := range []string{"identity", "explain"} {
		data, err := os.ReadFile("../text/en/" + name + ".json")
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(data, &all); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func probe(t *testing.T, w world, server *tls.Config, client party) Explanation {
	t.Helper()
	l := must[net.Listener](t)(net.Listen("tcp", "127.0.0.1:0"))
	defer l.Close()
	var wg sync.WaitGroup
	wg.Go(func() {
		far, err := l.Accept()
		if err != nil {
			return
		}
		_ = tls.Server(far, server).Handshake()
		_, _ = io.Copy(io.Discard, far)
		far.Close()
	})
	near := must[net.Conn](t)(net.Dial("tcp", l.Addr().String()))
	_, in, _ := Probe(t.Context(), near, w.dial(t, client))
	near.Close()
	wg.Wait()
	return in
}

func TestExplainLive(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	texts := catalogue(t)
	in := probe(t, w, bare(t, w.server), w.alice)
	in.Accepted = true
	steps := Explain(in)
	checkSteps(t, texts, "live", steps, sideServer, 0, "")
	if len(steps) != 20 || steps[6].Why != "explain.7.ok_post_quantum" || steps[19].Why != "explain.10.accepted" || steps[6].Args["key_exchange"] != "X25519MLKEM768" {
		t.Errorf("%+v", steps)
	}
	classic := bare(t, w.server)
	classic.CurvePreferences = []tls.CurveID{tls.X25519}
	if in := probe(t, w, classic, w.alice); Explain(in)[6].Why != "explain.7.ok_classic" {
		t.Errorf("%+v", Explain(in)[6])
	}

	// The server's clock, or its list of users, knows more than we do.
	for code, step := range map[string]int{
		"client_expired": 1, "client_no_certificate": 1, "client_unknown_ca": 3, "client_weak": 7, "client_no_name": 8,
		"client_is_ca": 9, "cert_unknown": 10, "user_locked": 10, "refused_by_server": 10,
	} {
		in.Refused, in.Accepted = &hufu.Error{Kind: hufu.KindRefused, Code: code}, false
		steps := Explain(in)
		i := slices.IndexFunc(steps, func(s Step) bool { return !s.OK })
		if i < 0 || steps[i].Side != "client" || steps[i].Step != step || steps[i].Why != "error."+code || Verdict(steps) != hufu.KindRefused {
			t.Errorf("%s: %+v", code, steps)
		}
	}

	// No certificate at all; a server without the key of its certificate.
	in.Client, in.Refused = nil, nil
	checkSteps(t, texts, "none", Explain(in), sideClient, 1, "explain.1.none")
	thief := *w.server.pair(t)
	thief.PrivateKey = newKey(t)
	stolen := bare(t, w.server)
	stolen.Certificates = []tls.Certificate{thief}
	checkSteps(t, texts, "stolen", Explain(probe(t, w, stolen, w.alice)), sideServer, 7, "error.server_no_key")
}

// Every reason has its text for each side that it exists for.
func TestEveryReasonHasATextAndAStep(t *testing.T) {
	t.Parallel()
	texts := catalogue(t)
	for _, reason := range []string{
		reasonNone, reasonUnknownCA, reasonExpired, reasonNotYet, reasonWrongName, reasonCommonName, reasonNoName, reasonWrongUse,
		reasonWeak, reasonIsCA, reasonBadIssuer, reasonSignature, reasonWrongRoot, reasonNoKey, reasonResumed, reasonBad,
	} {
		for _, s := range []side{sideServer, sideClient} {
			serverOnly := reason == reasonWrongName || reason == reasonCommonName || reason == reasonWrongRoot
			if serverOnly && s == sideClient || reason == reasonNoName && s == sideServer {
				continue
			}
			e := refuse(s, reason, nil, nil)
			if texts["error."+e.Code] == "" || texts["error."+e.Code+".fix"] == "" {
				t.Errorf("no text for %s", e.Code)
			}
			if stepOf(e) == stepRevoked {
				t.Errorf("%s belongs to no step", e.Code)
			}
		}
	}
}
