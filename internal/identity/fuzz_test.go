package identity

import (
	"bytes"
	"crypto/x509/pkix"
	"encoding/pem"
	"net/url"
	"testing"
	"time"

	"hufu"
)

// The parsers meet bytes from strangers: they refuse or return what is whole,
// and never panic. Named for HT-08.

func FuzzHT08CSR(f *testing.F) {
	key := newKey(f)
	der := must[[]byte](f)(MakeCSR(key))
	f.Add(der)
	f.Add(der[:len(der)-1])
	f.Add(append(bytes.Clone(der), 0))
	f.Add(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
	f.Add([]byte{0x30, 0x00})
	if _, err := ParseCSR(der); err != nil {
		f.Fatal("the seed is no good: ", err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, parse := range []func() bool{
			func() bool { c, err := ParseCSR(data); return (c == nil) != (err == nil) || wellMade(err) },
			func() bool { c, err := ParseCSRPEM(data); return (c == nil) != (err == nil) || wellMade(err) },
		} {
			if !parse() {
				t.Error("neither a request nor an error")
			}
		}
	})
}

func wellMade(err error) bool { return err == nil || hufu.KindOf(err) != hufu.KindInternal }

func FuzzHT08Certificate(f *testing.F) {
	w := newWorld(f)
	f.Add(w.alice.cert.Raw)
	f.Add(w.root.cert.Raw)
	f.Add(altered(f, w.alice).cert.Raw)
	f.Add(issueV1(f, nil, rsaKey(), pkix.Name{CommonName: "SERVER"}).cert.Raw)
	f.Add(MarshalCerts(w.server.chain()...))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"))
	anchors := []*Certificate{w.root.cert, w.issuing.cert}
	f.Fuzz(func(t *testing.T, data []byte) {
		certs, err := ParseCerts(data)
		if err != nil {
			c, err := ParseCert(data)
			if err != nil {
				return
			}
			certs = []*Certificate{c}
		}
		// Nothing that a stranger's certificate holds makes a check panic, and
		// no certificate but alice's own passes.
		for _, c := range certs {
			DescribeCert(c)
		}
		chain := append(certs[:1:1], certs...)
		for _, commonName := range []bool{false, true} {
			r := rules{side: sideClient, commonName: commonName}
			if r.verify(chain, anchors, now) == nil && !commonName && !certs[0].Equal(w.alice.cert) && !bytes.Equal(certs[0].RawTBSCertificate, w.alice.cert.RawTBSCertificate) {
				t.Error("a stranger passes")
			}
			_ = r.checkName(certs[0], "files.example")
			for _, s := range Explain(Explanation{Server: certs, Client: certs, Roots: anchors, Host: "files.example", CommonName: commonName, Now: now}) {
				if s.What == "" || s.Why == "" {
					t.Error("a step without words")
				}
			}
		}
		_ = checkAnchors(certs, true)
	})
}

func FuzzHT08Key(f *testing.F) {
	key := newKey(f)
	plain := must[[]byte](f)(MarshalKey(key, nil))
	locked := must[[]byte](f)(MarshalKey(key, []byte("secret")))
	f.Add(plain, []byte(nil))
	f.Add(locked, []byte("secret"))
	f.Add(locked, []byte("wrong"))
	f.Add(bytes.Replace(locked, []byte("A"), []byte("B"), 3), []byte("secret"))
	f.Add(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "DES-EDE3-CBC,00"}}), []byte("x"))
	if _, err := ParseKey(locked, []byte("secret")); err != nil {
		f.Fatal("the seed is no good: ", err)
	}
	f.Fuzz(func(t *testing.T, data, passphrase []byte) {
		start := time.Now()
		k, err := ParseKey(data, passphrase)
		if (k == nil) == (err == nil) || !wellMade(err) {
			t.Errorf("%v, %v", k, err)
		}
		if time.Since(start) > time.Minute {
			t.Error("too much work")
		}
	})
}

func FuzzHT08Names(f *testing.F) {
	f.Add("hufu:user/alice/laptop")
	f.Add("hufu:user/../x")
	f.Add("/C=CN/ST=GD/CN=CA/emailAddress=a@b.cn")
	f.Add(`/CN=\`)
	f.Fuzz(func(t *testing.T, s string) {
		if u, err := url.Parse(s); err == nil {
			if user, device, err := ParseUserURI(u); err == nil && UserURI(user, device).String() != u.String() {
				t.Errorf("%q has two spellings", s)
			}
		}
		if name, err := ParseSubject(s); err == nil && len(name.ToRDNSequence()) == 0 {
			t.Errorf("%q is empty", s)
		}
	})
}
