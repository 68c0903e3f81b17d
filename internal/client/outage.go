package client

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"syscall"
	"time"

	"hufu"
	"hufu/internal/transfer"
)

// outage is a lost connection as the calls that wait for it know it together: it
// is told once, however many they are.
type outage struct {
	mu      sync.Mutex // held while notify is called
	notify  func(error)
	waiting int
	told    bool
}

// lost is told of each try that fails.
func (o *outage) lost(err error, first bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if first {
		o.waiting++
	}
	if !o.told {
		o.told = true
		o.notify(err)
	}
}

// over is told when a call that has waited waits no more, and whether the server
// has answered it. One that has not waited knows nothing: its answer may have
// come before the connection was lost.
func (o *outage) over(back bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.waiting--
	if o.told && back {
		o.notify(nil)
	}
	if back || o.waiting == 0 {
		o.told = false
	}
}

// exhausted says whether this computer has too many files open: no waiting for a
// server helps.
func exhausted(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// again says whether an error may go away by itself.
func again(err error) bool {
	k := hufu.KindOf(err)
	return (k == hufu.KindNetwork || k == hufu.KindUnavailable) && !exhausted(err)
}

func brokenOff(err error) bool {
	return again(err) && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE))
}

// jitter is wait, more or less by a half: clients that lost the same server do
// not come back in step.
func jitter(wait time.Duration) time.Duration {
	return wait/2 + rand.N(wait) //nolint:gosec // no secret
}

// persist calls try until it succeeds, fails for good, or the connection has
// been away for RetryFor.
func (r *Remote) persist(ctx context.Context, try func() error) error {
	return r.persistFor(ctx, RetryFor, try)
}

func (r *Remote) persistFor(ctx context.Context, limit time.Duration, try func() error) (err error) {
	wait := firstTry
	var since time.Time // of the loss
	defer func() {
		if !since.IsZero() {
			r.outage.over(!transfer.Stops(err))
		}
	}()
	for {
		if err = try(); !again(err) || ctx.Err() != nil {
			return err
		}
		r.outage.lost(err, since.IsZero())
		if since.IsZero() {
			since = time.Now()
		}
		if time.Since(since) > limit {
			return err
		}
		select {
		case <-time.After(jitter(wait)):
		case <-ctx.Done():
			return &hufu.Error{Op: "reconnect", Kind: hufu.KindCanceled, Err: context.Cause(ctx)}
		}
		wait = min(2*wait, lastTry)
	}
}
