package session

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"hufu"
	"hufu/internal/digest"
	"hufu/internal/frame"
)

// Answer is one frame of the answer to a request. Raw is valid only until the
// function that got it returns.
type Answer struct {
	Message frame.Message
	Raw     []byte
	CV      digest.CV // of Raw, if it is a chunk
	More    bool      // the answer has more frames
	Err     error     // instead of a message: the peer's error, or why the connection ended
	Lost    bool      // the connection ended; whether the request was carried out is not known
}

// Client is the calling end. Its methods are safe for concurrent use.
type Client struct {
	*wire
	judge func(error) error // turns a read error into its reason

	turn  sync.Mutex // of Send, one at a time: held while it waits for room, so that wmu stays free for a cancel
	qmu   sync.Mutex
	cond  *sync.Cond // on qmu: room in the bounds, or the end
	queue []pending  // sent or about to be, unanswered, in order
	count uint64     // of the requests so far; the next one's number
	asked int
	// askedSmall is the part of asked that is small files over a far link.
	askedSmall int
	maxReq     int
	maxAsk     int
	window     int   // limit for asked: maxAsk; AskLess lowers it, widen raises it again
	err        error // why the connection ended, set once
	failing    error // what writing met first; the reader finds out why
	waiting    int   // goroutines about to write: the last one flushes
	since      time.Time
	calling    atomic.Bool  // an answer is being given to its function
	answers    atomic.Int64 // frames of answers that have come
	quiet      quiet        // the reader's
	done       chan struct{}
}

type pending struct {
	want  frame.Type
	bytes int
	chunk int64 // requested or sent, -1 if none
	sent  time.Time
	fn    func(Answer)
}

// NewClient starts the calling end over conn, whose lower layer is stream (conn
// is TLS over it, or the stream itself). Judge, if not nil, gets the error that
// ended the connection and may return a better one; that is how a refused
// certificate gets its reason.
func NewClient(conn net.Conn, stream *Stream, codec *frame.Codec, judge func(error) error) *Client {
	c := &Client{
		wire: newWire(conn, stream, codec), judge: judge, done: make(chan struct{}),
		maxReq: 64, maxAsk: frame.MaxRaw, window: frame.MaxRaw, // until hello is answered
	}
	c.cond = sync.NewCond(&c.qmu)
	go c.reader()
	go c.watch()
	return c
}

// Allow sets the bounds that the server's hello named.
func (c *Client) Allow(requests, bytes int) {
	c.qmu.Lock()
	defer c.qmu.Unlock()
	c.maxReq, c.maxAsk = min(requests, MaxRequests), min(bytes, MaxAsked)
	c.window = c.maxAsk
	c.cond.Broadcast()
}

// AskLess limits how many bytes are requested ahead at first, below what Allow
// allows: one of several connections that requested everything would leave
// nothing to the others. The limit grows when answers come as fast as the
// network's round trip permits, which means that more could be under way.
func (c *Client) AskLess(bytes int) {
	c.qmu.Lock()
	defer c.qmu.Unlock()
	c.window = min(bytes, c.maxAsk)
}

// widen raises the limit of AskLess after an answer; the caller holds qmu.
func (c *Client) widen(p pending) {
	if c.window < c.maxAsk && p.bytes > 0 && time.Since(p.sent) < 2*c.stream.Way().RTT {
		more := p.bytes
		if c.small(p.bytes) {
			more *= smallShare
		}
		c.window = min(c.window+more, c.maxAsk)
	}
}

// Over a far link, at most 1/smallShare of the bytes requested ahead may be small files.
// Otherwise the first of several connections would request a thousand of them before the second
// has started.
const smallShare = 16

func (c *Client) small(answerBytes int) bool {
	return answerBytes < frame.MaxRaw/2 && c.stream.Way().far()
}

// patience returns how long a server may say that it is working on an answer of this
// type and send nothing else.
func patience(t frame.Type) time.Duration {
	switch t {
	case frame.TypeHello:
		return time.Minute
	case frame.TypeDigest, frame.TypeOpen, frame.TypeCommit, frame.TypeRemove, frame.TypeRename, frame.TypeCopy:
		return LongPatience // as long as a disk may need to read a file, or to remove a tree
	}
	return Patience
}

// quiet records since when nothing but notices has come.
type quiet struct {
	since   time.Time
	answers int64 // that had come by then
	out     int64 // bytes that had been sent
}

// noticed handles a notice. A server that sends nothing but notices for too
// long is given up; our own sending counts as progress as well.
func (c *Client) noticed(now time.Time) error {
	c.qmu.Lock()
	defer c.qmu.Unlock()
	_, out := c.stream.Bytes()
	if len(c.queue) == 0 || c.quiet.since.IsZero() || c.quiet.answers != c.answers.Load() || c.quiet.out != out {
		c.quiet = quiet{now, c.answers.Load(), out}
		return nil
	}
	if now.Sub(c.quiet.since) >= patience(c.queue[0].want) {
		return protocolError("answer_overdue")
	}
	return nil
}

// Send writes a request and returns when its bytes may be reused; fn gets each
// frame of the answer, in order, on the reading goroutine: it must not send.
// answerBytes is the limit for the raw bytes of the answer. Send waits while
// the bounds are reached, and while the reason of a failed write is looked up:
// at most PartTimeout and the time of judge. If it returns an error, fn is not
// called.
//
// The request may stay in a buffer until Flush.
func (c *Client) Send(m frame.Message, raw []byte, answerBytes int, fn func(Answer)) error {
	_, err := c.send(m, raw, answerBytes, fn)
	return err
}

// send is Send and returns the request's number.
func (c *Client) send(m frame.Message, raw []byte, answerBytes int, fn func(Answer)) (uint64, error) {
	c.turn.Lock()
	defer c.turn.Unlock()
	c.qmu.Lock()
	for c.err == nil && c.full(answerBytes) {
		// What was gathered must be under way before waiting for its answer.
		c.qmu.Unlock()
		_ = c.Flush() // writeFailed has seen its error
		c.qmu.Lock()
		for c.err == nil && c.crowded(answerBytes) {
			c.cond.Wait()
		}
	}
	for c.err == nil && c.failing != nil { // nothing leaves any more; the reader is about to say why
		c.cond.Wait()
	}
	ended := c.err
	c.qmu.Unlock()
	if ended != nil {
		return 0, ended
	}
	// There is still room: only the one whose turn it is takes some.
	c.wmu.Lock()
	defer c.wmu.Unlock()
	head, err := c.encode(m, false, len(raw))
	if err != nil {
		return 0, err
	}
	c.qmu.Lock()
	if c.err != nil {
		defer c.qmu.Unlock()
		return 0, c.err
	}
	number := c.count
	c.count++
	now := time.Now()
	if len(c.queue) == 0 {
		c.since = now
	}
	c.queue = append(c.queue, pending{m.Type(), answerBytes, chunkOf(m), now, fn})
	c.asked += answerBytes
	if c.small(answerBytes) {
		c.askedSmall += answerBytes
	}
	c.qmu.Unlock()
	if err := c.put(head, raw); err != nil {
		c.writeFailed(err)
	}
	return number, nil
}

// cancel tells the server that the answer to a request is no longer needed. It waits while
// another goroutine is writing, but not for room.
func (c *Client) cancel(number uint64) {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	err := c.write(&frame.Cancel{Request: number}, false, nil)
	if err == nil {
		err = c.flush()
	}
	if err != nil {
		c.writeFailed(err)
	}
}

// full reports whether the bounds leave no room; the caller holds qmu.
func (c *Client) full(answerBytes int) bool {
	return len(c.queue) >= c.maxReq || c.asked > 0 && c.asked+answerBytes > c.window ||
		c.askedSmall > 0 && c.small(answerBytes) && c.askedSmall+answerBytes > c.window/smallShare
}

// crowded is full for a request that waits. On a near link it waits until an eighth of what the
// bounds allow is free: if a small request went out as soon as there was room for it, each answer
// would cost a system call and a wake-up at both ends. The caller holds qmu.
func (c *Client) crowded(answerBytes int) bool {
	if c.stream.Way().far() {
		return c.full(answerBytes)
	}
	free := c.window / 8
	if answerBytes > 0 {
		free -= free % answerBytes
	}
	return len(c.queue) > c.maxReq-max(1, c.maxReq/8) || c.asked > 0 && c.asked+max(answerBytes, free) > c.window
}

// Flush sends what Send left in buffers.
func (c *Client) Flush() error {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	if err := c.flush(); err != nil {
		c.writeFailed(err)
		return broken(err)
	}
	return nil
}

// After the first failed write, writeFailed gives the reader one second more: the server says why
// before it cuts, and its goodbye may still be unread.
func (c *Client) writeFailed(err error) {
	c.qmu.Lock()
	first := c.failing == nil
	if first {
		c.failing = err
	}
	c.qmu.Unlock()
	if first {
		_ = c.conn.SetReadDeadline(time.Now().Add(PartTimeout))
	}
}

// Do sends one request and waits for its answer, which must be one frame
// without raw bytes.
func (c *Client) Do(ctx context.Context, m frame.Message) (frame.Message, error) {
	var last frame.Message
	if err := c.Each(ctx, m, func(a Answer) error { last = a.Message; return nil }); err != nil {
		return nil, err
	}
	return last, nil
}

// Each sends one request and waits for all frames of its answer, calling fn for each on the
// reading goroutine. An error of fn ends the connection if the answer has more frames. When it
// returns, fn is not running and will not be called again. If ctx ends before the answer has
// come, the server is told that it may stop.
func (c *Client) Each(ctx context.Context, m frame.Message, fn func(Answer) error) error {
	if err := frame.Check(m); err != nil {
		return err
	}
	done := make(chan error, 1)
	var mu sync.Mutex // guards failed and fn
	var failed error
	c.qmu.Lock()
	c.waiting++
	c.qmu.Unlock()
	number, err := c.send(m, nil, 0, func(a Answer) {
		mu.Lock()
		defer mu.Unlock()
		if failed == nil {
			if failed = a.Err; failed == nil {
				if failed = fn(a); failed != nil && a.More {
					c.Drop() // what follows may have no end
				}
			}
		}
		if !a.More {
			done <- failed
		}
	})
	c.qmu.Lock()
	c.waiting--
	last := c.waiting == 0
	c.qmu.Unlock()
	if last {
		_ = c.Flush()
	}
	if err != nil {
		return err
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		go c.cancel(number) // ends with the connection at the latest
		mu.Lock()
		defer mu.Unlock()
		failed = &hufu.Error{Op: m.Type().String(), Kind: hufu.KindCanceled, Err: context.Cause(ctx)}
		return failed
	}
}

// Way returns the known properties of the network to the server.
func (c *Client) Way() Way { return c.stream.Way() }

// Done is closed when the connection has ended; Err then says why.
func (c *Client) Done() <-chan struct{} { return c.done }

// Err says why the connection ended, nil while it has not.
func (c *Client) Err() error {
	c.qmu.Lock()
	defer c.qmu.Unlock()
	return c.err
}

// Close ends the connection. Requests that are not answered get an error.
func (c *Client) Close() error {
	c.end(&hufu.Error{Op: "connection", Kind: hufu.KindCanceled, Code: "connection_closed"})
	<-c.done
	return nil
}

// Drop ends the connection and does not wait until it has ended. The function of
// an answer may call it.
func (c *Client) Drop() {
	c.end(&hufu.Error{Op: "connection", Kind: hufu.KindNetwork, Code: "connection_lost"})
}

func (c *Client) end(err error) {
	c.qmu.Lock()
	if c.err == nil {
		c.err = err
	}
	c.cond.Broadcast()
	c.qmu.Unlock()
	c.cut() // closing TLS properly would wait for a writer that is blocked
}

// reader ends when the connection does.
func (c *Client) reader() {
	goodbye, err := c.readAll()
	c.qmu.Lock()
	if c.failing != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		err = c.failing
	}
	switch {
	case goodbye != nil:
		err = goodbye
	case c.judge != nil && c.err == nil:
		c.qmu.Unlock()
		err = c.judge(err)
		c.qmu.Lock()
	}
	if c.err == nil {
		c.err = broken(err)
	}
	err = c.err
	rest := c.queue
	c.queue = nil
	c.cond.Broadcast()
	c.qmu.Unlock()
	c.end(err)
	for _, p := range rest {
		p.fn(Answer{Err: err, Lost: true})
	}
	close(c.done)
}

func fromServer(t frame.Type) error {
	if t.FromClient() {
		return protocolError("request_from_server")
	}
	return nil
}

// readAll reads until the server says goodbye or the connection breaks.
func (c *Client) readAll() (goodbye *hufu.Error, err error) {
	for {
		h, m, err := c.read(fromServer)
		if err != nil {
			return nil, err
		}
		switch m := m.(type) {
		case *frame.Goodbye:
			return m.Reason.Err("server"), nil
		case *frame.Working, *frame.Changed:
			if err := c.noticed(time.Now()); err != nil {
				return nil, err
			}
			continue
		}
		if err := c.answer(h, m); err != nil {
			return nil, err
		}
	}
}

func (c *Client) answer(h frame.Header, m frame.Message) error {
	c.qmu.Lock()
	if len(c.queue) == 0 {
		c.qmu.Unlock()
		return protocolError("answer_to_nothing")
	}
	p := c.queue[0]
	c.qmu.Unlock()
	a := Answer{Message: m, More: h.More}
	if e, ok := m.(*frame.Error); ok {
		a.Message, a.Err = nil, e.Err(p.want.String())
	} else if h.Type != p.want.Answer() {
		return protocolError("answer_out_of_order")
	}
	if h.Raw > p.bytes {
		return protocolError("answer_too_large")
	}
	raw, err := c.readRaw(h.Raw, p.chunk)
	if err != nil {
		return err
	}
	a.Raw, a.CV = raw.data, raw.cv
	c.answers.Add(1)
	if !h.More { // out of the queue before fn: so fn finds room in the bounds, and the end of reader does not call it again
		c.qmu.Lock()
		c.queue[0] = pending{} // drops fn
		c.queue = c.queue[1:]
		c.asked -= p.bytes
		if c.small(p.bytes) {
			c.askedSmall -= p.bytes
		}
		c.widen(p)
		c.cond.Broadcast()
		c.qmu.Unlock()
	}
	c.calling.Store(true)
	p.fn(a)
	c.stream.touch() // the time spent in fn is not the server's silence
	c.calling.Store(false)
	raw.free()
	return nil
}

// watch cuts a connection on which nothing moves although an answer is
// awaited. It ends with the connection.
func (c *Client) watch() {
	tick := time.NewTicker(StallTimeout / 6)
	defer tick.Stop()
	for {
		select {
		case <-c.done:
			return
		case now := <-tick.C:
			c.qmu.Lock()
			since := c.since
			if moved := c.stream.Moved(); moved.After(since) {
				since = moved
			}
			stalled := len(c.queue) > 0 && !c.calling.Load() && now.Sub(since) >= StallTimeout
			c.qmu.Unlock()
			if stalled {
				c.end(&hufu.Error{Op: "connection", Kind: hufu.KindNetwork, Code: "connection_stalled"})
			}
		}
	}
}

func protocolError(code string) error {
	return &hufu.Error{Op: "connection", Kind: hufu.KindProtocol, Code: code}
}
