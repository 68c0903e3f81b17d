package ca

import (
	"cmp"
	"context"
	"encoding/pem"
	"errors"
	"strings"

	"hufu"
	"hufu/internal/account"
	"hufu/internal/identity"
	"hufu/internal/meta"
)

// Renew issues the next certificate for the device whose certificate the caller
// has proven to hold, and which may be over by Grace at most, or not valid yet:
// the clock may have been ahead when it was made. The request may
// bring a new key. A key that has the device's newest certificate already gets
// that one again, because an answer may get lost.
func (a *Authority) Renew(ctx context.Context, serial string, fingerprint [32]byte, request []byte) ([][]byte, error) {
	csr, err := identity.ParseCSR(request)
	if err != nil {
		return nil, err
	}
	key, err := keySum(csr.PublicKey)
	if err != nil {
		return nil, err
	}
	var leaf []byte
	err = a.db.Update(ctx, func(q meta.Queries) error {
		now := a.now()
		old, err := account.Judge(ctx, q, serial, fingerprint, now.Add(-Grace))
		if err != nil {
			return err
		}
		if strings.HasPrefix(old.Lineage, outside) {
			return &hufu.Error{Op: "renew", Kind: hufu.KindRefused, Code: "renew_outside"}
		}
		good, err := goodCertificates(ctx, q, old.User, old.Device, now)
		if err != nil {
			return err
		}
		for _, c := range good {
			// One made while the clock was ahead is newer than any, and of no use now.
			newer := c.Issued.After(old.Issued) || now.Before(old.NotBefore)
			if c.Lineage == old.Lineage && c.SPKI == key && newer && !now.Before(c.NotBefore) && now.Sub(c.Issued) < ClientLife/3 {
				leaf, err = q.CertificateDER(ctx, c.Serial)
				return err
			}
		}
		if len(good) >= maxPerDevice {
			return &hufu.Error{Op: "renew", Kind: hufu.KindRateLimit, Code: "device_certificates", Args: map[string]string{"device": old.Device}}
		}
		next, err := a.sign(clientTemplate(old.User, old.Device), csr.PublicKey, ClientLife)
		if err != nil {
			return err
		}
		row, err := a.row(next, meta.UseClient, old.User, old.Device)
		if err != nil {
			return err
		}
		row.Lineage = old.Lineage
		leaf = next.Raw
		return q.AddCertificate(ctx, row)
	})
	if err != nil {
		return nil, err
	}
	a.reload(ctx)
	a.log.Info("renewed", "serial", serial)
	return a.chain(leaf), nil
}

// Why returns the reason that a refused client is told on the enrollment protocol, nil if there
// is none. peer and presented are the results of identity.Server.EnrollPeer: nothing is looked up
// for a certificate that is not ours.
func (a *Authority) Why(ctx context.Context, peer identity.Peer, presented error) *hufu.Error {
	var told *hufu.Error
	if presented != nil {
		e, ok := errors.AsType[*hufu.Error](presented)
		if !ok {
			e = &hufu.Error{Op: "judge presented certificate", Kind: hufu.KindRefused, Code: "cert_unknown", Err: presented}
		}
		if peer.Serial == "" {
			return e
		}
		told = e
	}
	_, err := a.acc.AdmitOrLook(ctx, peer.Serial, peer.Fingerprint)
	e, ok := errors.AsType[*hufu.Error](err)
	// That a certificate has ended the verification says better: it knows both
	// clocks.
	if !ok || e.Code == "cert_expired" && told != nil {
		return told
	}
	return e
}

// SignOptions describe a certificate for a request made elsewhere.
type SignOptions struct {
	Use    string   // meta.UseClient or meta.UseServer
	User   string   // of a client; must exist
	Device string   // of a client
	Names  []string // of a server; those of this server if empty
}

// Sign issues a certificate for a PEM request that an administrator brings, and
// returns it with the issuing CA behind it, in PEM. Of the request only the
// public key is used.
func (a *Authority) Sign(ctx context.Context, request []byte, o SignOptions) ([]byte, error) {
	csr, err := identity.ParseCSRPEM(request)
	if err != nil {
		return nil, err
	}
	template, life := clientTemplate(o.User, o.Device), ClientLife
	switch o.Use {
	case meta.UseClient:
		if err := errors.Join(hufu.CheckUserName(o.User), hufu.CheckDeviceName(o.Device)); err != nil {
			return nil, err
		}
	case meta.UseServer:
		if len(o.Names) == 0 {
			if o.Names, err = a.Names(); err != nil {
				return nil, err
			}
		}
		dns, ips, err := split(o.Names)
		if err != nil {
			return nil, err
		}
		template, life = serverTemplate(o.Names[0], dns, ips), ServerLife
		o.User, o.Device = "", ""
	default:
		return nil, &hufu.Error{Op: "sign", Kind: hufu.KindUsage, Code: "sign_use"}
	}
	leaf, err := a.sign(template, csr.PublicKey, life)
	if err != nil {
		return nil, err
	}
	row, err := a.row(leaf, o.Use, o.User, o.Device)
	if err != nil {
		return nil, err
	}
	err = a.db.Update(ctx, func(q meta.Queries) error {
		if o.Use == meta.UseClient {
			if err := account.CheckPresent(ctx, q, o.User); err != nil {
				return err
			}
		}
		return q.AddCertificate(ctx, row)
	})
	if err != nil {
		return nil, err
	}
	a.reload(ctx)
	return identity.MarshalCerts(leaf, cmp.Or(a.issuer.Load().of(leaf), a.Issuing())), nil
}

// PEM returns a certificate as it was issued, for looking at.
func PEM(der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}) }
