package ca

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"hufu"
	"hufu/internal/account"
	"hufu/internal/identity"
	"hufu/internal/meta"
)

func pemBlock(form string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: form, Bytes: der})
}

// greedyRequest asks for all that a request may not have.
func greedyRequest() *x509.CertificateRequest {
	ca, _ := asn1.Marshal(struct {
		CA      bool
		PathLen int
	}{true, 3})
	usages, _ := asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 1}, {1, 3, 6, 1, 5, 5, 7, 3, 2}, {2, 5, 29, 37, 0}})
	usage, _ := asn1.Marshal(asn1.BitString{Bytes: []byte{0x06}, BitLength: 7}) // keyCertSign, cRLSign
	return &x509.CertificateRequest{
		Subject:        pkix.Name{CommonName: "root", Country: []string{"XX"}},
		DNSNames:       []string{"files.example.org", "*.example.org"},
		EmailAddresses: []string{"root@example.org"},
		IPAddresses:    []net.IP{net.IPv4(127, 0, 0, 1)},
		URIs:           []*url.URL{identity.UserURI("root", "console")},
		ExtraExtensions: []pkix.Extension{
			{Id: asn1.ObjectIdentifier{2, 5, 29, 19}, Critical: true, Value: ca},
			{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Value: usages},
			{Id: asn1.ObjectIdentifier{2, 5, 29, 15}, Critical: true, Value: usage},
			{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}},
		},
	}
}

// checkClient holds a certificate to what a client's must be.
func checkClient(t *testing.T, c *x509.Certificate, user, device string) {
	t.Helper()
	if c.IsCA || !c.BasicConstraintsValid || c.KeyUsage != x509.KeyUsageDigitalSignature ||
		len(c.ExtKeyUsage) != 1 || c.ExtKeyUsage[0] != x509.ExtKeyUsageClientAuth || len(c.UnknownExtKeyUsage) != 0 {
		t.Errorf("usage is ca %v, %v, %v, %v", c.IsCA, c.KeyUsage, c.ExtKeyUsage, c.UnknownExtKeyUsage)
	}
	if len(c.DNSNames)+len(c.EmailAddresses)+len(c.IPAddresses) != 0 || len(c.URIs) != 1 || c.URIs[0].String() != identity.UserURI(user, device).String() {
		t.Errorf("names are %v %v %v %v", c.DNSNames, c.EmailAddresses, c.IPAddresses, c.URIs)
	}
	if len(c.Subject.Country) != 0 || c.Subject.CommonName != user+"/"+device {
		t.Errorf("subject is %s", c.Subject)
	}
	for _, e := range c.Extensions {
		if e.Id.String() == "1.2.3.4" {
			t.Error("an extension of the request is in the certificate")
		}
	}
}

// Whatever the request asks for, the certificate is what the server decides.
func TestHT07RequestGetsNothingItAsksFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	der, err := x509.CreateCertificateRequest(rand.Reader, greedyRequest(), w.key())
	w.must(err)
	got, err := w.Enroll(t.Context(), EnrollRequest{Secret: w.invite("alice"), Password: password, Device: "laptop", CSR: der})
	w.must(err)
	if got.User != "alice" || got.Device != "laptop" || len(got.Chain) != 3 {
		t.Errorf("enrolled as %s/%s with %d certificates", got.User, got.Device, len(got.Chain))
	}
	leaf, err := x509.ParseCertificate(got.Chain[0])
	w.must(err)
	checkClient(t, leaf, "alice", "laptop")
	if !leaf.NotBefore.Equal(w.clock.now().Add(-time.Hour)) || !leaf.NotAfter.Equal(w.clock.now().Add(ClientLife)) {
		t.Errorf("valid from %v to %v", leaf.NotBefore, leaf.NotAfter)
	}
	if s, err := w.admit(leaf); err != nil || s.Admin {
		t.Errorf("admitted as %+v, %v", s, err)
	}
	// The same holds for a renewal.
	der, err = x509.CreateCertificateRequest(rand.Reader, greedyRequest(), w.key())
	w.must(err)
	chain, err := w.Renew(t.Context(), identity.Serial(leaf), identity.Fingerprint(leaf), der)
	w.must(err)
	next, err := x509.ParseCertificate(chain[0])
	w.must(err)
	checkClient(t, next, "alice", "laptop")
}

// A hundred at once with one code: one certificate. Those with the winner's key
// get it again, all others are refused.
func TestHT07OneCodeOneCertificate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	// Each has to prove the password, so it is stored in a cheap form: the
	// reference implementation's test vector.
	const cheap, cheapHash = "password", "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"
	w.must(w.db.PutUser(ctx, meta.User{Name: "alice", Password: cheapHash, Created: w.clock.now()}))
	secret := w.invite("alice")
	const keys, each = 25, 4
	requests := make([][]byte, keys)
	for i := range requests {
		requests[i] = w.csr(w.key())
	}
	var mu sync.Mutex
	won := make(map[int][][]byte)
	var wg sync.WaitGroup
	for i := range keys * each {
		wg.Go(func() {
			got, err := w.Enroll(ctx, EnrollRequest{Secret: secret, Password: cheap, Device: "laptop", CSR: requests[i%keys]})
			if err != nil {
				if hufu.CodeOf(err) != "invitation_used" || hufu.KindOf(err) != hufu.KindRefused {
					t.Error(err)
				}
				return
			}
			mu.Lock()
			defer mu.Unlock()
			won[i%keys] = append(won[i%keys], got.Chain[0])
		})
	}
	wg.Wait()
	if len(won) != 1 {
		t.Fatalf("%d keys got a certificate", len(won))
	}
	for _, certs := range won {
		if len(certs) != each {
			t.Errorf("the winner got an answer %d times of %d", len(certs), each)
		}
		for _, c := range certs {
			if !bytes.Equal(c, certs[0]) {
				t.Error("the winner got two certificates")
			}
		}
	}
	all, err := w.acc.Certificates(ctx)
	w.must(err)
	if len(all) != 2 { // the server's is the other one
		t.Errorf("there are %d certificates", len(all))
	}
}

// An answer that got lost is given again until the code expires, and never
// after the certificate was revoked.
func TestHT07LostAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	r := EnrollRequest{Secret: w.invite("alice"), Password: password, Device: "laptop", CSR: w.csr(w.key())}
	first, err := w.Enroll(ctx, r)
	w.must(err)
	w.clock.add(23 * time.Hour)
	w.must(w.acc.Reload(ctx))
	again, err := w.Enroll(ctx, r)
	w.must(err)
	if !bytes.Equal(first.Chain[0], again.Chain[0]) || again.Device != "laptop" {
		t.Error("got another certificate")
	}
	wrong := r
	wrong.Password = "wrong"
	_, err = w.Enroll(ctx, wrong)
	w.code(err, "wrong_password")
	stolen := r
	stolen.CSR = w.csr(w.key())
	_, err = w.Enroll(ctx, stolen)
	w.code(err, "invitation_used")
	leaf, err := x509.ParseCertificate(first.Chain[0])
	w.must(err)
	w.must(w.acc.Revoke(ctx, identity.Serial(leaf), ""))
	_, err = w.Enroll(ctx, r)
	w.code(err, "cert_revoked")
	w.clock.add(time.Hour)
	_, err = w.Enroll(ctx, r)
	w.code(err, "invitation_expired")
}

// The first device sets the password, every other one must prove it; a wrong
// one does not use the code up.
func TestEnrollPassword(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	secret := w.invite("alice")
	_, err := w.Enroll(ctx, EnrollRequest{Secret: secret, CSR: w.csr(w.key())})
	w.code(err, "password_missing")
	first, err := w.Enroll(ctx, EnrollRequest{Secret: secret, Password: password, CSR: w.csr(w.key())})
	w.must(err)
	if first.Device != DefaultDevice {
		t.Errorf("the device is called %s", first.Device)
	}
	r := EnrollRequest{Secret: w.invite("alice"), Password: "wrong", Device: "phone", CSR: w.csr(w.key())}
	_, err = w.Enroll(ctx, r)
	w.code(err, "wrong_password")
	r.Password = password
	_, err = w.Enroll(ctx, r)
	w.must(err)
	leaf, err := x509.ParseCertificate(first.Chain[0])
	w.must(err)
	sub, err := w.admit(leaf)
	w.must(err)
	_, err = w.acc.Login(ctx, sub, password)
	w.must(err)
}

// Two invitations of a new user at once: one sets the password, and the other
// gets in only by the same one.
func TestEnrollFirstPasswordRace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	secrets := []string{w.invite("alice"), w.invite("alice")}
	errs := make([]error, 2)
	var wg sync.WaitGroup
	for i := range secrets {
		wg.Go(func() {
			_, errs[i] = w.Enroll(ctx, EnrollRequest{Secret: secrets[i], Password: fmt.Sprint("password ", i), CSR: w.csr(w.key())})
		})
	}
	wg.Wait()
	switch {
	case errs[0] == nil && errs[1] == nil:
		t.Error("both passwords were taken")
	case errs[0] == nil:
		w.code(errs[1], "wrong_password")
	default:
		w.must(errs[1])
		w.code(errs[0], "wrong_password")
	}
}

// A device does not take the name of another one that is in use.
func TestEnrollDeviceNames(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	long := strings.Repeat("x", 32)
	enroll := func(device string) string {
		got, err := w.Enroll(ctx, EnrollRequest{Secret: w.invite("alice"), Password: password, Device: device, CSR: w.csr(w.key())})
		w.must(err)
		return got.Device
	}
	for _, c := range [][2]string{{"laptop", "laptop"}, {"laptop", "laptop-2"}, {"laptop", "laptop-3"}, {long, long}, {long, long[:30] + "-2"}} {
		if got := enroll(c[0]); got != c[1] {
			t.Errorf("%s is called %s", c[0], got)
		}
	}
	_, err := w.acc.RevokeDevice(ctx, "alice", "laptop", "")
	w.must(err)
	if got := enroll("laptop"); got != "laptop" {
		t.Errorf("called %s though the name is free", got)
	}
	_, err = w.acc.RevokeDevice(ctx, "alice", "laptop-2", "")
	w.must(err)
	w.must(w.acc.LockDevice(ctx, "alice", "laptop-2"))
	if got := enroll("laptop"); got != "laptop-4" {
		t.Errorf("called %s", got)
	}
	_, err = w.Enroll(ctx, EnrollRequest{Secret: w.invite("alice"), Password: password, Device: "../etc", CSR: w.csr(w.key())})
	w.code(err, "device_name")
}

// TestHT58EnrollBound: a code that a user may have made lets nobody in when the user has too many new
// devices; one of an administrator lets in.
func TestHT58EnrollBound(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	enroll := func(life time.Duration) error {
		v, err := w.acc.Invite(ctx, "alice", life)
		w.must(err)
		_, err = w.Enroll(ctx, EnrollRequest{Secret: v.Secret, Password: password, Device: "laptop", CSR: w.csr(w.key())})
		return err
	}
	for range 32 {
		w.must(enroll(0))
	}
	w.code(enroll(account.OwnInvitationLife), "devices_new")
	w.must(enroll(0))
	w.clock.add(24 * time.Hour)
	w.must(w.acc.Reload(ctx))
	w.must(enroll(account.OwnInvitationLife))
}

// Without a right secret nothing else of a request is looked at, whatever it
// holds.
func TestHT06NothingWithoutSecret(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	good := w.invite("alice")
	remote := 0
	for _, secret := range []string{"", "x", good + "a", strings.ToUpper(good), "' OR '1'='1' -- ", strings.Repeat("a", 1<<16), "\x00"} {
		for _, csr := range [][]byte{nil, {0x30}, bytes.Repeat([]byte{0x30, 0x84}, 1<<15), w.csr(w.key())} {
			for _, pw := range []string{"", password, strings.Repeat("x", 1<<16)} {
				remote++
				r := EnrollRequest{Secret: secret, Password: pw, Device: "../..", CSR: csr, Remote: fmt.Sprintf("10.0.%d.1:1", remote)}
				_, err := w.Enroll(ctx, r)
				w.code(err, "invitation_unknown")
			}
		}
	}
	// With the secret, a request that is none is refused and uses nothing up.
	for _, csr := range [][]byte{nil, {}, {0x30}, []byte("' OR '1'='1' -- "), append(w.csr(w.key()), 0)} {
		if _, err := w.Enroll(ctx, EnrollRequest{Secret: good, Password: password, CSR: csr}); err == nil {
			t.Errorf("%x was signed", csr)
		}
	}
	forged := w.csr(w.key())
	forged[len(forged)-5] ^= 1
	if _, err := w.Enroll(ctx, EnrollRequest{Secret: good, Password: password, CSR: forged}); err == nil {
		t.Error("a request was signed whose sender does not have its key")
	}
	_, err := w.Enroll(ctx, EnrollRequest{Secret: good, Password: password, CSR: w.csr(w.key())})
	w.must(err)
	// Renewing needs a certificate that is ours, exactly.
	for _, serial := range []string{"", "00", "' OR '1'='1' -- "} {
		_, err := w.Renew(ctx, serial, [32]byte{}, w.csr(w.key()))
		w.code(err, "cert_unknown")
	}
	server, err := w.ServerCertificate()
	w.must(err)
	_, err = w.Renew(ctx, identity.Serial(server.Leaf), identity.Fingerprint(server.Leaf), w.csr(w.key()))
	w.code(err, "cert_unknown")
}

func TestHT13EnrollFields(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	const injection = `' OR '1'='1' -- `
	leaf, _ := w.enrolled("alice", "laptop")
	_, err := w.Enroll(ctx, EnrollRequest{Secret: w.invite("alice"), Password: injection, Device: "x", CSR: w.csr(w.key()), Remote: injection})
	w.code(err, "wrong_password")
	_, err = w.Enroll(ctx, EnrollRequest{Secret: w.invite("alice"), Password: password, Device: injection, CSR: w.csr(w.key())})
	w.code(err, "device_name")
	if _, err := w.admit(leaf); err != nil {
		t.Error(err)
	}
	// As a first password it is one like any other.
	got, err := w.Enroll(ctx, EnrollRequest{Secret: w.invite("bob"), Password: injection, Device: "x", CSR: w.csr(w.key())})
	w.must(err)
	if got.User != "bob" {
		t.Errorf("enrolled as %s", got.User)
	}
}

func TestHT20NoCertificateForWhoMayNot(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	for _, c := range []struct {
		name, enroll, renew string
		spoil               func(*world, string)
	}{
		{"locked", "invitation_unknown", "user_locked", func(w *world, _ string) { w.must(w.acc.LockUser(ctx, "alice")) }},
		{"removed", "invitation_unknown", "user_removed", func(w *world, _ string) { w.must(w.acc.RemoveUser(ctx, "alice")) }},
		{"device locked", "invitation_unknown", "device_locked", func(w *world, _ string) { w.must(w.acc.LockDevice(ctx, "alice", "laptop")) }},
		{"revoked", "invitation_unknown", "cert_revoked", func(w *world, serial string) { w.must(w.acc.Revoke(ctx, serial, "")) }},
		{"expired", "invitation_expired", "", func(w *world, _ string) { w.clock.add(ClientLife + Grace - time.Hour) }},
		{"expired for too long", "invitation_expired", "cert_expired", func(w *world, _ string) { w.clock.add(ClientLife + Grace + time.Hour) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			leaf, _ := w.enrolled("alice", "laptop")
			secret := w.invite("alice")
			c.spoil(w, identity.Serial(leaf))
			w.must(w.acc.Reload(ctx))
			_, err := w.Enroll(ctx, EnrollRequest{Secret: secret, Password: password, Device: "phone", CSR: w.csr(w.key())})
			if c.enroll == "" {
				w.must(err)
			} else {
				w.code(err, c.enroll)
			}
			_, err = w.Renew(ctx, identity.Serial(leaf), identity.Fingerprint(leaf), w.csr(w.key()))
			if c.renew == "" {
				w.must(err)
			} else {
				w.code(err, c.renew)
			}
		})
	}
}

func TestRenew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	leaf, key := w.enrolled("alice", "laptop")
	sub, err := w.admit(leaf)
	w.must(err)
	token, err := w.acc.Login(ctx, sub, password)
	w.must(err)
	serial, fp := identity.Serial(leaf), identity.Fingerprint(leaf)
	_, err = w.Renew(ctx, serial, [32]byte{1}, w.csr(key))
	w.code(err, "cert_unknown")

	w.clock.add(20 * 24 * time.Hour)
	w.must(w.acc.Reload(ctx))
	chain, err := w.Renew(ctx, serial, fp, w.csr(key))
	w.must(err)
	next, err := x509.ParseCertificate(chain[0])
	w.must(err)
	checkClient(t, next, "alice", "laptop")
	if !next.NotAfter.Equal(w.clock.now().Add(ClientLife)) {
		t.Errorf("valid until %v", next.NotAfter)
	}
	again, err := w.Renew(ctx, serial, fp, w.csr(key))
	w.must(err)
	if !bytes.Equal(again[0], chain[0]) {
		t.Error("an answer that got lost is another certificate")
	}
	sub, err = w.admit(next)
	w.must(err)
	w.must(w.acc.Resume(ctx, sub, token)) // the login goes on

	for range maxPerDevice - 2 {
		_, err = w.Renew(ctx, serial, fp, w.csr(w.key()))
		w.must(err)
	}
	_, err = w.Renew(ctx, serial, fp, w.csr(w.key()))
	w.code(err, "device_certificates")
}

func TestWhy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	leaf, _ := w.enrolled("alice", "laptop")
	peer := identity.Peer{Serial: identity.Serial(leaf), Fingerprint: identity.Fingerprint(leaf)}
	if e := w.Why(ctx, peer, nil); e != nil {
		t.Errorf("a good certificate is refused: %v", e)
	}
	expired := &hufu.Error{Kind: hufu.KindRefused, Code: "client_expired"}
	w.code(w.Why(ctx, peer, expired), "client_expired")
	w.code(w.Why(ctx, identity.Peer{}, &hufu.Error{Kind: hufu.KindRefused, Code: "client_unknown_ca"}), "client_unknown_ca")
	w.code(w.Why(ctx, identity.Peer{}, os.ErrInvalid), "cert_unknown")
	w.code(w.Why(ctx, identity.Peer{Serial: "00"}, nil), "cert_unknown")
	w.must(w.acc.Revoke(ctx, peer.Serial, "stolen"))
	w.code(w.Why(ctx, peer, expired), "cert_revoked_reason")
}

// What was enrolled before a crash of the process is there after it.
func TestEnrollmentIsInTheDatabase(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	leaf, _ := w.enrolled("alice", "laptop")
	db, err := meta.Open(t.Context(), meta.File(filepath.Join(w.dir, Database)))
	w.must(err)
	defer func() { w.must(db.Close()) }()
	c, err := db.Certificate(t.Context(), identity.Serial(leaf))
	if err != nil || c.User != "alice" || c.Lineage != c.Serial {
		t.Errorf("certificate is %+v, %v", c, err)
	}
}

func FuzzEnrollRequest(f *testing.F) {
	dir := filepath.Join(f.TempDir(), "data")
	if err := Init(f.Context(), dir, InitOptions{Names: []string{"localhost"}}); err != nil {
		f.Fatal(err)
	}
	key, err := identity.GenerateKey(identity.ECDSA)
	if err != nil {
		f.Fatal(err)
	}
	der, err := identity.MakeCSR(key)
	if err != nil {
		f.Fatal(err)
	}
	greedy, err := x509.CreateCertificateRequest(rand.Reader, greedyRequest(), key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(der)
	f.Add(greedy)
	f.Add([]byte{0x30, 0x00})
	f.Fuzz(func(t *testing.T, der []byte) {
		csr, err := identity.ParseCSR(der)
		if err != nil {
			return
		}
		if _, err := keySum(csr.PublicKey); err != nil {
			t.Errorf("a key that was taken has no digest: %v", err)
		}
	})
}
