package main

import (
	"context"
	"errors"
	"os"
	"time"

	"hufu"
	"hufu/internal/cli"
	"hufu/internal/client"
	"hufu/internal/transfer"
	"hufu/internal/watch"
)

// A source here is looked at when it changes, and every lookAgain in any case: not every file system
// tells of changes. One on the server is looked at every lookFar. After a lost connection that did
// not come back, the next try is after lostPause.
const (
	lookAgain = 10 * time.Minute
	lookFar   = 10 * time.Second
	lostPause = 10 * time.Second
)

// watch makes the target equal to the source again and again, until the user ends it.
func (a *app) watch(ctx context.Context, r *client.Remote, near string, far hufu.Path, f *syncFlags, o transfer.Options) error {
	wait := func(d time.Duration) error { return pause(ctx, d) }
	there := func() error { return nil }
	look := there
	source, every := far.Remote(), lookFar
	if !f.down {
		if _, err := os.Stat(near); err != nil {
			return client.Missing("sync", near, err, "")
		}
		w, err := watch.New(near, f.delete) // before the first pass, so that no change is missed
		if err != nil {
			return err
		}
		defer func() { _ = w.Close() }()
		wait = func(d time.Duration) error { return w.Wait(ctx, d) }
		there = func() error { return w.There(ctx) }
		look = func() error { return w.Look(ctx) }
		o.Mirror.There = there
		source, every = near, lookAgain
	}
	f.again = true
	for first := true; ; first = false {
		if err := there(); err != nil { // before each pass: --delete would empty the target
			return err
		}
		err := a.sync(ctx, r, near, far, f, o)
		next := every
		switch kind := hufu.KindOf(err); {
		case err == nil || errors.Is(err, cli.ErrReported) && kind.Exit() < 5: // some names have failed, and were told
		case kind == hufu.KindNetwork || kind == hufu.KindUnavailable:
			a.told(err)
			next = lostPause
		default:
			return err
		}
		if err := look(); err != nil && ctx.Err() == nil {
			return err
		}
		if first && !f.quiet {
			a.Hint(a.Cat.T("hufu.sync.watching", "source", source))
		}
		if next == lostPause {
			err = pause(ctx, next)
		} else {
			err = wait(next)
		}
		if ctx.Err() != nil {
			return nil // between two passes nothing is left undone
		}
		if err != nil {
			return err
		}
	}
}

// pause waits, unless ctx ends before.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return &hufu.Error{Op: "wait", Kind: hufu.KindCanceled, Err: context.Cause(ctx)}
	}
}
