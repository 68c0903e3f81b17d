package queue

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"hufu"
	"hufu/internal/atomicfile"
	"hufu/internal/profile"
)

// spoolReserve is the room, in bytes, that a spool must leave on the disk.
const spoolReserve = 64 << 20

// spoolPatience is how long a spool may stay without new bytes before it is
// given up: the page that fed it is gone.
const spoolPatience = 2 * time.Minute

// syncLanes is how many files of a spool are made durable at once; the file
// system combines them.
const syncLanes = 16

// spool is a folder of the client's own that receives the files of a job before
// they are transferred. So the transfer can be resumed when the page that handed
// the files over is closed.
type spool struct {
	dir   string
	root  *os.Root
	size  int64        // announced
	taken atomic.Int64 // of size: for files that have arrived, or are arriving
	got   atomic.Int64
	files atomic.Int64
	fed   atomic.Int64 // unix nanoseconds of the last bytes
	busy  atomic.Int64 // files being written now
	// taking is held for reading while a file is received, and for writing by SpoolDone, which
	// thereby waits for those files.
	taking sync.RWMutex
}

func (q *Queue) spoolDir(id string) string { return filepath.Join(q.o.Dirs.State, profile.Spools, id) }

// Spool begins a put of files that are handed over one by one. files and size are
// announced; there must be room for them on the disk.
func (q *Queue) Spool(ctx context.Context, spec Spec, files, size int64) (string, error) {
	if size < 0 || files < 0 {
		return "", &hufu.Error{Op: "spool", Kind: hufu.KindInvalid}
	}
	base := q.spoolDir("")
	if err := atomicfile.MkdirAll(base, 0o700); err != nil {
		return "", &hufu.Error{Op: "spool", Path: base, Kind: hufu.KindUnreadable, Code: "cannot_write", Err: err}
	}
	free, err := q.space(ctx, base)
	if err != nil {
		return "", err
	}
	if size > free-spoolReserve {
		return "", &hufu.Error{
			Op: "spool", Path: base, Kind: hufu.KindQuota, Code: "spool_no_room",
			Args: map[string]string{"need": strconv.FormatInt(size>>20, 10), "free": strconv.FormatInt(max(free-spoolReserve, 0)>>20, 10)},
		}
	}
	spec.Put, spec.Sources = true, nil
	j := newJob(spec)
	j.State = Spooling
	j.Files, j.Bytes = files, size
	s := &spool{dir: q.spoolDir(j.ID), size: size}
	s.fed.Store(time.Now().UnixNano())
	if err := os.Mkdir(s.dir, 0o700); err != nil {
		return "", &hufu.Error{Op: "spool", Path: s.dir, Kind: hufu.KindUnreadable, Code: "cannot_write", Err: err}
	}
	if s.root, err = os.OpenRoot(s.dir); err != nil {
		return "", &hufu.Error{Op: "spool", Path: s.dir, Kind: hufu.KindUnreadable, Code: "cannot_write", Err: err}
	}
	j.spool = s
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.begin(j); err != nil {
		j.dropSpool()
		return "", err
	}
	return j.ID, nil
}

// space returns how many bytes can still be stored in dir.
func (q *Queue) space(ctx context.Context, dir string) (int64, error) {
	f, err := q.o.Disk.Open(dir, "")
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }()
	free, _, err := f.Space(ctx)
	return free, err
}

// spooling returns a job that takes files, and its spool. The spool counts as busy
// until the caller decrements busy.
func (q *Queue) spooling(id string) (*job, *spool, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.open(); err != nil {
		return nil, nil, err
	}
	j := q.find(id)
	if j == nil || j.State != Spooling {
		return nil, nil, &hufu.Error{Op: "spool", Kind: hufu.KindNotFound, Code: "spool_gone"}
	}
	j.spool.busy.Add(1)
	return j, j.spool, nil
}

// SpoolFile takes over one file, or makes a folder if size is negative.
func (q *Queue) SpoolFile(id string, p hufu.Path, size int64, mtime time.Time, from io.Reader) error {
	_, s, err := q.spooling(id)
	if err != nil {
		return err
	}
	defer s.busy.Add(-1)
	if p.IsRoot() || p.Reserved() {
		return &hufu.Error{Op: "spool", Path: p.Virtual(), Kind: hufu.KindInvalidPath, Code: "name_reserved"}
	}
	if !s.reserve(size) {
		return &hufu.Error{Op: "spool", Path: p.Virtual(), Kind: hufu.KindInvalid, Code: "spool_more_than_announced"}
	}
	s.taking.RLock()
	defer s.taking.RUnlock()
	if err := s.take(p, size, mtime, from); err != nil {
		s.taken.Add(-max(size, 0))
		return spoolError(p, err)
	}
	q.touch()
	return nil
}

// reserve takes size from what is left of the announced bytes. It reports false if less is left.
func (s *spool) reserve(size int64) bool {
	for {
		taken := s.taken.Load()
		if size > s.size-taken {
			return false
		}
		if s.taken.CompareAndSwap(taken, taken+max(size, 0)) {
			return true
		}
	}
}

func spoolError(p hufu.Path, err error) error {
	if e, ok := errors.AsType[*hufu.Error](err); ok {
		return e
	}
	e := &hufu.Error{Op: "spool", Path: p.Virtual(), Kind: hufu.KindUnreadable, Code: "cannot_write", Err: err}
	if errors.Is(err, fs.ErrExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.EISDIR) {
		e.Kind, e.Code = hufu.KindExists, "spool_name_twice"
	}
	if noRoom(err) {
		e.Kind, e.Code = hufu.KindQuota, "disk_full"
	}
	return e
}

func noRoom(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// feed counts what arrives.
type feed struct {
	s    *spool
	from io.Reader
}

func (f feed) Read(b []byte) (int, error) {
	n, err := f.from.Read(b)
	f.s.got.Add(int64(n))
	f.s.fed.Store(time.Now().UnixNano())
	return n, err
}

func (s *spool) take(p hufu.Path, size int64, mtime time.Time, from io.Reader) error {
	name := filepath.FromSlash(p.String())
	if size < 0 {
		return s.root.MkdirAll(name, 0o700)
	}
	if dir := path.Dir(p.String()); dir != "." {
		if err := s.root.MkdirAll(filepath.FromSlash(dir), 0o700); err != nil {
			return err
		}
	}
	f, err := s.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	n, err := io.Copy(f, feed{s, io.LimitReader(from, size)})
	if err == nil && n != size {
		err = &hufu.Error{Op: "spool", Path: p.Virtual(), Kind: hufu.KindNetwork, Code: "spool_cut", Err: io.ErrUnexpectedEOF}
	}
	err = errors.Join(err, f.Close())
	if err == nil && !mtime.IsZero() {
		err = s.root.Chtimes(name, mtime, mtime)
	}
	if err != nil {
		s.got.Add(-n)
		_ = s.root.Remove(name)
		return err
	}
	s.files.Add(1)
	return nil
}

// sync makes the files of the spool durable, so that a transfer that goes on after
// a power cut finds them whole. A failure is final, because the system reports it
// once.
func (s *spool) sync() error {
	names := make(chan string)
	errs := make(chan error, syncLanes)
	for range syncLanes {
		go func() { // ends when names is closed
			var err error
			for name := range names {
				if err == nil {
					err = syncNamed(name)
				}
			}
			errs <- err
		}()
	}
	err := filepath.WalkDir(s.dir, func(name string, _ fs.DirEntry, err error) error {
		if err == nil {
			names <- name
		}
		return err
	})
	close(names)
	for range syncLanes {
		err = errors.Join(err, <-errs)
	}
	return errors.Join(err, atomicfile.SyncFolder(filepath.Dir(s.dir)))
}

func syncNamed(name string) error {
	i, err := os.Lstat(name)
	if err != nil {
		return err
	}
	if i.IsDir() {
		return atomicfile.SyncFolder(name)
	}
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// SpoolDone must be called when all files are handed over. It waits for a file
// that is still being taken over. When it returns nil the files are durable and
// the transfer begins.
func (q *Queue) SpoolDone(id string) error {
	j, s, err := q.spooling(id)
	if err != nil {
		return err
	}
	defer s.busy.Add(-1)
	s.taking.Lock()
	defer s.taking.Unlock()
	err = s.sync()
	list, readErr := os.ReadDir(s.dir)
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.open(); err != nil { // Close removes the spool
		return err
	}
	if j.State != Spooling {
		return &hufu.Error{Op: "spool", Kind: hufu.KindNotFound, Code: "spool_gone"}
	}
	if err = errors.Join(err, readErr); err == nil && len(list) == 0 {
		err = &hufu.Error{Op: "spool", Kind: hufu.KindInvalid, Code: "spool_empty"}
	}
	if err == nil {
		_ = s.root.Close() // nothing more is taken
		for _, d := range list {
			j.Sources = append(j.Sources, filepath.Join(s.dir, d.Name()))
		}
		j.State = Waiting
		err = q.saved()
	}
	if err != nil {
		failed := asError(spoolError(hufu.Path{}, err))
		j.Sources = nil
		q.finish(j, Failed, failed)
		q.removeSpoolLater(j)
		_ = q.saved() // the caller is told of the first error
		return failed
	}
	q.pump()
	return nil
}

// removeSpoolLater marks a job's spool to be removed by the next saved. Until then the journal on
// the disk may say that the job is still to be done. The mutex is held.
func (q *Queue) removeSpoolLater(j *job) {
	if j.spool == nil {
		return
	}
	if j.spool.root != nil {
		_ = j.spool.root.Close()
	}
	q.unneeded = append(q.unneeded, j.spool.dir)
	j.spool = nil
}

// dropSpool removes a job's spool that the journal does not need. The mutex is
// held.
func (j *job) dropSpool() {
	if j.spool == nil {
		return
	}
	if j.spool.root != nil {
		_ = j.spool.root.Close()
	}
	_ = os.RemoveAll(j.spool.dir)
	j.spool = nil
}

// reapSpools fails the jobs whose spools have received nothing for too long.
func (q *Queue) reapSpools(now time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, j := range q.jobs {
		if j.State == Spooling && j.spool.busy.Load() == 0 && now.Sub(time.Unix(0, j.spool.fed.Load())) > spoolPatience {
			q.finish(j, Failed, &hufu.Error{Op: "spool", Kind: hufu.KindCanceled, Code: "spool_broken"})
			j.dropSpool()
		}
	}
}

// clearSpools removes the spools without a job.
func (q *Queue) clearSpools() {
	list, err := os.ReadDir(q.spoolDir(""))
	if err != nil {
		return
	}
	for _, d := range list {
		if j := q.find(d.Name()); j == nil || j.spool == nil {
			_ = os.RemoveAll(q.spoolDir(d.Name()))
		}
	}
}
