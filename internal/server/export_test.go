package server

// Sending is how many connections wait for their client to take something.
func (s *Server) Sending() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		if c.stream.Sending() {
			n++
		}
	}
	return n
}
