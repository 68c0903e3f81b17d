package queue

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofrs/flock"

	"hufu"
	"hufu/internal/atomicfile"
	"hufu/internal/client"
	"hufu/internal/profile"
	"hufu/internal/transfer"
)

// journal is the file below Dirs.State that remembers the jobs.
const journal = "transfers.json"

// parallel is how many jobs of a queue run at the same time.
const parallel = 3

// Options say how a queue works.
type Options struct {
	Dirs     profile.Dirs
	Disk     client.Disk
	Parallel int // jobs that run at the same time; 0 chooses
	// Remote returns the server of a profile, or its teaching world, for one job,
	// and a function that releases it. notify is for client.Options.Notify.
	Remote func(profile string, teach bool, notify func(error)) (*client.Remote, func(), error)
}

// Queue carries out transfers, a few at a time, and keeps them in the client's
// state folder, so that they go on after a restart. One process at a time holds
// it. Its methods are safe for concurrent use.
type Queue struct {
	o    Options
	lock *flock.Flock
	stop context.CancelFunc
	ctx  context.Context
	wg   sync.WaitGroup

	limit *transfer.Limit // of all jobs together
	rate  atomic.Int64    // see SetLimit
	lanes atomic.Int64    // see SetLanes

	mu       sync.Mutex // guards what follows, and every job
	jobs     []*job     // oldest first
	closed   bool
	changed  chan struct{} // closed and replaced when anything changes
	unneeded []string      // spools to remove once the journal on the disk does not need them
}

// The causes that end a run before it is done.
var (
	errPaused = errors.New("paused")
	errClosed = errors.New("queue closed")
)

const lockName = "transfers.lock"

// lockTime is how long Open tries to get the lock.
const lockTime = 200 * time.Millisecond

// InUse reports whether a process holds the queue.
func InUse(dirs profile.Dirs) (bool, error) {
	if _, err := os.Stat(filepath.Join(dirs.State, lockName)); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	lock := flock.New(filepath.Join(dirs.State, lockName), flock.SetPermissions(0o600))
	free, err := lock.TryRLock()
	if err != nil {
		return false, &hufu.Error{Op: "look at queue", Path: lock.Path(), Kind: hufu.KindUnreadable, Code: "cannot_read", Err: err}
	}
	if err := lock.Close(); err != nil {
		return false, &hufu.Error{Op: "look at queue", Path: lock.Path(), Kind: hufu.KindUnreadable, Code: "cannot_read", Err: err}
	}
	return !free, nil
}

// Open reads the journal and continues the jobs that were not over. The error is
// KindUsage with the code queue_in_use if another process holds the queue.
func Open(o Options) (*Queue, error) {
	if o.Parallel <= 0 {
		o.Parallel = parallel
	}
	if err := atomicfile.MkdirAll(o.Dirs.State, 0o700); err != nil {
		return nil, &hufu.Error{Op: "open queue", Path: o.Dirs.State, Kind: hufu.KindUnreadable, Code: "cannot_write", Err: err}
	}
	q := &Queue{o: o, changed: make(chan struct{})}
	q.lock = flock.New(filepath.Join(o.Dirs.State, lockName), flock.SetPermissions(0o600))
	// InUse of another process holds the lock for a moment.
	ctx, cancel := context.WithTimeout(context.Background(), lockTime)
	defer cancel()
	locked, err := q.lock.TryLockContext(ctx, lockTime/20)
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return nil, &hufu.Error{Op: "open queue", Path: q.lock.Path(), Kind: hufu.KindUnreadable, Code: "cannot_write", Err: err}
	}
	if !locked {
		return nil, &hufu.Error{Op: "open queue", Path: q.lock.Path(), Kind: hufu.KindUsage, Code: "queue_in_use"}
	}
	all, err := q.loadJobs()
	if err != nil {
		return nil, errors.Join(err, q.lock.Unlock())
	}
	q.rate.Store(q.remembered(limitFile, isLimit))
	q.lanes.Store(q.remembered(lanesFile, isLanes))
	q.limit = transfer.NewLimit(func(time.Time) int64 { return q.rate.Load() })
	q.ctx, q.stop = context.WithCancel(context.Background())
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, k := range all {
		j := k.job()
		if k.Spool {
			j.spool = &spool{dir: q.spoolDir(j.ID)}
		}
		switch j.State {
		case Spooling: // the page that fed it is gone with the program
			j.State, j.Err, j.Ended = Failed, &hufu.Error{Op: "spool", Kind: hufu.KindCanceled, Code: "spool_broken"}, time.Now()
			j.dropSpool()
		case Running, Offline:
			j.State = Waiting
		case Canceled:
			if j.Ended.IsZero() { // the program ended before the run did
				q.discard(j)
			}
		}
		q.jobs = append(q.jobs, j)
	}
	q.clearSpools()
	q.wg.Go(q.tick)
	q.pump()
	return q, nil
}

// Close stops the jobs that run. They continue when the queue is opened again.
func (q *Queue) Close() error {
	q.mu.Lock()
	q.closed = true
	for _, j := range q.jobs {
		if j.cancel != nil {
			j.cancel(errClosed)
		}
	}
	q.mu.Unlock()
	q.stop()
	q.wg.Wait()
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, j := range q.jobs {
		if j.State == Spooling {
			j.dropSpool()
		}
	}
	return errors.Join(q.save(), q.lock.Unlock())
}

func newJob(spec Spec) *job {
	spec.Sources = slices.Clone(spec.Sources)
	return &job{Job: Job{Spec: spec, ID: strings.ToLower(rand.Text()), State: Waiting, Created: time.Now()}}
}

// Add puts a transfer at the end of the queue.
func (q *Queue) Add(spec Spec) (string, error) {
	if len(spec.Sources) == 0 {
		return "", &hufu.Error{Op: "add transfer", Kind: hufu.KindInvalid, Code: "nothing_chosen"}
	}
	j := newJob(spec)
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.begin(j); err != nil {
		return "", err
	}
	q.pump()
	return j.ID, nil
}

// open returns an error once the queue is being closed: another process may soon hold the
// journal. The mutex is held.
func (q *Queue) open() error {
	if q.closed {
		return &hufu.Error{Op: "change transfers", Kind: hufu.KindCanceled, Err: errClosed}
	}
	return nil
}

// begin puts a new job into the queue and the journal, or into neither. The mutex
// is held.
func (q *Queue) begin(j *job) error {
	if err := q.open(); err != nil {
		return err
	}
	q.jobs = append(q.jobs, j)
	err := q.saved()
	if err != nil {
		q.jobs = slices.DeleteFunc(q.jobs, func(other *job) bool { return other == j })
		_ = q.saved() // the failed write may already have replaced the journal: write it again without the job
	}
	return err
}

// find returns a job by its id. The mutex is held.
func (q *Queue) find(id string) *job {
	for _, j := range q.jobs {
		if j.ID == id {
			return j
		}
	}
	return nil
}

// with calls do for one job. It then starts the jobs that may run, and saves, also if
// do has failed.
func (q *Queue) with(id string, do func(*job) error) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.open(); err != nil {
		return err
	}
	j := q.find(id)
	if j == nil {
		return &hufu.Error{Op: "find transfer", Kind: hufu.KindNotFound, Code: "no_such_job"}
	}
	err := do(j)
	q.pump()
	if err == nil {
		err = q.saved()
	} else {
		_ = q.saved() // the caller is told of the first error
	}
	return err
}

// Pause stops a job until Resume. A job that cannot be paused stays as it is.
func (q *Queue) Pause(id string) error {
	return q.with(id, func(j *job) error {
		switch {
		case j.State.Over():
		case j.cancel != nil:
			j.cancel(errPaused)
			j.State = Paused
		case j.State == Waiting:
			j.State = Paused
		}
		return nil
	})
}

// Resume continues a paused job, or runs a job again that is over. What has
// arrived is not sent again.
func (q *Queue) Resume(id string) error {
	return q.with(id, func(j *job) error {
		if j.State == Paused || j.State.Over() {
			return q.again(j)
		}
		return nil
	})
}

// resumable reports whether the sources of j are there: those in a spool are removed with it.
// The mutex is held.
func (q *Queue) resumable(j *job) bool {
	return len(j.Sources) > 0 && (j.spool != nil || !j.Put || filepath.Dir(j.Sources[0]) != q.spoolDir(j.ID))
}

func (q *Queue) again(j *job) error {
	if !q.resumable(j) {
		return &hufu.Error{Op: "resume", Kind: hufu.KindNotFound, Code: "spool_gone"}
	}
	j.State, j.Err, j.Ended = Waiting, nil, time.Time{}
	return nil
}

// RetryFailed runs every failed job again. With a profile, it runs those that
// failed because there was no login at that profile.
func (q *Queue) RetryFailed(profile string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.open(); err != nil {
		return err
	}
	for _, j := range q.jobs {
		mine := profile == "" || j.Profile == profile && j.Err != nil && j.Err.Kind == hufu.KindCredentials
		if j.State == Failed && mine && q.resumable(j) {
			if err := q.again(j); err != nil {
				return err
			}
		}
	}
	q.pump()
	return q.saved()
}

// First puts a job that waits before all others that wait.
func (q *Queue) First(id string) error {
	return q.with(id, func(j *job) error {
		if j.State != Waiting {
			return nil
		}
		q.jobs = slices.DeleteFunc(q.jobs, func(other *job) bool { return other == j })
		i := slices.IndexFunc(q.jobs, func(other *job) bool { return other.State == Waiting })
		if i < 0 {
			i = len(q.jobs)
		}
		q.jobs = slices.Insert(q.jobs, i, j)
		return nil
	})
}

// Cancel ends a job and removes what has arrived of its unfinished files.
func (q *Queue) Cancel(id string) error {
	return q.with(id, func(j *job) error {
		switch {
		case j.State.Over():
		case j.cancel != nil:
			j.cancel(transfer.ErrDiscard)
			j.State = Canceled
		default:
			q.discard(j)
			if j.Err != nil {
				return j.Err
			}
		}
		return nil
	})
}

// discard marks a job that is not running as canceled, and removes what has arrived of its
// unfinished files. The job keeps the error. The mutex is held.
func (q *Queue) discard(j *job) {
	q.finish(j, Canceled, asError(q.removeUnfinished(j)))
	q.removeSpoolLater(j)
}

// removeUnfinished removes from this computer what has arrived of the unfinished files of
// a get that does not run. The server removes by itself what a put has sent.
func (q *Queue) removeUnfinished(j *job) error {
	if j.Put {
		return nil
	}
	var sources []hufu.Path
	for _, source := range j.Sources {
		if p, err := hufu.ParsePath(source); err == nil { // else it was never fetched
			sources = append(sources, p)
		}
	}
	return client.Discard(q.o.Disk, q.o.Dirs.Journals(), j.To, sources)
}

// Dismiss forgets a job that is over, or, with an empty id, all jobs that are done or
// canceled.
func (q *Queue) Dismiss(id string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.open(); err != nil {
		return err
	}
	q.jobs = slices.DeleteFunc(q.jobs, func(j *job) bool {
		gone := j.State.Over() && j.cancel == nil && (j.ID == id || id == "" && j.State != Failed)
		if gone {
			q.removeSpoolLater(j)
		}
		return gone
	})
	return q.saved()
}

// Answer settles a conflict. If all is true, it also settles the later conflicts of the same job.
func (q *Queue) Answer(id string, question int, p transfer.Policy, all bool) error {
	switch p {
	case transfer.Skip, transfer.Replace, transfer.Newer, transfer.Rename:
	default:
		return &hufu.Error{Op: "answer", Kind: hufu.KindInvalid}
	}
	return q.with(id, func(j *job) error {
		if j.Question == nil || j.Question.ID != question {
			return nil // answered already, in another window
		}
		if all {
			j.Conflict = p
		}
		j.Question = nil
		j.answer <- p
		return nil
	})
}

// ask is transfer.Options.Ask.
func (q *Queue) ask(ctx context.Context, j *job, c transfer.Conflict) (transfer.Policy, error) {
	q.mu.Lock()
	if j.Conflict != "" {
		defer q.mu.Unlock()
		return j.Conflict, nil
	}
	j.asked++
	j.Question = &Question{j.asked, c.Local, c.Remote, c.From, c.Into}
	j.answer = make(chan transfer.Policy, 1)
	answer := j.answer
	q.touchLocked()
	q.mu.Unlock()
	select {
	case p := <-answer:
		return p, nil
	case <-ctx.Done():
		q.mu.Lock()
		defer q.mu.Unlock()
		j.Question = nil
		return "", &hufu.Error{Op: "ask", Kind: hufu.KindCanceled, Err: context.Cause(ctx)}
	}
}

// Jobs describes all jobs, newest first. changed is closed when something has
// changed.
func (q *Queue) Jobs() (all []Job, changed <-chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, j := range slices.Backward(q.jobs) {
		v := j.Job
		v.Sources, v.Failures, v.Again = slices.Clone(j.Sources), slices.Clone(j.Failures), q.resumable(j)
		if s := j.spool; s != nil && j.State == Spooling {
			v.BytesDone, v.FilesDone = s.got.Load(), s.files.Load()
		}
		if e := j.engine; e != nil {
			v.Active = e.Active()
		}
		all = append(all, v)
	}
	return all, q.changed
}

func (q *Queue) touch() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.touchLocked()
}

func (q *Queue) touchLocked() {
	close(q.changed)
	q.changed = make(chan struct{})
}

// saved writes the journal after a change, and then removes the spools that are no longer needed.
// On a full disk it removes them first, and writes the journal again. The mutex is held.
func (q *Queue) saved() error {
	over := 0
	for i, j := range slices.Backward(q.jobs) {
		if j.State.Over() && j.cancel == nil {
			if over++; over > maxOver {
				q.removeSpoolLater(j)
				q.jobs = slices.Delete(q.jobs, i, i+1)
			}
		}
	}
	q.touchLocked()
	err := q.save()
	if full := noRoom(err); err != nil && !full || len(q.unneeded) == 0 {
		return err
	}
	for _, dir := range q.unneeded {
		_ = os.RemoveAll(dir)
	}
	q.unneeded = nil
	if err != nil { // removing the spools may have made room
		err = q.save()
	}
	return err
}

func (q *Queue) save() error {
	all := []jobRecord{}
	for _, j := range q.jobs {
		if !j.Teach {
			all = append(all, j.record())
		}
	}
	data, err := json.Marshal(all)
	if err != nil {
		return &hufu.Error{Op: "save transfers", Kind: hufu.KindInternal, Err: err}
	}
	return q.o.Dirs.Keep(journal, data)
}
