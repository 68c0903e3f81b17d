package client

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"time"

	"hufu"
	"hufu/internal/frame"
	"hufu/internal/identity"
)

// Enroll trades an invitation for a certificate, saves the profile under name
// and logs in. The key is made here and never leaves; it is on disk before the
// server hears of it, so that an answer that gets lost can be asked for again.
func Enroll(ctx context.Context, dirs Dirs, name string, inv hufu.Invitation, password string) (*Profile, error) {
	p, err := NewProfile(dirs, name, inv.Host, inv.Port)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(p.file("profile.json")); err == nil {
		return nil, ProfileExists(dirs, name)
	}
	// A key without a profile belongs to an enrolment whose answer was lost.
	keyPEM, err := os.ReadFile(p.file("client.key"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		key, err := identity.GenerateKey(identity.ECDSA)
		if err != nil {
			return nil, err
		}
		if keyPEM, err = identity.MarshalKey(key, nil); err != nil {
			return nil, err
		}
		if err := writeFile(p.file("client.key"), keyPEM); err != nil {
			return nil, err
		}
	case err != nil:
		return nil, &hufu.Error{Op: "enroll", Path: p.file("client.key"), Kind: hufu.KindUnreadable, Code: "cannot_read", Err: err}
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
	p.User, p.Device = a.User, a.Device
	if err := p.save(nil, withoutRoot(chain), []*identity.Certificate{root}); err != nil {
		return nil, err
	}
	r, err := New(p, Options{})
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }()
	return p, r.Login(ctx, p.User, password)
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
