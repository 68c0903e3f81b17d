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
	"hufu/internal/session"
	"hufu/internal/transfer"
)

// outage is one loss of the connection. All calls that wait for the connection
// share it, so that the loss is reported once.
type outage struct {
	mu      sync.Mutex // held while notify is called
	notify  func(error)
	waiting int
	told    bool
}

// lost must be called for each try that fails.
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

// over must be called when a call that has waited ends; back means that the server
// has answered it. Only calls that have waited call over. Another call's success
// may date from before the outage.
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

// Transient reports whether err may go away by itself, so that trying again is
// worth it.
func Transient(err error) bool {
	k := hufu.KindOf(err)
	return (k == hufu.KindNetwork || k == hufu.KindUnavailable) && !session.Exhausted(err)
}

// isAway reports whether err says that the server is not there, and not what it has answered over a
// connection that goes on.
func (r *Remote) isAway(err error) bool {
	if e, ok := errors.AsType[*hufu.Error](err); !ok || !e.Far {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.control == nil || r.control.Err() != nil
}

func brokenOff(err error) bool {
	return Transient(err) && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE))
}

// Jitter returns wait, longer or shorter by up to a half. This way clients that lost the same
// server do not come back at the same moment.
func Jitter(wait time.Duration) time.Duration {
	return wait/2 + rand.N(wait) //nolint:gosec // no secret
}

// persist calls try until it succeeds, fails for good, or the connection has
// been away for as long as Options say.
func (r *Remote) persist(ctx context.Context, try func() error) error {
	return r.persistFor(ctx, RetryFor, try)
}

// persistFor is persist with a limit that holds unless Options say otherwise.
func (r *Remote) persistFor(ctx context.Context, limit time.Duration, try func() error) (err error) {
	tries := -1
	if p := r.o.Patience; p != nil {
		limit, tries = p.For, p.Tries
	}
	wait := firstPause
	atOnce := len(r.servers.list()) > 0
	var since time.Time // of the loss
	defer func() {
		if !since.IsZero() {
			r.outage.over(!transfer.Stops(err))
		}
	}()
	for n := 0; ; n++ {
		if err = try(); !Transient(err) || ctx.Err() != nil {
			return err
		}
		if limit <= 0 || n == tries {
			return err
		}
		if atOnce && r.isAway(err) { // another server may do it
			atOnce = false
			continue
		}
		r.outage.lost(err, since.IsZero())
		if since.IsZero() {
			since = time.Now()
		}
		if time.Since(since) >= limit {
			return err
		}
		pause := Jitter(wait)
		if r.o.Patience != nil {
			pause = min(pause, limit-time.Since(since))
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return &hufu.Error{Op: "reconnect", Kind: hufu.KindCanceled, Err: context.Cause(ctx)}
		}
		wait = min(2*wait, lastPause)
	}
}
