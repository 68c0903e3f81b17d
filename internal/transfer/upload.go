package transfer

import (
	"context"
	"sync"

	"hufu"
	"hufu/internal/digest"
)

// openers is how many large files are in flight at a time: enough to hide the
// round trips of opening and committing.
const openers = 4

// putLarge opens an upload, lets the lanes carry its chunks, and commits it.
func (e *Engine) putLarge(ctx context.Context, it *item) {
	e.setActive(it, true)
	defer e.setActive(it, false)
	entry, resumed, err := e.putUpload(ctx, it)
	if err != nil {
		e.failItem(it, err)
		return
	}
	it.swap.markArrived()
	r := it.rep(Transferred, nil)
	r.Digest, r.Resumed = entry.Digest, resumed
	e.report(r)
}

func (e *Engine) putUpload(ctx context.Context, it *item) (entry hufu.Entry, resumed int64, err error) {
	opener := it.store.Opener()
	f, err := opener.Open(ctx, it.path, it.from.Version)
	opener.Close()
	if err != nil {
		return entry, 0, err
	}
	defer func() { _ = f.Close() }()
	e.setSource(it, f.Entry())
	size := it.from.Size
	if size <= largeAbove {
		return entry, 0, &hufu.Error{Op: "put", Kind: hufu.KindChanged, Code: "file_changed"}
	}
	chunks := digest.Chunks(size)
	// An upload that the server has lost (its disk was restored to an earlier state, or the
	// upload expired) is opened again, a few times.
	for range 3 {
		up, err := e.far.Open(ctx, it.remote, size, it.from.Version)
		if err != nil {
			return entry, 0, err
		}
		l := &large{
			it: it, source: f, upload: up.ID, known: up.There, chunks: chunks,
			sent: make(chan struct{}), end: make(chan struct{}),
		}
		l.setUnit(up.Unit)
		l.unsent.Store(l.units)
		e.Stats.BytesDone.Add(-it.done.Swap(0))
		if it.large != nil {
			e.Stats.Resumed.Add(-it.large.resumed.Load())
		}
		it.large = l
		e.queue.addLarge(l)
		var root hufu.Digest
		commit := func(ctx context.Context) (hufu.Entry, error) {
			root = l.sums.root()
			return e.far.Commit(ctx, up.ID, it.remote, root, e.meta(it, Meta{it.from.Mode, it.from.MTime}), it.cond)
		}
		entry, err = e.commitBehind(ctx, l, commit)
		if err := e.queue.failure(l); err != nil {
			if forgotten(err) {
				continue
			}
			if discarded(ctx) || hufu.KindOf(err) == hufu.KindChanged {
				e.abandon(ctx, up.ID) // chunks of another version are useless, and a discarded transfer keeps nothing
			}
			return entry, 0, err
		}
		if err != nil && hufu.CodeOf(err) == incomplete {
			entry, err = commit(ctx)
		}
		if hufu.CodeOf(err) == incomplete {
			continue
		}
		if overtaken(err) || forgotten(err) {
			// An upload that is forgotten may be one that an earlier try has committed.
			there, same, unknown := e.alike(ctx, it.remote, root)
			switch {
			case same:
				e.abandon(ctx, up.ID)
				return there, l.resumed.Load(), nil
			case unknown != nil:
				err = unknown
			case forgotten(err):
				continue
			}
		}
		if err != nil && discarded(ctx) {
			e.abandon(ctx, up.ID)
		}
		return entry, l.resumed.Load(), err
	}
	return entry, 0, &hufu.Error{Op: "put", Kind: hufu.KindUnavailable, Code: "upload_unknown"}
}

// forgotten reports whether the far side no longer has the upload, or not all of
// it.
func forgotten(err error) bool {
	switch hufu.CodeOf(err) {
	case "upload_unknown", "upload_gone", incomplete:
		return true
	}
	return false
}

// incomplete is the code of a commit that came before all chunks.
const incomplete = "upload_incomplete"

// commitBehind waits until l has ended. If no other large file is under way, it does not wait for
// the answers before it sends the commit, which saves a round trip: the far side waits a while
// for chunks that are still on their way. If no commit was sent, or it came before all chunks,
// the error has the code incomplete.
func (e *Engine) commitBehind(ctx context.Context, l *large, commit func(context.Context) (hufu.Entry, error)) (entry hufu.Entry, err error) {
	err = &hufu.Error{Op: "commit", Kind: hufu.KindInvalid, Code: incomplete}
	select {
	case <-l.end:
		return entry, err
	case <-l.sent:
	}
	select {
	case <-l.end:
		return entry, err
	case <-e.planned: // now it is known what else is to be done
	}
	if !e.lastOne() {
		<-l.end
		return entry, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var end sync.WaitGroup
	end.Go(func() {
		<-l.end
		if err := e.queue.failure(l); err != nil && !forgotten(err) {
			cancel() // nothing more will come
		}
		// A forgotten upload may be committed already. The running commit returns
		// the result.
	})
	if entry, err = commit(ctx); err == nil {
		e.queue.markWhole(l)
	}
	end.Wait()
	if err == nil { // the chunks whose answers were lost are counted too
		rest := l.it.from.Size - l.it.done.Load()
		l.it.done.Add(rest)
		e.Stats.BytesDone.Add(rest)
	}
	return entry, err
}

// lastOne reports whether only one large file is left once all is planned. Then its commit can be
// sent early: it holds up no other large file.
func (e *Engine) lastOne() bool {
	e.activeMu.Lock()
	defer e.activeMu.Unlock()
	return len(e.active) == 1
}
