package server

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/digest"
	"hufu/internal/frame"
	"hufu/internal/session"
)

// stage stages r if it is a small change, and reports whether it was one.
func (c *conn) stage(ctx context.Context, r *session.Request) bool {
	var p change
	switch m := r.Message.(type) {
	case *frame.Put:
		p = change{op: "put", path: m.Path.Path(), answer: func(res blob.Result) frame.Message {
			return &frame.PutAnswer{Version: res.Version}
		}}
		want := hufu.Digest(m.Digest)
		if digest.Sum(r.Raw) != want {
			c.batch.Refuse(&hufu.Error{Op: "put", Kind: hufu.KindIntegrity, Code: "digest_differs"})
			break
		}
		meta := blob.Meta{Mode: m.Mode, MTime: frame.Time(m.MTime), Digest: want}
		c.batch.Put(ctx, p.path, r.Raw, meta, m.Condition.Condition())
	case *frame.Mkdir:
		p = change{op: "mkdir", path: m.Path.Path(), answer: func(res blob.Result) frame.Message {
			return &frame.MkdirAnswer{Created: res.Created}
		}}
		c.batch.Mkdir(ctx, p.path, m.Mode, m.Parents)
	case *frame.Link:
		p = change{op: "link", path: m.Path.Path(), answer: func(blob.Result) frame.Message { return &frame.LinkAnswer{} }}
		c.batch.Link(ctx, p.path, string(m.Target), blob.Meta{Mode: 0o777, MTime: frame.Time(m.MTime)}, m.Condition.Condition())
	case *frame.SetMeta:
		p = change{op: "setmeta", path: m.Path.Path(), answer: func(res blob.Result) frame.Message {
			return &frame.SetMetaAnswer{Version: res.Version}
		}}
		c.batch.SetMeta(ctx, p.path, blob.Meta{Mode: m.Mode, MTime: frame.Time(m.MTime)}, m.Version)
	case *frame.Remove:
		p = change{op: "remove", path: m.Path.Path(), answer: func(blob.Result) frame.Message { return &frame.RemoveAnswer{} }}
		c.batch.Remove(ctx, p.path, m.Recursive, m.Version)
	case *frame.Rename:
		p = change{op: "rename", path: m.From.Path(), answer: func(res blob.Result) frame.Message {
			return &frame.RenameAnswer{Version: res.Version}
		}}
		c.batch.Rename(ctx, p.path, m.To.Path(), m.Condition.Condition(), m.Version)
	default:
		return false
	}
	c.group = append(c.group, p)
	c.hasOther = c.hasOther || !createsName(r.Message)
	return true
}

// commit makes the group durable and answers its requests. A group that was
// begun is finished even if the client has gone.
func (c *conn) commit(ctx context.Context) error { return c.finish(context.WithoutCancel(ctx)) }

// finish makes the group durable and answers its requests. When ctx ends, those that were
// not carried out yet fail.
func (c *conn) finish(ctx context.Context) error {
	if len(c.group) == 0 {
		return nil
	}
	c.committing.Store(true)
	defer c.committing.Store(false)
	results := c.batch.Commit(ctx)
	if err := c.judge(); err != nil {
		// The user may no longer act. The guard has refused the changes that came after that. This
		// error ends the connection, and no change is answered.
		return err
	}
	for i, p := range c.group {
		res := results[i]
		var err error
		if res.Err != nil {
			res.Err = canceledOr(ctx, res.Err)
			c.logFailure(p.op, p.path, res.Err)
			err = c.session.Fail(res.Err)
		} else {
			err = c.session.Answer(p.answer(res), false, nil)
		}
		if err != nil {
			return err
		}
	}
	clear(c.group) // the group keeps no paths
	c.group, c.hasOther = c.group[:0], false
	c.session.Settle()
	return nil
}

// logFailure logs why a request failed: briefly, or in full if the server, its disk, or bytes on
// the way may be the reason. Two failures that are part of normal use are not logged.
func (c *conn) logFailure(op string, p hufu.Path, err error) {
	switch {
	case op == "list" && hufu.KindOf(err) == hufu.KindWrongKind:
		return // the client's get command lists a path to learn whether it is a folder
	case op == "commit" && hufu.CodeOf(err) == "upload_incomplete":
		return // the commit came before its chunks; the client sends it again
	}
	attrs := []any{"op", op, "path", hufu.Printable(p.Virtual()), "why", hufu.CodeOf(err)}
	switch hufu.KindOf(err) {
	case hufu.KindInternal, hufu.KindUnreadable, hufu.KindQuota, hufu.KindIntegrity:
		c.log.bounded("error "+c.sub.User, slog.LevelError, "failed", append(attrs, "err", hufu.Printable(err.Error()))...)
	default:
		c.log.bounded("failed "+c.sub.User, slog.LevelInfo, "failed", attrs...)
	}
}

// ask answers everything that is not a small change.
func (c *conn) ask(ctx context.Context, r *session.Request) error {
	var answer frame.Message
	var op string
	var path hufu.Path
	var err error
	switch m := r.Message.(type) {
	case *frame.Stat:
		op, path = "stat", m.Path.Path()
		var e hufu.Entry
		e, err = c.view.Stat(ctx, path)
		answer = &frame.StatAnswer{Entry: frame.WireEntry(e)}
	case *frame.List:
		op, path = "list", m.Path.Path()
		answer, err = c.list(ctx, path, m)
	case *frame.Digest:
		op, path = "digest", m.Path.Path()
		answer, err = c.digest(ctx, path)
	case *frame.Get:
		op, path = "get", m.Path.Path()
		if err = c.get(ctx, r, path, m); err == nil {
			return nil
		}
	case *frame.Read:
		op, path = "read", m.Path.Path()
		if err = c.read(ctx, r, path, m); err == nil {
			return nil
		}
	case *frame.Open:
		op, path = "open", m.Path.Path()
		answer, err = c.openUpload(ctx, m)
	case *frame.Range:
		op = "range"
		err = c.rangeIn(ctx, m, r.Raw, r.CV)
		answer = &frame.RangeAnswer{}
	case *frame.Commit:
		op, path = "commit", m.Path.Path()
		answer, err = c.commitUpload(ctx, m)
	case *frame.Abandon:
		op = "abandon"
		// Abandon comes first: closing the last handle removes an upload without chunks, and
		// Abandon would not find it.
		err = c.view.Abandon(ctx, m.Upload)
		c.dropUpload(m.Upload)
		answer = &frame.AbandonAnswer{}
	case *frame.Copy:
		op, path = "copy", m.From.Path()
		if !c.copies {
			return &hufu.Error{Op: "handle copy", Kind: hufu.KindProtocol, Code: "request_unknown"}
		}
		answer, err = c.copyFile(ctx, m)
	case *frame.Space:
		op, path = "space", m.Path.Path()
		var a frame.SpaceAnswer
		a.Free, a.Total, err = c.view.Space(ctx, path)
		answer = &a
	default:
		op = m.Type().String()
		if answer, err = c.askDevices(ctx, m); hufu.KindOf(err) == hufu.KindProtocol {
			return err
		}
	}
	switch err = canceledOr(ctx, err); {
	case err == nil:
		return c.session.Answer(answer, false, nil)
	case hufu.CodeOf(err) == stopping().Code:
		return err // it may be long: the client repeats it elsewhere or later, and resumes
	case errors.Is(err, session.ErrCanceled): // ctx has ended, but the client waits for the answer
	case ctx.Err() != nil && hufu.KindOf(err) == hufu.KindCanceled:
		return nil // the client has left
	}
	c.logFailure(op, path, err)
	return c.session.Fail(err)
}

// canceledOr returns ErrCanceled if err is not nil and the client canceled the request, else err.
func canceledOr(ctx context.Context, err error) error {
	if err != nil && errors.Is(context.Cause(ctx), session.ErrCanceled) {
		return session.ErrCanceled
	}
	return err
}

// list sends all frames of a listing except the last, which it returns.
func (c *conn) list(ctx context.Context, p hufu.Path, m *frame.List) (frame.Message, error) {
	var a frame.ListAnswer
	bytes := 0
	yield := func(e hufu.Entry) error {
		if ctx.Err() != nil {
			return &hufu.Error{Op: "list", Kind: hufu.KindCanceled, Err: context.Cause(ctx)}
		}
		w := frame.WireEntry(e)
		n := 128 + len(w.Name) + len(w.Target) + len(w.By) + len(w.Version)
		if len(a.Entries) == frame.MaxListEntries || bytes+n > frame.MaxBody {
			if err := c.session.Answer(&a, true, nil); err != nil {
				return err
			}
			a.Entries, bytes = a.Entries[:0], 0
		}
		a.Entries = append(a.Entries, w)
		bytes += n
		return nil
	}
	if m.Limit == 0 {
		return &a, c.view.List(ctx, p, blob.Page{Brief: m.Brief, Modes: m.Modes}, yield)
	}
	next, err := c.view.Page(ctx, p, blob.Page{After: string(m.After), Limit: int(m.Limit), Brief: m.Brief, Modes: m.Modes}, m.On, yield)
	a.Next = []byte(next)
	return &a, err
}

// get answers with a whole small file.
func (c *conn) get(ctx context.Context, r *session.Request, p hufu.Path, m *frame.Get) error {
	e := c.early(ctx, r)
	var f blob.File
	if e != nil {
		defer c.free(e)
		f = e.f
	} else {
		var err error
		if f, err = c.view.Open(ctx, p); err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		c.readAhead(ctx)
	}
	if f.Size() > hufu.ChunkSize || m.Version != "" && !f.Is(m.Version) {
		return &hufu.Error{Op: "get", Kind: hufu.KindChanged, Code: "file_changed"}
	}
	var a frame.GetAnswer
	var want hufu.Digest
	if copy(want[:], m.Digest) == 0 {
		entry := frame.WireEntry(f.Entry())
		copy(want[:], entry.Digest)
		a.Entry = &entry
	}
	data, err := c.whole(ctx, f, e)
	if err != nil {
		return err
	}
	d := digest.Sum(data)
	if !want.IsZero() && want != d {
		stored := f.Entry().Digest
		if stored.IsZero() || stored == d { // no stored digest contradicts the bytes: take the client to be wrong
			return &hufu.Error{Op: "get", Kind: hufu.KindInvalid, Code: "digest_differs", Args: map[string]string{"want": want.String(), "got": d.String()}}
		}
		return &hufu.Error{
			Op: "get", Kind: hufu.KindIntegrity, Code: "stored_digest_differs",
			Args: map[string]string{"stored": stored.String(), "computed": d.String()},
		}
	}
	if a.Entry != nil {
		a.Entry.Digest = d[:]
	}
	c.view.LogGet(ctx, p, f.Size())
	return c.answer(&a, data)
}

// whole returns the bytes of a small file, which may have been read ahead.
func (c *conn) whole(ctx context.Context, f blob.File, e *early) ([]byte, error) {
	if e != nil {
		return e.data, nil
	}
	data, err := c.buffer(ctx)
	if err != nil {
		return nil, err
	}
	n, err := f.ReadAt(ctx, data[:min(int64(len(data)), f.Size()+1)], 0) // one byte more than the size: a file that has grown shows in the same read
	if err != nil {
		return nil, err
	}
	return data[:n], blob.CheckRead(ctx, f)
}

// openedFile finds or opens the file that a read names, in the version that the read names.
func (c *conn) openedFile(ctx context.Context, p hufu.Path, version string) (blob.File, error) {
	for i, r := range c.readers {
		if r.path == p && r.f.Is(version) {
			if i > 0 { // most recent first
				copy(c.readers[1:i+1], c.readers[:i])
				c.readers[0] = r
			}
			return r.f, nil
		}
	}
	f, err := c.view.Open(ctx, p)
	if err != nil {
		return nil, err
	}
	if !f.Is(version) {
		_ = f.Close()
		return nil, &hufu.Error{Op: "read", Kind: hufu.KindChanged, Code: "file_changed"}
	}
	if len(c.readers) == openFiles {
		c.closeLastFile()
	}
	c.readers = append([]*reader{{p, f}}, c.readers...)
	c.hasOpened()
	return f, nil
}

// read answers with one chunk of one version of a file.
func (c *conn) read(ctx context.Context, r *session.Request, p hufu.Path, m *frame.Read) error {
	f, err := c.openedFile(ctx, p, m.Version)
	if err != nil {
		return err
	}
	size := f.Size()
	if size <= hufu.ChunkSize || m.Index >= digest.Chunks(size) {
		return &hufu.Error{Op: "read", Kind: hufu.KindInvalid, Code: "chunk_index"}
	}
	var data []byte
	var hole bool
	var cv digest.CV
	if e := c.early(ctx, r); e != nil {
		defer c.free(e)
		data, hole, cv = e.data, e.hole, e.cv
	} else {
		buf, err := c.buffer(ctx)
		if err != nil {
			return err
		}
		if data, hole, cv, err = f.ReadChunk(ctx, m.Index, buf); err != nil {
			return err
		}
	}
	if m.Index == 0 { // the other chunks may be asked for on other connections
		c.view.LogGet(ctx, p, size)
	}
	return c.answer(&frame.ReadAnswer{CV: cv[:], Hole: hole}, data)
}

// openUpload begins or resumes an upload. It answers with the chaining values of the chunks that
// have arrived and returns the last frame of the answer.
func (c *conn) openUpload(ctx context.Context, m *frame.Open) (frame.Message, error) {
	u, err := c.view.OpenUpload(ctx, m.Path.Path(), m.Size, m.Source)
	if err != nil {
		return nil, err
	}
	info := u.Info()
	c.dropUpload(info.ID)
	c.keepUpload(u)
	a := &frame.OpenAnswer{Upload: info.ID, Unit: uint32(info.Unit)}
	said, next := 0, int64(-1)
	for i, cv := range u.There() {
		if said == frame.MaxCVs {
			if err := c.session.Answer(a, true, nil); err != nil {
				return nil, err
			}
			if ctx.Err() != nil {
				return nil, &hufu.Error{Op: "open upload", Kind: hufu.KindCanceled, Err: context.Cause(ctx)} // nobody receives it
			}
			a.Runs, said, next = nil, 0, -1
		}
		if i != next {
			a.Runs = append(a.Runs, frame.Run{First: i})
		}
		r := &a.Runs[len(a.Runs)-1]
		r.CVs = append(r.CVs, cv[:]...)
		said, next = said+1, i+1
	}
	return a, nil
}

func (c *conn) uploadIndex(id string) int {
	return slices.IndexFunc(c.uploads, func(u blob.Upload) bool { return u.Info().ID == id })
}

func (c *conn) dropUpload(id string) {
	if i := c.uploadIndex(id); i >= 0 {
		_ = c.uploads[i].Close()
		c.uploads = slices.Delete(c.uploads, i, i+1)
		c.count()
	}
}

func (c *conn) keepUpload(u blob.Upload) {
	if len(c.uploads) == openUploads {
		c.closeLastUpload()
	}
	c.uploads = slices.Insert(c.uploads, 0, u)
	c.hasOpened()
}

// upload finds the upload that a range belongs to; connections other than the one
// that opened it look it up once.
func (c *conn) upload(ctx context.Context, id string) (blob.Upload, error) {
	if i := c.uploadIndex(id); i >= 0 {
		u := c.uploads[i]
		copy(c.uploads[1:i+1], c.uploads[:i])
		c.uploads[0] = u
		return u, nil
	}
	u, err := c.view.FindUpload(ctx, id)
	if err != nil {
		return nil, err
	}
	c.keepUpload(u)
	return u, nil
}

// rangeIn stores a chunk; got is the chaining value of the received bytes.
func (c *conn) rangeIn(ctx context.Context, m *frame.Range, data []byte, got digest.CV) error {
	u, err := c.upload(ctx, m.Upload)
	if err != nil {
		return err
	}
	size := u.Info().Key.Size
	if m.Index >= digest.Chunks(size) {
		return &hufu.Error{Op: "range", Kind: hufu.KindInvalid, Code: "chunk_index"}
	}
	n := digest.ChunkLen(size, m.Index)
	want := digest.CV(m.CV)
	if m.Hole {
		if len(data) != 0 || digest.Zeros(n, m.Index) != want {
			return &hufu.Error{Op: "range", Kind: hufu.KindIntegrity, Code: "chunk_differs"}
		}
		return u.Write(ctx, m.Index, nil, want)
	}
	if len(data) != n {
		return &hufu.Error{Op: "range", Kind: hufu.KindInvalid, Code: "chunk_length"}
	}
	if got != want {
		return &hufu.Error{Op: "range", Kind: hufu.KindIntegrity, Code: "chunk_differs"}
	}
	return u.Write(ctx, m.Index, data, want)
}

// arrivalWait is how long a commit waits for chunks that are still on their way
// over other connections.
const arrivalWait = 2 * time.Second

// arrival waits for the chunks of an upload that are missing.
func (c *conn) arrival(ctx context.Context, id string) error {
	u, err := c.upload(ctx, id)
	if err != nil {
		return nil // perhaps committed already
	}
	if info := u.Info(); info.Have == digest.Chunks(info.Key.Size) {
		return nil
	}
	if c.session.Flush() != nil {
		return nil // the connection is gone, and its client with it
	}
	ctx, stop := context.WithTimeout(ctx, arrivalWait)
	defer stop()
	u.Await(ctx)
	return c.judge() // the right may have been lost meanwhile
}

func (c *conn) commitUpload(ctx context.Context, m *frame.Commit) (frame.Message, error) {
	c.committing.Store(true)
	defer c.committing.Store(false)
	defer c.dropUpload(m.Upload)
	if err := c.arrival(ctx, m.Upload); err != nil {
		return nil, err
	}
	p := m.Path.Path()
	meta := blob.Meta{Mode: m.Mode, MTime: frame.Time(m.MTime)}
	e, err := c.view.CommitUpload(context.WithoutCancel(ctx), m.Upload, p, hufu.Digest(m.Digest), meta, m.Condition.Condition())
	if err != nil {
		return nil, err
	}
	return &frame.CommitAnswer{Entry: frame.WireEntry(e)}, nil
}
