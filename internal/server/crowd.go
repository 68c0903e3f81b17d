package server

import (
	"crypto/tls"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
)

// crowd holds the connections whose peers are not verified yet, up to a limit. No connection
// waits for a place: when all are taken, the origin with the most places loses a connection: its
// oldest that the server is not working for, or its oldest of all if the server is working for
// every one. An honest peer needs its place for a few round trips only, so it gets through even
// if it shares its address with clients that stay silent to keep others out.
type crowd struct {
	limit int

	mu   sync.Mutex
	in   []*stranger // oldest first
	over bool        // no connection is accepted any more
}

type stranger struct {
	crowd  *crowd
	origin netip.Prefix
	cut    func()
	busy   func() bool // whether something is being done for it; nil: never
	out    atomic.Bool // evicted
}

// enter takes a place; cut is called if it is taken away, from any goroutine.
func (c *crowd) enter(remote net.Addr, cut func(), busy func() bool) *stranger {
	s := &stranger{crowd: c, origin: originOf(remote), cut: cut, busy: busy}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		s.evict()
		return s
	}
	if len(c.in) >= c.limit {
		i := c.victim()
		c.in[i].evict()
		c.in = slices.Delete(c.in, i, i+1)
	}
	c.in = append(c.in, s)
	return s
}

func (s *stranger) evict() {
	s.out.Store(true)
	s.cut()
}

// victim returns the index of the oldest one of the origin with the most places that the server
// is not working for, or of its oldest; the caller holds mu.
func (c *crowd) victim() int {
	count := make(map[netip.Prefix]int, len(c.in))
	most := 0
	for _, s := range c.in {
		count[s.origin]++
		most = max(most, count[s.origin])
	}
	if i := slices.IndexFunc(c.in, func(s *stranger) bool { return count[s.origin] == most && (s.busy == nil || !s.busy()) }); i >= 0 {
		return i
	}
	return slices.IndexFunc(c.in, func(s *stranger) bool { return count[s.origin] == most })
}

// leave gives the place back, if it was not taken away.
func (s *stranger) leave() {
	c := s.crowd
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.Index(c.in, s); i >= 0 {
		c.in = slices.Delete(c.in, i, i+1)
	}
}

// working reports whether something is being done for one of the connections.
func (c *crowd) working() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.ContainsFunc(c.in, func(s *stranger) bool { return s.busy != nil && s.busy() })
}

// end closes all connections, including later ones.
func (c *crowd) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	for _, s := range c.in {
		s.evict()
	}
	c.in = nil
}

// originOf returns the address range that one peer usually controls: an address, or the /64 of an
// IPv6 address.
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

// step is the progress of a handshake.
type step struct {
	remote net.Addr
	cut    func()
	place  *stranger // changed by the goroutine of the handshake alone
}

// stepKey is the key of a step in the context of a handshake.
type stepKey struct{}

// withSteps returns a copy of config with which a connection moves from the silent ones to the
// handshakes when its ClientHello has come: however many are silent, they take no place from
// peers that make progress.
func (s *Server) withSteps(config *tls.Config) *tls.Config {
	config = config.Clone()
	choose := config.GetConfigForClient
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if st, ok := hello.Context().Value(stepKey{}).(*step); ok {
			st.place.leave()
			st.place = s.handshakes.enter(st.remote, st.cut, nil)
		}
		return choose(hello)
	}
	return config
}
