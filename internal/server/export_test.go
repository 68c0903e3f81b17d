package server

import (
	"context"
	"io"
	"log/slog"
	"net"
	"time"

	"hufu/internal/account"
	"hufu/internal/blob/mem"
	"hufu/internal/files"
	"hufu/internal/frame"
	"hufu/internal/session"
)

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

// Unanswered returns how many requests have come and are not answered.
func (s *Server) Unanswered() (n int) {
	s.conns.mu.Lock()
	defer s.conns.mu.Unlock()
	for c := range s.conns.all {
		if c, ok := c.(*conn); ok {
			n += c.session.Unanswered()
		}
	}
	return n
}

// FillAhead takes all that may be read ahead, until give is called.
func (s *Server) FillAhead() (give func()) {
	s.aheadRoom.mu.Lock()
	defer s.aheadRoom.mu.Unlock()
	s.aheadRoom.used += aheadBytes
	return func() {
		s.aheadRoom.mu.Lock()
		defer s.aheadRoom.mu.Unlock()
		s.aheadRoom.used -= aheadBytes
	}
}

// LimitHandles sets how many descriptors a user may keep open.
func (s *Server) LimitHandles(n int) {
	s.handles.mu.Lock()
	defer s.handles.mu.Unlock()
	s.handles.limit = n
}

// Handles returns how many a user keeps open.
func (s *Server) Handles(user string) int {
	s.handles.mu.Lock()
	defer s.handles.mu.Unlock()
	return s.handles.of[user]
}

// Ahead returns how many bytes are read ahead.
func (s *Server) Ahead() int64 {
	s.aheadRoom.mu.Lock()
	defer s.aheadRoom.mu.Unlock()
	return s.aheadRoom.used
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

// RefusedAfterAChange lets a connection that accounts do not admit stage a change and then be
// asked for something that is refused. It returns how many answers were given, and why the
// connection ends.
func RefusedAfterAChange(ctx context.Context, accounts *account.Service) (answers int, err error) {
	near, far := net.Pipe()
	defer far.Close()
	s := &Server{o: Options{Account: accounts}, codec: frame.NewCodec(), conns: newConnections(), held: held{limit: 1, drops: true, holders: map[*conn]struct{}{}}, handles: handles{of: map[string]int{}}}
	stream := session.NewStream(near)
	c := &conn{s: s, sub: account.Subject{User: "alice", Device: "pc"}, stream: stream, session: session.NewServer(stream, stream, s.codec), log: NewLog(io.Discard)}
	fs := files.New(mem.NewTrees(mem.Options{}), slog.New(slog.DiscardHandler))
	c.view = fs.For("alice", "pc", func() error { return nil }, slog.DiscardHandler)
	c.batch = c.view.Batch()
	c.greeted.Store(true)
	c.judged = time.Now() // a moment ago
	defer c.close()
	if err := c.Handle(ctx, &session.Request{Message: &frame.Mkdir{Path: frame.Path("d"), Mode: 0o755}}); err != nil {
		return 0, err
	}
	err = c.Handle(ctx, &session.Request{Message: &frame.Stat{Path: frame.Path("d")}, Canceled: true})
	return -c.session.Unanswered(), err
}
