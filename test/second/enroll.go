package second

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base32"
	"errors"
	"net"
	"strings"
	"time"
)

// Invitation is what the word says that an administrator hands out.
type Invitation struct {
	Host, Port, Secret string
	Fingerprint        []byte // of the root
}

var letters = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// ParseInvitation reads the word.
func ParseInvitation(word string) (Invitation, error) {
	f := strings.Split(word, "_")
	if len(f) != 6 || f[0] != "hufu1" {
		return Invitation{}, errors.New("not an invitation")
	}
	sum := sha256.Sum256([]byte(strings.TrimSuffix(word, f[5])))
	fp, err := letters.DecodeString(f[3])
	if err != nil || len(fp) != 20 || letters.EncodeToString(sum[:])[:4] != f[5] {
		return Invitation{}, errors.New("mistyped")
	}
	return Invitation{f[1], f[2], f[4], fp}, nil
}

// Identity is what a client keeps: who it is, and whom it trusts.
type Identity struct {
	Host, Port   string
	User, Device string
	Key          crypto.Signer
	Chain        [][]byte // certificate, issuing CA
	Root         *x509.Certificate
}

const (
	native    = "hufu/1"
	enrolling = "hufu-enroll/1"
)

func dialTLS(ctx context.Context, host, port string, config *tls.Config) (*tls.Conn, error) {
	c, err := (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, err
	}
	t := c.(*tls.Conn) // that is what a tls.Dialer makes
	if got := t.ConnectionState().NegotiatedProtocol; got != config.NextProtos[0] {
		return nil, errors.Join(errors.New("the server speaks "+got), t.Close())
	}
	return t, nil
}

func verify(certs []*x509.Certificate, root *x509.Certificate, host string) error {
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(root)
	for _, c := range certs[1:] {
		between.AddCert(c)
	}
	_, err := certs[0].Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, DNSName: host, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	if err == nil && certs[0].IsCA {
		err = errors.New("a CA plays server")
	}
	return err
}

// Enroll trades an invitation for an identity. The key may be nil: then one is
// made.
func Enroll(ctx context.Context, inv Invitation, key crypto.Signer, password, device string) (*Identity, error) {
	if key == nil {
		var err error
		if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			return nil, err
		}
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, err
	}
	var root *x509.Certificate
	t, err := dialTLS(ctx, inv.Host, inv.Port, &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{enrolling}, ServerName: inv.Host,
		InsecureSkipVerify: true, // verified by the fingerprint below
		VerifyConnection: func(cs tls.ConnectionState) error {
			for _, c := range cs.PeerCertificates {
				if sum := sha256.Sum256(c.Raw); bytes.HasPrefix(sum[:], inv.Fingerprint) {
					root = c
					return verify(cs.PeerCertificates, root, inv.Host)
				}
			}
			return errors.New("the server does not show the root of the invitation")
		},
	})
	if err != nil {
		return nil, err
	}
	defer func() { _ = t.Close() }()
	k, err := newConn(t, 1)
	if err != nil {
		return nil, err
	}
	var a enrolled
	if _, err := k.do(tEnroll, enroll{inv.Secret, csr, password, device}, nil, &a); err != nil {
		return nil, err
	}
	if len(a.Chain) != 3 || !bytes.Equal(a.Chain[2], root.Raw) {
		return nil, errors.New("not certificate, issuing CA and root")
	}
	return &Identity{inv.Host, inv.Port, a.User, a.Device, key, a.Chain[:2], root}, nil
}

func (id *Identity) config(alpn string) *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(id.Root)
	return &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{alpn}, ServerName: id.Host, RootCAs: roots, SessionTicketsDisabled: true,
		Certificates: []tls.Certificate{{Certificate: id.Chain, PrivateKey: id.Key}},
		VerifyConnection: func(cs tls.ConnectionState) error {
			if cs.PeerCertificates[0].IsCA {
				return errors.New("a CA plays server")
			}
			return nil
		},
	}
}

// Why asks why the server refuses this identity, nil if it does not.
func (id *Identity) Why(ctx context.Context) (*Failure, time.Time, error) {
	t, err := dialTLS(ctx, id.Host, id.Port, id.config(enrolling))
	if err != nil {
		return nil, time.Time{}, err
	}
	defer func() { _ = t.Close() }()
	k, err := newConn(t, 1)
	if err != nil {
		return nil, time.Time{}, err
	}
	var a why
	_, err = k.do(tWhy, empty{}, nil, &a)
	return a.Error, time.Unix(0, a.Time), err
}
