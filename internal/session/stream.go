package session

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Buffer sizes between crypto/tls and the socket, in bytes. crypto/tls writes
// one 16 KiB record at a time and reads little more; fewer, larger system calls
// make a transfer a quarter faster.
const (
	readAhead = 256 << 10
	coalesce  = 128 << 10
)

// Stream sits below TLS. It gathers writes until Flush or until coalesce bytes
// are there, reads ahead, and remembers when bytes last moved. A stream that
// has nothing to do holds no buffers. One reader and one writer at a time, as
// crypto/tls has them.
type Stream struct {
	net.Conn

	rbuf    *[readAhead]byte // nil while little comes
	rpos    int
	rend    int
	eager   bool        // the last read suggests that more is waiting
	ahead   atomic.Bool // bytes are awaited in rbuf
	rmu     sync.Mutex  // guards until and shrink
	until   time.Time   // the deadline of reading
	shrink  bool        // a read was broken off so that it gives rbuf back
	wmu     sync.Mutex
	wbuf    *[coalesce]byte // nil while empty
	wlen    int
	gather  atomic.Bool
	sending atomic.Int64 // when the write that is going on began, in ns; 0 if none, in nanoseconds; 0 if none
	moved   atomic.Int64 // time of the last byte, in nanoseconds
	sent    atomic.Int64 // time of the last byte written
	in      atomic.Int64
	out     atomic.Int64
	way     Way
}

var (
	readPool  = sync.Pool{New: func() any { return new([readAhead]byte) }}
	writePool = sync.Pool{New: func() any { return new([coalesce]byte) }}
)

// NewStream puts a stream over a connection. Until Gather is called every
// write goes out at once, as a handshake needs it.
func NewStream(c net.Conn) *Stream {
	s := &Stream{Conn: c, way: adapt(c)}
	s.moved.Store(time.Now().UnixNano())
	return s
}

// Gather begins to hold writes back until Flush.
func (s *Stream) Gather() { s.gather.Store(true) }

// Way returns the properties of the network, measured when the connection was made or, later,
// when the session began.
func (s *Stream) Way() Way { return s.way }

// Moved is when a byte was last read or written.
func (s *Stream) Moved() time.Time { return time.Unix(0, s.moved.Load()) }

// Sent is when a byte was last written.
func (s *Stream) Sent() time.Time { return time.Unix(0, s.sent.Load()) }

// Sending reports whether bytes are being written, or wait for the other end to
// take some.
func (s *Stream) Sending() bool { return s.sending.Load() != 0 }

// Blocked returns how long the write that is going on has taken, 0 if nothing is.
func (s *Stream) Blocked(now time.Time) time.Duration {
	began := s.sending.Load()
	if began == 0 {
		return 0
	}
	return now.Sub(time.Unix(0, began))
}

// touch counts as a byte that has moved: this end was busy and did not read.
func (s *Stream) touch() { s.moved.Store(time.Now().UnixNano()) }

// Bytes returns how many bytes were read from and written to the network.
func (s *Stream) Bytes() (in, out int64) { return s.in.Load(), s.out.Load() }

func (s *Stream) Read(p []byte) (int, error) {
	if s.rpos < s.rend {
		n := copy(p, s.rbuf[s.rpos:s.rend])
		s.rpos += n
		return n, nil
	}
	if !s.eager || len(p) >= readAhead {
		s.release()
		n, err := s.Conn.Read(p)
		if n == 0 && s.shrunk(err) {
			n, err = s.Conn.Read(p)
		}
		s.eager = n == len(p)
		s.received(n)
		return n, err
	}
	if s.rbuf == nil {
		s.rbuf = readPool.Get().(*[readAhead]byte)
	}
	s.ahead.Store(true)
	n, err := s.Conn.Read(s.rbuf[:])
	s.ahead.Store(false)
	if n == 0 && s.shrunk(err) {
		s.eager = false
		return s.Read(p)
	}
	s.received(n)
	s.eager = n > readAhead/8
	s.rpos, s.rend = 0, n
	if n == 0 {
		s.release()
		return 0, err
	}
	c := copy(p, s.rbuf[:n])
	s.rpos = c
	return c, nil // an error, if any, comes again with the next read
}

// readAheadLeft reports whether bytes were read that no Read has returned yet. Only
// the reader calls it.
func (s *Stream) readAheadLeft() bool { return s.rpos < s.rend }

// Shrink releases the read buffer if nothing has come for a while.
func (s *Stream) Shrink(now time.Time, after time.Duration) {
	if !s.ahead.Load() || now.Sub(s.Moved()) < after {
		return
	}
	s.rmu.Lock()
	defer s.rmu.Unlock()
	s.shrink = s.Conn.SetReadDeadline(time.Unix(1, 0)) == nil
}

// shrunk reports whether err was caused by Shrink, and restores the deadline.
func (s *Stream) shrunk(err error) bool {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	s.rmu.Lock()
	defer s.rmu.Unlock()
	was := s.shrink
	s.shrink = false
	return was && s.Conn.SetReadDeadline(s.until) == nil
}

// SetReadDeadline also remembers t: a read that Shrink has broken off goes on with it.
func (s *Stream) SetReadDeadline(t time.Time) error {
	s.rmu.Lock()
	defer s.rmu.Unlock()
	s.until = t
	return s.Conn.SetReadDeadline(t)
}

// SetDeadline sets the deadlines of reading and writing.
func (s *Stream) SetDeadline(t time.Time) error {
	return errors.Join(s.SetReadDeadline(t), s.SetWriteDeadline(t))
}

func (s *Stream) release() {
	if s.rbuf != nil {
		readPool.Put(s.rbuf)
		s.rbuf, s.rpos, s.rend = nil, 0, 0
	}
}

func (s *Stream) received(n int) {
	if n > 0 {
		s.in.Add(int64(n))
		s.moved.Store(time.Now().UnixNano())
	}
}

// send gives bytes to the network; the caller holds wmu.
func (s *Stream) send(p []byte) (int, error) {
	s.sending.Store(time.Now().UnixNano())
	defer s.sending.Store(0)
	n, err := s.Conn.Write(p)
	s.wrote(n)
	return n, err
}

// taken grows while the other end takes what is being written. If the kernel
// does not tell what was acknowledged, it grows with each finished write.
func (s *Stream) taken() int64 {
	n := s.out.Load()
	if c, ok := s.Conn.(syscall.Conn); ok {
		if raw, err := c.SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) { n += socket(fd).acknowledged() }) // closed: nothing grows
		}
	}
	return n
}

func (s *Stream) wrote(n int) {
	if n > 0 {
		s.out.Add(int64(n))
		now := time.Now().UnixNano()
		s.moved.Store(now)
		s.sent.Store(now)
	}
}

func (s *Stream) Write(p []byte) (int, error) {
	s.wmu.Lock()
	defer s.wmu.Unlock()
	if !s.gather.Load() {
		return s.send(p)
	}
	written := 0
	for len(p) > 0 {
		if s.wbuf == nil {
			s.wbuf = writePool.Get().(*[coalesce]byte)
		}
		n := copy(s.wbuf[s.wlen:], p)
		s.wlen += n
		written += n
		p = p[n:]
		if s.wlen == coalesce {
			if err := s.flush(); err != nil {
				return written, err
			}
		}
	}
	return written, nil
}

// Flush sends the gathered bytes.
func (s *Stream) Flush() error {
	s.wmu.Lock()
	defer s.wmu.Unlock()
	return s.flush()
}

func (s *Stream) flush() error {
	if s.wbuf == nil {
		return nil
	}
	_, err := s.send(s.wbuf[:s.wlen])
	writePool.Put(s.wbuf)
	s.wbuf, s.wlen = nil, 0
	return err
}

// Close sends the gathered bytes, unless the other end does not take them, and
// closes the connection.
func (s *Stream) Close() error {
	if s.wmu.TryLock() {
		if s.wbuf != nil {
			_ = s.SetWriteDeadline(time.Now().Add(PartTimeout / 2))
			_ = s.flush()
		}
		s.wmu.Unlock()
	}
	return s.Conn.Close()
}

// CloseWrite sends the gathered bytes and ends the sending side, so that the
// other end reads all of them before the end of the stream.
func (s *Stream) CloseWrite() error {
	err := s.Flush()
	if c, ok := s.Conn.(interface{ CloseWrite() error }); ok {
		err = errors.Join(err, c.CloseWrite())
	}
	return err
}
