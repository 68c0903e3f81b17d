package capture

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
)

// Wrap puts a tap around the client's end of a connection, below TLS: what it
// writes and reads is recorded from now on. A nil Recorder returns c itself.
// The returned connection has CloseWrite, and NetConn for options of the
// socket; nobody must read or write past the tap.
func Wrap(c net.Conn, r *Recorder) net.Conn {
	if r == nil {
		return c
	}
	return &conn{Conn: c, rec: r, flow: r.open(c)}
}

type conn struct {
	net.Conn
	rec  *Recorder
	flow *flow

	// Held over a call and its recording, so that two readers, or two
	// writers, are recorded in the order the socket served them. Closing and
	// deadlines take neither and still end a call that waits.
	rmu, wmu sync.Mutex

	// What was read and recorded but not yet asked for, and the error that
	// came with it; rmu guards them.
	in, ahead []byte
	readErr   error

	inEnd, outEnd, closed, aborted sync.Once
}

const readAhead = 64 << 10

// NetConn is the connection below the tap.
func (c *conn) NetConn() net.Conn { return c.Conn }

// Read takes from the socket as much as is there and records it as one, before
// its reader can act on it: so no answer stands before its question, and
// packets are as large as what arrived, not as what somebody asked for.
func (c *conn) Read(p []byte) (int, error) {
	c.rmu.Lock()
	defer c.rmu.Unlock()
	if len(c.ahead) == 0 && c.readErr == nil {
		if c.in == nil {
			c.in = make([]byte, readAhead)
		}
		if len(p) == 0 {
			return c.Conn.Read(p)
		}
		n, err := c.Conn.Read(c.in)
		if n > 0 {
			c.rec.add(c.flow, eventIn, bytes.Clone(c.in[:n]))
		}
		if errors.Is(err, io.EOF) {
			c.inEnd.Do(func() { c.rec.add(c.flow, eventInEnd, nil) })
		} else {
			c.broke(err)
		}
		c.ahead, c.readErr = c.in[:n], err
	}
	n := copy(p, c.ahead)
	c.ahead = c.ahead[n:]
	var err error
	if len(c.ahead) == 0 {
		// An error is told once; the socket knows whether it lasts.
		err, c.readErr = c.readErr, nil
	}
	return n, err
}

// Write takes its place in the order before the bytes go out: the answer may
// be read while this call has not yet returned. What did not go out is taken
// back.
func (c *conn) Write(p []byte) (int, error) {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	e := c.rec.add(c.flow, eventOut, bytes.Clone(p))
	n, err := c.Conn.Write(p)
	c.rec.cut(e, n)
	c.broke(err)
	return n, err
}

// broke records the end of a connection that failed; a deadline or our own
// closing is no failure.
func (c *conn) broke(err error) {
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrClosedPipe) {
		return
	}
	c.aborted.Do(func() { c.rec.add(c.flow, eventAborted, nil) })
}

// CloseWrite ends the client's direction, if the connection below can.
func (c *conn) CloseWrite() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok {
		return errors.ErrUnsupported
	}
	c.outEnd.Do(func() { c.rec.add(c.flow, eventOutEnd, nil) })
	return half.CloseWrite()
}

func (c *conn) Close() error {
	c.closed.Do(func() { c.rec.add(c.flow, eventClose, nil) })
	return c.Conn.Close()
}
