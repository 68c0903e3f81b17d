package identity

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"

	"hufu"
)

// Handshake performs the handshake of a client with a configuration of this
// package. Go compares the name before it checks the chain, but the names in a
// certificate are worth nothing before its issuer is known: an attacker would
// choose the name that the user is advised to use. If the name is wrong, the
// chain is verified without it, and a fault of the chain is the error.
func Handshake(ctx context.Context, conn *tls.Conn, cfg *tls.Config) error {
	err := conn.HandshakeContext(ctx)
	wrong, ok := errors.AsType[*tls.CertificateVerificationError](err)
	if !ok || len(wrong.UnverifiedCertificates) == 0 {
		return err
	}
	if _, ok := errors.AsType[x509.HostnameError](wrong.Err); !ok {
		return err
	}
	chain := wrong.UnverifiedCertificates
	_, chainErr := chain[0].Verify(x509.VerifyOptions{
		Roots: cfg.RootCAs, Intermediates: pool(chain[1:]), CurrentTime: cfg.Time(),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}, // the usage comes after the name
	})
	if chainErr != nil {
		return &tls.CertificateVerificationError{UnverifiedCertificates: chain, Err: chainErr}
	}
	return err
}

// Classify turns the error of a handshake, or of the first read after it, into
// its meaning for this side. dialling says that this side is the client. A
// *hufu.Error is returned unchanged; nil stays nil.
//
// In TLS 1.3 a server judges the client after the client has finished, so the
// client learns of a refusal at its first read: pass that error too.
func Classify(err error, dialling bool) *hufu.Error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*hufu.Error](err); ok {
		return e
	}
	judged := sideClient
	if dialling {
		judged = sideServer
	}
	if e, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return fromX509(judged, e.Err)
	}
	const op = "shake hands"
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return &hufu.Error{Op: op, Kind: hufu.KindProtocol, Code: "peer_not_tls", Err: err}
	}
	if e, ok := errors.AsType[*net.OpError](err); ok && e.Op == "remote error" {
		return fromAlert(e, dialling)
	}
	text := err.Error()
	switch {
	case errors.Is(err, context.Canceled):
		return &hufu.Error{Op: op, Kind: hufu.KindCanceled, Err: err}
	case strings.Contains(text, "didn't provide a certificate"):
		return refuse(sideClient, reasonNone, nil, err)
	case strings.Contains(text, "unsupported versions"), strings.Contains(text, "unsupported protocol version"):
		return &hufu.Error{Op: op, Kind: hufu.KindProtocol, Code: "peer_old_tls", Err: err}
	case strings.Contains(text, "unsupported application protocols"), strings.Contains(text, "unadvertised ALPN"):
		return &hufu.Error{Op: op, Kind: hufu.KindProtocol, Code: "server_not_hufu", Err: err}
	case strings.HasPrefix(text, "tls: invalid signature by the"):
		return refuse(judged, reasonNoKey, nil, err)
	case strings.HasPrefix(text, "tls: failed to parse certificate"):
		return refuse(judged, reasonBad, nil, err)
	case strings.HasPrefix(text, "tls: "):
		return &hufu.Error{Op: op, Kind: hufu.KindProtocol, Code: "tls_broken", Err: err}
	}
	return &hufu.Error{Op: op, Kind: hufu.KindNetwork, Err: err}
}

// fromAlert reads the peer's alert. Go keeps the type of alerts to itself, so
// their text is all there is; the tests provoke each one for real.
func fromAlert(e *net.OpError, dialling bool) *hufu.Error {
	const op = "shake hands"
	alert := strings.TrimPrefix(e.Err.Error(), "tls: ")
	args := map[string]string{"alert": alert}
	switch alert {
	case "bad certificate", "unsupported certificate", "revoked certificate", "expired certificate",
		"unknown certificate", "unknown certificate authority", "certificate required", "access denied":
		code := "refused_by_client"
		if dialling {
			code = "refused_by_server"
		}
		return &hufu.Error{Op: op, Kind: hufu.KindRefused, Code: code, Args: args, Err: e}
	case "no application protocol":
		return &hufu.Error{Op: op, Kind: hufu.KindProtocol, Code: "server_not_hufu", Err: e}
	case "protocol version not supported":
		return &hufu.Error{Op: op, Kind: hufu.KindProtocol, Code: "peer_old_tls", Err: e}
	case "internal error":
		return &hufu.Error{Op: op, Kind: hufu.KindUnavailable, Err: e}
	}
	return &hufu.Error{Op: op, Kind: hufu.KindProtocol, Code: "tls_broken", Args: args, Err: e}
}
