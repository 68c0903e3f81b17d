package ca

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"hufu"
	"hufu/internal/atomicfile"
	"hufu/internal/identity"
)

// RenewIssuingOptions say where the root key is.
type RenewIssuingOptions struct {
	RootKey    string // file; the data folder's own if empty
	Passphrase func(context.Context) ([]byte, error)
	Now        func() time.Time // time.Now if nil
}

// RenewIssuing creates the next issuing CA of the data folder dir: a new key
// under a new name, signed by the root. The certificate of the previous one is
// kept, without its key, for the certificates that it has signed: they stay
// valid until they expire. A running server switches to the new one. It also
// works when the previous one has expired. The caller makes sure that only one
// runs at a time.
func RenewIssuing(ctx context.Context, dir string, o RenewIssuingOptions) (*x509.Certificate, error) {
	a := &Authority{dir: dir, now: o.Now}
	if a.now == nil {
		a.now = time.Now
	}
	var err error
	if a.root, err = a.readCert(rootCert); err != nil {
		return nil, err
	}
	if err := a.judge(rootCert, a.root); err != nil {
		return nil, err
	}
	old, err := a.readCert(issueCert)
	if err != nil {
		return nil, err
	}
	rootSigner, err := a.rootKey(ctx, o)
	if err != nil {
		return nil, err
	}
	key, err := identity.GenerateKey(typeOf(old.PublicKey))
	if err != nil {
		return nil, err
	}
	former, err := a.readCerts(formerCert)
	if err != nil && hufu.CodeOf(err) != "data_folder_incomplete" {
		return nil, err
	}
	former = append(former, old)
	now := a.now()
	name := old.Subject
	name.CommonName = nextName(former, now)
	name.ExtraNames = nil
	commonName := asn1.ObjectIdentifier{2, 5, 4, 3}
	for _, part := range old.Subject.Names { // those without a field of their own, too
		if !part.Type.Equal(commonName) {
			name.ExtraNames = append(name.ExtraNames, part)
		}
	}
	template := authorityTemplate(name, now, IssuingLife, 0)
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}
	if template.NotAfter.After(a.root.NotAfter) {
		template.NotAfter = a.root.NotAfter
	}
	next, err := create(template, a.root, key.Public(), rootSigner)
	if err != nil {
		return nil, err
	}
	keyPEM, err := identity.MarshalKey(key, nil)
	if err != nil {
		return nil, err
	}
	// The certificate decides: until it is replaced the old pair is whole, and
	// from then on the key is found under one of its two names.
	path := func(name string) string { return filepath.Join(dir, filepath.FromSlash(name)) }
	if err := replaceFile(path(nextKey), keyPEM, 0o600); err != nil {
		return nil, err
	}
	if err := replaceFile(path(formerCert), identity.MarshalCerts(former...), 0o644); err != nil {
		return nil, err
	}
	if err := replaceFile(path(issueCert), identity.MarshalCerts(next), 0o644); err != nil {
		return nil, err
	}
	err = os.Rename(path(nextKey), path(issueKey))
	if err == nil || errors.Is(err, fs.ErrNotExist) { // a running server has done it
		err = atomicfile.SyncFolder(path(Folder))
	}
	if err != nil {
		return nil, unwritable("write file", path(issueKey), err)
	}
	return next, nil
}

// rootKey reads the key of the root.
func (a *Authority) rootKey(ctx context.Context, o RenewIssuingOptions) (crypto.Signer, error) {
	path := o.RootKey
	if path == "" {
		path = filepath.Join(a.dir, filepath.FromSlash(rootKey))
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &hufu.Error{Op: "renew issuing ca", Path: path, Kind: hufu.KindUsage, Code: "root_key_away", Err: err}
	}
	if err != nil {
		return nil, &hufu.Error{Op: "renew issuing ca", Path: path, Kind: hufu.KindUnreadable, Err: err}
	}
	key, err := identity.ParseKey(data, nil)
	if hufu.CodeOf(err) == "key_passphrase_needed" {
		var secret []byte
		if secret, err = o.Passphrase(ctx); err != nil {
			return nil, err
		}
		key, err = identity.ParseKey(data, secret)
	}
	if err != nil {
		return nil, err
	}
	if _, err := identity.Pair(key, a.root); err != nil {
		return nil, &hufu.Error{Op: "renew issuing ca", Path: path, Kind: hufu.KindUsage, Code: "root_key_foreign", Err: err}
	}
	return key, nil
}

// nextName returns a common name that no issuing CA had before, later than the last one's. A
// client recognizes by the name which of them has signed its certificate.
func nextName(former []*x509.Certificate, now time.Time) string {
	last := former[len(former)-1].Subject.CommonName
	had := func(name string) bool {
		return slices.ContainsFunc(former, func(c *x509.Certificate) bool { return c.Subject.CommonName == name })
	}
	day := regexp.MustCompile(`\d{4}-\d\d-\d\d(T[\d:.]+Z)?`)
	name := ""
	for _, form := range []string{time.DateOnly, "2006-01-02T15:04:05Z", "2006-01-02T15:04:05.000000000Z"} {
		stamp := now.UTC().Format(form)
		name = "issuing CA " + stamp
		if day.MatchString(last) {
			name = shorten(day.ReplaceAllLiteralString(last, stamp))
		}
		if !had(name) {
			break
		}
	}
	return name
}

func typeOf(pub crypto.PublicKey) identity.KeyType {
	switch pub.(type) {
	case *rsa.PublicKey:
		return identity.RSA2048
	case ed25519.PublicKey:
		return identity.Ed25519
	case *ecdsa.PublicKey:
	}
	return identity.ECDSA
}
