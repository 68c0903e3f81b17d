package identity

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/youmark/pkcs8"

	"hufu"
)

func TestKeysComeBack(t *testing.T) {
	t.Parallel()
	for _, kind := range []KeyType{ECDSA, RSA2048, Ed25519} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			key, err := GenerateKey(kind)
			if err != nil {
				t.Fatal(err)
			}
			for _, pass := range []string{"", "open sesame 芝麻"} {
				data, err := MarshalKey(key, []byte(pass))
				if err != nil {
					t.Fatal(err)
				}
				got, err := ParseKey(data, []byte(pass))
				if err != nil || !samePublic(got.Public(), key.Public()) {
					t.Error(err)
				}
				if pass == "" {
					if _, err := ParseKey(data, []byte("not needed")); err != nil {
						t.Error(err)
					}
					continue
				}
				_, err = ParseKey(data, nil)
				wantCode(t, err, hufu.KindUsage, "key_passphrase_needed")
				_, err = ParseKey(data, []byte("wrong"))
				wantCode(t, err, hufu.KindUsage, "key_passphrase_wrong")
			}
			csr, err := MakeCSR(key)
			if err != nil {
				t.Fatal(err)
			}
			parsed, err := ParseCSR(csr)
			if err != nil || !samePublic(parsed.PublicKey, key.Public()) || len(parsed.Subject.Names) != 0 {
				t.Error(err)
			}
			if _, err := ParseCSRPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr})); err != nil {
				t.Error(err)
			}
			csr[len(csr)-2] ^= 1
			if _, err := ParseCSR(csr); err == nil {
				t.Error("a request with an altered signature is taken")
			}
		})
	}
	for _, s := range []string{"rsa", "ECDSA", "ed448"} {
		_, err := ParseKeyType(s)
		wantCode(t, err, hufu.KindUsage, "key_type_unknown")
		if _, err := GenerateKey(KeyType(s)); err == nil {
			t.Errorf("made a key of type %q", s)
		}
	}
	if kind, err := ParseKeyType(""); kind != ECDSA || err != nil {
		t.Error(kind, err)
	}
}

func TestOpensslsOldKeyForms(t *testing.T) {
	t.Parallel()
	ec := newKey(t).(*ecdsa.PrivateKey)
	ecDER := must[[]byte](t)(x509.MarshalECPrivateKey(ec))
	rsaDER := x509.MarshalPKCS1PrivateKey(rsaKey())
	params := pem.EncodeToMemory(&pem.Block{Type: "EC PARAMETERS", Bytes: []byte{6, 8}})
	for name, data := range map[string][]byte{
		"RSA": pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: rsaDER}),
		"EC":  append(params, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: ecDER})...),
	} {
		if _, err := ParseKey(data, nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	block := must[*pem.Block](t)(x509.EncryptPEMBlock(rand.Reader, "RSA PRIVATE KEY", rsaDER, []byte("secret"), x509.PEMCipher3DES)) //nolint:staticcheck // openssl genrsa -des3
	data := pem.EncodeToMemory(block)
	if key, err := ParseKey(data, []byte("secret")); err != nil || !samePublic(key.Public(), rsaKey().Public()) {
		t.Error(err)
	}
	_, err := ParseKey(data, nil)
	wantCode(t, err, hufu.KindUsage, "key_passphrase_needed")
	_, err = ParseKey(data, []byte("wrong"))
	wantCode(t, err, hufu.KindUsage, "key_passphrase_wrong")
}

func TestWeakAndForeignKeysRefused(t *testing.T) {
	t.Parallel()
	small := must[*rsa.PrivateKey](t)(rsa.GenerateKey(rand.Reader, 1024))
	p224 := must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P224(), rand.Reader))
	for _, key := range []any{small, p224} {
		der := must[[]byte](t)(x509.MarshalPKCS8PrivateKey(key))
		_, err := ParseKey(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil)
		wantCode(t, err, hufu.KindUsage, "key_too_weak")
		csr := must[[]byte](t)(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key))
		_, err = ParseCSR(csr)
		wantCode(t, err, hufu.KindInvalid, "key_too_weak")
	}
	for _, data := range [][]byte{nil, []byte("hello"), MarshalCerts(newWorld(t).root.cert), make([]byte, maxPEM+1)} {
		_, err := ParseKey(data, nil)
		wantCode(t, err, hufu.KindUsage, "key_unreadable")
	}
	w := newWorld(t)
	_, err := Pair(w.alice.key, w.server.cert)
	wantCode(t, err, hufu.KindUsage, "key_other_cert")
	keyPEM := must[[]byte](t)(MarshalKey(w.alice.key, nil))
	if pair, err := ParsePair(MarshalCerts(w.alice.chain()...), keyPEM, nil); err != nil || len(pair.Certificate) != 2 || pair.Leaf == nil {
		t.Error(err)
	}
	_, err = ParseCerts(append(MarshalCerts(w.alice.cert), keyPEM...))
	wantCode(t, err, hufu.KindUsage, "cert_unreadable")
	_, err = ParseCerts(nil)
	wantCode(t, err, hufu.KindUsage, "cert_unreadable")
}

// A key file that asks for absurd work is refused before any is done.
func TestKeyFileMayNotAskForMuchWork(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	for name, opts := range map[string]struct {
		kdf pkcs8.KDFOpts
		ok  bool
	}{
		"scrypt as openssl": {pkcs8.ScryptOpts{SaltSize: 8, CostParameter: 16384, BlockSize: 8, ParallelizationParameter: 1}, true},
		"scrypt too large":  {pkcs8.ScryptOpts{SaltSize: 8, CostParameter: 1 << 10, BlockSize: 65, ParallelizationParameter: 1}, false},
		"many threads":      {pkcs8.ScryptOpts{SaltSize: 8, CostParameter: 2, BlockSize: 8, ParallelizationParameter: 17}, false},
	} {
		der := must[[]byte](t)(pkcs8.MarshalPrivateKey(key, []byte("x"), &pkcs8.Opts{Cipher: pkcs8.AES256CBC, KDFOpts: opts.kdf}))
		_, err := ParseKey(pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: der}), []byte("x"))
		if (err == nil) != opts.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSubject(t *testing.T) {
	t.Parallel()
	name, err := ParseSubject(`/C=CN/ST=GD/L=SZ/O=A\/B \\ C/OU=NSP/CN=虎符 CA/emailAddress=ca@example.cn`)
	if err != nil {
		t.Fatal(err)
	}
	if name.Organization[0] != `A/B \ C` || name.CommonName != "虎符 CA" || name.Country[0] != "CN" || len(name.ExtraNames) != 1 { //nolint:misspell // the standard library's spelling
		t.Errorf("%+v", name)
	}
	der := must[[]byte](t)(asn1.Marshal(name.ToRDNSequence()))
	var seq pkix.RDNSequence
	if _, err := asn1.Unmarshal(der, &seq); err != nil || len(seq) != 7 {
		t.Error(err, seq)
	}
	var back pkix.Name
	back.FillFromRDNSequence(&seq)
	if s := subjectText(back); s != `CN=虎符 CA,OU=NSP,O=A/B \\ C,L=SZ,ST=GD,C=CN,emailAddress=ca@example.cn` {
		t.Error(s)
	}
	for _, bad := range []string{
		"", "CN=x", "/", "/CN", "/CN=", "/XX=y", "/C=CHN", "/C=中国", "/CN=a/CN=b", `/CN=a\`, "/CN=a\x00b", "/CN=a\x1bb", "/CN=\xff",
		"//CN=a", "/CN=" + strings.Repeat("a", maxAttribute+1), "/emailAddress=虎@符.cn", "/emailAddress=" + strings.Repeat("a", maxEmail+1),
	} {
		_, err := ParseSubject(bad)
		wantCode(t, err, hufu.KindUsage, "subject_invalid")
	}
	for _, good := range []string{"/CN=" + strings.Repeat("虎", maxAttribute), "/emailAddress=" + strings.Repeat("a", maxEmail)} {
		if _, err := ParseSubject(good); err != nil {
			t.Error(err)
		}
	}
}

func TestUserURI(t *testing.T) {
	t.Parallel()
	u := UserURI("alice", "Laptop-1.home")
	if u.String() != "hufu:user/alice/Laptop-1.home" {
		t.Error(u)
	}
	if user, device, err := ParseUserURI(must[*url.URL](t)(url.Parse(u.String()))); err != nil || user != "alice" || device != "Laptop-1.home" {
		t.Error(user, device, err)
	}
	for _, bad := range []string{
		"hufu:user/alice", "hufu:user/alice/", "hufu:user//x", "hufu:user/alice/x/y", "hufu:admin/alice/x", "HUFU:user/alice/x#f",
		"hufu:user/Alice/x", "hufu:user/al%69ce/x", "hufu:/user/alice/x", "hufu://user/alice/x", "hufu:user/alice/x?q", "https:user/alice/x",
		"hufu:user/../x", "hufu:user/con/x", "hufu:user/alice/x?",
	} {
		u, err := url.Parse(bad)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := ParseUserURI(u); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
	if _, _, err := ParseUserURI(nil); err == nil {
		t.Error("nil is taken")
	}
}

func TestFingerprintWords(t *testing.T) {
	t.Parallel()
	list := strings.Fields(wordList)
	slices.Sort(list)
	if n := len(slices.Compact(list)); n != 256 {
		t.Fatalf("%d words, want 256", n)
	}
	sum := Fingerprint(newWorld(t).root.cert)
	if words := strings.Fields(FingerprintWords(sum[:])); len(words) != 16 {
		t.Error(words)
	}
	// An invitation holds a part: it tells the same words.
	if FingerprintWords(sum[:]) != FingerprintWords(sum[:20]) || FingerprintWords([]byte{0, 1, 255}) != "acid acorn zebra" || FingerprintWords(nil) != "" {
		t.Error("words differ")
	}
}
