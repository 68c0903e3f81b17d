// Package watch tells when something in a folder of this machine has changed.
package watch

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"

	"hufu"
)

// A burst of changes is one change. It is over when nothing has changed for quiet, and lasts most at
// most, so that constant changes hold up nobody.
const (
	quiet = 300 * time.Millisecond
	most  = time.Second
)

// Watcher watches a folder and all folders below it. Links are not followed.
type Watcher struct {
	dir     string
	was     os.FileInfo // of dir
	in      *fsnotify.Watcher
	changed chan struct{} // holds one when something has changed since the last Wait
	over    sync.WaitGroup

	mu  sync.Mutex
	err error // why not everything is watched
}

// New begins to watch a folder: what changes from now on ends a Wait.
func New(dir string) (*Watcher, error) {
	was, err := os.Stat(dir)
	if err != nil {
		return nil, gone(dir, err)
	}
	in, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, cannot(dir, err)
	}
	w := &Watcher{dir: dir, was: was, in: in, changed: make(chan struct{}, 1)}
	if w.add(w.root()); w.err != nil {
		return nil, errors.Join(w.err, in.Close())
	}
	w.over.Go(w.run)
	return w, nil
}

// Close ends the watch.
func (w *Watcher) Close() error {
	err := w.in.Close()
	w.over.Wait()
	return err //nolint:wrapcheck // of the system, and nobody shows it
}

// run notes changes. A new folder is watched before the change is told: files that were created in
// it earlier are seen by the pass that follows the Wait.
func (w *Watcher) run() {
	for {
		select {
		case e, open := <-w.in.Events:
			if !open {
				return
			}
			if e.Has(fsnotify.Create) {
				w.add(e.Name)
			}
		case err, open := <-w.in.Errors:
			if !open {
				return
			}
			// The queue of the system was full: changes were lost, new folders as well.
			if w.add(w.root()); !errors.Is(err, fsnotify.ErrEventOverflow) {
				w.fail(cannot(w.dir, err))
			}
		}
		select {
		case w.changed <- struct{}{}:
		default:
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
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil //nolint:nilerr // the transfer tells of what cannot be read
		}
		if err := w.in.Add(path); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) && !errors.Is(err, fsnotify.ErrClosed) {
			w.fail(cannot(path, err))
			return filepath.SkipAll
		}
		return nil
	})
}

func (w *Watcher) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.err = errors.Join(w.err, err)
}

// Wait returns when something has changed since the last Wait, and then nothing for a moment, or
// when the time is over. Its error says that the folder is gone, or cannot be watched any more, or
// that ctx has ended.
func (w *Watcher) Wait(ctx context.Context, limit time.Duration) error {
	select {
	case <-w.changed:
		w.settle(ctx)
	case <-time.After(limit):
	case <-ctx.Done():
	}
	if ctx.Err() != nil {
		return &hufu.Error{Op: "watch", Kind: hufu.KindCanceled, Err: context.Cause(ctx)}
	}
	if err := w.There(); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// There returns an error if the folder is gone, or is another one: an empty mount point, say.
func (w *Watcher) There() error {
	if now, err := os.Stat(w.dir); err != nil || !os.SameFile(w.was, now) {
		return gone(w.dir, err)
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
