package profile

import (
	"context"
	"net"
	"slices"

	"hufu"
	"hufu/internal/identity"
)

// OwnFiles are a certificate, its key and the CA of the server, made elsewhere
// and registered at the server, in PEM.
type OwnFiles struct {
	Certificate, Key, CA []byte
	Address              string // HOST:PORT to dial
	Host                 string // the name that the server must prove; that of Address if empty
	CommonName           bool   // accept the server's name in CN alone
}

// Check returns the error of files that cannot be used. It is called before the
// user is asked for a password.
func (f OwnFiles) Check() error {
	if _, err := f.profile(Dirs{}, Default); err != nil {
		return err
	}
	if _, err := identity.ParseCerts(f.CA); err != nil {
		return err
	}
	_, err := identity.ParsePair(f.Certificate, f.Key, nil)
	return withoutPassphrase("", err) // the caller knows the file
}

func (f OwnFiles) profile(dirs Dirs, name string) (*Profile, error) {
	host, _, err := net.SplitHostPort(f.Address)
	if err == nil && f.Host != "" {
		host = f.Host
	}
	if err != nil || !hufu.ValidHost(host) {
		return nil, &hufu.Error{Op: "enroll", Path: f.Address, Kind: hufu.KindUsage, Code: "bad_address", Err: err}
	}
	if !Valid(name) {
		return nil, &hufu.Error{Op: "profile", Path: name, Kind: hufu.KindUsage, Code: "profile_name"}
	}
	return &Profile{Name: name, Address: f.Address, Host: host, Own: true, CommonName: f.CommonName, dirs: dirs}, nil
}

// EnrollOwn makes a profile from files. First the server must prove itself and
// accept certificate and password; it also says to which user the certificate
// belongs. Until then nothing is saved. A profile is replaced as ReplacesOwn says.
func EnrollOwn(ctx context.Context, dirs Dirs, name string, f OwnFiles, password string) (*Profile, error) {
	if err := f.Check(); err != nil {
		return nil, err
	}
	p, err := f.profile(dirs, name)
	if err != nil {
		return nil, err
	}
	if _, err := ReplacesOwn(ctx, dirs, name, f); err != nil {
		return nil, err
	}
	chain, err := identity.ParseCerts(f.Certificate)
	if err != nil {
		return nil, err
	}
	root, err := identity.ParseCerts(f.CA)
	if err != nil {
		return nil, err
	}
	p.held = map[string][]byte{"client.crt": f.Certificate, "client.key": f.Key, "root.crt": f.CA}
	d, err := p.Dialer("", nil)
	if err != nil {
		return nil, err
	}
	c, hello, err := d.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }()
	p.User, p.Device = hello.User, hello.Device
	if err := p.login(ctx, c, password); err != nil {
		return nil, err
	}
	p.held = nil
	return p, p.save(f.Key, chain, root)
}

// ReplacesOwn reports whether EnrollOwn replaces a dead profile, by the rule of
// Replaces. A profile that was made from files is replaced in any case, because
// its certificate is not renewed. Any other profile is an error with the code
// profile_exists.
func ReplacesOwn(ctx context.Context, dirs Dirs, name string, f OwnFiles) (bool, error) {
	if old, err := Load(dirs, name); err == nil && old.Own {
		return false, nil
	}
	p, err := f.profile(dirs, name)
	if err != nil {
		return false, err
	}
	trusted, err := identity.ParseCerts(f.CA)
	if err != nil {
		return false, err
	}
	return p.replaces(ctx, dirs, name, func(root *identity.Certificate) bool {
		return slices.ContainsFunc(trusted, func(c *identity.Certificate) bool { return identity.Fingerprint(c) == identity.Fingerprint(root) })
	})
}
