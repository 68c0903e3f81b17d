package session

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"hufu"
	"hufu/internal/frame"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// link is a connection in memory that behaves as TCP does: each direction
// holds so many bytes, can be ended by itself, and a close over unread bytes,
// or a write to a closed end, destroys what the other end has not read yet.
// All waiting is on one condition, so it works in a bubble.
type link struct {
	mu   sync.Mutex
	cond *sync.Cond
	ends [2]end
}

type end struct {
	*link
	peer   *end
	in     []byte // received, not read
	room   int
	eof    bool // the peer sends no more
	reset  bool
	closed bool
	rd, wd time.Time
}

// newLink makes both ends, each with room for so many bytes that are not read.
func newLink(room int) (a, b *end) {
	l := &link{}
	l.cond = sync.NewCond(&l.mu)
	l.ends[0] = end{link: l, peer: &l.ends[1], room: room}
	l.ends[1] = end{link: l, peer: &l.ends[0], room: room}
	return &l.ends[0], &l.ends[1]
}

func passed(t time.Time) bool { return !t.IsZero() && !time.Now().Before(t) }

func (e *end) Read(p []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for {
		switch {
		case e.closed:
			return 0, net.ErrClosed
		case passed(e.rd):
			return 0, os.ErrDeadlineExceeded
		case e.reset:
			return 0, syscall.ECONNRESET
		case len(e.in) > 0:
			n := copy(p, e.in)
			e.in = e.in[n:]
			e.cond.Broadcast()
			return n, nil
		case e.eof:
			return 0, io.EOF
		}
		e.cond.Wait()
	}
}

func (e *end) Write(p []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	written := 0
	for len(p) > 0 {
		n := min(len(p), e.peer.room-len(e.peer.in))
		switch {
		case e.closed || e.peer.eof:
			return written, net.ErrClosed
		case passed(e.wd):
			return written, os.ErrDeadlineExceeded
		case e.peer.closed:
			e.in, e.reset = nil, true
			e.cond.Broadcast()
			return written, syscall.EPIPE
		case n > 0:
			e.peer.in = append(e.peer.in, p[:n]...)
			p = p[n:]
			written += n
			e.cond.Broadcast()
		default:
			e.cond.Wait()
		}
	}
	return written, nil
}

func (e *end) CloseWrite() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.peer.eof = true
	e.cond.Broadcast()
	return nil
}

func (e *end) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.closed && len(e.in) > 0 {
		e.peer.in, e.peer.reset = nil, true
	}
	e.closed, e.peer.eof = true, true
	e.cond.Broadcast()
	return nil
}

func (e *end) deadline(at *time.Time, t time.Time) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	*at = t
	e.cond.Broadcast()
	if d := time.Until(t); !t.IsZero() && d > 0 {
		time.AfterFunc(d, func() {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.cond.Broadcast()
		})
	}
	return nil
}

func (e *end) SetReadDeadline(t time.Time) error  { return e.deadline(&e.rd, t) }
func (e *end) SetWriteDeadline(t time.Time) error { return e.deadline(&e.wd, t) }
func (e *end) SetDeadline(t time.Time) error {
	return errors.Join(e.SetReadDeadline(t), e.SetWriteDeadline(t))
}
func (*end) LocalAddr() net.Addr  { return &net.UnixAddr{Name: "memory", Net: "memory"} }
func (*end) RemoteAddr() net.Addr { return &net.UnixAddr{Name: "memory", Net: "memory"} }

const roomy = 256 << 10

// handler is a Handler of two functions, both of which may be nil.
type handler struct {
	handle func(context.Context, *Request) error
	idle   func(context.Context) error
}

func (h handler) Handle(ctx context.Context, r *Request) error {
	if h.handle == nil {
		return nil
	}
	return h.handle(ctx, r)
}

func (h handler) Idle(ctx context.Context) error {
	if h.idle == nil {
		return nil
	}
	return h.idle(ctx)
}

// reply returns a good answer to any request that the tests make.
func reply(r *Request) frame.Message {
	switch m := r.Message.(type) {
	case *frame.Stat:
		return &frame.StatAnswer{Entry: frame.Entry{Name: []byte(m.Path.Path().Base()), Kind: uint8(hufu.File)}}
	case *frame.Put:
		return &frame.PutAnswer{}
	case *frame.Read:
		return &frame.ReadAnswer{CV: make([]byte, 32)}
	case *frame.List:
		return &frame.ListAnswer{Entries: []frame.Entry{}}
	case *frame.Logout:
		return &frame.LogoutAnswer{}
	}
	return &frame.Error{Kind: "invalid"}
}

// echo answers everything at once.
func echo(s **Server) handler {
	return handler{handle: func(_ context.Context, r *Request) error {
		defer (*s).Release(r)
		return (*s).Answer(reply(r), false, nil)
	}}
}

// run serves h over conn; the result comes when it is over.
func run(conn net.Conn, h func(s **Server) handler) (*Server, <-chan error) {
	stream := NewStream(conn)
	s := NewServer(stream, stream, frame.NewCodec())
	over := make(chan error, 1)
	go func() { over <- s.Serve(context.Background(), h(&s)) }()
	return s, over
}

func dial(conn net.Conn) *Client {
	stream := NewStream(conn)
	return NewClient(stream, stream, frame.NewCodec(), nil)
}

// peer speaks frames by hand, for tests of one end alone.
type peer struct {
	t    testing.TB
	conn net.Conn
	c    *frame.Codec
}

func byHand(t testing.TB, conn net.Conn) peer { return peer{t, conn, frame.NewCodec()} }

func (p peer) bytes(m frame.Message, more bool, raw []byte) []byte {
	p.t.Helper()
	b, err := p.c.Append(nil, m, more, len(raw))
	if err != nil {
		p.t.Fatal(err)
	}
	return append(b, raw...)
}

func (p peer) write(m frame.Message, more bool, raw []byte) {
	p.t.Helper()
	if _, err := p.conn.Write(p.bytes(m, more, raw)); err != nil {
		p.t.Error(err)
	}
}

// read returns the next frame, nil at the end of the stream.
func (p peer) read() (frame.Message, []byte) {
	p.t.Helper()
	var head [frame.HeaderSize]byte
	if _, err := io.ReadFull(p.conn, head[:]); err != nil {
		return nil, nil
	}
	h, err := frame.ParseHeader(&head)
	if err != nil {
		p.t.Error(err)
		return nil, nil
	}
	body := make([]byte, h.Body+h.Raw)
	if _, err := io.ReadFull(p.conn, body); err != nil {
		return nil, nil
	}
	m, err := p.c.Decode(h.Type, body[:h.Body])
	if err != nil {
		p.t.Error(err)
	}
	return m, body[h.Body:]
}

func path(t testing.TB, s string) frame.Path {
	t.Helper()
	p, err := hufu.ParsePath(s)
	if err != nil {
		t.Fatal(err)
	}
	return frame.WirePath(p)
}

func put() *frame.Put {
	return &frame.Put{Path: frame.Path("f"), Digest: make([]byte, 32), Condition: frame.Condition{Kind: uint8(hufu.Always)}}
}

// tlsPair is TLS over both ends, with a certificate that is made for it; the
// handshake is still to be made.
func tlsPair(t testing.TB, a, b net.Conn) (server, client *tls.Conn, below, above *Stream) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	below, above = NewStream(a), NewStream(b)
	server = tls.Server(below, &tls.Config{
		MinVersion: tls.VersionTLS13, SessionTicketsDisabled: true,
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
	})
	client = tls.Client(above, &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots, ServerName: "test"})
	return server, client, below, above
}

// Unanswered returns how many requests wait for their answers.
func (c *Client) Unanswered() int {
	c.qmu.Lock()
	defer c.qmu.Unlock()
	return len(c.queue)
}
