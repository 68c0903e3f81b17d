// Package session is one connection as a pipeline of calls: requests are sent
// without waiting, answers come back in the same order. It owns the order, the
// bounds, the buffers, the watch over a stalled connection and the way of
// parting, at both ends. The meaning of a request is left to the caller.
//
// No deadlock: a client's reader never waits for its writer, and a server never
// holds more unanswered requests than its hello allowed, so at least one
// direction always drains.
package session

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"hufu"
	"hufu/internal/digest"
	"hufu/internal/frame"
)

// Bounds that a server's hello names.
const (
	MaxRequests = 1024     // unanswered requests on one connection
	MaxAsked    = 64 << 20 // answer bytes requested and not yet received
)

// Times of a connection.
const (
	StallTimeout = 30 * time.Second // nothing moves although something is awaited
	PartTimeout  = time.Second      // how long parting may take
	WorkingEvery = 5 * time.Second  // notice while an answer takes long
	Patience     = 10 * time.Minute // how long a client accepts nothing but such notices
	LongPatience = 24 * time.Hour   // the same for requests that may take long
	// ClientStall is how long a server waits for a client that reads nothing of
	// what is being sent to it, or stops in the middle of a request. It is long
	// because a full window reopens in steps: where the client's kernel holds
	// 6 MiB, the server sees progress only after 384 KiB of them were read.
	ClientStall = time.Minute
	// flushEvery bounds how long an answer stays in a buffer while requests
	// keep coming.
	flushEvery = 100 * time.Millisecond
	// flushBytes bounds how many raw bytes are handled while an answer stays in a buffer: a
	// client that has not received the answer sends those bytes again if the server dies.
	flushBytes = 4 << 20
)

// Raw bytes come into buffers that are used again, of three sizes: most files
// are small, and a thousand of them may wait for their handler.
const (
	tinyRaw  = 4 << 10
	smallRaw = 32 << 10
)

var (
	tinyPool  = sync.Pool{New: func() any { return new([tinyRaw]byte) }}
	smallPool = sync.Pool{New: func() any { return new([smallRaw]byte) }}
	chunkPool = sync.Pool{New: func() any { return new(Chunk) }}
)

// Chunk is room for the raw bytes of one frame.
type Chunk [frame.MaxRaw]byte

// TakeChunk takes a chunk from the pool that all connections share, for both
// directions.
func TakeChunk() *Chunk { return chunkPool.Get().(*Chunk) }

// Give puts the chunk back into the pool.
func (c *Chunk) Give() { chunkPool.Put(c) }

// wire holds what both ends share: a stream, on it TLS or nothing, and on that framing.
type wire struct {
	codec   *frame.Codec
	stream  *Stream
	conn    net.Conn // TLS over stream, or stream itself
	in      afterFirst
	br      *bufio.Reader // of in; nil while nothing has come
	midway  atomic.Bool   // a frame has begun, and its rest is awaited
	body    []byte
	filling *digest.Filling // nil until a chunk comes

	wmu  sync.Mutex    // guards everything below
	bw   *bufio.Writer // of conn; nil while nothing is to be sent
	head []byte
	werr error
}

func newWire(conn net.Conn, stream *Stream, codec *frame.Codec) *wire {
	stream.way = adapt(stream.Conn) // once more: the first sample may have been a slow one
	if stream.way.far() {
		go stream.way.leaveSlowStart(stream.Conn, maxSlowStart) // ends soon after the connection
	}
	stream.Gather()
	return &wire{codec: codec, stream: stream, conn: conn, in: afterFirst{conn: conn}}
}

// write puts a frame into the buffers; the caller holds wmu.
func (w *wire) write(m frame.Message, more bool, raw []byte) error {
	if w.werr != nil {
		return w.werr
	}
	head, err := w.encode(m, more, len(raw))
	if err != nil {
		return err // nothing was written: the connection is whole
	}
	return w.put(head, raw)
}

// encode returns header and message of the next frame, in a buffer that is used
// again for the one after it; the caller holds wmu until put has written them.
func (w *wire) encode(m frame.Message, more bool, raw int) (head []byte, err error) {
	head, err = w.codec.Append(w.head[:0], m, more, raw)
	if err != nil {
		return nil, &hufu.Error{Op: "write frame", Kind: hufu.KindInternal, Err: err}
	}
	w.head = head
	return head, nil
}

// put writes what encode returned, and the raw bytes behind it.
func (w *wire) put(head, raw []byte) error {
	if w.werr != nil {
		return w.werr
	}
	bw := w.writer()
	_, err := bw.Write(head)
	if err == nil && len(raw) > 0 {
		_, err = bw.Write(raw)
	}
	w.werr = err
	return err
}

// flush sends everything; the caller holds wmu.
func (w *wire) flush() error {
	if w.werr != nil {
		return w.werr
	}
	if w.werr = w.flushWriter(); w.werr == nil {
		w.werr = w.stream.Flush()
	}
	return w.werr
}

// read reads the next frame's header and message. Raw bytes are left for
// readRaw. If refuse returns an error for the type, read returns it before the
// message is read.
func (w *wire) read(refuse func(frame.Type) error) (frame.Header, frame.Message, error) {
	if err := w.await(); err != nil {
		return frame.Header{}, nil, err
	}
	w.midway.Store(true)
	defer w.midway.Store(false)
	head, err := w.br.Peek(frame.HeaderSize)
	if err != nil {
		if len(head) > 0 {
			err = noEOF(err)
		}
		return frame.Header{}, nil, err
	}
	h, err := frame.ParseHeader((*[frame.HeaderSize]byte)(head))
	if err == nil {
		err = refuse(h.Type)
	}
	if err != nil {
		return h, nil, err
	}
	if _, err := w.br.Discard(frame.HeaderSize); err != nil {
		return h, nil, err
	}
	if cap(w.body) < h.Body || cap(w.body) > 64<<10 && h.Body < 4<<10 {
		w.body = make([]byte, max(h.Body, 512))
	}
	body := w.body[:h.Body]
	if _, err := io.ReadFull(w.br, body); err != nil {
		return h, nil, noEOF(err)
	}
	m, err := w.codec.Decode(h.Type, body)
	return h, m, err
}

// raw is a buffer with the raw bytes of one frame. They are part of one of the arrays, which goes
// back to its pool.
type raw struct {
	data  []byte
	cv    digest.CV // of a chunk
	tiny  *[tinyRaw]byte
	small *[smallRaw]byte
	chunk *Chunk
}

func (r *raw) free() {
	switch {
	case r.tiny != nil:
		tinyPool.Put(r.tiny)
	case r.small != nil:
		smallPool.Put(r.small)
	case r.chunk != nil:
		r.chunk.Give()
	}
	*r = raw{}
}

// rawCost returns the memory of a buffer, counted against the connection's
// limit.
func rawCost(n int) int {
	switch {
	case n == 0:
		return 0
	case n <= tinyRaw:
		return tinyRaw
	case n <= smallRaw:
		return smallRaw
	}
	return frame.MaxRaw
}

// chunkOf returns the index of the chunk that a request sends or asks for, or -1.
func chunkOf(m frame.Message) int64 {
	switch m := m.(type) {
	case *frame.Range:
		return m.Index
	case *frame.Read:
		return m.Index
	}
	return -1
}

// readRaw reads n raw bytes. If they are chunk number chunk of a file, they are
// hashed on the way, while the processor's cache holds them.
func (w *wire) readRaw(n int, chunk int64) (raw, error) {
	var r raw
	w.midway.Store(true)
	defer w.midway.Store(false)
	switch {
	case n == 0:
		return r, nil
	case n <= tinyRaw:
		r.tiny = tinyPool.Get().(*[tinyRaw]byte)
		r.data = r.tiny[:n]
	case n <= smallRaw:
		r.small = smallPool.Get().(*[smallRaw]byte)
		r.data = r.small[:n]
	default:
		r.chunk = TakeChunk()
		r.data = r.chunk[:n]
	}
	if chunk < 0 {
		if _, err := io.ReadFull(w.br, r.data); err != nil {
			r.free()
			return r, noEOF(err)
		}
		return r, nil
	}
	if w.filling == nil {
		w.filling = new(digest.Filling)
	}
	w.filling.Start(chunk)
	for have := 0; have < n; w.filling.To(r.data[:have]) {
		got, err := w.br.Read(r.data[have:]) // a record of TLS at a time
		if have += got; err != nil && have < n {
			r.free()
			return r, noEOF(err)
		}
	}
	r.cv = w.filling.Chunk(r.data)
	return r, nil
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// closeWrite ends the sending side, of TLS with its close_notify and then of the socket. What is
// unsent may be written until by.
func (w *wire) closeWrite(by time.Time) {
	if c, ok := w.conn.(interface{ CloseWrite() error }); ok && w.conn != net.Conn(w.stream) {
		_ = c.CloseWrite()                // the peer may be gone already
		_ = w.stream.SetWriteDeadline(by) // crypto/tls leaves one that has passed
	}
	_ = w.stream.CloseWrite()
}

// cut closes the connection at once, even during a read or write.
func (w *wire) cut() { _ = w.stream.Conn.Close() }

// broken turns what reading or writing a connection met into an Error.
func broken(err error) *hufu.Error {
	if e, ok := errors.AsType[*hufu.Error](err); ok {
		return e
	}
	e := &hufu.Error{Op: "connection", Kind: hufu.KindNetwork, Code: "connection_lost", Err: err}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		e.Code = "connection_stalled"
	}
	return e
}
