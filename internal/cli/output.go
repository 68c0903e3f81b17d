package cli

import (
	"io"
	"os"
	"sync"

	"golang.org/x/term"

	"hufu"
)

// output is standard output. It remembers its first error: what did not get
// there must not look like success. That error has the code "output_lost", and
// every failed write returns it. When its reader has gone away, as head does, it
// calls stop.
type output struct {
	w    io.Writer
	stop func()

	mu   sync.Mutex
	used bool
	err  error
	gone bool // the reader
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.used = true
	n, err := o.w.Write(p)
	o.failed(err)
	if err != nil {
		err = o.err
	}
	return n, err
}

func (o *output) failed(err error) {
	if err == nil || o.err != nil {
		return
	}
	o.err = &hufu.Error{Op: "write output", Kind: hufu.KindUnreadable, Code: "output_lost", Err: err}
	if o.gone = noReader(err); o.gone && o.stop != nil {
		o.stop()
	}
}

// close closes a file that was written: some systems report only then that the
// disk is full.
func (o *output) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if f, ok := o.w.(*os.File); ok && o.used {
		o.failed(f.Close())
	}
}

func (o *output) failure() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

func (o *output) readerGone() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.gone
}

// errout is standard error. Nothing is said any more once the reader of
// standard output has gone away.
type errout struct {
	w   io.Writer
	out *output
}

func (e errout) Write(p []byte) (int, error) {
	if e.out.readerGone() {
		return len(p), nil
	}
	return e.w.Write(p)
}

// Draws returns standard error if bars can be drawn on it: a terminal that can move its cursor, and
// not one that a build service pretends to be.
func (a *App) Draws() *os.File {
	if a.Getenv("TERM") == "dumb" || a.Getenv("CI") != "" {
		return nil
	}
	return a.ErrTerminal()
}

// ErrTerminal is standard error if it is a terminal, nil otherwise: for what draws
// on it.
func (a *App) ErrTerminal() *os.File {
	e, ok := a.Err.(errout)
	if !ok {
		return nil
	}
	if f, ok := e.w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return f
	}
	return nil
}
