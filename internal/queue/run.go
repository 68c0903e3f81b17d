package queue

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime/debug"
	"slices"
	"time"

	"hufu"
	"hufu/internal/client"
	"hufu/internal/transfer"
)

// How long a queue waits for a server that is away, and how it measures the speed.
const (
	offlineFirst = time.Second
	offlineLast  = 30 * time.Second
	sampleEvery  = 500 * time.Millisecond
	// rateWeight is the share of the newest sample in the speed shown.
	rateWeight = 0.3
)

// pump starts the jobs that may run. The mutex is held.
func (q *Queue) pump() {
	if q.closed {
		return
	}
	running := 0
	for _, j := range q.jobs {
		if j.cancel != nil {
			running++
		}
	}
	for _, j := range q.jobs {
		if running >= q.o.Parallel {
			return
		}
		if j.State != Waiting || j.cancel != nil {
			continue
		}
		running++
		ctx, cancel := context.WithCancelCause(q.ctx)
		j.cancel, j.State = cancel, Running
		q.wg.Go(func() { q.run(ctx, j) })
	}
}

// finish marks a job as over. The mutex is held.
func (q *Queue) finish(j *job, s State, err *hufu.Error) {
	j.State, j.Err, j.Ended = s, err, time.Now()
	j.Rate, j.Lanes, j.Question = 0, 0, nil
}

// run carries out one job. While the server is away it tries again until the job
// is paused or canceled.
func (q *Queue) run(ctx context.Context, j *job) {
	wait := offlineFirst
	var err error
	for {
		err = q.attempt(ctx, j)
		if !client.Transient(err) || ctx.Err() != nil {
			break
		}
		q.mu.Lock()
		if ctx.Err() == nil { // else Pause or Cancel has set the state
			j.State, j.Err = Offline, asError(err)
			q.touchLocked()
		}
		q.mu.Unlock()
		select {
		case <-time.After(client.Jitter(wait)):
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			break
		}
		wait = min(2*wait, offlineLast)
	}
	cause := context.Cause(ctx)
	q.mu.Lock()
	defer q.mu.Unlock()
	j.cancel(nil)
	j.cancel, j.engine = nil, nil
	j.Rate, j.Lanes, j.Question = 0, 0, nil
	switch {
	case j.State == Canceled:
		q.discard(j)
	case errors.Is(cause, errPaused), errors.Is(cause, transfer.ErrDiscard):
		if j.State != Waiting { // else it was resumed before this run had ended
			j.State, j.Err = Paused, nil
		}
	case cause != nil:
		j.State = Waiting // the queue is closed; the job goes on when it is opened again
	case err != nil:
		q.finish(j, Failed, asError(err))
	case j.Failed > 0:
		q.finish(j, Failed, j.verdict())
	default:
		q.finish(j, Done, nil)
		q.removeSpoolLater(j)
	}
	q.pump()
	_ = q.saved() // there is nobody to tell; the next change tries again
}

// verdict returns the error of a job some names of which have failed.
func (j *job) verdict() *hufu.Error {
	if j.Failed == 1 && len(j.Failures) == 1 {
		return j.Failures[0].Err
	}
	return &hufu.Error{Op: "transfer", Kind: hufu.KindExists, Code: "some_failed"}
}

// attempt runs a job once. If it panics on this goroutine, the job fails: the program and the
// other jobs go on, and the next start does not run it again.
func (q *Queue) attempt(ctx context.Context, j *job) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &hufu.Error{Op: "transfer", Kind: hufu.KindInternal, Err: fmt.Errorf("panic: %v\n%s", p, debug.Stack())}
		}
	}()
	r, release, err := q.o.Remote(j.Profile, j.Teach, func(err error) { q.serverLost(j, err) })
	if err != nil {
		return err
	}
	defer release()
	if j.Put {
		r.WarmUp(client.Up, q.Lanes())
	} else {
		r.WarmUp(client.Down, q.Lanes())
	}
	if err := r.LoggedIn(ctx); err != nil {
		return err
	}
	q.mu.Lock()
	j.Same, j.Skipped, j.Failed, j.Failures = 0, 0, 0, nil
	if j.State == Offline {
		j.State = Running
	}
	j.Err = nil
	q.touchLocked()
	q.mu.Unlock()
	o := transfer.Options{
		Checksum: j.Checksum, Owner: r.Profile().User + "@" + r.Profile().Name, Strip: true, Me: r.Profile().User,
		Leave: r.Leave(), Limit: q.limit, Lanes: q.Lanes(),
		Ask:    func(ctx context.Context, c transfer.Conflict) (transfer.Policy, error) { return q.ask(ctx, j, c) },
		Report: func(rep transfer.Report) { q.report(j, rep) },
	}
	e := transfer.New(r, o)
	c, do, err := prepare(ctx, r, j, e)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	e.Tell(c.Failures)
	q.mu.Lock()
	j.engine, j.last, j.lastTime = e, 0, time.Now()
	q.mu.Unlock()
	began := time.Now()
	err = do(ctx, c.Sources)
	c.Ended(&e.Stats, err)
	if err == nil {
		r.Remember(e.Stats.Sent.Load(), time.Since(began))
	}
	q.sample(j, time.Now())
	return err
}

// prepare settles where each source of a job goes, and makes the target folder. It returns
// the function of e that transfers the sources.
func prepare(ctx context.Context, r *client.Remote, j *job, e *transfer.Engine) (*client.Copy, func(context.Context, []transfer.Source) error, error) {
	if j.Put {
		to, err := hufu.ParsePath(j.To)
		if err != nil {
			return nil, nil, err
		}
		c, err := r.PreparePut(ctx, j.Sources, to, client.How{Folder: true})
		return c, e.Put, err
	}
	var fetch []client.Fetch
	for _, s := range j.Sources {
		p, err := hufu.ParsePath(s)
		if err != nil {
			return nil, nil, err
		}
		fetch = append(fetch, client.Fetch{Path: p})
	}
	c, err := r.PrepareGet(ctx, fetch, filepath.Clean(j.To)+string(filepath.Separator), client.How{})
	return c, e.Get, err
}

// serverLost is client.Options.Notify of the server of a job: err is nil when it is back.
func (q *Queue) serverLost(j *job, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case err != nil && j.State == Running:
		j.State, j.Err = Offline, asError(err)
	case err == nil && j.State == Offline:
		j.State, j.Err = Running, nil
	}
	q.touchLocked()
}

func (q *Queue) report(j *job, r transfer.Report) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch r.Outcome {
	case transfer.Same, transfer.Updated:
		j.Same++
	case transfer.Skipped:
		j.Skipped++
	case transfer.Failed:
		j.Failed++
		if len(j.Failures) < maxFailures {
			j.Failures = append(j.Failures, Failure{r.Local, r.Remote.Virtual(), asError(r.Err)})
		}
	}
}

// tick samples the running jobs and reaps spools until the queue is closed.
func (q *Queue) tick() {
	t := time.NewTicker(sampleEvery)
	defer t.Stop()
	for {
		select {
		case now := <-t.C:
			q.mu.Lock()
			busy := slices.DeleteFunc(slices.Clone(q.jobs), func(j *job) bool { return j.engine == nil && j.State != Spooling })
			q.mu.Unlock()
			for _, j := range busy {
				q.sample(j, now)
			}
			if len(busy) > 0 {
				q.reapSpools(now)
				q.touch()
			}
		case <-q.ctx.Done():
			return
		}
	}
}

// sample copies the engine's counters into the job and measures the speed.
func (q *Queue) sample(j *job, now time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	var moved int64
	switch {
	case j.engine != nil:
		s := &j.engine.Stats
		j.Files, j.Bytes, j.Planned = s.Files.Load(), s.Bytes.Load(), s.Planned.Load()
		j.FilesDone, j.BytesDone = s.FilesDone.Load(), s.BytesDone.Load()
		j.Transferred, j.Resumed, j.Lanes = s.Transferred.Load(), s.Resumed.Load(), s.Lanes.Load()
		moved = s.Sent.Load()
	case j.spool != nil:
		moved = j.spool.got.Load()
	default:
		return
	}
	d := now.Sub(j.lastTime)
	if !j.lastTime.IsZero() && d < sampleEvery/2 {
		return // too short to measure: at first bytes only fill buffers
	}
	if !j.lastTime.IsZero() {
		rate := float64(max(moved-j.last, 0)) / d.Seconds()
		if j.Rate > 0 {
			rate = rateWeight*rate + (1-rateWeight)*j.Rate
		}
		j.Rate = rate
	}
	j.last, j.lastTime = moved, now
}
