package session

import (
	"context"
	"errors"
	"net"
	"syscall"
	"time"

	"hufu"
)

// DialTimeout is how long a client waits for a connection, TLS included.
const DialTimeout = 15 * time.Second

// Dial opens a TCP connection to address, HOST:PORT, through a proxy if there is one for it.
func Dial(ctx context.Context, via *Proxy, address string) (net.Conn, error) {
	if !via.For(address) {
		return dialTCP(ctx, address)
	}
	raw, err := dialTCP(ctx, via.url.Host)
	if k := hufu.KindOf(err); k == hufu.KindNetwork {
		return nil, via.fail(k, "proxy_unreachable", address, "", err)
	}
	if err != nil {
		return nil, err
	}
	if err := via.tunnel(ctx, raw, address); err != nil {
		_ = raw.Close()
		return nil, err
	}
	return raw, nil
}

func dialTCP(ctx context.Context, address string) (net.Conn, error) {
	d := net.Dialer{}
	d.SetMultipathTCP(false)
	raw, err := d.DialContext(ctx, "tcp", address)
	if errors.Is(err, context.Canceled) {
		return nil, &hufu.Error{Op: "connect", Path: address, Kind: hufu.KindCanceled, Err: err}
	}
	if Exhausted(err) {
		return nil, &hufu.Error{Op: "connect", Path: address, Kind: hufu.KindUnavailable, Code: "too_many_open_files", Err: err}
	}
	if err != nil {
		code := "cannot_connect"
		if e, ok := errors.AsType[*net.DNSError](err); ok && e.IsNotFound {
			code = "name_not_found"
		}
		return nil, &hufu.Error{Op: "connect", Path: address, Kind: hufu.KindNetwork, Code: code, Args: map[string]string{"address": address}, Err: err}
	}
	return raw, nil
}

// Exhausted reports whether err means that this computer has too many files
// open. Waiting for the server does not help then.
func Exhausted(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}
