package profile

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"net"
	"os"
	"strconv"

	"hufu"
	"hufu/internal/frame"
	"hufu/internal/identity"
	"hufu/internal/session"
)

// Enroll trades an invitation for a certificate, saves the profile under name
// and logs in. The key is made here and never leaves. It is on disk before the
// server hears of it, so that a lost answer can be asked for again. A profile
// that Replaces reports as dead is replaced, key and all. If the profile was made
// with the same invitation and has no login yet, Enroll only logs in.
func Enroll(ctx context.Context, dirs Dirs, name string, inv hufu.Invitation, password string) (*Profile, error) {
	p, err := New(dirs, name, inv.Host, inv.Port)
	if err != nil {
		return nil, err
	}
	dead, err := Replaces(ctx, dirs, name, inv)
	if err != nil {
		return nil, err
	}
	if made, err := Load(dirs, name); err == nil && !dead {
		if err := made.saveAgain(); err != nil {
			return nil, err
		}
		return made, made.logIn(ctx, password)
	}
	keyFile := p.file("client.key")
	if dead { // the old key stays until there is a certificate for the new one
		keyFile = p.file("next.key")
	}
	keyPEM, err := keptKey(keyFile)
	if err != nil {
		return nil, err
	}
	key, err := identity.ParseKey(keyPEM, nil)
	if err != nil {
		return nil, err
	}
	csr, err := identity.MakeCSR(key)
	if err != nil {
		return nil, err
	}
	var root *identity.Certificate
	config, err := identity.EnrollClient(inv.Fingerprint, inv.Host, nil, func(c *identity.Certificate) { root = c })
	if err != nil {
		return nil, err
	}
	dctx, cancel := context.WithTimeout(ctx, session.DialTimeout)
	defer cancel()
	c, err := dialEnroll(dctx, dirs.Proxy, p.Address, config)
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }()
	m, err := c.Do(ctx, &frame.Enroll{Secret: inv.Secret, CSR: csr, Password: password, Device: deviceName()})
	if err != nil {
		return nil, err
	}
	a, ok := m.(*frame.EnrollAnswer)
	if !ok {
		return nil, &hufu.Error{Op: "enroll", Kind: hufu.KindProtocol}
	}
	chain, err := parseChain(a.Chain)
	if err != nil {
		return nil, err
	}
	// The root is what the invitation's fingerprint has proven, not what the
	// answer holds.
	p.User, p.Device, p.Invitation = a.User, a.Device, invitationSum(inv)
	if err := p.SetToken(nil); err != nil { // forget the login of the replaced profile
		return nil, err
	}
	if err := p.save(keyPEM, withoutRoot(chain), []*identity.Certificate{root}); err != nil {
		return nil, err
	}
	if dead {
		_ = os.Remove(keyFile) // client.key holds the key now, and a later enrollment must make a new one
	}
	return p, p.logIn(ctx, password)
}

// logIn logs in over a connection of its own.
func (p *Profile) logIn(ctx context.Context, password string) error {
	d, err := p.Dialer("", nil)
	if err != nil {
		return err
	}
	c, _, err := d.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	return p.login(ctx, c, password)
}

// invitationSum identifies an invitation without giving away its secret.
func invitationSum(inv hufu.Invitation) string {
	sum := sha256.Sum256([]byte(inv.Secret))
	return hex.EncodeToString(sum[:])
}

// keptKey returns the key in a file. If there is no file, it makes a key. A key
// that is there belongs to an enrolment that failed or whose answer was lost. It
// is written again, because the server must not hear of a key that is not
// durable.
func keptKey(file string) ([]byte, error) {
	keyPEM, err := os.ReadFile(file)
	switch {
	case err == nil:
		return keyPEM, writeFile(file, keyPEM)
	case !errors.Is(err, fs.ErrNotExist): // it may be there and good
		return nil, &hufu.Error{Op: "enroll", Path: file, Kind: hufu.KindUnreadable, Code: "cannot_read", Err: err}
	}
	key, err := identity.GenerateKey(identity.ECDSA)
	if err != nil {
		return nil, err
	}
	if keyPEM, err = identity.MarshalKey(key, nil); err != nil {
		return nil, err
	}
	return keyPEM, writeFile(file, keyPEM)
}

// Replaces reports whether enrolling under name replaces a profile. It does if
// the profile is of the same server and its certificate can no longer be used; to
// find out, it asks the server at the address of the invitation. A profile that
// was made with the same invitation and has no login yet is not replaced. Any
// other profile is an error with the code profile_exists.
func Replaces(ctx context.Context, dirs Dirs, name string, inv hufu.Invitation) (bool, error) {
	at := Profile{Address: net.JoinHostPort(inv.Host, strconv.Itoa(inv.Port)), Host: inv.Host, Invitation: invitationSum(inv)}
	return at.replaces(ctx, dirs, name, func(root *identity.Certificate) bool {
		sum := identity.Fingerprint(root)
		return bytes.Equal(sum[:hufu.InvitationFingerprint], inv.Fingerprint)
	})
}

// replaces is Replaces for the server at the address of p. ours reports whether a
// root is the root of that server.
func (p *Profile) replaces(ctx context.Context, dirs Dirs, name string, ours func(root *identity.Certificate) bool) (bool, error) {
	old, err := Load(dirs, name)
	if hufu.CodeOf(err) == "not_enrolled" {
		return false, nil
	}
	exists := Exists(name)
	var roots []*identity.Certificate
	if err == nil {
		roots, err = old.Roots()
	}
	if hufu.CodeOf(err) == "profile_denied" { // it may be good
		return false, err
	}
	if err != nil || len(roots) != 1 || !ours(roots[0]) {
		return false, exists
	}
	if _, err := old.Certificate(); err != nil {
		// Certificate or key is lost, torn, or of another pair. One that just
		// cannot be read, or that others can read, may be good.
		_, unread := errors.AsType[*fs.PathError](err)
		if hufu.CodeOf(err) == "key_file_open" || unread && !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
		return true, nil
	}
	old.Address, old.Host, old.CommonName = p.Address, p.Host, p.CommonName
	d, err := old.Dialer("", nil)
	if err != nil {
		return false, err
	}
	c, _, err := d.connect(ctx)
	if err == nil {
		defer func() { _ = c.Close() }()
	}
	if err == nil && p.Invitation != "" && old.Invitation == p.Invitation && old.Token() == nil {
		return false, nil
	}
	switch hufu.CodeOf(err) {
	case "cert_revoked", "cert_revoked_reason", "cert_expired", "cert_unknown", "client_expired", "client_not_yet_valid":
		return true, nil
	}
	if err == nil || hufu.KindOf(err) == hufu.KindRefused { // a user who is locked may be let in again
		return false, exists
	}
	return false, err
}

func parseChain(ders [][]byte) ([]*identity.Certificate, error) {
	var chain []*identity.Certificate
	for _, der := range ders {
		c, err := identity.ParseCert(der)
		if err != nil {
			return nil, err
		}
		chain = append(chain, c)
	}
	return chain, nil
}

// withoutRoot returns the leaf and the issuing CA, which the client sends.
func withoutRoot(chain []*identity.Certificate) []*identity.Certificate {
	n := len(chain)
	if n > 1 && chain[n-1].Subject.String() == chain[n-1].Issuer.String() {
		n--
	}
	return chain[:n]
}

// deviceName returns the name of this computer, reduced to the characters of a
// device name.
func deviceName() string {
	host, _ := os.Hostname() // without one it is called device
	return hufu.NameOf(host)
}
