package session

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpproxy"

	"hufu"
)

// Proxy is a proxy that servers are reached through: HTTP CONNECT or SOCKS5. The proxy resolves the
// names of the servers. It is never used for this computer, nor for what NO_PROXY names. A nil
// Proxy means none.
type Proxy struct {
	url  *url.URL
	uses func(*url.URL) (*url.URL, error)
}

// direct is the value that means no proxy.
const direct = "direct"

// maxProxyAnswer bounds the head of a proxy's answer, in bytes.
const maxProxyAnswer = 16 << 10

// proxyPorts are the schemes of proxies and their usual ports.
var proxyPorts = map[string]string{"http": "8080", "socks5": "1080", "socks5h": "1080"}

// ParseProxy reads the URL of a proxy, http://HOST:PORT or socks5://HOST:PORT, with USER:PASSWORD@
// before the host if need be. "" and "direct" are no proxy. noProxy has the form of NO_PROXY.
func ParseProxy(s, noProxy string) (*Proxy, error) {
	if s == "" || s == direct {
		return nil, nil
	}
	if !strings.Contains(s, "://") {
		s = "http://" + s
	}
	u, err := url.Parse(s)
	if err != nil || proxyPorts[u.Scheme] == "" || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return nil, &hufu.Error{Op: "read proxy", Kind: hufu.KindUsage, Code: "proxy_form"} // the URL may hold a password
	}
	if u.Port() == "" {
		u.Host = net.JoinHostPort(u.Hostname(), proxyPorts[u.Scheme])
	}
	return &Proxy{u, (&httpproxy.Config{HTTPSProxy: "http://proxy", NoProxy: noProxy}).ProxyFunc()}, nil
}

// String returns the URL without user and password.
func (p *Proxy) String() string { return p.url.Scheme + "://" + p.url.Host }

// For reports whether a server is reached through p.
func (p *Proxy) For(address string) bool {
	if p == nil || isHere(address) {
		return false
	}
	via, err := p.uses(&url.URL{Scheme: "https", Host: address})
	return err == nil && via != nil
}

// isHere reports whether address, HOST:PORT, names this computer: by a name below localhost, by its own
// name, or by an address of one of its interfaces. Names are not looked up: the proxy may know others.
func isHere(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	if own, err := os.Hostname(); err == nil {
		if host == strings.ToLower(strings.TrimSuffix(own, ".")) {
			return true
		}
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	all, err := net.InterfaceAddrs()
	return err == nil && slices.ContainsFunc(all, func(a net.Addr) bool {
		n, ok := a.(*net.IPNet)
		if !ok {
			return false
		}
		own, ok := netip.AddrFromSlice(n.IP)
		return ok && own.Unmap() == ip.Unmap().WithZone("")
	})
}

// fail returns an error that names the proxy.
func (p *Proxy) fail(kind hufu.Kind, code, address, answer string, err error) error {
	return &hufu.Error{
		Op: "connect", Path: address, Kind: kind, Code: code, Err: err,
		Args: map[string]string{"proxy": p.String(), "address": address, "answer": answer},
	}
}

// tunnel has the proxy at the other end of conn connect to address. Afterwards conn is a connection
// to there.
func (p *Proxy) tunnel(ctx context.Context, conn net.Conn, address string) error {
	ctx, cancel := context.WithTimeout(ctx, DialTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	ask := p.connect
	if p.url.Scheme != "http" {
		ask = p.socks
	}
	err := ask(conn, address)
	ended := !stop() // the deadline has ended conn
	ours, ok := errors.AsType[*hufu.Error](err)
	switch {
	case ended && errors.Is(ctx.Err(), context.Canceled):
		return &hufu.Error{Op: "connect", Path: address, Kind: hufu.KindCanceled, Err: context.Cause(ctx)}
	case ended, errors.Is(err, os.ErrDeadlineExceeded):
		return p.fail(hufu.KindNetwork, "proxy_silent", address, "", err)
	case ok:
		return ours
	case err != nil:
		return p.fail(hufu.KindNetwork, "proxy_closed", address, "", err)
	}
	return nil
}

// connect is tunnel for a proxy that speaks HTTP.
func (p *Proxy) connect(conn net.Conn, address string) error {
	var head strings.Builder
	head.WriteString("CONNECT " + address + " HTTP/1.1\r\nHost: " + address + "\r\n")
	if user := p.url.User; user != nil {
		password, _ := user.Password()
		head.WriteString("Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password)) + "\r\n")
	}
	head.WriteString("\r\n")
	if _, err := io.WriteString(conn, head.String()); err != nil {
		return err
	}
	// Byte by byte: what follows the head belongs to the server.
	var answer []byte
	for b := make([]byte, 1); !bytes.HasSuffix(answer, []byte("\r\n\r\n")); answer = append(answer, b[0]) {
		if len(answer) == maxProxyAnswer || len(answer) >= 5 && !bytes.HasPrefix(answer, []byte("HTTP/")) {
			return p.fail(hufu.KindUsage, "proxy_kind", address, "", nil)
		}
		if _, err := io.ReadFull(conn, b); err != nil {
			return err
		}
	}
	r, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(answer)), &http.Request{Method: http.MethodConnect})
	if err != nil {
		return p.fail(hufu.KindUsage, "proxy_kind", address, "", err)
	}
	_ = r.Body.Close()
	switch code := strconv.Itoa(r.StatusCode); {
	case r.StatusCode/100 == 2:
		return nil
	case r.StatusCode == http.StatusProxyAuthRequired && p.url.User == nil:
		return p.fail(hufu.KindUsage, "proxy_login", address, code, nil)
	case r.StatusCode == http.StatusProxyAuthRequired:
		return p.fail(hufu.KindUsage, "proxy_login_wrong", address, code, nil)
	case r.StatusCode/100 == 5:
		return p.fail(hufu.KindNetwork, "proxy_cannot_reach", address, code, nil)
	default:
		return p.fail(hufu.KindPermission, "proxy_refused", address, code, nil)
	}
}

// The numbers of SOCKS5 (RFC 1928, RFC 1929).
const (
	socksVersion  = 5
	socksNone     = 0 // no authentication
	socksPassword = 2
	socksIPv4     = 1
	socksName     = 3
	socksIPv6     = 4
	socksDenied   = 2 // by the rules of the proxy
)

// socks is tunnel for a proxy that speaks SOCKS5.
func (p *Proxy) socks(conn net.Conn, address string) error {
	host, portText, err := net.SplitHostPort(address)
	port, portErr := strconv.ParseUint(portText, 10, 16)
	if err != nil || portErr != nil || len(host) > 255 {
		return &hufu.Error{Op: "connect", Path: address, Kind: hufu.KindUsage, Code: "bad_address", Err: err}
	}
	greeting := []byte{socksVersion, 1, socksNone}
	if p.url.User != nil {
		greeting = []byte{socksVersion, 2, socksNone, socksPassword}
	}
	answer := make([]byte, 2)
	if err := exchange(conn, greeting, answer); err != nil {
		return err
	}
	switch {
	case answer[0] != socksVersion:
		return p.fail(hufu.KindUsage, "proxy_kind", address, "", nil)
	case answer[1] == socksPassword && p.url.User != nil:
		user := p.url.User.Username()
		password, _ := p.url.User.Password()
		if len(user) > 255 || len(password) > 255 {
			return p.fail(hufu.KindUsage, "proxy_login_wrong", address, "", nil)
		}
		login := append([]byte{1, byte(len(user))}, user...)
		login = append(append(login, byte(len(password))), password...)
		if err := exchange(conn, login, answer); err != nil {
			return err
		}
		if answer[1] != 0 {
			return p.fail(hufu.KindUsage, "proxy_login_wrong", address, "", nil)
		}
	case answer[1] == socksNone:
	case p.url.User == nil:
		return p.fail(hufu.KindUsage, "proxy_login", address, "", nil)
	default:
		return p.fail(hufu.KindUsage, "proxy_login_wrong", address, "", nil)
	}
	request := []byte{socksVersion, 1, 0}
	switch ip := net.ParseIP(host); {
	case ip.To4() != nil:
		request = append(append(request, socksIPv4), ip.To4()...)
	case ip != nil:
		request = append(append(request, socksIPv6), ip...)
	default:
		request = append(append(request, socksName, byte(len(host))), host...)
	}
	request = append(request, byte(port>>8), byte(port))
	head := make([]byte, 4)
	if err := exchange(conn, request, head); err != nil {
		return err
	}
	if head[0] != socksVersion {
		return p.fail(hufu.KindUsage, "proxy_kind", address, "", nil)
	}
	switch answer := strconv.Itoa(int(head[1])); head[1] {
	case 0:
	case socksDenied:
		return p.fail(hufu.KindPermission, "proxy_refused", address, answer, nil)
	default:
		return p.fail(hufu.KindNetwork, "proxy_cannot_reach", address, answer, nil)
	}
	rest := map[byte]int{socksIPv4: net.IPv4len + 2, socksIPv6: net.IPv6len + 2}[head[3]]
	if head[3] == socksName {
		if _, err := io.ReadFull(conn, head[:1]); err != nil {
			return err
		}
		rest = int(head[0]) + 2
	}
	if rest == 0 {
		return p.fail(hufu.KindUsage, "proxy_kind", address, "", nil)
	}
	_, err = io.ReadFull(conn, make([]byte, rest))
	return err
}

// exchange sends a message and reads an answer of known length.
func exchange(conn net.Conn, message, answer []byte) error {
	if _, err := conn.Write(message); err != nil {
		return err
	}
	_, err := io.ReadFull(conn, answer)
	return err
}
