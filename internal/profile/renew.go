package profile

import (
	"context"
	"crypto/tls"
	"os"
	"time"

	"hufu"
	"hufu/internal/atomicfile"
	"hufu/internal/frame"
	"hufu/internal/identity"
	"hufu/internal/session"
)

// Renewing calls connect, which connects to the server of d. Before that it renews the
// certificate if renewal is due. If the server says that the certificate is not valid now, it is
// renewed and connect is called once more. A certificate that was made elsewhere is never
// renewed.
func (d *Dialer) Renewing(ctx context.Context, connect func() error) error {
	if err := d.renewIfDue(ctx); err != nil {
		return err
	}
	err := connect()
	switch hufu.CodeOf(err) {
	case "client_not_yet_valid", "client_expired":
		// By the server's clock, which decides. The clock here may be wrong, or the
		// server's was ahead when it made the certificate.
		if !d.p.Own && d.renew(ctx) == nil {
			err = connect()
		}
	}
	return err
}

// renewDue reports whether two thirds of a certificate's life are over.
func renewDue(notBefore, notAfter, now time.Time) bool {
	return now.After(notBefore.Add(notAfter.Sub(notBefore) / 3 * 2))
}

// renewIfDue asks for a new certificate when two thirds of the life of the old
// one are over, also within the grace time after its end. While the old
// certificate is valid a failure is no error: the next connection asks again.
func (d *Dialer) renewIfDue(ctx context.Context) error {
	if d.p.Own {
		return nil
	}
	pair, err := d.p.Certificate()
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
	err = d.renew(ctx)
	if err != nil && time.Now().Before(leaf.NotAfter) {
		return nil
	}
	return err
}

// renew gets a new certificate for the same key and saves it, and nothing else of the profile.
func (d *Dialer) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, session.DialTimeout)
	defer cancel()
	keyPEM, err := os.ReadFile(d.p.file("client.key"))
	if err != nil {
		return unread(d.p.file("client.key"), d.p.Name, err)
	}
	key, err := identity.ParseKey(keyPEM, nil)
	if err != nil {
		return err
	}
	csr, err := identity.MakeCSR(key)
	if err != nil {
		return err
	}
	config, err := d.p.config(identity.ProtoEnroll, nil)
	if err != nil {
		return err
	}
	c, err := d.dialRenewal(ctx, config)
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
	// Only the certificate: d may dial another address than the profile that is kept (see replaces).
	return writeFiles(d.p.dirs.Profile(d.p.Name), atomicfile.File{Name: "client.crt", Data: identity.MarshalCerts(withoutRoot(chain)...)})
}

// nextAfter is how long a server is waited for if there is another one to renew at.
const nextAfter = 2 * time.Second

// dialRenewal connects to the first server that answers. If there is none, the error is that of the server
// of d.
func (d *Dialer) dialRenewal(ctx context.Context, config *tls.Config) (*session.Client, error) {
	var first error
	for i, at := range append([]string{d.address}, d.others...) {
		one, stop := ctx, context.CancelFunc(func() {})
		if i < len(d.others) {
			one, stop = context.WithTimeout(ctx, nextAfter)
		}
		c, err := dialEnroll(one, d.p.dirs.Proxy, at, config)
		stop()
		if err == nil {
			return c, nil
		}
		if i == 0 {
			first = err
		}
		if k := hufu.KindOf(first); ctx.Err() != nil || k != hufu.KindNetwork && k != hufu.KindUnavailable {
			break
		}
	}
	return nil, first
}
