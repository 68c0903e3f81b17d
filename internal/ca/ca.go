// Package ca owns the certificate authority of one data folder: making it,
// issuing and renewing certificates, and the server's own certificate. It
// promises that name, usage and lifetime of a certificate are this server's
// decision and never the wish of a signing request, that an invitation makes one
// certificate however many ask at once, and that it does not open with a key, a
// chain or a file mode that is not as it should be. Whether a certificate that
// was issued is still good is for account to say.
package ca

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"hufu"
	"hufu/internal/account"
	"hufu/internal/identity"
	"hufu/internal/meta"
)

// How long certificates last.
const (
	RootLife    = 20 * 365 * 24 * time.Hour
	IssuingLife = 3 * 365 * 24 * time.Hour
	ServerLife  = 30 * 24 * time.Hour
	ClientLife  = 90 * 24 * time.Hour
	// Grace is the time after its expiry in which a client's certificate can be
	// renewed.
	Grace = 30 * 24 * time.Hour
	// backdate makes a certificate valid for clocks that are behind.
	backdate = time.Hour
	// IssuingWarning is the time before the expiry of the issuing CA from which
	// a warning is shown.
	IssuingWarning = 180 * 24 * time.Hour
)

// The files of a data folder.
const (
	Database   = "hufu.db"
	ConfigFile = "hufud.toml"
	Folder     = "ca"
	rootCert   = "ca/root.crt"
	rootKey    = "ca/root.key"
	issueCert  = "ca/issuing.crt"
	issueKey   = "ca/issuing.key"
	nextKey    = "ca/issuing.key.new"
	formerCert = "ca/issuing.old.crt"
	serverCert = "server.crt"
	serverKey  = "server.key"
)

const (
	// lookEvery is how often the files of the server's certificate are checked,
	// and retryAfter the pause after a failed renewal.
	lookEvery  = time.Second
	retryAfter = time.Minute
)

// Options hold the dependencies of an Authority.
type Options struct {
	Now func() time.Time // time.Now if nil
	Log *slog.Logger     // none if nil
	// Names of the server: one of several on a database, whose data folder has no certificate yet,
	// gets one.
	Names []string
}

// Authority is the CA of one data folder. It may be used by many goroutines.
type Authority struct {
	dir string
	db  *meta.DB
	acc *account.Service
	now func() time.Time
	log *slog.Logger

	root    *x509.Certificate
	issuer  atomic.Pointer[issuer]
	trusted []*x509.Certificate // CAs of the operator's own

	mu     sync.Mutex // guards what follows
	server *tls.Certificate
	ours   bool         // server is one that this package makes
	seen   [2]fileState // of server.crt and server.key as they were read
	signer fileState    // of issuing.crt
	looked time.Time
	failed time.Time // when renewing last failed
	warned time.Time // when its end was last warned of
	told   time.Time // and that of the issuing CA
}

// Open reads the authority of the data folder dir. Any doubt about a key, a
// chain or the mode of a key's file is an error.
func Open(ctx context.Context, dir string, db *meta.DB, acc *account.Service, o Options) (*Authority, error) {
	a := &Authority{dir: dir, db: db, acc: acc, now: o.Now, log: o.Log}
	if a.now == nil {
		a.now = time.Now
	}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	if err := a.openCA(); err != nil {
		return nil, err
	}
	if len(o.Names) > 0 {
		if err := a.anotherServer(ctx, o.Names); err != nil {
			return nil, err
		}
	}
	if _, err := a.ServerCertificate(); err != nil {
		return nil, err
	}
	if _, err := os.Lstat(filepath.Join(dir, hufu.DataTag)); errors.Is(err, fs.ErrNotExist) {
		if err := writeTag(dir, a.root); err != nil {
			a.log.Warn("data folder not marked", "error", err)
		}
	}
	return a, nil
}

// issuer signs clients' and the server's certificates. It is replaced, never
// changed.
type issuer struct {
	cert   *x509.Certificate
	key    crypto.Signer
	former []*x509.Certificate // the issuing CAs before this one
}

// of returns the issuing CA that c names as its issuer, nil if none is.
func (i *issuer) of(c *x509.Certificate) *x509.Certificate {
	for _, by := range append([]*x509.Certificate{i.cert}, i.former...) {
		if c.CheckSignatureFrom(by) == nil {
			return by
		}
	}
	return nil
}

func (a *Authority) openCA() error {
	var err error
	if a.root, err = a.readCert(rootCert); err != nil {
		return err
	}
	if err := a.judge(rootCert, a.root); err != nil {
		return err
	}
	if err := a.readIssuer(); err != nil {
		return err
	}
	// It is not needed here and may be kept elsewhere; if not, it is private.
	if err := identity.OwnersAlone(filepath.Join(a.dir, rootKey)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if a.trusted, err = a.readTrusted(); err != nil {
		return err
	}
	return nil
}

// readIssuer reads the issuing CA and its key.
func (a *Authority) readIssuer() error {
	cert, err := a.readCert(issueCert)
	if err != nil {
		return err
	}
	if err := a.judge(issueCert, cert); err != nil {
		return err
	}
	key, err := a.readKey(issueKey)
	if err != nil {
		return err
	}
	if _, err := identity.Pair(key, cert, a.root); err != nil {
		// A renewal may have ended, or be, between its two files.
		next, nextErr := a.readKey(nextKey)
		if nextErr != nil {
			return a.broken(issueKey, "ca_key_foreign", err)
		}
		if _, nextErr := identity.Pair(next, cert, a.root); nextErr != nil {
			return a.broken(issueKey, "ca_key_foreign", err)
		}
		key = next
		_ = os.Rename(filepath.Join(a.dir, nextKey), filepath.Join(a.dir, issueKey)) // or it is read from there again
	}
	former, err := a.readCerts(formerCert)
	if err != nil && hufu.CodeOf(err) != "data_folder_incomplete" {
		return err
	}
	next := &issuer{cert: cert, key: key}
	for _, c := range former {
		if !c.Equal(cert) && c.IsCA && c.CheckSignatureFrom(a.root) == nil {
			next.former = append(next.former, c)
		}
	}
	a.issuer.Store(next)
	return nil
}

// judge refuses the root or the issuing CA if it is none now.
func (a *Authority) judge(name string, c *x509.Certificate) error {
	now := a.now()
	switch {
	case !c.IsCA || !c.BasicConstraintsValid || c.KeyUsage&x509.KeyUsageCertSign == 0:
		return a.broken(name, "ca_not_a_ca", nil)
	case now.After(c.NotAfter):
		return a.broken(name, "ca_expired", nil, "when", stamp(c.NotAfter))
	case now.Before(c.NotBefore):
		return a.broken(name, "ca_not_yet_valid", nil, "when", stamp(c.NotBefore))
	}
	if err := c.CheckSignatureFrom(a.root); err != nil {
		return a.broken(name, "ca_chain_broken", err)
	}
	return nil
}

func (a *Authority) broken(name, code string, cause error, args ...string) error {
	e := &hufu.Error{Op: "open ca", Path: filepath.Join(a.dir, name), Kind: hufu.KindUsage, Code: code, Err: cause}
	if len(args) == 2 {
		e.Args = map[string]string{args[0]: args[1]}
	}
	return e
}

func (a *Authority) readCert(name string) (*x509.Certificate, error) {
	certs, err := a.readCerts(name)
	if err != nil {
		return nil, err
	}
	return certs[0], nil
}

// readCerts reads a file of one certificate or more.
func (a *Authority) readCerts(name string) ([]*x509.Certificate, error) {
	data, err := a.read(name)
	if err != nil {
		return nil, err
	}
	certs, err := identity.ParseCerts(data)
	if err != nil {
		return nil, trustBroken(a.dir, name, err)
	}
	return certs, nil
}

func (a *Authority) readKey(name string) (crypto.Signer, error) {
	data, err := a.read(name)
	if err != nil {
		return nil, err
	}
	if err := identity.OwnersAlone(filepath.Join(a.dir, name)); err != nil {
		return nil, err
	}
	key, err := identity.ParseKey(data, nil)
	if hufu.CodeOf(err) == "key_passphrase_needed" {
		return nil, &hufu.Error{Op: "open ca", Path: filepath.Join(a.dir, name), Kind: hufu.KindUsage, Code: "key_file_locked", Err: err}
	}
	if err != nil {
		return nil, trustBroken(a.dir, name, err)
	}
	return key, nil
}

func (a *Authority) read(name string) ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(a.dir, filepath.FromSlash(name)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &hufu.Error{Op: "open ca", Path: filepath.Join(a.dir, name), Kind: hufu.KindUsage, Code: "data_folder_incomplete"}
	}
	if err != nil {
		return nil, &hufu.Error{Op: "open ca", Path: filepath.Join(a.dir, name), Kind: hufu.KindUnreadable, Err: err}
	}
	return data, nil
}

func trustBroken(dir, name string, err error) error {
	return &hufu.Error{Op: "open ca", Path: filepath.Join(dir, name), Kind: hufu.KindUsage, Code: "trust_file_broken", Err: err}
}

// Root returns the certificate at the top.
func (a *Authority) Root() *x509.Certificate { return a.root }

// Issuing returns the certificate that all others are signed with.
func (a *Authority) Issuing() *x509.Certificate { return a.issuer.Load().cert }

// Trust returns the certificates that the server trusts.
func (a *Authority) Trust() (identity.Trust, error) {
	now, by := a.now(), a.issuer.Load()
	for _, c := range []*x509.Certificate{a.root, by.cert} {
		if now.After(c.NotAfter) {
			return identity.Trust{}, &hufu.Error{Op: "trust ca", Kind: hufu.KindUsage, Code: "ca_expired", Args: map[string]string{"when": stamp(c.NotAfter)}}
		}
	}
	trust := identity.Trust{Roots: append([]*x509.Certificate{a.root}, a.trusted...), Issuing: []*x509.Certificate{by.cert}}
	for _, c := range by.former {
		if !now.After(c.NotAfter) {
			trust.Issuing = append(trust.Issuing, c)
		}
	}
	return trust, nil
}

// Names returns the names that the server's certificate is valid for, first the first name given
// to init.
func (a *Authority) Names() ([]string, error) {
	c, err := a.ServerCertificate()
	if err != nil {
		return nil, err
	}
	return namesOf(c.Leaf), nil
}

func namesOf(c *x509.Certificate) []string {
	names := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 && c.Subject.CommonName != "" { // an operator's own
		return []string{c.Subject.CommonName}
	}
	if i := slices.Index(names, c.Subject.CommonName); i > 0 {
		names = slices.Concat([]string{names[i]}, names[:i], names[i+1:])
	}
	return names
}

// HasName reports whether the server's certificate is valid for host.
func (a *Authority) HasName(host string) (bool, error) {
	c, err := a.ServerCertificate()
	if err != nil {
		return false, err
	}
	return c.Leaf.VerifyHostname(host) == nil, nil
}

// split separates host names and IP addresses, for the two fields of a
// certificate.
func split(names []string) (dns []string, ips []net.IP, err error) {
	for _, n := range names {
		if !hufu.ValidHost(n) {
			return nil, nil, &hufu.Error{Op: "check server name", Kind: hufu.KindUsage, Code: "server_name", Args: map[string]string{"name": n}}
		}
		if ip := net.ParseIP(n); ip != nil {
			if !slices.ContainsFunc(ips, ip.Equal) {
				ips = append(ips, ip)
			}
		} else if n = strings.ToLower(n); !slices.Contains(dns, n) {
			dns = append(dns, n)
		}
	}
	if len(dns)+len(ips) == 0 {
		return nil, nil, &hufu.Error{Op: "check server name", Kind: hufu.KindUsage, Code: "server_name_missing"}
	}
	return dns, ips, nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
