package server

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/digest"
	"hufu/internal/frame"
	"hufu/internal/session"
)

// The bounds of reading ahead: bytes for all connections together, and requests of one connection.
const (
	aheadBytes    = 32 << 20
	aheadRequests = 16
	aheadSmall    = 8 << 10 // taken for a get before its size is known
)

// ahead holds the requests of one connection that are read before their turn. If the files come
// over a network (blob.Distant), waiting gets and reads start in parallel; answers keep the order
// of the requests. A request that could not be read ahead is read in its turn.
type ahead struct {
	ctx   context.Context //nolint:containedctx // of all that is read ahead on this connection
	stop  context.CancelFunc
	begun map[*session.Request]*early
	tasks sync.WaitGroup
}

// early is one request that is read ahead. The fields other than done and stop may be read after
// done is closed.
type early struct {
	done  chan struct{}
	stop  context.CancelFunc
	f     blob.File // of a get
	data  []byte
	hole  bool
	cv    digest.CV
	chunk *session.Chunk // of a read
	taken int64          // bytes of the aheadRoom
	err   error
}

// aheadRoom is what all connections may read ahead together, and who has how much of it. A
// connection may have as much as is left for the others, and a user twice as much. So one connection
// alone has half of the room, and a later one finds some. The chunks of requests that are carried out
// count, too: many connections keep the store busy without reading ahead.
type aheadRoom struct {
	held *held

	mu     sync.Mutex // guards what follows
	used   int64
	ofConn map[*conn]int64
	ofUser map[string]int64
}

// take takes n bytes for c, and reports whether c may have them.
func (r *aheadRoom) take(c *conn, n int64) bool {
	held := r.held.taken() * hufu.ChunkSize
	r.mu.Lock()
	defer r.mu.Unlock()
	left := aheadBytes - r.used - held
	if r.ofConn[c]+n > left || r.ofUser[c.sub.User]+n > 2*left {
		return false
	}
	r.used += n
	r.ofConn[c] += n
	r.ofUser[c.sub.User] += n
	return true
}

// give returns n bytes of c.
func (r *aheadRoom) give(c *conn, n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.used -= n
	if r.ofConn[c] -= n; r.ofConn[c] == 0 {
		delete(r.ofConn, c)
	}
	if r.ofUser[c.sub.User] -= n; r.ofUser[c.sub.User] == 0 {
		delete(r.ofUser, c.sub.User)
	}
}

// free gives back what e holds.
func (c *conn) free(e *early) {
	if e.f != nil {
		_ = e.f.Close()
	}
	if e.chunk != nil {
		e.chunk.Give()
	}
	c.s.aheadRoom.give(c, e.taken)
	e.f, e.chunk, e.data, e.taken = nil, nil, nil, 0
}

// readAhead begins the gets and reads at the head of the queue. ctx is that of the request that is
// carried out now. Gets are begun when half of what may be read ahead is used up, so that several
// are opened together.
func (c *conn) readAhead(ctx context.Context) {
	if !c.view.Distant() {
		return
	}
	var with *together
	var tasks []func()
waiting:
	for _, r := range c.session.Waiting(aheadRequests) {
		if c.ahead.begun[r] != nil {
			continue
		}
		var read func(ctx context.Context, e *early) error
		switch m := r.Message.(type) {
		case *frame.Get:
			if with == nil && len(c.ahead.begun) > aheadRequests/2 {
				break waiting
			}
			read, with = c.getAhead(ctx, m, with)
		case *frame.Read:
			read = c.chunkAhead(m)
		}
		if read == nil {
			break waiting // stop at a request that cannot be read ahead: later ones may depend on its effect
		}
		if c.ahead.stop == nil {
			c.ahead.ctx, c.ahead.stop = context.WithCancel(context.Background())
			c.ahead.begun = map[*session.Request]*early{}
		}
		e := &early{done: make(chan struct{})}
		var taskCtx context.Context
		taskCtx, e.stop = context.WithCancel(c.ahead.ctx)
		c.ahead.begun[r] = e
		tasks = append(tasks, func() {
			defer close(e.done)
			defer e.stop()
			defer func() {
				if p := recover(); p != nil { // the request is read again in its turn; a panic there ends only this connection
					e.err = &hufu.Error{Op: "read ahead", Kind: hufu.KindInternal, Err: fmt.Errorf("%v", p)}
				}
			}()
			e.err = read(taskCtx, e)
		})
	}
	for _, task := range tasks { // when it is known which files are opened together
		c.ahead.tasks.Go(task)
	}
}

var errNoRoom error = &hufu.Error{Op: "read ahead", Kind: hufu.KindUnavailable}

// together are files of one tree that are opened together.
type together struct {
	tree  blob.Distant
	paths []hufu.Path
	open  func() ([]blob.File, []error)
}

// getAhead returns a function that reads a whole small file, which is opened together with those of
// with, or begins others; nil if that is left to its turn. Without room it asks nothing of the
// database, which its turn would ask again.
func (c *conn) getAhead(ctx context.Context, m *frame.Get, with *together) (func(context.Context, *early) error, *together) {
	tree, p, err := c.view.Ahead(ctx, m.Path.Path())
	if err != nil || !c.s.aheadRoom.take(c, aheadSmall) {
		return nil, with
	}
	if with == nil || with.tree != tree {
		with = &together{tree: tree}
		with.open = sync.OnceValues(func() ([]blob.File, []error) { return with.tree.OpenTogether(c.ahead.ctx, with.paths) })
	}
	index := len(with.paths)
	with.paths = append(with.paths, p)
	return func(ctx context.Context, e *early) (err error) {
		e.taken = aheadSmall
		files, errs := with.open()
		if e.f, err = files[index], errs[index]; err != nil {
			return err
		}
		size := e.f.Size()
		if more := size - aheadSmall; more > 0 {
			if size > hufu.ChunkSize || !c.s.aheadRoom.take(c, more) {
				return errNoRoom
			}
			e.taken = size
		}
		e.data = make([]byte, size)
		n, err := e.f.ReadAt(ctx, e.data, 0)
		e.data = e.data[:n]
		if err == nil {
			err = blob.CheckRead(ctx, e.f)
		}
		return err
	}, with
}

// chunkAhead returns a function that reads a chunk of a file that is open, nil if it is not.
func (c *conn) chunkAhead(m *frame.Read) func(context.Context, *early) error {
	p := m.Path.Path()
	i := slices.IndexFunc(c.readers, func(r *reader) bool { return r.path == p && r.f.Is(m.Version) })
	if i < 0 {
		return nil
	}
	f, index := c.readers[i].f, m.Index
	if index >= digest.Chunks(f.Size()) || !c.s.aheadRoom.take(c, hufu.ChunkSize) {
		return nil
	}
	return func(ctx context.Context, e *early) (err error) {
		e.taken, e.chunk = hufu.ChunkSize, session.TakeChunk()
		e.data, e.hole, e.cv, err = f.ReadChunk(ctx, index, e.chunk[:])
		return err
	}
}

// early returns what was read ahead for r, or nil, and starts the requests behind r. It waits until
// the read is done. The caller frees the result.
func (c *conn) early(ctx context.Context, r *session.Request) *early {
	c.readAhead(ctx)
	e := c.ahead.begun[r]
	if e == nil {
		return nil
	}
	select {
	case <-e.done:
	case <-ctx.Done():
		return nil // see forget
	}
	delete(c.ahead.begun, r)
	if e.err != nil {
		c.free(e)
		return nil
	}
	return e
}

// forget stops and drops what is read ahead for a request that has ended without it.
func (c *conn) forget(r *session.Request) {
	e := c.ahead.begun[r]
	if e == nil {
		return
	}
	delete(c.ahead.begun, r)
	e.stop()
	c.ahead.tasks.Go(func() {
		<-e.done
		c.free(e)
	})
}

// endAhead waits until nothing is read ahead any more.
func (c *conn) endAhead() {
	if c.ahead.stop == nil {
		return
	}
	c.ahead.stop()
	for r := range c.ahead.begun {
		c.forget(r)
	}
	c.ahead.tasks.Wait()
	c.ahead.stop, c.ahead.begun = nil, nil
}
