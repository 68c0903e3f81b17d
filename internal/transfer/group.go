package transfer

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/digest"
)

// The files of a lane, or the new modes and times of files that it has not fetched, are made
// durable together when this many, or this many bytes, are staged, or when no answer is awaited.
const (
	groupFiles = 1024
	groupBytes = 16 << 20
)

// group stages the small files that come over one lane and makes them durable together. Its batch
// is used on the lane's reading goroutine only.
type group struct {
	e     *Engine
	ctx   context.Context
	life  context.Context // of the transfer; ctx goes on when it ends
	lane  Lane
	store blob.Tree
	batch blob.Batch
	tasks []task
	got   []hufu.Digest
	bytes int // staged in batch
	// asked counts the unanswered requests of this group. Requests of other
	// users of the lane do not count. A request is counted after sending; its
	// answer may come first, so asked may briefly be negative.
	asked atomic.Int64
}

// sent counts a request, or gives its task back.
func (g *group) sent(t task, err error) error {
	if err != nil {
		g.e.queue.finished(t, true, nil)
		return err
	}
	g.asked.Add(1)
	return nil
}

func (g *group) fetch(t task) error {
	it := t.it
	g.e.o.Limit.Wait(g.life, g.lane, int(it.from.Size))
	return g.sent(t, g.lane.Get(it.remote, it.from, func(entry hufu.Entry, data []byte, err error) {
		g.asked.Add(-1)
		g.arrived(t, entry, data, err)
		g.commitIfDue()
	}))
}

// commitIfDue commits when enough is staged or no request of the group is
// unanswered. It runs after every answer, also after a chunk or an error.
func (g *group) commitIfDue() {
	if g.batch != nil && (g.asked.Load() <= 0 || len(g.tasks) >= groupFiles || g.bytes >= groupBytes) {
		g.commit()
	}
}

func (g *group) arrived(t task, entry hufu.Entry, data []byte, err error) {
	it, wrong := t.it, err == nil
	if err == nil {
		d, want := digest.Sum(data), entry.Digest
		if !it.from.Digest.IsZero() {
			want = it.from.Digest
		}
		switch {
		case int64(len(data)) != entry.Size:
			err = &hufu.Error{Op: "get", Kind: hufu.KindProtocol, Code: "chunk_length"}
		case d != want:
			err = &hufu.Error{
				Op: "get", Kind: hufu.KindIntegrity, Code: "digest_differs",
				Args: map[string]string{"want": want.String(), "got": d.String()},
			}
		default:
			if g.batch != nil && g.store != it.store {
				g.commit()
			}
			if g.batch == nil {
				g.store, g.batch = it.store, it.store.Batch(blob.Guard{})
			}
			m := g.e.meta(it, Meta{it.from.Mode, entry.MTime})
			g.batch.Put(g.ctx, it.path, data, blob.Meta{Mode: m.Mode, MTime: m.MTime, Digest: d}, it.cond)
			g.tasks, g.got = append(g.tasks, t), append(g.got, d)
			g.bytes += len(data)
			g.e.Stats.Sent.Add(int64(len(data)))
			return
		}
	}
	if wrong {
		err = g.e.wrongBytes(it, g.lane, err)
	}
	if errors.Is(err, ErrLost) {
		g.e.endTask(t, err)
		return
	}
	g.e.failItem(it, err)
	g.e.endTask(t, nil)
}

func (g *group) commit() {
	for i, r := range g.batch.Finish(g.ctx) {
		t := g.tasks[i]
		if r.Err != nil {
			g.e.failItem(t.it, r.Err)
		} else {
			g.e.Stats.BytesDone.Add(t.it.from.Size)
			g.e.noteUnkept(g.ctx, Side{t.it.store, t.it.path, t.it.local}, t.it.from.MTime)
			t.it.swap.markArrived()
			rep := t.it.rep(Transferred, nil)
			rep.Digest = g.got[i]
			g.e.report(rep)
		}
		g.e.endTask(t, nil)
	}
	g.batch, g.tasks, g.got, g.bytes = nil, g.tasks[:0], g.got[:0], 0
}

// staged is the folders and links that are made on this side; many become
// durable together.
type staged struct {
	e     *Engine
	mu    sync.Mutex
	store blob.Tree
	batch blob.Batch
	then  []func(blob.Result)
}

// add stages one operation. The function then is called with its result, at the latest in commit;
// after a discard it is not.
func (s *staged) add(ctx context.Context, at blob.Tree, op func(blob.Batch), then func(blob.Result)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.batch != nil && (s.store != at || len(s.then) >= groupFiles) {
		s.commitLocked(ctx)
	}
	if s.batch == nil {
		s.store, s.batch = at, at.Batch(blob.Guard{})
	}
	op(s.batch)
	s.then = append(s.then, then)
}

func (s *staged) commit(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.commitLocked(ctx)
}

// discard forgets what is not committed.
func (s *staged) discard() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.batch != nil {
		s.batch.Discard()
	}
	s.batch, s.then = nil, nil
}

func (s *staged) commitLocked(ctx context.Context) {
	if s.batch == nil {
		return
	}
	for i, r := range s.batch.Finish(ctx) {
		s.then[i](r)
	}
	s.batch, s.then = nil, s.then[:0]
}
