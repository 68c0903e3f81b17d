package server

import (
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
)

// crowd is connections that have not proven who they are, so many at most.
// Nobody waits for a place in it: when it is full, the oldest of the origin
// that takes most of the places loses his. An honest peer is through in a few
// round trips; one who keeps silent to keep others out is himself put out.
type crowd struct {
	limit int

	mu   sync.Mutex
	in   []*stranger // oldest first
	over bool        // nobody is let in any more
}

type stranger struct {
	origin netip.Prefix
	cut    func()
	out    atomic.Bool // put out
}

// enter takes a place; cut is called if it is taken away, from any goroutine.
func (c *crowd) enter(remote net.Addr, cut func()) *stranger {
	s := &stranger{origin: originOf(remote), cut: cut}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		s.put()
		return s
	}
	if len(c.in) >= c.limit {
		i := c.busiest()
		c.in[i].put()
		c.in = slices.Delete(c.in, i, i+1)
	}
	c.in = append(c.in, s)
	return s
}

func (s *stranger) put() {
	s.out.Store(true)
	s.cut()
}

// busiest is the oldest of the origin with the most places; the caller holds
// mu.
func (c *crowd) busiest() int {
	count := make(map[netip.Prefix]int, len(c.in))
	most := 0
	for _, s := range c.in {
		count[s.origin]++
		most = max(most, count[s.origin])
	}
	return slices.IndexFunc(c.in, func(s *stranger) bool { return count[s.origin] == most })
}

func (c *crowd) leave(s *stranger) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.Index(c.in, s); i >= 0 {
		c.in = slices.Delete(c.in, i, i+1)
	}
}

// end puts everybody out, also those who come later.
func (c *crowd) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	for _, s := range c.in {
		s.put()
	}
	c.in = nil
}

// originOf is what one peer can be expected to have: an address, or the /64 of
// an IPv6 one.
func originOf(remote net.Addr) netip.Prefix {
	a, ok := remote.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	ip := a.AddrPort().Addr().Unmap().WithZone("")
	bits := ip.BitLen()
	if ip.Is6() {
		bits = 64
	}
	p, _ := ip.Prefix(bits) // the zero Prefix for no address at all
	return p
}
