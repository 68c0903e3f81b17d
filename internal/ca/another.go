package ca

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"hufu"
	"hufu/internal/identity"
	"hufu/internal/meta"
)

// anotherServer makes the certificate of one more server on a database, unless the data folder has
// one. The CA must be the one that has made the certificate of a server there.
func (a *Authority) anotherServer(ctx context.Context, names []string) error {
	if _, err := os.Lstat(filepath.Join(a.dir, serverCert)); !errors.Is(err, fs.ErrNotExist) {
		return nil //nolint:nilerr // reading it reports what is wrong with it
	}
	dns, ips, err := split(append(slices.Clone(names), loopback[:]...))
	if err != nil {
		return err
	}
	if known, err := a.hasServer(ctx); err != nil {
		return err
	} else if !known {
		return &hufu.Error{Op: "make server certificate", Path: filepath.Join(a.dir, filepath.FromSlash(rootCert)), Kind: hufu.KindUsage, Code: "ca_elsewhere"}
	}
	key, err := a.serverKey()
	if err != nil {
		return err
	}
	leaf, err := a.sign(serverTemplate(commonName(names[0]), dns, ips), key.Public(), ServerLife)
	if err != nil {
		return err
	}
	row, err := a.row(leaf, meta.UseServer, "", "")
	if err != nil {
		return err
	}
	if err := a.db.AddCertificate(ctx, row); err != nil {
		return err
	}
	return replaceFile(filepath.Join(a.dir, serverCert), identity.MarshalCerts(leaf, a.Issuing()), 0o644)
}

// serverKey returns the key of the server, which it makes if there is none.
func (a *Authority) serverKey() (crypto.Signer, error) {
	path := filepath.Join(a.dir, serverKey)
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return a.readKey(serverKey)
	}
	key, err := identity.GenerateKey(typeOf(a.Issuing().PublicKey))
	if err != nil {
		return nil, err
	}
	data, err := identity.MarshalKey(key, nil)
	if err != nil {
		return nil, err
	}
	return key, replaceFile(path, data, 0o600)
}

// hasServer reports whether this CA has made the certificate of a server in the database.
func (a *Authority) hasServer(ctx context.Context) (bool, error) {
	all, err := a.db.Certificates(ctx)
	if err != nil {
		return false, err
	}
	for _, row := range all {
		if row.Use != meta.UseServer {
			continue
		}
		der, err := a.db.CertificateDER(ctx, row.Serial)
		if err != nil {
			return false, err
		}
		if c, err := x509.ParseCertificate(der); err == nil && a.issuer.Load().of(c) != nil {
			return true, nil
		}
	}
	return false, nil
}
