package transfer

import (
	"context"
	"errors"

	"hufu"
	"hufu/internal/digest"
)

// putWorker sends files and chunks.
func (e *Engine) putWorker(ctx context.Context) (do worker, end func()) {
	buf := make([]byte, hufu.ChunkSize)
	files := &opener{}
	return func(lane Lane, t task) error {
		if t.it.large != nil {
			return e.sendUnit(ctx, lane, t, buf)
		}
		return e.sendSmall(ctx, lane, t, files, buf)
	}, files.close
}

// sendSmall reads a small file and sends it in one request.
func (e *Engine) sendSmall(ctx context.Context, lane Lane, t task, files *opener, buf []byte) error {
	it := t.it
	data, meta, err := readWhole(ctx, it, files, buf)
	if err != nil {
		e.failItem(it, err)
		e.queue.finished(t, false, nil)
		return nil
	}
	meta = e.meta(it, meta)
	d := digest.Sum(data)
	size := int64(len(data))
	e.o.Limit.Wait(ctx, lane, len(data))
	sendErr := lane.Put(it.remote, meta, data, d, it.cond, func(err error) {
		if err == nil {
			e.Stats.Sent.Add(size)
		}
		if overtaken(err) {
			// Asking takes a round trip, which this goroutine must not wait for.
			e.asking.Go(func() { e.confirmSmall(ctx, t, d, size, err) })
			return
		}
		e.smallDone(t, Transferred, d, size, err)
	})
	if sendErr != nil {
		e.queue.finished(t, true, nil)
	}
	return sendErr
}

// overtaken reports whether the target has changed or appeared since it was looked at. What is
// there now may be this very file: from a first try whose answer was lost, or from a command that
// was killed and that the server then finished.
func overtaken(err error) bool {
	return hufu.KindOf(err) == hufu.KindExists || hufu.KindOf(err) == hufu.KindChanged
}

// alike reports whether the file at p on the far side has this digest, and describes it. It
// returns an error if that cannot be found out.
func (e *Engine) alike(ctx context.Context, p hufu.Path, d hufu.Digest) (t hufu.Entry, same bool, err error) {
	t, err = e.far.Stat(ctx, p)
	if err == nil && t.Kind == hufu.File && t.Digest.IsZero() {
		t, err = e.far.Digest(ctx, p)
	}
	if hufu.KindOf(err) == hufu.KindNotFound {
		return hufu.Entry{}, false, nil
	}
	return t, err == nil && t.Digest == d, err
}

// confirmSmall ends a small file whose name was taken when it came: if its bytes are
// there, that is no error.
func (e *Engine) confirmSmall(ctx context.Context, t task, d hufu.Digest, size int64, err error) {
	outcome := Same
	if t.it.lost {
		outcome = Transferred
	}
	_, same, unknown := e.alike(ctx, t.it.remote, d)
	if same || unknown != nil {
		err = unknown
	}
	e.smallDone(t, outcome, d, size, err)
}

// smallDone reports a small file, or gives it back if its lane was lost.
func (e *Engine) smallDone(t task, o Outcome, d hufu.Digest, size int64, err error) {
	switch {
	case err == nil:
		e.Stats.Bytes.Add(size - t.it.from.Size) // the listed size may be wrong, as in /proc
		e.Stats.BytesDone.Add(size)
		t.it.swap.markArrived()
		r := t.it.rep(o, nil)
		r.Digest, r.Size = d, size
		e.report(r)
	case !errors.Is(err, ErrLost):
		e.failItem(t.it, err)
		err = nil
	}
	e.endTask(t, err)
}
