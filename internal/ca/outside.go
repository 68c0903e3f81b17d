package ca

import (
	"context"
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"hufu"
	"hufu/internal/account"
	"hufu/internal/identity"
	"hufu/internal/meta"
)

// trustedFolder holds the certificates of an operator's own CAs, in files
// named *.crt. Beside ours they may vouch for a client, which still has to be
// registered, and for the server.
const trustedFolder = "ca/trusted"

// OwnWarning is the time before the expiry of a server certificate that hufu
// did not make, and so does not renew, from which a warning is logged, and
// warnEvery how often.
const (
	OwnWarning = 30 * 24 * time.Hour
	warnEvery  = 24 * time.Hour
)

// outside marks the lineage of a certificate that was made elsewhere: it is
// never renewed.
const outside = "outside:"

// readTrusted reads the operator's own CAs. A file that holds anything but CA
// certificates is an error. An X.509 v1 root, which cannot say that it is a CA,
// is accepted according to the server's setting.
func (a *Authority) readTrusted() ([]*x509.Certificate, error) {
	dir := filepath.Join(a.dir, filepath.FromSlash(trustedFolder))
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, &hufu.Error{Op: "open ca", Path: dir, Kind: hufu.KindUnreadable, Err: err}
	}
	var all []*x509.Certificate
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".crt") {
			continue
		}
		name := trustedFolder + "/" + e.Name()
		certs, err := a.readCerts(name)
		if err != nil {
			return nil, err
		}
		for _, c := range certs {
			ok := c.BasicConstraintsValid && c.IsCA
			if c.Version == 1 { // a CA by being its own issuer, at the most
				ok = c.CheckSignatureFrom(c) == nil
			}
			if !ok {
				return nil, &hufu.Error{Op: "open ca", Path: filepath.Join(a.dir, name), Kind: hufu.KindUsage, Code: "trusted_not_a_ca"}
			}
			if a.now().After(c.NotAfter) {
				a.log.Warn("trusted ca has ended", "file", name, "not_after", c.NotAfter)
			}
		}
		all = append(all, certs...)
	}
	return all, nil
}

// issued reports whether a server certificate is one that this package makes, and so may replace.
// The operator's own certificates look different in serial, usage or names, even if they were
// signed with our issuing key.
func (a *Authority) issued(c *x509.Certificate) bool {
	return a.issuer.Load().of(c) != nil &&
		c.SerialNumber.BitLen() == serialBits &&
		slices.Equal(c.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}) &&
		len(c.DNSNames)+len(c.IPAddresses) > 0
}

// warnOfEnd logs a warning once a day before the expiry of a server certificate
// that only the operator renews. The caller holds mu.
func (a *Authority) warnOfEnd(c *x509.Certificate, now time.Time) {
	if c.NotAfter.Sub(now) < OwnWarning && (now.Sub(a.warned) >= warnEvery || now.Before(a.warned)) {
		a.warned = now
		a.log.Warn("server certificate ends soon, and was not made by hufu: replace it", "not_after", c.NotAfter)
	}
}

// Invitable reports whether a client that knows only our root's fingerprint can
// verify the server's certificate.
func (a *Authority) Invitable() (bool, error) {
	c, err := a.ServerCertificate()
	if err != nil {
		return false, err
	}
	ours := a.issuer.Load().of(c.Leaf) != nil || c.Leaf.CheckSignatureFrom(a.root) == nil
	return ours && len(c.Leaf.DNSNames)+len(c.Leaf.IPAddresses) > 0, nil
}

// Added is the result of registering a certificate.
type Added struct {
	Serial   string
	NotAfter time.Time
	// CommonName says that only a server with the setting for common names
	// accepts it.
	CommonName bool
	// Poses says that it carries the server's name and no usage: clients that
	// accept common names would take its holder for the server.
	Poses bool
}

// Add registers a client certificate made elsewhere, in PEM, leaf first, for a
// user's device. From then on it is like one that was issued here, but is not
// renewed.
func (a *Authority) Add(ctx context.Context, data []byte, user, device string) (Added, error) {
	chain, err := identity.ParseCerts(data)
	if err != nil {
		return Added{}, err
	}
	trust, err := a.Trust()
	if err != nil {
		return Added{}, err
	}
	server, err := a.ServerCertificate()
	if err != nil {
		return Added{}, err
	}
	leaf := chain[0]
	added := Added{Serial: identity.Serial(leaf), NotAfter: leaf.NotAfter}
	refuse := func(code string, err error) (Added, error) {
		return Added{}, &hufu.Error{Op: "add certificate", Kind: hufu.KindUsage, Code: code, Err: err, Args: map[string]string{"serial": added.Serial}}
	}
	peer, err := identity.CheckClient(chain, trust, a.now(), false)
	if err != nil {
		added.CommonName = true
		if peer, err = identity.CheckClient(chain, trust, a.now(), true); err != nil {
			return refuse("cert_not_good", err)
		}
	}
	switch {
	case peer.User == "": // the name is new; the user must be there
		if err := hufu.CheckDeviceName(device); err != nil {
			return Added{}, err
		}
	case peer.User != user || peer.Device != device:
		return refuse("cert_other_name", nil)
	}
	key, err := keySum(leaf.PublicKey)
	if err != nil {
		return Added{}, err
	}
	if own, err := keySum(server.Leaf.PublicKey); err != nil || own == key {
		return refuse("cert_is_servers", err)
	}
	added.Poses = added.CommonName && len(leaf.ExtKeyUsage) == 0 &&
		slices.ContainsFunc(namesOf(server.Leaf), func(n string) bool {
			return strings.EqualFold(n, leaf.Subject.CommonName) || leaf.VerifyHostname(n) == nil
		})
	row, err := a.row(leaf, meta.UseClient, user, device)
	if err != nil {
		return Added{}, err
	}
	row.Lineage = outside + row.Serial
	err = a.db.Update(ctx, func(q meta.Queries) error {
		if err := account.CheckPresent(ctx, q, user); err != nil {
			return err
		}
		if _, err := q.Certificate(ctx, row.Serial); err == nil {
			_, err = refuse("cert_known", nil)
			return err
		} else if hufu.KindOf(err) != hufu.KindNotFound {
			return err
		}
		return q.AddCertificate(ctx, row)
	})
	if err != nil {
		return Added{}, err
	}
	a.reload(ctx)
	return added, nil
}
