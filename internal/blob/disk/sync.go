package disk

import (
	"errors"
	"sync"
	"time"

	"hufu/internal/blob/disk/sys"
)

// syncer makes writes durable in the cheaper of two ways: one syncfs for the
// whole file system, or an fsync for each file and folder, several at a time.
// The cheaper way depends on other writers, so it is measured.
type syncer struct {
	s *Store

	mu      sync.Mutex
	whole   time.Duration // duration of a recent syncfs
	each    time.Duration // duration of a recent fsync, its share of a parallel run
	failed  int64         // how often a syncfs or the fsync of a folder has failed
	running *flight       // a syncfs that has begun
	next    *flight       // the next one, which all new callers share
}

type flight struct {
	done   chan struct{}
	err    error
	failed int64 // failures until its end
}

// fsyncLanes is the number of concurrent fsyncs; the file system's journal
// combines them.
const fsyncLanes = 16

func newSyncer(s *Store) *syncer {
	return &syncer{s: s, whole: 4 * time.Millisecond, each: time.Millisecond}
}

// preferWhole reports whether syncfs is the better way for n files and folders.
// The estimate of the unused way slowly gets cheaper, so that it is tried again
// when the disk has calmed down.
func (y *syncer) preferWhole(n int) bool {
	if !y.s.has.Syncfs || n == 0 {
		return false
	}
	if y.s.has.Memory {
		return true
	}
	y.mu.Lock()
	defer y.mu.Unlock()
	whole := 2*y.whole < time.Duration(n)*y.each
	if whole {
		y.each -= y.each / 64
	} else {
		y.whole -= y.whole / 64
	}
	return whole
}

// errSync marks errors of a sync itself. A failed open before it is not marked: nothing is lost
// then, and it may be tried again. The system reports a failure once: a second try would find
// nothing left to write and report success, so the write is given up.
var errSync = errors.New("could not be made durable")

type syncError struct{ err error }

func (e *syncError) Error() string   { return errSync.Error() + ": " + e.err.Error() }
func (e *syncError) Unwrap() []error { return []error{errSync, e.err} }

func syncFailed(err error) error {
	if err == nil || errors.Is(err, errSync) {
		return err
	}
	return &syncError{err}
}

// Settled holds the file systems that were synced once since this process began, in all stores
// that share it. A process that was killed may have left names that are not durable; readers that
// find them now rely on them.
type Settled struct {
	mu   sync.Mutex
	devs map[uint64]error // its result
}

// syncOnce syncs the file system of the store, unless that was done. The system
// reports a failure only once, so it is kept as long as the process runs.
func (e *Settled) syncOnce(s *Store) error {
	if e == nil {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if err, done := e.devs[s.dev]; done {
		return err
	}
	err := s.synced("sync-start", s.root.Syncfs)
	if errors.Is(err, errors.ErrUnsupported) {
		err = nil
	}
	if err != nil {
		s.log.Error("what was written before the start may be lost", "error", err)
	}
	if e.devs == nil {
		e.devs = make(map[uint64]error)
	}
	e.devs[s.dev] = err
	return err
}

// syncFile makes the bytes of f durable.
func (s *Store) syncFile(f sys.File) error {
	return s.synced("sync-file", f.Sync)
}

// syncDir makes the names in d durable; d was opened with sys.ReadFlags.
func (s *Store) syncDir(d sys.Dir) error {
	err := s.synced("sync-folder", d.Sync)
	if err != nil {
		if n, err := d.Self(); err == nil {
			s.fresh.lost(&n)
		} else {
			s.fresh.lost(nil)
		}
		s.sync.mu.Lock()
		s.sync.failed++
		s.sync.mu.Unlock()
	}
	return err
}

func (s *Store) synced(step string, sync func() error) error {
	err := s.hook(step)
	if err == nil {
		err = sync()
	}
	return syncFailed(err)
}

// failures returns how often a syncfs or the fsync of a folder has failed so
// far.
func (y *syncer) failures() int64 {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.failed
}

// since returns an error if there were failures after the given number: a
// failure for somebody else's names in a folder may concern these names, too.
func (y *syncer) since(failures int64) error {
	if y.failures() != failures {
		return syncFailed(errEarlier)
	}
	return nil
}

// everything returns when everything written before the call is durable. Calls
// that come while one syncfs runs share the next. since is the failure count
// before the caller's first write. Any failure after that is the caller's error,
// even if the caller did not wait for that sync.
func (y *syncer) everything(since int64) error {
	y.mu.Lock()
	f := y.next
	if f == nil {
		f = &flight{done: make(chan struct{})}
		y.next = f
		if y.running == nil {
			y.startLocked()
		}
	}
	y.mu.Unlock()
	<-f.done
	if f.err == nil && f.failed != since {
		return syncFailed(errEarlier)
	}
	return f.err
}

// errEarlier is the error for names or bytes that an earlier failed sync may have lost.
var errEarlier = errors.New("the disk failed earlier")

// startLocked turns the next flight into the running one. At the end of the
// flight its goroutine starts the next one, if callers wait for one.
func (y *syncer) startLocked() {
	f := y.next
	y.running, y.next = f, nil
	go func() {
		begun := time.Now()
		if f.err = y.s.synced("sync-all", y.s.root.Syncfs); f.err != nil {
			y.s.fresh.lost(nil)
		}
		y.mu.Lock()
		if f.err != nil {
			y.failed++
		}
		f.failed = y.failed
		y.whole = (3*y.whole + time.Since(begun)) / 4
		y.running = nil
		if y.next != nil {
			y.startLocked()
		}
		y.mu.Unlock()
		close(f.done)
	}()
}

// parallel runs n fsyncs, some at a time, and returns the error of each.
func (y *syncer) parallel(n int, fsync func(i int) error) []error {
	if n == 0 {
		return nil
	}
	errs := make([]error, n)
	begun := time.Now()
	if n == 1 {
		errs[0] = fsync(0)
	} else {
		var wg sync.WaitGroup
		lanes := min(n, fsyncLanes)
		for lane := range lanes {
			wg.Go(func() {
				for i := lane; i < n; i += lanes {
					errs[i] = fsync(i)
				}
			})
		}
		wg.Wait()
	}
	took := time.Since(begun) / time.Duration(n)
	y.mu.Lock()
	y.each = (7*y.each + took) / 8
	y.mu.Unlock()
	return errs
}

// folders makes the names in these folders durable by fsync.
func (y *syncer) folders(dirs []sys.Dir) error {
	return errors.Join(y.parallel(len(dirs), func(i int) error { return y.folder(dirs[i]) })...)
}

// folder syncs one folder. A handle of PassFlags cannot be synced, so the folder is opened again.
func (y *syncer) folder(d sys.Dir) error {
	if err := y.s.hook("open-to-sync"); err != nil {
		return err
	}
	again, err := y.s.k.OpenDir(d, "", sys.ReadFlags)
	if err != nil {
		return err
	}
	defer again.Close()
	return y.s.syncDir(again)
}
