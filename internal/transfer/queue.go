package transfer

import (
	"slices"
	"sync"
	"sync/atomic"

	"hufu"
	"hufu/internal/blob"
)

// maxWaiting is how many small files the planner may queue, and how many large ones. Then
// it waits for room, so memory stays flat.
const maxWaiting = 4096

// Lanes to further servers pay off from spreadFrom bytes on. A small file costs as much as smallCost
// bytes at least.
const (
	spreadFrom = 16 << 20
	smallCost  = 64 << 10
)

// task is what a lane does next: one small file, or one unit of a large one.
type task struct {
	it    *item
	index int64 // number of the unit of it.large
}

// taker is a lane that takes tasks.
type taker struct {
	small bool // small files rather than units
	spare bool // it goes to another server than the control connection
}

// queue hands out tasks to lanes. The first lane prefers small files; the other lanes prefer
// units of large files. So with several lanes neither waits for the other.
type queue struct {
	mu      sync.Mutex
	cond    *sync.Cond
	small   []*item
	large   []*large
	smallIn int           // handed out, not finished
	idle    int           // lanes to the own server that wait for a task
	added   int64         // bytes
	much    chan struct{} // closed when spreadFrom bytes were added
	closed  bool          // nothing more will come
	aborted bool
}

func newQueue() *queue {
	q := &queue{much: make(chan struct{})}
	q.cond = sync.NewCond(&q.mu)
	return q
}

// large is a file whose units are spread over the lanes. The chunks of a unit
// go over one lane, in order.
type large struct {
	it      *item
	upload  string
	sums    sums    // of a put's chunks, as they were first read
	known   There   // what the far side says it has
	chunks  int64   // in all
	per     int64   // chunks of a unit
	units   int64   // in all
	next    int64   // the first unit that was never handed out
	again   []int64 // units to be handed out once more
	pending int     // handed out, not finished
	left    int64   // not yet at their place
	err     error
	// end is closed when no unit is handed out and none will be: all are at their place,
	// there is an error, or the transfer is aborted.
	end   chan struct{}
	ended bool
	whole bool // the commit has succeeded, so unanswered units no longer matter

	source   blob.File     // of a put
	unsent   atomic.Int64  // units that have not yet been read to the end and sent, or found at the target
	sent     chan struct{} // closed when unsent is 0
	target   blob.Upload   // of a get
	resumed  atomic.Int64  // bytes that were at their place before
	disorder atomic.Int32  // how many times its chunks came out of order

	spares sync.Map // addresses of other servers that have brought chunks of a get

	brokenMu sync.Mutex
	broken   map[int64]struct{} // units whose first sending broke off
}

// addSmall waits for room and adds a small file, unless the transfer is over.
func (q *queue) addSmall(it *item) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.small) >= maxWaiting && !q.aborted {
		q.cond.Wait()
	}
	if q.aborted {
		return
	}
	q.small = append(q.small, it)
	q.count(max(it.from.Size, smallCost))
	q.cond.Broadcast()
}

// count notes that n bytes were added. The caller holds mu.
func (q *queue) count(n int64) {
	if before := q.added; before < spreadFrom {
		if q.added += n; q.added >= spreadFrom {
			close(q.much)
		}
	}
}

func (q *queue) addLarge(l *large) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.large = append(q.large, l)
	q.count(l.left * l.per * hufu.ChunkSize)
	q.endIfDone(l)
	q.cond.Broadcast()
}

// endIfDone ends a large file when nothing more can happen to it. The caller
// holds mu.
func (q *queue) endIfDone(l *large) {
	if l.ended || l.pending > 0 || l.left > 0 && l.err == nil && !q.aborted {
		return
	}
	l.ended = true
	for i, x := range q.large {
		if x == l {
			q.large = append(q.large[:i], q.large[i+1:]...)
			break
		}
	}
	close(l.end)
}

// next returns a task for a lane. Without wait
// it returns at once with ok false when there is none now; with wait, ok false means that
// there will never be one.
func (q *queue) next(by taker, wait bool) (t task, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		if q.aborted {
			return task{}, false
		}
		if by.small {
			if t, ok := q.nextSmall(by); ok {
				return t, true
			}
		}
		for _, l := range q.large {
			if by.spare && l.it.own.Load() {
				continue
			}
			if index, ok := l.take(); ok {
				l.pending++
				return task{l.it, index}, true
			}
		}
		if t, ok := q.nextSmall(by); ok {
			return t, true
		}
		if !wait || q.closed && q.smallIn == 0 && len(q.large) == 0 {
			return task{}, false
		}
		if !by.spare {
			q.idle++
		}
		q.cond.Wait()
		if !by.spare {
			q.idle--
		}
	}
}

// waits reports whether a lane to the own server waits for tasks that other lanes have taken.
func (q *queue) waits() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.idle > 0 && (q.smallIn > 0 || slices.ContainsFunc(q.large, func(l *large) bool { return l.pending > 0 }))
}

// take hands out a unit; a put may find it at the target. The units still to do are counted, not
// listed: a huge size that the server announces must not cost memory. The caller holds mu of the
// queue.
func (l *large) take() (int64, bool) {
	if l.err != nil {
		return 0, false
	}
	if n := len(l.again); n > 0 {
		index := l.again[n-1]
		l.again = l.again[:n-1]
		return index, true
	}
	if l.target != nil {
		// It is rounded up: Missing returns the start of a unit, or the number of chunks.
		l.next = (l.target.Missing(l.next*l.per) + l.per - 1) / l.per
	}
	if l.next >= l.units {
		return 0, false
	}
	l.next++
	return l.next - 1, true
}

func (q *queue) nextSmall(by taker) (task, bool) {
	n, i := len(q.small), 0
	for by.spare && i < n && q.small[i].own.Load() {
		i++
	}
	if i >= n {
		return task{}, false
	}
	it := q.small[i]
	q.small[i] = q.small[0] // this one goes over the own server, in any order
	q.small[0] = nil
	q.small = q.small[1:]
	q.smallIn++
	if n == maxWaiting {
		q.cond.Broadcast()
	}
	return task{it: it}, true
}

// finished says that a task is over, or, with again, that it must be done again.
func (q *queue) finished(t task, again bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if l := t.it.large; l != nil {
		l.pending--
		switch {
		case l.whole:
		case err != nil:
			if l.err == nil {
				l.err = err
			}
		case again:
			l.again = append(l.again, t.index)
		default:
			l.left--
		}
		q.endIfDone(l)
		if again || l.ended {
			q.cond.Broadcast()
		}
		return
	}
	q.smallIn--
	if again {
		q.small = append(q.small, t.it)
	}
	if again || q.smallIn == 0 {
		q.cond.Broadcast()
	}
}

// markWhole records that the far side has all of l.
func (q *queue) markWhole(l *large) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l.whole, l.left, l.err = true, 0, nil
	l.again, l.next = nil, l.units // nothing of it is handed out any more
	q.endIfDone(l)
	q.cond.Broadcast()
}

// unitSent counts a unit that has been read whole for the first time: it was sent, or was
// there. It closes sent with the last one.
func (l *large) unitSent(first bool) {
	if first && l.unsent.Add(-1) == 0 {
		close(l.sent)
	}
}

// putBroken notes a unit whose first sending ended early because the lane was lost.
func (l *large) putBroken(unit int64) {
	l.brokenMu.Lock()
	defer l.brokenMu.Unlock()
	if l.broken == nil {
		l.broken = map[int64]struct{}{}
	}
	l.broken[unit] = struct{}{}
}

// takeBroken reports whether the unit was noted, and forgets it.
func (l *large) takeBroken(unit int64) bool {
	l.brokenMu.Lock()
	defer l.brokenMu.Unlock()
	_, noted := l.broken[unit]
	delete(l.broken, unit)
	return noted
}

// drain waits until everything that was added is finished. It says false when
// the transfer was aborted.
func (q *queue) drain() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for !q.aborted && (len(q.small) > 0 || q.smallIn > 0 || len(q.large) > 0) {
		q.cond.Wait()
	}
	return !q.aborted
}

// close says that nothing more will be added; lanes end when all is done.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.cond.Broadcast()
}

// abort ends everything; what is pending on lanes still comes back.
func (q *queue) abort() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.aborted = true
	for _, l := range append([]*large(nil), q.large...) {
		q.endIfDone(l)
	}
	q.cond.Broadcast()
}

// failure is the error that ended l, if it was not finished.
func (q *queue) failure(l *large) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if l.err == nil && l.left > 0 {
		return errAborted
	}
	return l.err
}
