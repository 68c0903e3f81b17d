package transfer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"hufu"
	"hufu/internal/digest"
)

// Lanes to other servers are given up earlier than those to the own one: when there is nothing else to do
// and no answer has come for silentFor and for silentTimes the longest time that any lane has waited for one.
// A lane that small files were sent over has silentPut: if the server wakes later, it stores them although
// they went over another lane meanwhile, even if they have been removed since.
const (
	silentFor   = 2 * time.Second
	silentPut   = 15 * time.Second
	silentTimes = 2
	lookEvery   = 250 * time.Millisecond
)

// spread carries tasks over lanes to other servers as well, if there is enough to do. It ends with ctx.
// Whatever happens to such a lane, its tasks return to the queue, and no error is told: the lanes of
// run carry all of them if need be.
func (e *Engine) spread(ctx context.Context, worker newWorker) {
	select {
	case <-e.queue.much:
	case <-ctx.Done():
		return
	}
	e.far.Spread(ctx, e.o.Lanes, func(l Lane, first bool) {
		if e.distrusted.has(l.Node()) {
			return
		}
		by := taker{small: first, spare: true}
		t, ok := e.queue.next(by, true)
		if !ok {
			return
		}
		do, end := worker(ctx)
		defer end()
		e.Stats.Lanes.Add(1)
		defer e.Stats.Lanes.Add(-1)
		counting := e.counting(l)
		counting.spare = true
		e.spares.add(counting)
		defer e.spares.remove(counting)
		_ = e.onLane(ctx, counting, by, t, do)
		_ = l.Close() // waits until every done callback has run
	})
}

// spares are the lanes to other servers.
type spares struct {
	mu    sync.Mutex
	lanes map[*countingLane]struct{}
}

func (s *spares) add(l *countingLane) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lanes == nil {
		s.lanes = map[*countingLane]struct{}{}
	}
	s.lanes[l] = struct{}{}
}

func (s *spares) remove(l *countingLane) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.lanes, l)
}

// silent returns the lanes on which an answer has been awaited for at least that long.
func (s *spares) silent(limit time.Duration) (all []*countingLane) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for l := range s.lanes {
		if l.silent(limit) {
			all = append(all, l)
		}
	}
	return all
}

// watchSpares closes lanes to other servers that do not answer, when the lanes to the own server have
// nothing left to do: their tasks return to the queue. Closing comes first, so nothing that such a server
// may still answer is used. It ends with ctx.
func (e *Engine) watchSpares(ctx context.Context) {
	select {
	case <-e.queue.much:
	case <-ctx.Done():
		return
	}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if !e.queue.waits() {
			continue
		}
		for _, l := range e.spares.silent(max(silentFor, silentTimes*time.Duration(e.longest.Load()))) {
			_ = l.Close()
		}
	}
}

// countingLane counts the requests and answers of a lane.
type countingLane struct {
	Lane

	e       *Engine
	spare   bool // to another server than the control connection
	answers atomic.Int64
	puts    atomic.Int64  // small files that were sent and have no answer
	carried *atomic.Int64 // over all lanes to this server

	mu    sync.Mutex
	asked int       // requests without an answer
	since time.Time // of the last answer, or of the first request after it
}

func (e *Engine) counting(l Lane) *countingLane {
	carried, _ := e.carried.LoadOrStore(l.Node(), new(atomic.Int64))
	return &countingLane{Lane: l, e: e, carried: carried.(*atomic.Int64)}
}

// Carried returns how many bytes of files have gone over each server, by its address.
func (e *Engine) Carried() map[string]int64 {
	all := map[string]int64{}
	e.carried.Range(func(at, n any) bool {
		all[at.(string)] = n.(*atomic.Int64).Load()
		return true
	})
	return all
}

// ask counts a request that is about to be sent.
func (l *countingLane) ask() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.asked++; l.asked == 1 {
		l.since = time.Now()
	}
}

// sent takes a request back that was not sent. It returns err.
func (l *countingLane) sent(err error) error {
	if err != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.asked--
	}
	return err
}

// count counts the answer to a request that moves n bytes.
func (l *countingLane) count(n int, err error) {
	l.mu.Lock()
	waited := time.Since(l.since)
	l.asked--
	l.since = l.since.Add(waited)
	l.mu.Unlock()
	if errors.Is(err, ErrLost) {
		return
	}
	l.answers.Add(1)
	if err == nil {
		l.carried.Add(int64(n))
	}
	for {
		longest := l.e.longest.Load()
		if int64(waited) <= longest || l.e.longest.CompareAndSwap(longest, int64(waited)) {
			return
		}
	}
}

// silent reports whether an answer has been awaited for at least that long, or silentPut if small files
// were sent.
func (l *countingLane) silent(limit time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.puts.Load() > 0 {
		limit = max(limit, silentPut)
	}
	return l.asked > 0 && time.Since(l.since) >= limit
}

func (l *countingLane) Put(p hufu.Path, m Meta, data []byte, d hufu.Digest, c hufu.Condition, done func(error)) error {
	l.ask()
	l.puts.Add(1)
	err := l.Lane.Put(p, m, data, d, c, func(err error) {
		l.puts.Add(-1)
		l.count(len(data), err)
		done(err)
	})
	if err != nil {
		l.puts.Add(-1)
	}
	return l.sent(err)
}

func (l *countingLane) Range(upload string, index int64, data []byte, hole bool, cv digest.CV, done func(error)) error {
	l.ask()
	return l.sent(l.Lane.Range(upload, index, data, hole, cv, func(err error) { l.count(len(data), err); done(err) }))
}

func (l *countingLane) Get(p hufu.Path, listed hufu.Entry, done func(hufu.Entry, []byte, error)) error {
	l.ask()
	return l.sent(l.Lane.Get(p, listed, func(e hufu.Entry, data []byte, err error) { l.count(len(data), err); done(e, data, err) }))
}

func (l *countingLane) Read(p hufu.Path, version string, index int64, size int, done func(Chunk, error)) error {
	l.ask()
	return l.sent(l.Lane.Read(p, version, index, size, func(c Chunk, err error) { l.count(len(c.Data), err); done(c, err) }))
}

// wrongBytes decides what becomes of an item of a get of which a lane has brought wrong bytes. If the lane
// goes to another server, that server is used no more, and the item goes over the own one from now on: the
// error says that it was lost. Otherwise it is err.
func (e *Engine) wrongBytes(it *item, l Lane, err error) error {
	c, ok := l.(*countingLane)
	if !ok || !c.spare {
		return err
	}
	it.own.Store(true)
	e.distrust(it, c.Node())
	e.asking.Go(func() { _ = c.Close() }) // a callback must not wait for its own lane
	return fmt.Errorf("%w: %w", ErrLost, err)
}

// distrust ends the use of a server that has sent wrong bytes of an item.
func (e *Engine) distrust(it *item, node string) {
	if e.distrusted.claim(node) && e.o.Warn != nil {
		e.o.Warn(&hufu.Error{Op: "get", Path: it.remote.Remote(), Kind: hufu.KindIntegrity, Code: "node_wrong_bytes", Args: map[string]string{"node": node}})
	}
}
