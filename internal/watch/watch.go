// Package watch tells when something in a folder of this computer has changed.
package watch

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"

	"hufu"
)

// A burst of changes is one change. It ends when nothing has changed for quiet, or after most,
// whichever comes first.
const (
	quiet = 300 * time.Millisecond
	most  = time.Second
)

// mostTasks bounds the tasks that wait. If there are more, the watch begins again instead.
const mostTasks = 1 << 16

// Watcher watches a folder and all folders below it. Links are not followed.
type Watcher struct {
	dir     string
	was     os.FileInfo // of dir
	in      *fsnotify.Watcher
	changed chan struct{}       // holds one when something has changed since the last Wait
	work    chan struct{}       // holds one when there are tasks
	ended   chan struct{}       // closed when fsnotify tells nothing any more
	mount   func(string) uint64 // what is mounted on a folder, nil if that does not matter
	over    sync.WaitGroup
	known   map[string]struct{} // watched folders, and perhaps some that are gone; only tend uses it

	mu      sync.Mutex
	tasks   []task            // to be done in order
	waiting []chan struct{}   // closed when the tasks are done
	mounts  map[string]uint64 // the folders below dir that other file systems are mounted on, and these
	moved   map[string]uint64 // those of them that were renamed, or a folder above them
	err     error             // why not everything is watched
}

// task is what to do about a name in the folder.
type task struct {
	do   int
	name string
}

// The tasks.
const (
	watchNew  = iota // watch the folder, if it is one, and those below it
	forget           // the name is gone: watch nothing below it any more
	look             // watch what is not watched yet
	watchAnew        // forget everything, and begin again
)

// New begins to watch a folder: what changes from now on ends a Wait. With mounts, There also judges
// the file systems that are mounted below it.
func New(dir string, mounts bool) (*Watcher, error) {
	if mounts {
		return begin(dir, mount)
	}
	return begin(dir, nil)
}

func begin(dir string, mount func(string) uint64) (*Watcher, error) {
	was, err := os.Stat(dir)
	if err != nil {
		return nil, gone(dir, err)
	}
	in, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, cannot(dir, err)
	}
	w := &Watcher{
		dir: dir, was: was, in: in, mount: mount,
		changed: make(chan struct{}, 1), work: make(chan struct{}, 1), ended: make(chan struct{}),
		known: map[string]struct{}{}, mounts: map[string]uint64{}, moved: map[string]uint64{},
	}
	w.over.Go(w.read) // before the first Add, which may wait for it
	if w.add(w.root()); w.failure() != nil {
		return nil, errors.Join(w.failure(), w.Close())
	}
	w.over.Go(w.tend)
	return w, nil
}

// Close ends the watch.
func (w *Watcher) Close() error {
	err := w.in.Close()
	w.over.Wait()
	return err //nolint:wrapcheck // of the system, and nobody shows it
}

// read takes what fsnotify tells. It calls nothing of fsnotify: fsnotify may hold its lock until an
// event or an error is taken.
func (w *Watcher) read() {
	defer close(w.ended)
	for {
		select {
		case e, open := <-w.in.Events:
			switch {
			case !open:
				return
			case e.Has(fsnotify.Create):
				w.later(task{watchNew, e.Name})
			case e.Has(fsnotify.Rename):
				w.later(task{forget, e.Name})
			default:
				w.tell()
			}
		case err, open := <-w.in.Errors:
			switch {
			case !open:
				return
			case errors.Is(err, fsnotify.ErrEventOverflow): // changes were lost, new folders as well
				w.later(task{do: watchAnew})
			case errors.Is(err, syscall.EINVAL): // a folder was renamed and is gone: its watch is, too
				w.tell()
			default:
				w.fail(cannot(w.dir, err))
				w.tell()
			}
		}
	}
}

// tell ends a Wait.
func (w *Watcher) tell() {
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

// later has tend do a task.
func (w *Watcher) later(t task) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.tasks = append(w.tasks, t); len(w.tasks) > mostTasks {
		w.tasks = []task{{do: watchAnew}}
	}
	select {
	case w.work <- struct{}{}:
	default:
	}
}

// tend does the tasks. A new folder is watched before the change is told: files that were created
// in it earlier are seen by the pass that follows the Wait.
func (w *Watcher) tend() {
	for {
		select {
		case <-w.work:
		case <-w.ended:
			return
		}
		w.mu.Lock()
		tasks, waiting := w.tasks, w.waiting
		w.tasks, w.waiting = nil, nil
		w.mu.Unlock()
		for _, t := range tasks {
			switch t.do {
			case watchNew:
				w.add(t.name)
			case forget:
				w.forget(t.name)
			case watchAnew:
				w.forget("")
				w.add(w.root())
			case look:
				w.prune()
				w.add(w.root())
			}
		}
		for _, c := range waiting {
			close(c)
		}
		if slices.ContainsFunc(tasks, func(t task) bool { return t.do != look }) {
			w.tell()
		}
	}
}

// done returns once the tasks that wait are done.
func (w *Watcher) done(ctx context.Context) {
	c := make(chan struct{})
	w.mu.Lock()
	w.waiting = append(w.waiting, c)
	w.mu.Unlock()
	select {
	case w.work <- struct{}{}:
	default:
	}
	select {
	case <-c:
	case <-w.ended:
	case <-ctx.Done():
	}
}

// forget ends the watch of a folder that had this name, and of those below it; of all if it is "".
// The system goes on watching a folder that is renamed, and fsnotify would report what happens in
// it under its old name.
func (w *Watcher) forget(name string) {
	if _, ok := w.known[name]; !ok && name != "" {
		return // a file
	}
	in := func(path string) bool {
		return name == "" || path == name || strings.HasPrefix(path, name+string(filepath.Separator))
	}
	for _, path := range w.in.WatchList() {
		if in(path) {
			_ = w.in.Remove(path) // or it is gone already
		}
	}
	maps.DeleteFunc(w.known, func(path string, _ struct{}) bool { return in(path) })
	w.mu.Lock()
	defer w.mu.Unlock()
	for path, on := range w.mounts {
		if name != "" && in(path) {
			delete(w.mounts, path)
			w.moved[path] = on
		}
	}
}

// prune removes deleted folders from known. A folder above a watched one stays: it may have been renamed,
// and forget needs it.
func (w *Watcher) prune() {
	clear(w.known)
	for _, path := range w.in.WatchList() {
		for _, ok := w.known[path]; !ok; _, ok = w.known[path] {
			w.known[path] = struct{}{}
			path = filepath.Dir(path)
		}
	}
}

// root is the folder itself, to which the source may be a link.
func (w *Watcher) root() string {
	if dir, err := filepath.EvalSymlinks(w.dir); err == nil {
		return dir
	}
	return w.dir
}

// add watches a folder and those below it. What is no folder, or vanishes meanwhile, is passed over.
func (w *Watcher) add(dir string) {
	root := w.root()
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil //nolint:nilerr // the transfer tells of what cannot be read
		}
		if _, ok := w.known[path]; !ok && runtime.GOOS == "windows" {
			_ = w.in.Remove(path) // a renamed folder is watched under its old name
		}
		w.known[path] = struct{}{}
		if err := w.in.Add(path); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) && !errors.Is(err, fsnotify.ErrClosed) {
			w.fail(cannot(path, err))
			return filepath.SkipAll
		}
		if path != root {
			w.noteMount(path)
		}
		return nil
	})
}

// noteMount remembers a folder that another file system is mounted on. What it knows of stays: There
// judges that.
func (w *Watcher) noteMount(path string) {
	if w.mount == nil {
		return
	}
	if on := w.mount(path); on != 0 {
		w.mu.Lock()
		defer w.mu.Unlock()
		if _, ok := w.mounts[path]; !ok {
			w.mounts[path] = on
		}
	}
}

func (w *Watcher) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.err = errors.Join(w.err, err)
}

func (w *Watcher) failure() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// Wait returns once a burst of changes since the last Wait is over, or after limit. It returns an
// error if the folder is gone, can no longer be watched, or ctx has ended.
func (w *Watcher) Wait(ctx context.Context, limit time.Duration) error {
	select {
	case <-w.changed:
		w.settle(ctx)
	case <-time.After(limit):
		w.later(task{do: look}) // a folder that could not be read before, say
	case <-ctx.Done():
	}
	if ctx.Err() != nil {
		return &hufu.Error{Op: "watch", Kind: hufu.KindCanceled, Err: context.Cause(ctx)}
	}
	if err := w.There(ctx); err != nil {
		return err
	}
	return w.failure()
}

// There returns an error if the folder is gone, or is another one: an empty mount point, say. It also
// does if a file system that was mounted below it no longer is.
func (w *Watcher) There(ctx context.Context) error {
	err := w.judge(ctx)
	if err != nil && w.mount != nil { // the system tells in a moment that a folder was renamed
		select {
		case <-time.After(quiet):
			err = w.judge(ctx)
		case <-ctx.Done():
		}
	}
	return err
}

// Look is There, and also notes new mounts, of which the system does not tell. Call it after each pass, so
// that a mount that the pass has read is missed when it goes.
func (w *Watcher) Look(ctx context.Context) error {
	if w.mount != nil {
		w.later(task{do: look})
	}
	return w.There(ctx)
}

func (w *Watcher) judge(ctx context.Context) error {
	if now, err := os.Stat(w.dir); err != nil || !os.SameFile(w.was, now) {
		return gone(w.dir, err)
	}
	if w.mount == nil {
		return nil
	}
	w.done(ctx) // a renamed folder is not gone
	w.mu.Lock()
	mounts, moved := maps.Clone(w.mounts), maps.Clone(w.moved)
	w.mu.Unlock()
	there := map[uint64]bool{}
	for path, was := range mounts { // without the lock: a file system may not answer
		if w.mount(path) != was {
			return gone(path, nil)
		}
		there[was] = true
	}
	for path, was := range moved {
		if !there[was] {
			return gone(path, nil)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for path := range moved {
		delete(w.moved, path)
	}
	return nil
}

// settle waits for the end of a burst of changes.
func (w *Watcher) settle(ctx context.Context) {
	end, still := time.After(most), time.NewTimer(quiet)
	defer still.Stop()
	for {
		select {
		case <-w.changed:
			still.Reset(quiet)
		case <-still.C:
			return
		case <-end:
			return
		case <-ctx.Done():
			return
		}
	}
}

func gone(dir string, err error) error {
	return &hufu.Error{Op: "watch", Path: dir, Kind: hufu.KindNotFound, Code: "watch_gone", Err: err}
}

func cannot(dir string, err error) error {
	e := &hufu.Error{Op: "watch", Path: dir, Kind: hufu.KindUnsupported, Code: "watch_failed", Err: err}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EMFILE) {
		e.Code = "watch_limit"
	}
	return e
}
