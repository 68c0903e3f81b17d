package transfer

import (
	"context"
	"errors"
	"sync"
	"time"

	"hufu"
)

// run starts the planner, the goroutines that carry large files, and the lanes. It waits until
// all files are at their place, finishes the folders, and ends the lanes. Nothing that it has
// started still runs when it returns.
func (e *Engine) run(ctx context.Context, sources []Source, to targetEnd, one func(context.Context, *item), worker newWorker) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	e.fatal = cancel
	defer context.AfterFunc(ctx, e.queue.abort)()
	larges := make(chan *item, maxWaiting)
	var opening, lanes sync.WaitGroup
	for range openers {
		opening.Go(func() {
			for it := range larges {
				if ctx.Err() == nil {
					one(ctx, it)
				}
			}
		})
	}
	for i := range max(1, e.far.Lanes(ctx, e.o.Lanes)) {
		lanes.Go(func() {
			do, end := worker(ctx)
			defer end()
			if err := e.onLanes(ctx, i == 0, do); err != nil {
				cancel(err)
			}
		})
	}
	spreading, stop := context.WithCancel(ctx)
	defer stop()
	lanes.Go(func() { e.spread(spreading, worker) })
	lanes.Go(func() { e.watchSpares(spreading) })
	after := e.plan(ctx, sources, to, larges)
	e.Stats.Planned.Store(true)
	close(e.planned)
	close(larges)
	opening.Wait()
	after(e.queue.drain())
	e.queue.close()
	stop()
	lanes.Wait()
	e.asking.Wait()
	err := context.Cause(ctx)
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*hufu.Error](err); ok {
		return e // what ended the transfer
	}
	// The caller stopped it, for any reason.
	return &hufu.Error{Op: "transfer", Kind: hufu.KindCanceled, Err: err}
}

// A lost lane is replaced by a new one, after a pause if it has received no answer itself. After
// maxFruitless losses in a row without an answer on any lane the transfer ends with the error: that is a
// defect which trying does not cure, perhaps a request that the server cannot survive.
const (
	maxFruitless = 8
	firstPause   = 50 * time.Millisecond
	lastPause    = 2 * time.Second
)

// worker carries one task over a lane, one after the other. An error means that the lane failed; the
// task then returns to the queue, at the latest when the lane is closed.
type worker = func(Lane, task) error

// newWorker returns a worker, and what ends it.
type newWorker = func(context.Context) (do worker, end func())

// onLanes runs do for tasks as they come. The first lane takes small files before chunks and the
// others chunks before small files, so that neither kind waits for the other.
func (e *Engine) onLanes(ctx context.Context, first bool, do worker) error {
	fruitless, pause, before := 0, firstPause, e.answered.Load()
	for {
		t, ok := e.queue.next(taker{small: first}, true)
		if !ok {
			return nil
		}
		lane, err := e.far.Lane(ctx)
		if err != nil {
			e.queue.finished(t, true, nil)
			return err
		}
		e.Stats.Lanes.Add(1)
		counting := e.counting(lane)
		err = e.onLane(ctx, counting, taker{small: first}, t, do)
		_ = lane.Close() // waits until every done callback has run
		e.Stats.Lanes.Add(-1)
		if err == nil || ctx.Err() != nil {
			return nil
		}
		if k := hufu.KindOf(err); Stops(err) && k != hufu.KindNetwork && k != hufu.KindUnavailable {
			return err
		}
		if now := e.answered.Load(); now != before {
			fruitless, before = 0, now
		} else if fruitless++; fruitless == maxFruitless {
			return err
		}
		if counting.answers.Load() > 0 {
			pause = firstPause
			continue
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		pause = min(2*pause, lastPause)
	}
}

func (e *Engine) onLane(ctx context.Context, lane Lane, by taker, t task, do worker) error {
	stop := context.AfterFunc(ctx, func() { _ = lane.Close() })
	defer stop()
	for {
		if err := do(lane, t); err != nil {
			return err
		}
		var ok bool
		if t, ok = e.queue.next(by, false); ok {
			continue
		}
		if err := lane.Flush(); err != nil {
			return err
		}
		if t, ok = e.queue.next(by, true); !ok {
			return nil
		}
	}
}

// ErrLost in an error's chain says that the lane was lost and nobody knows
// whether the request was carried out.
var ErrLost = errors.New("lane lost")

// endTask ends a task. If the lane was lost, the task returns to the queue.
func (e *Engine) endTask(t task, err error) {
	switch {
	case errors.Is(err, ErrLost):
		if t.it.large == nil { // a small file is with one lane at a time, so this needs no lock
			t.it.lost = true
		}
		e.queue.finished(t, true, nil)
	default:
		e.answered.Add(1)
		e.queue.finished(t, false, err)
	}
}

// fail reports a name that did not make it, or ends the transfer if the reason
// is not the name's alone.
func (e *Engine) fail(p pair, err error) {
	if Stops(err) { // the reason is not this name
		e.fatal(err)
		return
	}
	e.report(Report{
		Local: p.near.Local, Remote: p.far, Kind: p.source.Kind, Size: p.source.Size,
		Outcome: Failed, Err: e.within("transfer", p.near.Local, p.far, err),
	})
}

func (e *Engine) failItem(it *item, err error) {
	if errors.Is(err, errAborted) {
		return // run returns why the transfer ended
	}
	if Stops(err) {
		e.fatal(err)
		return
	}
	if near := (Side{it.store, it.path, it.local}); e.gets && hufu.CodeOf(err) == "target_exists" && otherSpelling(context.Background(), near) != "" {
		err = oneName(it.local) // by a source with that spelling, a moment ago
	}
	e.report(it.rep(Failed, e.within("transfer", it.local, it.remote, err)))
}
