package transfer

import (
	"context"
	"errors"
	"sync"

	"hufu"
	"hufu/internal/digest"
)

// maxDisorder is how many times the far side may say that the chunks of a unit of one file came
// out of order. It can happen while the server still reads a lost lane and the next lane already
// begins the unit again.
const maxDisorder = 64

// unitTask carries the chunks of one unit over one lane, in order. It ends when each has
// been answered or given up.
type unitTask struct {
	e          *Engine
	t          task
	first, end int64 // its chunks

	mu   sync.Mutex
	left int   // chunks without an answer
	done int64 // bytes that were answered
	err  error // the first error that is not ErrLost, or ErrLost
}

// unit returns the chunks of the unit with this number.
func (l *large) unit(number int64) (first, end int64) {
	first = number * l.per
	return first, min(first+l.per, l.chunks)
}

// setUnit says how many bytes make a unit of the file, and that all of its
// units are to be carried. The caller sets l.chunks before.
func (l *large) setUnit(bytes int64) {
	l.per = max(1, bytes/hufu.ChunkSize)
	l.units = (l.chunks + l.per - 1) / l.per
	l.left = l.units
}

func (e *Engine) newUnitTask(t task) *unitTask {
	u := &unitTask{e: e, t: t}
	u.first, u.end = t.it.large.unit(t.index)
	u.left = int(u.end - u.first)
	return u
}

// answered counts the answer of a chunk of n bytes.
func (u *unitTask) answered(n int, err error) {
	if err == nil {
		u.mu.Lock()
		u.done += int64(n)
		u.mu.Unlock()
		u.t.it.done.Add(int64(n))
		u.e.Stats.BytesDone.Add(int64(n))
		u.e.answered.Add(1)
	}
	u.settle(1, err)
}

// stop says that no answer will come for the chunks from index on, because of err.
func (u *unitTask) stop(index int64, err error) {
	u.settle(int(u.end-index), err)
}

// settle counts n chunks of which nothing more will be heard, and ends the task with the
// last one.
func (u *unitTask) settle(n int, err error) {
	u.mu.Lock()
	if err != nil && (u.err == nil || errors.Is(u.err, ErrLost)) {
		u.err = err
	}
	u.left -= n
	left, err := u.left, u.err
	u.mu.Unlock()
	if left > 0 {
		return
	}
	l := u.t.it.large
	if hufu.CodeOf(err) == "unit_order" && l.disorder.Add(1) <= maxDisorder {
		err = ErrLost
	}
	switch {
	case err == nil && l.source != nil:
		for i := u.first; i < u.end; i++ {
			l.sums.placed(i)
		}
	case errors.Is(err, ErrLost): // all of it is carried once more
		u.t.it.done.Add(-u.done)
		u.e.Stats.BytesDone.Add(-u.done)
	}
	u.e.endTask(u.t, err)
}

// sendUnit sends the chunks of a unit, unless all of them are there. An error means that the lane
// failed; the task then returns to the queue.
func (e *Engine) sendUnit(ctx context.Context, lane Lane, t task, buf []byte) error {
	l, size := t.it.large, t.it.from.Size
	u := e.newUnitTask(t)
	there, fresh, bytes := true, l.takeBroken(t.index), 0
	for i := u.first; i < u.end; i++ {
		from := i // the first chunk that was not sent
		if there {
			from = u.first
		}
		data, hole, cv, err := l.source.ReadChunk(ctx, i, buf)
		if err != nil {
			u.stop(from, err)
			return nil
		}
		first, same := l.sums.read(i, cv)
		fresh = fresh || first
		if !same {
			u.stop(from, &hufu.Error{Op: "put", Kind: hufu.KindChanged, Code: "file_changed"})
			return nil
		}
		n := digest.ChunkLen(size, i)
		if there && l.known.has(i, cv) {
			bytes += n
			continue
		}
		if there && i > u.first {
			// The chunk differs, and the far side keeps a unit whole or not at all: send the
			// unit from its first chunk.
			there, i = false, u.first-1
			continue
		}
		there = false
		e.o.Limit.Wait(ctx, lane, len(data))
		crossing := int64(len(data)) // none for a hole
		if err := lane.Range(l.upload, i, data, hole, cv, func(err error) {
			if err == nil {
				e.Stats.Sent.Add(crossing)
			}
			u.answered(n, err)
		}); err != nil {
			if fresh {
				l.putBroken(t.index) // before another lane gets it
			}
			u.stop(i, ErrLost)
			return err
		}
	}
	l.unitSent(fresh)
	if there {
		l.resumed.Add(int64(bytes))
		e.Stats.Resumed.Add(int64(bytes))
		u.left = 1
		u.answered(bytes, nil)
	}
	return nil
}

// fetchUnit asks for the chunks of a unit. An error means that the lane failed; the task then
// returns to the queue.
func (g *group) fetchUnit(t task) error {
	e, l := g.e, t.it.large
	u := e.newUnitTask(t)
	for i := u.first; i < u.end; i++ {
		size := digest.ChunkLen(t.it.from.Size, i)
		e.o.Limit.Wait(g.life, g.lane, size)
		err := g.lane.Read(t.it.remote, t.it.from.Version, i, size, func(c Chunk, err error) {
			g.asked.Add(-1)
			if err == nil {
				if err = checkChunk(i, size, &c); err != nil {
					err = e.wrongBytes(t.it, g.lane, err)
				} else {
					err = l.placeChunk(g.ctx, i, c, g.lane)
				}
			}
			if err == nil {
				e.Stats.Sent.Add(int64(len(c.Data)))
			}
			u.answered(size, err)
			g.commitIfDue() // small files that were staged before may be waiting for the last answer of the group
		})
		if err != nil {
			u.stop(i, ErrLost)
			return err
		}
		g.asked.Add(1)
	}
	return nil
}
