package session

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"hufu"
	"hufu/internal/digest"
	"hufu/internal/frame"
)

// queueBytes is the limit for requests that wait for their handler on one
// connection: two chunks, and a thousand messages.
const queueBytes = 2*frame.MaxRaw + 512<<10

// Request is one call at the serving end. Raw is valid until Release or Stage.
type Request struct {
	Message frame.Message
	Raw     []byte
	CV      digest.CV // of Raw, if it is a chunk
	// Canceled says that the client has taken the request back before it was begun.
	// It must not be carried out, and is answered with ErrCanceled.
	Canceled bool
	number   uint64
	raw      raw
	cost     int
	next     *Request // in the queue
}

// ErrCanceled answers a request that the client has taken back. If the request is being
// handled and worthStopping names it, its context ends with this cause.
var ErrCanceled error = &hufu.Error{Op: "handle", Kind: hufu.KindCanceled}

// Handler carries out the requests of one connection, one after the other, on
// one goroutine.
type Handler interface {
	// Handle answers the request, now or later, but all in order. An error
	// ends the connection with it as the reason. The context ends with the
	// connection. That of a request which may take long also ends when the client
	// takes it back.
	Handle(ctx context.Context, r *Request) error
	// Idle is called when no further request is waiting: deferred work is to be
	// finished and answered now.
	Idle(ctx context.Context) error
}

// Server is the serving end of one connection.
type Server struct {
	*wire
	only     []frame.Type // if not empty, no other request is read
	intake   *Intake      // nil: this connection's own bound is all
	who      string       // of intake
	mu       sync.Mutex
	room     *sync.Cond
	queued   int // bytes, also counted in intake
	staged   int // the part of queued that Stage has kept; of the handler's goroutine
	ended    bool
	first    *Request                // waiting to be handled
	last     *Request                // the newest of them, if there are any
	allRead  bool                    // no more will come
	working  bool                    // work runs and takes what is pushed, or has ended for good
	waits    time.Time               // since when work waits for a request; zero if it does not
	more     *sync.Cond              // on mu: first, allRead or waits has changed
	begun    uint64                  // the number of the request that was begun last
	stop     context.CancelCauseFunc // ends the context of that request; nil before the first
	canceled map[uint64]struct{}     // requests that have come and are not begun

	worker  sync.WaitGroup // the goroutine of work
	workErr error          // written by work
	crash   *Panic         // likewise

	unanswered atomic.Int32
	part       sync.Once
	parting    atomic.Bool                // goodbye is written: nothing more is
	reason     atomic.Pointer[hufu.Error] // of parting
}

// NewServer makes the serving end over conn, whose lower layer is stream.
func NewServer(conn net.Conn, stream *Stream, codec *frame.Codec) *Server {
	s := &Server{wire: newWire(conn, stream, codec)}
	s.room, s.more = sync.NewCond(&s.mu), sync.NewCond(&s.mu)
	return s
}

// Only refuses every request but these, before its message is read. It is
// called before Serve.
func (s *Server) Only(types ...frame.Type) { s.only = types }

// UseIntake counts the requests of this connection in an Intake, as those of a user. It is called
// before Serve.
func (s *Server) UseIntake(intake *Intake, user string) { s.intake, s.who = intake, user }

// Serve reads requests and gives them to h until the client leaves, breaks the
// protocol, or Part is called; it returns why, nil when the client just left.
// When it returns, the connection is closed and no goroutine of it runs.
func (s *Server) Serve(ctx context.Context, h Handler) error {
	readErr := s.serve(ctx, h)
	if s.crash != nil {
		panic(s.crash)
	}
	if reason := s.reason.Load(); reason != nil {
		return reason
	}
	return cmp.Or(s.workErr, readErr)
}

func (s *Server) serve(ctx context.Context, h Handler) error {
	ctx, cancel := context.WithCancel(ctx)
	alive := s.keepAlive()
	// Deferred, so that a reader that panics leaves nothing running either.
	defer func() {
		// The answers are no longer read, and a writer may be blocked by a
		// client that has closed its sending side and does not read.
		_ = s.stream.Close()
		cancel()
		s.noMore()
		s.worker.Wait()
		alive.end()
		for r, _ := s.take(); r != nil; r, _ = s.take() {
			r.raw.free()
		}
		s.give(s.queued) // what was not released
	}()
	return s.reader(func() { s.work(ctx, h) })
}

func (s *Server) stopReading() {
	s.mu.Lock()
	s.ended = true
	s.room.Broadcast()
	s.mu.Unlock()
	if s.intake != nil {
		s.intake.wake()
	}
}

func (s *Server) hasEnded() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended
}

func (s *Server) give(n int) {
	if s.intake != nil {
		s.intake.give(s.who, n)
	}
}

func (s *Server) refuse(t frame.Type) error {
	switch {
	case !t.FromClient():
		return protocolError("answer_from_client")
	case len(s.only) > 0 && !slices.Contains(s.only, t):
		return protocolError("request_unknown")
	}
	return nil
}

// reader fills the queue, and begins work when there is something in it. After Part it
// continues to read and discards.
func (s *Server) reader(work func()) error {
	for number := uint64(0); !s.parting.Load(); {
		h, m, err := s.read(s.refuse)
		if c, ok := m.(*frame.Cancel); ok && err == nil {
			if c.Request < number {
				s.takeBack(c.Request)
			}
			continue
		}
		if err == nil && int(s.unanswered.Add(1)) > MaxRequests {
			err = protocolError("too_many_requests")
		}
		if err != nil {
			return s.readFailed(err)
		}
		cost := requestCost(h)
		if !s.waitForRoom(cost) {
			break
		}
		raw, err := s.readRaw(h.Raw, chunkOf(m))
		if err != nil {
			return s.readFailed(err)
		}
		s.push(&Request{Message: m, Raw: raw.data, CV: raw.cv, number: number, raw: raw, cost: cost}, work)
		number++
	}
	s.discard()
	return nil
}

func (s *Server) readFailed(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
		return nil // the client has left, as it may, or the connection was closed here
	}
	if e, ok := errors.AsType[*hufu.Error](err); ok {
		s.Part(e)
	}
	if s.parting.Load() {
		s.discard()
	}
	return err
}

// discard takes the client's bytes off the wire until the client has left or
// the time for parting is over: if they stayed, the kernel would answer them
// with a reset, which overtakes the reason.
func (s *Server) discard() {
	buf := make([]byte, 16<<10)
	for {
		if _, err := s.stream.Read(buf); err != nil {
			return
		}
	}
}

// requestCost returns about the memory of a request: its raw bytes, and its message twice,
// encoded and decoded.
func requestCost(h frame.Header) int { return rawCost(h.Raw) + 2*h.Body + 256 }

func (s *Server) waitForRoom(n int) bool {
	s.mu.Lock()
	for !s.ended && s.queued > 0 && s.queued+n > queueBytes {
		s.room.Wait()
	}
	s.mu.Unlock()
	if s.intake != nil && !s.intake.take(s.who, n, s.hasEnded) {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queued += n // no other goroutine adds to it
	return !s.ended
}

func (s *Server) handle(ctx context.Context, h Handler, r *Request) error {
	ctx, cancel := s.begin(ctx, r)
	defer cancel(nil)
	return h.Handle(ctx, r)
}

// begin records that r is being handled, and sets r.Canceled if the client has taken it
// back already. It returns the context for Handle, and the function that ends it.
func (s *Server) begin(ctx context.Context, r *Request) (context.Context, context.CancelCauseFunc) {
	stop := context.CancelCauseFunc(func(error) {})
	if worthStopping(r.Message) {
		ctx, stop = context.WithCancelCause(ctx)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begun, s.stop = r.number, stop
	if _, r.Canceled = s.canceled[r.number]; r.Canceled {
		delete(s.canceled, r.number)
		r.Canceled = mayTakeBack(r.Message)
	}
	return ctx, stop
}

// takeBack stops a request that is being handled, or keeps it from being begun. So canceled never
// holds more than MaxRequests.
func (s *Server) takeBack(number uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.stop != nil && number == s.begun:
		s.stop(ErrCanceled)
	case s.stop == nil || number > s.begun:
		if s.canceled == nil {
			s.canceled = map[uint64]struct{}{}
		}
		s.canceled[number] = struct{}{}
	}
}

// worthStopping reports whether carrying out a request is worth stopping.
func worthStopping(m frame.Message) bool {
	switch m.(type) {
	case *frame.List, *frame.Digest, *frame.Remove, *frame.Open, *frame.Get, *frame.Read, *frame.Commit, *frame.Copy:
		return true
	}
	return false
}

// mayTakeBack reports whether a request may be canceled. Requests after a hello, login or logout
// depend on it.
func mayTakeBack(m frame.Message) bool {
	switch m.(type) {
	case *frame.Hello, *frame.Login, *frame.Logout:
		return false
	}
	return true
}

// Release frees the buffer of a request's raw bytes; the handler calls it
// when it no longer needs them, before or after answering.
func (s *Server) Release(r *Request) {
	n := r.cost
	r.raw.free()
	r.Raw, r.cost = nil, 0
	s.giveBack(n)
}

func (s *Server) giveBack(n int) {
	s.mu.Lock()
	s.queued -= n
	s.room.Signal()
	s.mu.Unlock()
	s.give(n)
}

// Stage is Release for a request that is to be carried out with others later: its
// raw bytes are freed, and its message is counted until Settle.
func (s *Server) Stage(r *Request) {
	kept := r.cost - rawCost(len(r.Raw))
	r.cost -= kept
	s.staged += kept
	s.Release(r)
}

// Settle stops counting the messages that were staged.
func (s *Server) Settle() {
	s.giveBack(s.staged)
	s.staged = 0
}

// Answer writes one frame of an answer. Without more, the request is answered.
// What is written may stay in a buffer until Idle has been called. A connection
// that is gone is no error here: the reader finds out.
func (s *Server) Answer(m frame.Message, more bool, raw []byte) error {
	s.wmu.Lock()
	defer s.wmu.Unlock()
	if s.parting.Load() {
		return nil
	}
	if !more {
		s.unanswered.Add(-1)
	}
	err := s.write(m, more, raw)
	if err != nil && s.werr == nil {
		return err // the message cannot be encoded: a defect
	}
	return nil
}

// Fail answers a request with the public part of err.
func (s *Server) Fail(err error) error { return s.Answer(frame.WireError(err), false, nil) }

// Unanswered returns how many requests have come and are not answered yet.
func (s *Server) Unanswered() int { return int(s.unanswered.Load()) }

// Flush sends what Answer left in buffers.
func (s *Server) Flush() error {
	s.wmu.Lock()
	defer s.wmu.Unlock()
	return s.flush()
}

func clientStalled() *hufu.Error {
	return &hufu.Error{Op: "connection", Kind: hufu.KindUnavailable, Code: "client_stalled"}
}

// Drop ends the connection at once, without a goodbye: the client takes nothing, so it could not
// be sent, and releases the buffers that the kernel holds for it.
func (s *Server) Drop(reason *hufu.Error) {
	s.reason.CompareAndSwap(nil, reason)
	if c, ok := s.stream.Conn.(interface{ SetLinger(int) error }); ok {
		_ = c.SetLinger(0) // closed already
	}
	s.cut()
}

// Part says goodbye with a reason and ends the connection within PartTimeout,
// even if the client does not read. It may be called from any goroutine, the
// first reason counts, and it returns when the goodbye is written or cannot be.
func (s *Server) Part(reason *hufu.Error) {
	s.part.Do(func() {
		s.reason.CompareAndSwap(nil, reason)
		by := time.Now().Add(PartTimeout)
		giveUp := by.Add(-PartTimeout / 2)
		// A writer that is blocked by a client that does not read gives up first.
		_ = s.stream.SetWriteDeadline(giveUp)
		s.wmu.Lock()
		s.parting.Store(true)
		if s.write(&frame.Goodbye{Reason: *frame.WireError(reason)}, false, nil) == nil {
			_ = s.flush()
		}
		s.closeWrite(giveUp)
		s.wmu.Unlock()
		_ = s.stream.SetReadDeadline(by)
		s.stopReading()
	})
}
