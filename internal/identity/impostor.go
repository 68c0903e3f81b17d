package identity

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"

	"hufu"
)

// Impostor returns the configuration of a man in the middle: certificates with the same names and
// dates as those that the server of a connection has presented, signed by a CA that has the name
// of the server's CA and another key. It exists to demonstrate that clients refuse it.
func Impostor(server tls.ConnectionState) (*tls.Config, error) {
	const op = "imitate a server"
	presented := server.PeerCertificates
	if len(presented) == 0 {
		return nil, refuse(sideServer, reasonNone, nil, nil)
	}
	top := presented[len(presented)-1]
	var issuer *Certificate
	var issuerKey *ecdsa.PrivateKey
	out := tls.Certificate{}
	// From the root, of which only the name is known, down to the leaf.
	for i := len(presented); i >= 0; i-- {
		template := &Certificate{
			RawSubject: top.RawIssuer, NotBefore: top.NotBefore, NotAfter: top.NotAfter,
			IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		}
		if i < len(presented) {
			c := presented[i]
			template = &Certificate{
				RawSubject: c.RawSubject, NotBefore: c.NotBefore, NotAfter: c.NotAfter,
				IsCA: c.IsCA, BasicConstraintsValid: c.BasicConstraintsValid, KeyUsage: c.KeyUsage, ExtKeyUsage: c.ExtKeyUsage,
				DNSNames: c.DNSNames, IPAddresses: c.IPAddresses, URIs: c.URIs, EmailAddresses: c.EmailAddresses,
			}
		}
		random := make([]byte, 16)
		_, _ = rand.Read(random) // never fails
		random[0] = random[0]&0x7f | 1
		template.SerialNumber = new(big.Int).SetBytes(random)
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, &hufu.Error{Op: op, Kind: hufu.KindInternal, Err: err}
		}
		parent, parentKey := issuer, issuerKey
		if parent == nil {
			parent, parentKey = template, key
		}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
		if err != nil {
			return nil, &hufu.Error{Op: op, Kind: hufu.KindInternal, Err: err}
		}
		if issuer, err = x509.ParseCertificate(der); err != nil {
			return nil, &hufu.Error{Op: op, Kind: hufu.KindInternal, Err: err}
		}
		issuerKey = key
		out.Certificate = append([][]byte{der}, out.Certificate...)
		out.PrivateKey = key
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{out}, NextProtos: []string{ProtoNative},
		ClientAuth: tls.RequestClientCert, SessionTicketsDisabled: true,
	}, nil
}
