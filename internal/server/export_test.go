package server

import "context"

// Limits that tests of other packages reach.
const (
	HandshakeTime = handshakeTime
	MaxHandshakes = maxHandshakes
	MaxHeld       = maxHeld
	MaxSilent     = maxSilent
)

// Watch has each request carried out with the context that see makes of its own.
func (s *Server) Watch(see func(context.Context) context.Context) { s.watch.Store(&see) }

// Sending returns how many connections wait for their client to take something.
func (s *Server) Sending() (n int) {
	s.conns.mu.Lock()
	defer s.conns.mu.Unlock()
	for c := range s.conns.all {
		if c.(*conn).stream.Sending() {
			n++
		}
	}
	return n
}

// Held returns how many chunks are held for answers.
func (s *Server) Held() int {
	s.held.mu.Lock()
	defer s.held.mu.Unlock()
	return len(s.held.holders)
}

// Unproven returns how many connections have not said a word, and how many are in their
// handshake.
func (s *Server) Unproven() (silent, handshakes int) {
	count := func(c *crowd) int {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.in)
	}
	return count(&s.silent), count(&s.handshakes)
}
