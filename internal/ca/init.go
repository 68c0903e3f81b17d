package ca

import (
	"context"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"hufu"
	"hufu/internal/atomicfile"
	"hufu/internal/identity"
	"hufu/internal/meta"
)

// maxCommonName is the limit of X.509 for a common name, in characters.
const maxCommonName = 64

// InitOptions describe a new data folder.
type InitOptions struct {
	Names      []string // names and addresses of the server, the first one first in invitations
	Subject    string   // of the root CA, in openssl's form; a plain one if empty
	KeyType    identity.KeyType
	Passphrase []byte      // of the root key; none if empty
	Common     bool        // make the folder that all users share
	Config     []byte      // of the file hufud.toml; no such file if nil
	Database   meta.Source // empty; a file in the folder if it is the zero value
	// Files makes what files need that are elsewhere; nil if they are in the folder. It may be
	// called again for the same database after it has failed.
	Files func(context.Context, *meta.DB) error
	Now   func() time.Time
}

// loopback is added to the names, so that the certificate of a server on its
// default address is valid for that address.
var loopback = [...]string{"localhost", "127.0.0.1", "::1"}

// Init makes a data folder: root CA, issuing CA, the server's certificate, the
// database and the folders for files. dir must be new or empty. What Init could
// not finish it takes away again.
func Init(ctx context.Context, dir string, o InitOptions) (err error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.KeyType == "" {
		o.KeyType = identity.ECDSA
	}
	dns, ips, err := split(append(slices.Clone(o.Names), loopback[:]...))
	if err != nil {
		return err
	}
	if len(o.Names) == 0 {
		return &hufu.Error{Op: "init", Kind: hufu.KindUsage, Code: "server_name_missing"}
	}
	m := maker{dir: dir, now: o.Now(), keyType: o.KeyType}
	if err := m.subject(o); err != nil {
		return err
	}
	existed, err := m.claim()
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			m.clear(existed)
		}
	}()
	if o.Config != nil {
		if err := m.write(ConfigFile, o.Config, 0o600); err != nil {
			return err
		}
	}
	if err := m.authority(o.Passphrase); err != nil {
		return err
	}
	if err := m.server(o.Names[0], serverTemplate("", dns, ips)); err != nil {
		return err
	}
	if err := m.folders(o.Common); err != nil {
		return err
	}
	return m.database(ctx, o) // last: what is in a shared database stays there
}

// maker holds what Init has made so far.
type maker struct {
	dir           string
	now           time.Time
	keyType       identity.KeyType
	rootName      pkix.Name
	issuingName   pkix.Name
	authorityMade Authority // root, issuing and its key, enough to sign
	leaf          *x509.Certificate
}

// subject names root and issuing CA. The issuing CA has its day in its name, so
// that the one after it has another: a client that finds its issuer's name in
// the server's request shows its certificate alone.
func (m *maker) subject(o InitOptions) error {
	day := m.now.UTC().Format(time.DateOnly)
	if o.Subject == "" {
		m.rootName = pkix.Name{CommonName: shorten("hufu root CA (" + o.Names[0] + ")")}
		m.issuingName = pkix.Name{CommonName: shorten("hufu issuing CA " + day + " (" + o.Names[0] + ")")}
		return nil
	}
	name, err := identity.ParseSubject(o.Subject)
	if err != nil {
		return err
	}
	m.rootName, m.issuingName = name, name
	m.issuingName.CommonName = shorten("issuing CA " + day)
	if name.CommonName != "" {
		m.issuingName.CommonName = shorten("issuing CA " + day + " of " + name.CommonName)
	}
	return nil
}

func shorten(s string) string {
	if r := []rune(s); len(r) > maxCommonName {
		return string(r[:maxCommonName])
	}
	return s
}

// commonName returns the common name of a server: its name, if that is short enough for one.
func commonName(first string) string {
	if len(first) > maxCommonName {
		return ""
	}
	return first
}

// claim makes the folder, or takes one that is empty.
func (m *maker) claim() (existed bool, err error) {
	broken := func(err error) error {
		return unwritable("make data folder", m.dir, err)
	}
	if err := atomicfile.MkdirAll(filepath.Dir(m.dir), 0o755); err != nil {
		return false, broken(err)
	}
	err = os.Mkdir(m.dir, 0o700)
	if err == nil {
		err = atomicfile.SyncFolder(filepath.Dir(m.dir))
	}
	if err == nil {
		return false, nil
	}
	if !errors.Is(err, fs.ErrExist) {
		return false, broken(err)
	}
	entries, err := os.ReadDir(m.dir)
	if err != nil {
		return true, broken(err)
	}
	for _, e := range entries {
		if e.Name() != "lost+found" {
			return true, &hufu.Error{Op: "make data folder", Path: m.dir, Kind: hufu.KindUsage, Code: "data_folder_used"}
		}
	}
	if err := os.Chmod(m.dir, 0o700); err != nil {
		return true, broken(err)
	}
	return true, nil
}

// clear removes everything that was made, so that the command can be run again.
func (m *maker) clear(existed bool) {
	for _, name := range []string{hufu.DataTag, ConfigFile, "ca", "files", "uploads", serverCert, serverKey, Database, Database + "-wal", Database + "-shm"} {
		_ = os.RemoveAll(filepath.Join(m.dir, name)) // the earlier error is the one to report
	}
	if !existed {
		_ = os.Remove(m.dir)
	}
}

func (m *maker) authority(passphrase []byte) error {
	if err := m.mkdir("ca"); err != nil {
		return err
	}
	rootSigner, err := identity.GenerateKey(m.keyType)
	if err != nil {
		return err
	}
	issuingSigner, err := identity.GenerateKey(m.keyType)
	if err != nil {
		return err
	}
	rootTemplate := authorityTemplate(m.rootName, m.now, RootLife, 1)
	root, err := create(rootTemplate, rootTemplate, rootSigner.Public(), rootSigner)
	if err != nil {
		return err
	}
	issuingTemplate := authorityTemplate(m.issuingName, m.now, IssuingLife, 0)
	issuingTemplate.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}
	issuing, err := create(issuingTemplate, root, issuingSigner.Public(), rootSigner)
	if err != nil {
		return err
	}
	m.authorityMade.root, m.authorityMade.now = root, func() time.Time { return m.now }
	m.authorityMade.issuer.Store(&issuer{cert: issuing, key: issuingSigner})
	if err := m.key(rootKey, rootSigner, passphrase); err != nil {
		return err
	}
	if err := m.key(issueKey, issuingSigner, nil); err != nil {
		return err
	}
	if err := m.write(rootCert, identity.MarshalCerts(root), 0o644); err != nil {
		return err
	}
	return m.write(issueCert, identity.MarshalCerts(issuing), 0o644)
}

func authorityTemplate(name pkix.Name, now time.Time, life time.Duration, pathLen int) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: newSerial(), Subject: name,
		NotBefore: now.Add(-backdate), NotAfter: now.Add(life),
		BasicConstraintsValid: true, IsCA: true, MaxPathLen: pathLen, MaxPathLenZero: pathLen == 0,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
}

func (m *maker) server(first string, template *x509.Certificate) error {
	template.Subject.CommonName = commonName(first)
	key, err := identity.GenerateKey(m.keyType)
	if err != nil {
		return err
	}
	m.leaf, err = m.authorityMade.sign(template, key.Public(), ServerLife)
	if err != nil {
		return err
	}
	if err := m.key(serverKey, key, nil); err != nil {
		return err
	}
	return m.write(serverCert, identity.MarshalCerts(m.leaf, m.authorityMade.Issuing()), 0o644)
}

func (m *maker) database(ctx context.Context, o InitOptions) (err error) {
	if o.Database == (meta.Source{}) {
		o.Database = meta.File(filepath.Join(m.dir, Database))
	}
	db, err := meta.Open(ctx, o.Database)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if used, err := db.Used(ctx); err != nil {
		return err
	} else if used {
		return &hufu.Error{Op: "init", Kind: hufu.KindUsage, Code: "database_used", Args: map[string]string{"database": o.Database.String()}}
	}
	if o.Files != nil {
		if err := o.Files(ctx, db); err != nil {
			return err
		}
	}
	m.authorityMade.now = o.Now
	row, err := m.authorityMade.row(m.leaf, meta.UseServer, "", "")
	if err != nil {
		return err
	}
	return db.AddCertificate(ctx, row)
}

func (m *maker) folders(common bool) error {
	names := []string{"files", "files/users", "files/shared", "uploads"}
	if common {
		names = append(names, "files/shared/common")
	}
	for _, name := range names {
		if err := m.mkdir(name); err != nil {
			return err
		}
	}
	return writeTag(m.dir, m.authorityMade.root)
}

// writeTag marks dir as a data folder, for clients.
func writeTag(dir string, root *x509.Certificate) error {
	return replaceFile(filepath.Join(dir, hufu.DataTag), hufu.FormatDataTag(identity.Fingerprint(root)), 0o600)
}

func (m *maker) mkdir(name string) error {
	path := filepath.Join(m.dir, filepath.FromSlash(name))
	err := os.Mkdir(path, 0o700)
	if err == nil {
		err = atomicfile.SyncFolder(filepath.Dir(path))
	}
	if err != nil {
		return unwritable("make data folder", path, err)
	}
	return nil
}

func (m *maker) key(name string, key crypto.Signer, passphrase []byte) error {
	data, err := identity.MarshalKey(key, passphrase)
	if err != nil {
		return err
	}
	return m.write(name, data, 0o600)
}

func (m *maker) write(name string, data []byte, mode fs.FileMode) error {
	return replaceFile(filepath.Join(m.dir, filepath.FromSlash(name)), data, mode)
}
