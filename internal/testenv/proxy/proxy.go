// Package proxy has small HTTP and SOCKS5 proxies for tests. They take every name for this computer.
package proxy

import (
	"bufio"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
)

// Proxy is a proxy on 127.0.0.1.
type Proxy struct {
	User, Password string // that it requires, if User is not empty

	ln    net.Listener
	mu    sync.Mutex
	asked []string // addresses
}

// HTTP starts a proxy for CONNECT.
func HTTP() (*Proxy, error) { return start((*Proxy).http) }

// SOCKS starts a proxy that speaks SOCKS5.
func SOCKS() (*Proxy, error) { return start((*Proxy).socks) }

func start(serve func(*Proxy, net.Conn) error) (*Proxy, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{ln: ln}
	go func() { // ends with Close
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				_ = serve(p, c)
				_ = c.Close()
			}()
		}
	}()
	return p, nil
}

// Address returns where it listens.
func (p *Proxy) Address() string { return p.ln.Addr().String() }

// Close stops listening.
func (p *Proxy) Close() error { return p.ln.Close() }

// Asked returns the addresses that were asked for.
func (p *Proxy) Asked() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.asked...)
}

// dial connects to the port of an address, on this computer.
func (p *Proxy) dial(address string) (net.Conn, error) {
	p.mu.Lock()
	p.asked = append(p.asked, address)
	p.mu.Unlock()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	return net.Dial("tcp", net.JoinHostPort("127.0.0.1", port))
}

// join copies both ways until both have ended.
func join(a net.Conn, fromA io.Reader, b net.Conn) {
	var both sync.WaitGroup
	half := func(to net.Conn, from io.Reader) {
		_, _ = io.Copy(to, from)
		if t, ok := to.(*net.TCPConn); ok {
			_ = t.CloseWrite()
		}
	}
	both.Go(func() { half(b, fromA) })
	both.Go(func() { half(a, b) })
	both.Wait()
	_ = b.Close()
}

func (p *Proxy) http(c net.Conn) error {
	in := bufio.NewReader(c)
	r, err := http.ReadRequest(in)
	if err != nil {
		return err
	}
	say := func(status string) error {
		_, err := io.WriteString(c, "HTTP/1.1 "+status+"\r\n\r\n")
		return err
	}
	if p.User != "" && r.Header.Get("Proxy-Authorization") != "Basic "+base64.StdEncoding.EncodeToString([]byte(p.User+":"+p.Password)) {
		return say("407 Proxy Authentication Required")
	}
	if r.Method != http.MethodConnect {
		return say("405 Method Not Allowed")
	}
	to, err := p.dial(r.Host)
	if err != nil {
		return say("502 Bad Gateway")
	}
	if err := say("200 Connection established"); err != nil {
		return err
	}
	join(c, in, to)
	return nil
}

func (p *Proxy) socks(c net.Conn) error {
	in := bufio.NewReader(c)
	read := func(n int) []byte {
		b := make([]byte, n)
		_, _ = io.ReadFull(in, b) // zeros are refused
		return b
	}
	head := read(2)
	methods := read(int(head[1]))
	method := byte(0)
	if p.User != "" {
		if method = 2; !slices.Contains(methods, method) {
			method = 0xff
		}
	}
	if _, err := c.Write([]byte{5, method}); err != nil || method == 0xff {
		return err
	}
	if method == 2 {
		user := string(read(int(read(2)[1])))
		password := string(read(int(read(1)[0])))
		status := byte(0)
		if user != p.User || password != p.Password {
			status = 1
		}
		if _, err := c.Write([]byte{1, status}); err != nil || status != 0 {
			return err
		}
	}
	var host string
	switch request := read(4); request[3] {
	case 1:
		host = net.IP(read(net.IPv4len)).String()
	case 3:
		host = string(read(int(read(1)[0])))
	case 4:
		host = net.IP(read(net.IPv6len)).String()
	default:
		return errors.New("unknown kind of address")
	}
	port := read(2)
	to, err := p.dial(net.JoinHostPort(host, strconv.Itoa(int(port[0])<<8|int(port[1]))))
	reply := []byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0}
	if err != nil {
		reply[1] = 5
	}
	if _, err := c.Write(reply); err != nil || reply[1] != 0 {
		return err
	}
	join(c, in, to)
	return nil
}
