package session

import (
	"bufio"
	"io"
	"net"
	"sync"
)

// A server holds thousands of connections that wait for their client. So a
// connection takes the buffers between frames and TLS from a pool when the first
// byte comes, and puts them back before it waits again.

// recordSize is the size of these buffers in bytes: the most that a record of TLS
// holds (RFC 8446, section 5.1).
const recordSize = 16 << 10

var (
	readerPool = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, recordSize) }}
	writerPool = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, recordSize) }}
)

// maxKeptHead is the largest buffer for a message that a waiting connection keeps, in
// bytes.
const maxKeptHead = 1 << 10

// afterFirst gives out the byte that await has read by itself, and then reads the
// connection.
type afterFirst struct {
	conn  net.Conn
	first [1]byte
	held  bool // first was not given out yet
}

func (a *afterFirst) Read(p []byte) (int, error) {
	if a.held && len(p) > 0 {
		p[0], a.held = a.first[0], false
		return 1, nil
	}
	return a.conn.Read(p)
}

// await waits until a byte has come, and holds no buffer meanwhile. It does nothing
// while bytes of an earlier read are left.
func (w *wire) await() error {
	if w.br != nil && (w.br.Buffered() > 0 || w.stream.readAheadLeft()) {
		return nil
	}
	if w.br != nil {
		w.br.Reset(nil)
		readerPool.Put(w.br)
		w.br, w.filling = nil, nil
		if cap(w.body) > maxKeptHead {
			w.body = nil
		}
	}
	if _, err := io.ReadFull(w.in.conn, w.in.first[:]); err != nil {
		return err
	}
	w.in.held = true
	w.br = readerPool.Get().(*bufio.Reader)
	w.br.Reset(&w.in)
	return nil
}

// writer returns the buffer for frames; the caller holds wmu.
func (w *wire) writer() *bufio.Writer {
	if w.bw == nil {
		w.bw = writerPool.Get().(*bufio.Writer)
		w.bw.Reset(w.conn)
	}
	return w.bw
}

// flushWriter passes the frames on and puts their buffer back into the pool; the caller
// holds wmu.
func (w *wire) flushWriter() error {
	if w.bw == nil {
		return nil
	}
	if err := w.bw.Flush(); err != nil {
		return err
	}
	w.bw.Reset(nil)
	writerPool.Put(w.bw)
	w.bw = nil
	if cap(w.head) > maxKeptHead {
		w.head = nil
	}
	return nil
}
