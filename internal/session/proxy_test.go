package session_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"hufu"
	"hufu/internal/session"
	"hufu/internal/testenv/port"
	"hufu/internal/testenv/proxy"
)

func TestParseProxy(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, want string }{
		{"http://proxy.test:3128", "http://proxy.test:3128"},
		{"proxy.test:3128", "http://proxy.test:3128"},
		{"http://proxy.test/", "http://proxy.test:8080"},
		{"socks5://proxy.test", "socks5://proxy.test:1080"},
		{"socks5h://me:secret@[::1]:1081", "socks5h://[::1]:1081"},
		{"", "none"},
		{"direct", "none"},
		{"https://proxy.test:3128", ""},
		{"socks4://proxy.test", ""},
		{"http://", ""},
		{"http://proxy.test/path", ""},
		{"http://me:se%zzcret@proxy.test", ""},
	} {
		p, err := session.ParseProxy(c.in, "")
		got := "none"
		switch {
		case err != nil:
			got = ""
			if hufu.CodeOf(err) != "proxy_form" || strings.Contains(err.Error(), "se%zzcret") {
				t.Errorf("%q: %v", c.in, err)
			}
		case p != nil:
			got = p.String()
		}
		if got != c.want {
			t.Errorf("%q: %q, not %q", c.in, got, c.want)
		}
	}
}

// TestProxyIsNotForAll: no proxy is used for this computer, nor for what NO_PROXY names.
func TestProxyIsNotForAll(t *testing.T) {
	t.Parallel()
	p, err := session.ParseProxy("http://proxy.test:3128", "inner.test,.sub.test,10.0.0.0/8,port.test:9999")
	if err != nil {
		t.Fatal(err)
	}
	own, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	here, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range here {
		if n, ok := a.(*net.IPNet); ok && p.For(net.JoinHostPort(n.IP.String(), "9999")) {
			t.Errorf("%s is an address of this computer", n.IP)
		}
	}
	for address, want := range map[string]bool{
		net.JoinHostPort(own, "9999"): false, net.JoinHostPort(strings.ToUpper(own)+".", "9999"): false,
		"x.localhost:9999": false, "Localhost.:9999": false, "notlocalhost:9999": true, "localhost.test:9999": true,
		"outer.test:9999": true, "localhost:9999": false, "127.0.0.1:9999": false, "127.5.5.5:1": false, "[::1]:9999": false,
		"inner.test:9999": false, "a.inner.test:9999": false, "a.sub.test:1": false, "10.1.2.3:9999": false, "11.1.2.3:9999": true,
		"port.test:9999": false, "port.test:9998": true,
	} {
		if p.For(address) != want {
			t.Errorf("%s: %v", address, !want)
		}
	}
	if (*session.Proxy)(nil).For("outer.test:9999") {
		t.Error("no proxy is used")
	}
}

// echo returns the address of a server that sends back what it gets.
func echo(t *testing.T) string {
	t.Helper()
	return listen(t, func(c net.Conn) { _, _ = io.Copy(c, c) })
}

// listen returns the address of a server that does one thing with each connection.
func listen(t *testing.T, do func(net.Conn)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				do(c)
				_ = c.Close()
			}()
		}
	}()
	return ln.Addr().String()
}

func TestThroughProxies(t *testing.T) {
	t.Parallel()
	_, number, _ := net.SplitHostPort(echo(t))
	for scheme, start := range map[string]func() (*proxy.Proxy, error){"http": proxy.HTTP, "socks5": proxy.SOCKS, "socks5h": proxy.SOCKS} {
		for _, login := range []string{"", "me:p%40ss@", "me:wrong@", "none"} {
			t.Run(scheme+" "+login, func(t *testing.T) {
				t.Parallel()
				server, err := start()
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = server.Close() }()
				want := ""
				switch login {
				case "":
				case "me:wrong@":
					want = "proxy_login_wrong"
					server.User, server.Password = "me", "p@ss"
				case "none":
					login, want = "", "proxy_login"
					server.User, server.Password = "me", "p@ss"
				default:
					server.User, server.Password = "me", "p@ss"
				}
				via, err := session.ParseProxy(scheme+"://"+login+server.Address(), "")
				if err != nil {
					t.Fatal(err)
				}
				for _, host := range []string{"files.test", "192.0.2.1", "2001:db8::1"} {
					address := net.JoinHostPort(host, number)
					c, err := session.Dial(t.Context(), via, address)
					if (err == nil) != (want == "") || err != nil && hufu.CodeOf(err) != want || err != nil && (strings.Contains(err.Error(), "p@ss") || strings.Contains(err.Error(), "wrong@")) {
						t.Fatalf("%s: %v, not %q", address, err, want)
					}
					if err != nil {
						continue
					}
					if _, err := io.WriteString(c, "hello\n"); err != nil {
						t.Fatal(err)
					}
					if got, err := bufio.NewReader(c).ReadString('\n'); got != "hello\n" {
						t.Errorf("%q, %v", got, err)
					}
					_ = c.Close()
					if !slices.Contains(server.Asked(), address) {
						t.Errorf("asked for %v, not %s", server.Asked(), address)
					}
				}
			})
		}
	}
}

// TestBadProxies: each proxy that does not do its work gives an error of its own.
func TestBadProxies(t *testing.T) {
	t.Parallel()
	hangs := func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }
	says := func(s string) func(net.Conn) {
		return func(c net.Conn) {
			if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
				_, _ = io.WriteString(c, s)
			}
		}
	}
	socks := func(answers ...string) func(net.Conn) {
		return func(c net.Conn) {
			for _, a := range answers {
				if _, err := c.Read(make([]byte, 512)); err != nil {
					return
				}
				_, _ = io.WriteString(c, a)
			}
			_, _ = io.Copy(io.Discard, c)
		}
	}
	for _, c := range []struct {
		name, scheme string
		do           func(net.Conn)
		code         string
		kind         hufu.Kind
	}{
		{"hangs", "http", hangs, "proxy_silent", hufu.KindNetwork},
		{"closes", "http", func(net.Conn) {}, "proxy_closed", hufu.KindNetwork},
		{"forbids", "http", says("HTTP/1.1 403 Forbidden\r\n\r\n"), "proxy_refused", hufu.KindPermission},
		{"cannot", "http", says("HTTP/1.0 502 Bad Gateway\r\nA: b\r\n\r\n"), "proxy_cannot_reach", hufu.KindNetwork},
		{"login", "http", says("HTTP/1.1 407 Who\r\n\r\n"), "proxy_login", hufu.KindUsage},
		{"redirects", "http", says("HTTP/1.1 302 Found\r\nLocation: http://x/\r\n\r\n"), "proxy_refused", hufu.KindPermission},
		{"no HTTP", "http", says("220 mail.test ESMTP\r\n"), "proxy_kind", hufu.KindUsage},
		{"no status", "http", says("HTTP/banana\r\n\r\n"), "proxy_kind", hufu.KindUsage},
		{"endless", "http", says("HTTP/1.1 200 OK\r\n" + strings.Repeat("A: b\r\n", 10_000)), "proxy_kind", hufu.KindUsage},
		{"ends in the head", "http", says("HTTP/1.1 200 OK\r\n"), "proxy_closed", hufu.KindNetwork},
		{"hangs", "socks5", hangs, "proxy_silent", hufu.KindNetwork},
		{"closes", "socks5", func(net.Conn) {}, "proxy_closed", hufu.KindNetwork},
		{"HTTP", "socks5", socks("HTTP/1.1 400 Bad Request\r\n\r\n"), "proxy_kind", hufu.KindUsage},
		{"login", "socks5", socks("\x05\x02"), "proxy_login", hufu.KindUsage},
		{"no method", "socks5", socks("\x05\xff"), "proxy_login", hufu.KindUsage},
		{"forbids", "socks5", socks("\x05\x00", "\x05\x02\x00\x01\x00\x00\x00\x00\x00\x00"), "proxy_refused", hufu.KindPermission},
		{"cannot", "socks5", socks("\x05\x00", "\x05\x04\x00\x01\x00\x00\x00\x00\x00\x00"), "proxy_cannot_reach", hufu.KindNetwork},
		{"strange address", "socks5", socks("\x05\x00", "\x05\x00\x00\x09"), "proxy_kind", hufu.KindUsage},
		{"half an address", "socks5", socks("\x05\x00", "\x05\x00\x00\x01\x00"), "proxy_silent", hufu.KindNetwork},
	} {
		t.Run(c.scheme+" "+c.name, func(t *testing.T) {
			t.Parallel()
			via, err := session.ParseProxy(c.scheme+"://"+listen(t, c.do), "")
			if err != nil {
				t.Fatal(err)
			}
			limit := time.Minute
			if c.code == "proxy_silent" {
				limit = 300 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			conn, err := session.Dial(ctx, via, "files.test:9999")
			if err == nil {
				_ = conn.Close()
			}
			if hufu.CodeOf(err) != c.code || hufu.KindOf(err) != c.kind {
				t.Errorf("%v", err)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	via, err := session.ParseProxy("http://"+port.Keep(t), "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := session.Dial(ctx, via, "files.test:9999"); hufu.CodeOf(err) != "proxy_unreachable" {
		t.Errorf("nobody there: %v", err)
	}
	silent := listen(t, hangs)
	if via, err = session.ParseProxy("http://"+silent, ""); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err := session.Dial(ctx, via, "files.test:9999"); hufu.KindOf(err) != hufu.KindCanceled {
		t.Errorf("canceled: %v", err)
	}
}
