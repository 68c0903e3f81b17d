//go:build e2e && linux

package nodes

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"hufu/internal/testenv/port"
)

// Balancer is one address for several servers. It leads each connection to the next of them, as a name
// with several addresses does, and past those that do not answer.
type Balancer struct {
	Address string

	release func()
	turn    atomic.Int64
	delay   atomic.Int64 // of what is read, in nanoseconds

	mu    sync.Mutex    // guards what follows
	ln    net.Listener  // nil while connections are refused
	over  chan struct{} // closed when ln is not used any more
	conns map[net.Conn]struct{}
}

// NewBalancer returns a Balancer that leads nowhere yet. With address "" its port is its own until Close;
// otherwise it listens at the address from now on.
func NewBalancer(address string) (n *Balancer, err error) {
	n = &Balancer{Address: address, release: func() {}, conns: map[net.Conn]struct{}{}}
	if address == "" {
		n.Address, n.release, err = port.Hold()
		return n, err
	}
	if n.ln, err = net.Listen("tcp", address); err == nil {
		n.Address = n.ln.Addr().String()
	}
	return n, err
}

// Lead leads connections to the servers at these addresses, until Refuse.
func (n *Balancer) Lead(to ...string) (err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ln == nil {
		if n.ln, err = net.Listen("tcp", n.Address); err != nil {
			return err
		}
	}
	ln, over := n.ln, make(chan struct{})
	n.over = over
	go func() {
		defer close(over)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go n.carry(c, to)
		}
	}()
	return nil
}

// Delay makes everything that is sent in either direction come that much later.
func (n *Balancer) Delay(d time.Duration) { n.delay.Store(int64(d)) }

// late is a connection whose bytes come later.
type late struct {
	net.Conn
	delay *atomic.Int64
}

func (l late) Read(b []byte) (int, error) {
	n, err := l.Conn.Read(b)
	time.Sleep(time.Duration(l.delay.Load()))
	return n, err //nolint:wrapcheck // io.EOF has to stay what it is
}

// Refuse ends all connections; others are refused until Lead.
func (n *Balancer) Refuse() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ln != nil {
		_ = n.ln.Close()
	}
	if n.over != nil {
		<-n.over // until then the port is in use
	}
	n.ln, n.over = nil, nil
	n.cut()
}

// Cut ends all connections; others can be made at once.
func (n *Balancer) Cut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut()
}

func (n *Balancer) cut() {
	for c := range n.conns {
		_ = c.Close()
	}
}

// Close ends the name.
func (n *Balancer) Close() {
	n.Refuse()
	n.release()
}

// dial connects to the next server that answers.
func (n *Balancer) dial(to []string) (net.Conn, error) {
	first := n.turn.Add(1)
	var err error
	for i := range int64(len(to)) {
		var c net.Conn
		if c, err = net.Dial("tcp", to[(first+i)%int64(len(to))]); err == nil {
			return c, nil
		}
	}
	return nil, err
}

// open notes a connection, or closes it if the name leads nowhere any more.
func (n *Balancer) open(c net.Conn) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ln == nil {
		_ = c.Close()
		return false
	}
	n.conns[c] = struct{}{}
	return true
}

func (n *Balancer) close(c net.Conn) {
	_ = c.Close()
	n.mu.Lock()
	delete(n.conns, c)
	n.mu.Unlock()
}

// carry hands on bytes in both directions. An end, and a reset, are handed on as well.
func (n *Balancer) carry(c net.Conn, to []string) {
	if !n.open(c) {
		return
	}
	defer n.close(c)
	s, err := n.dial(to)
	if err != nil {
		_ = c.(*net.TCPConn).SetLinger(0) // it is reset
		return
	}
	if !n.open(s) {
		return
	}
	defer n.close(s)
	var wg sync.WaitGroup
	for _, way := range [][2]net.Conn{{c, s}, {s, c}} {
		wg.Go(func() {
			if _, err := io.Copy(way[1], late{way[0], &n.delay}); err != nil {
				_ = c.(*net.TCPConn).SetLinger(0)
				_, _ = c.Close(), s.Close()
				return
			}
			_ = way[1].(*net.TCPConn).CloseWrite()
		})
	}
	wg.Wait()
}
