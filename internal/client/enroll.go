package client

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
	"time"

	"hufu"
	"hufu/internal/frame"
	"hufu/internal/identity"
)

// Enroll trades an invitation for a certificate, saves the profile under name
// and logs in. The key is made here and never leaves; it is on disk before the
// server hears of it, so that an answer that gets lost can be asked for again.
// A profile that Replaces finds dead is replaced, key and all. Of one that this
// very invitation has made, and that has no login, it does what is left to do.
func Enroll(ctx context.Context, dirs Dirs, name string, inv hufu.Invitation, password string) (*Profile, error) {
	p, err := NewProfile(dirs, name, inv.Host, inv.Port)
	if err != nil {
		return nil, err
	}
	dead, err := Replaces(ctx, dirs, name, inv)
	if err != nil {
		return nil, err
	}
	if made, err := LoadProfile(dirs, name); err == nil && !dead {
		if err := made.saveAgain(); err != nil {
			return nil, err
		}
		return made, made.login(ctx, password)
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
	dctx, cancel := context.WithTimeout(ctx, DialTimeout)
	defer cancel()
	c, err := dialEnroll(dctx, p.Address, config)
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
	if err := p.SetToken(nil); err != nil { // of the profile that is replaced
		return nil, err
	}
	if err := p.save(keyPEM, withoutRoot(chain), []*identity.Certificate{root}); err != nil {
		return nil, err
	}
	if dead {
		_ = os.Remove(keyFile) // its copy is in use: the next enrollment would make another
	}
	return p, p.login(ctx, password)
}

// login logs in on a connection of its own.
func (p *Profile) login(ctx context.Context, password string) error {
	r, err := New(p, Options{})
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	return r.Login(ctx, p.User, password)
}

// saveAgain writes a profile anew that was perhaps not durable.
func (p *Profile) saveAgain() error {
	key, err := p.read("client.key")
	if err != nil {
		return err
	}
	pair, err := p.read("client.crt")
	if err != nil {
		return err
	}
	chain, err := identity.ParseCerts(pair)
	if err != nil {
		return err
	}
	roots, err := p.Roots()
	if err != nil {
		return err
	}
	return p.save(key, chain, roots)
}

// invitationSum tells invitations apart, and lets nobody in.
func invitationSum(inv hufu.Invitation) string {
	sum := sha256.Sum256([]byte(inv.Secret))
	return hex.EncodeToString(sum[:])
}

// keptKey is the key in a file, made if there is no such file. One that is there
// belongs to an enrolment that failed or whose answer was lost; it is written
// again, because the server must not hear of a key that is not durable.
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

// Replaces says whether enrolling under name replaces a profile: one of the same
// server whose certificate is of no use any more. It asks the server where the
// invitation says it is. The profile that this very invitation has made, and that
// has no login, is not replaced and no error. Any other one is an error,
// profile_exists.
func Replaces(ctx context.Context, dirs Dirs, name string, inv hufu.Invitation) (bool, error) {
	at := Profile{Address: net.JoinHostPort(inv.Host, strconv.Itoa(inv.Port)), Host: inv.Host, Invitation: invitationSum(inv)}
	return at.replaces(ctx, dirs, name, func(root *identity.Certificate) bool {
		sum := identity.Fingerprint(root)
		return bytes.Equal(sum[:hufu.InvitationFingerprint], inv.Fingerprint)
	})
}

// replaces says the same of a server that is reached as p says, and whose root
// is one that ours knows.
func (p *Profile) replaces(ctx context.Context, dirs Dirs, name string, ours func(root *identity.Certificate) bool) (bool, error) {
	old, err := LoadProfile(dirs, name)
	if hufu.CodeOf(err) == "not_enrolled" {
		return false, nil
	}
	exists := ProfileExists(name)
	if err != nil {
		return false, exists
	}
	roots, err := old.Roots()
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
	r, err := New(old, Options{})
	if err != nil {
		return false, err
	}
	defer func() { _ = r.Close() }()
	_, err = r.Connect(ctx)
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

// withoutRoot is leaf and issuing CA: what we send.
func withoutRoot(chain []*identity.Certificate) []*identity.Certificate {
	n := len(chain)
	if n > 1 && chain[n-1].Subject.String() == chain[n-1].Issuer.String() {
		n--
	}
	return chain[:n]
}

// deviceName is this machine's name, reduced to what a device name may hold.
func deviceName() string {
	host, _ := os.Hostname() // without one it is called device
	return hufu.NameOf(host)
}

// renewDue says whether two thirds of a certificate's life are over.
func renewDue(notBefore, notAfter, now time.Time) bool {
	return now.After(notBefore.Add(notAfter.Sub(notBefore) / 3 * 2))
}

// renewIfDue asks for a new certificate when two thirds of the old one's life
// are over, within the grace time after its end too. A server that cannot do it
// now is asked again at the next connection; while the old certificate is good
// that is no error. mu is held.
func (r *Remote) renewIfDue(ctx context.Context) error {
	if r.tls == nil || r.o.NoRenew || r.p.Own {
		return nil
	}
	pair, err := r.p.Certificate()
	if err != nil {
		return err
	}
	leaf, err := identity.ParseCert(pair.Certificate[0])
	if err != nil {
		return err
	}
	if !renewDue(leaf.NotBefore, leaf.NotAfter, time.Now()) {
		return nil
	}
	err = r.renew(ctx)
	if err != nil && time.Now().Before(leaf.NotAfter) {
		return nil
	}
	return err
}

// renew replaces key and certificate. The new key is written beside the old
// one and both change places only when the certificate for it is there.
func (r *Remote) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, DialTimeout)
	defer cancel()
	keyPEM, err := os.ReadFile(r.p.file("client.key"))
	if err != nil {
		return &hufu.Error{Op: "renew", Path: r.p.file("client.key"), Kind: hufu.KindUsage, Code: "profile_broken", Err: err}
	}
	key, err := identity.ParseKey(keyPEM, nil)
	if err != nil {
		return err
	}
	csr, err := identity.MakeCSR(key)
	if err != nil {
		return err
	}
	config, err := r.p.config(identity.ProtoEnroll, nil)
	if err != nil {
		return err
	}
	c, err := dialEnroll(ctx, r.o.Address, config)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	m, err := c.Do(ctx, &frame.Renew{CSR: csr})
	if err != nil {
		return err
	}
	a, ok := m.(*frame.RenewAnswer)
	if !ok {
		return &hufu.Error{Op: "renew", Kind: hufu.KindProtocol}
	}
	chain, err := parseChain(a.Chain)
	if err != nil {
		return err
	}
	return r.p.save(nil, withoutRoot(chain), nil)
}
