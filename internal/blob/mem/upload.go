package mem

import (
	"cmp"
	"context"
	"iter"
	"maps"
	"slices"
	"sync"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/digest"
)

// upload is an unfinished file, shared by its holders.
type upload struct {
	id      string
	key     blob.UploadKey
	into    *node // the folder that will hold it, nil before the first chunk
	holders int
	cost    int64
	chunks  map[int64]chunk // those that have arrived, by index
	half    map[int64]*unit // incomplete units, by unit number
	arrived sync.Cond       // broadcast when a unit has arrived or the upload is over
	sealed  int             // how many holders have prepared it
	gone    bool
	done    *hufu.Entry // the file that it has become
}

// chunk is a chunk of an upload; a hole has no data.
type chunk struct {
	data []byte
	cv   digest.CV
}

func (c chunk) cost() int64 { return 2*chunkCost + int64(len(c.data)) } // here, and in the file

// unit holds the chunks of a unit that one holder has written, from its first
// on.
type unit struct {
	by     *holder
	chunks []chunk
}

// holder is a blob.Upload.
type holder struct {
	t        *Tree
	u        *upload
	guard    blob.Guard
	closed   bool
	prepared *blob.Meta
}

func (u *upload) fail(op string, kind hufu.Kind, code string) error {
	return blob.Fail(op, u.key.Path, kind, code)
}

// OpenUpload begins the upload k, or resumes it.
func (t *Tree) OpenUpload(ctx context.Context, k blob.UploadKey, g blob.Guard) (blob.Upload, error) {
	if err := cmp.Or(blob.Canceled(ctx, "open upload", k.Path), blob.CheckTarget("open upload", k.Path)); err != nil {
		return nil, err
	}
	if k.Size <= hufu.ChunkSize || k.Size > hufu.MaxFileSize {
		return nil, blob.Fail("open upload", k.Path, hufu.KindInvalid, "upload_size")
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, u := range t.uploads {
		if u.key == k && t.usable(u) {
			return t.hold(u, g), nil
		}
	}
	u := &upload{id: newID(), key: k, cost: 2*nameCost + int64(len(k.Source)+len(k.Owner)), chunks: map[int64]chunk{}, half: map[int64]*unit{}}
	u.arrived.L = &t.mu
	if err := t.take("open upload", k.Path, u.cost); err != nil {
		return nil, err
	}
	t.uploads[u.id] = u
	return t.hold(u, g), nil
}

// FindUpload opens an unfinished upload by its id.
func (t *Tree) FindUpload(ctx context.Context, id string, g blob.Guard) (blob.Upload, error) {
	if err := blob.Canceled(ctx, "find upload", hufu.Path{}); err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if u := t.uploads[id]; u != nil && t.usable(u) {
		return t.hold(u, g), nil
	}
	return nil, blob.Fail("find upload", hufu.Path{}, hufu.KindNotFound, "upload_unknown")
}

func (t *Tree) hold(u *upload, g blob.Guard) blob.Upload {
	u.holders++
	return &holder{t: t, u: u, guard: g}
}

// usable reports whether u can still become its file. It discards an upload
// whose folder was moved away, unless it is open.
func (t *Tree) usable(u *upload) bool {
	if u.into == nil || u.holders > 0 {
		return true
	}
	if dir, err := t.folder("open upload", u.key.Path, u.key.Path.Parent()); err == nil && dir == u.into {
		return true
	}
	t.discard(u)
	return false
}

// discard ends an upload that has not become a file.
func (t *Tree) discard(u *upload) {
	delete(t.uploads, u.id)
	t.o.Room.give(u.cost)
	u.cost, u.chunks, u.half, u.gone = 0, nil, nil, true
	u.arrived.Broadcast()
}

// discardSuperseded ends the uploads that u replaces.
func (t *Tree) discardSuperseded(u *upload) {
	for _, old := range t.uploads {
		if old != u && old.key.Path == u.key.Path && old.key.Owner == u.key.Owner && old.holders == 0 {
			t.discard(old)
		}
	}
}

// uploading reports whether an upload into the folder n is open.
func (t *Tree) uploading(n *node) bool {
	for _, u := range t.uploads {
		if u.into == n && u.holders > 0 {
			return true
		}
	}
	return false
}

// Committed reports whether the upload id has become the file at p.
func (t *Tree) Committed(ctx context.Context, id string, p hufu.Path) (hufu.Entry, bool) {
	e, err := t.Stat(ctx, p)
	if err != nil || id == "" || e.Kind != hufu.File || e.Upload != id {
		return hufu.Entry{}, false
	}
	return e, true
}

func (h *holder) Info() blob.UploadInfo {
	h.t.mu.Lock()
	defer h.t.mu.Unlock()
	return blob.UploadInfo{ID: h.u.id, Key: h.u.key, Unit: h.t.o.Unit, Have: int64(len(h.u.chunks))}
}

func (h *holder) Missing(index int64) int64 {
	h.t.mu.Lock()
	defer h.t.mu.Unlock()
	for n := digest.Chunks(h.u.key.Size); index < n; index++ {
		if _, there := h.u.chunks[index]; !there {
			break
		}
	}
	return index
}

func (h *holder) There() iter.Seq2[int64, digest.CV] {
	return func(yield func(int64, digest.CV) bool) {
		h.t.mu.Lock()
		chunks := maps.Clone(h.u.chunks)
		h.t.mu.Unlock()
		for _, i := range slices.Sorted(maps.Keys(chunks)) {
			if !yield(i, chunks[i].cv) {
				return
			}
		}
	}
}

func (h *holder) Write(ctx context.Context, index int64, data []byte, cv digest.CV) error {
	const op = "write chunk"
	t, u := h.t, h.u
	n := digest.Chunks(u.key.Size)
	if index < 0 || index >= n || len(data) > 0 && len(data) != digest.ChunkLen(u.key.Size, index) {
		return u.fail(op, hufu.KindInvalid, "chunk_form")
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := cmp.Or(h.open(op), blob.Canceled(ctx, op, u.key.Path)); err != nil {
		return err
	}
	if err := t.begin(ctx, h); err != nil {
		return err
	}
	per := t.o.Unit / hufu.ChunkSize
	number := index / per
	begin, end := number*per, min(n, (number+1)*per)
	half := u.half[number]
	if half == nil || half.by != h || index != begin+int64(len(half.chunks)) {
		old, there := u.chunks[index]
		switch {
		case there && old.cv == cv:
			return nil
		case there && (u.sealed > 0 || u.done != nil):
			return u.fail(op, hufu.KindChanged, "file_changed")
		case there: // no arrived chunk refers to the unit's bytes any more
			t.dropUnit(u, begin, end)
		}
		if index != begin {
			return u.fail(op, hufu.KindInvalid, "unit_order")
		}
		t.dropHalf(u, number)
		half = &unit{by: h}
	}
	c := chunk{cv: cv}
	if len(data) > 0 {
		c.data = slices.Clone(data)
	}
	if err := t.take(op, u.key.Path, c.cost()); err != nil {
		return err
	}
	u.cost += c.cost()
	half.chunks = append(half.chunks, c)
	u.half[number] = half
	if index+1 < end {
		return nil
	}
	delete(u.half, number)
	for i, c := range half.chunks {
		u.chunks[begin+int64(i)] = c
	}
	u.arrived.Broadcast()
	return nil
}

// open refuses a handle that was closed, and one of an upload that is gone.
func (h *holder) open(op string) error {
	switch {
	case h.closed:
		return h.u.fail(op, hufu.KindInternal, "")
	case h.u.gone:
		return h.u.fail(op, hufu.KindNotFound, "upload_gone")
	}
	return nil
}

// begin creates the folder for the first chunk of an upload.
func (t *Tree) begin(ctx context.Context, h *holder) (err error) {
	u := h.u
	if u.into == nil {
		if u.into, err = t.makeFolders(ctx, "open upload", u.key.Path.Parent(), u.key.User(), &h.guard); err == nil {
			t.discardSuperseded(u)
		}
	}
	return err
}

// dropUnit forgets the chunks from begin to before end.
func (t *Tree) dropUnit(u *upload, begin, end int64) {
	for i := begin; i < end; i++ {
		t.giveBack(u, u.chunks[i])
		delete(u.chunks, i)
	}
}

// dropHalf forgets the chunks of a unit that is not complete.
func (t *Tree) dropHalf(u *upload, number int64) {
	if half := u.half[number]; half != nil {
		t.giveBack(u, half.chunks...)
		delete(u.half, number)
	}
}

func (t *Tree) giveBack(u *upload, chunks ...chunk) {
	for _, c := range chunks {
		t.o.Room.give(c.cost())
		u.cost -= c.cost()
	}
}

func (h *holder) Root() (hufu.Digest, error) {
	h.t.mu.Lock()
	defer h.t.mu.Unlock()
	return h.u.root()
}

func (u *upload) root() (hufu.Digest, error) {
	n := digest.Chunks(u.key.Size)
	if int64(len(u.chunks)) < n {
		return hufu.Digest{}, u.fail("digest", hufu.KindInvalid, "upload_incomplete")
	}
	var whole digest.Tree
	for i := range n {
		whole.Push(u.chunks[i].cv)
	}
	return whole.Root(), nil
}

func (h *holder) Await(ctx context.Context) {
	t, u := h.t, h.u
	t.mu.Lock()
	defer t.mu.Unlock()
	defer context.AfterFunc(ctx, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		u.arrived.Broadcast()
	})()
	for int64(len(u.chunks)) < digest.Chunks(u.key.Size) && !u.gone && ctx.Err() == nil {
		u.arrived.Wait()
	}
}

func (h *holder) Prepare(ctx context.Context, want hufu.Digest, m blob.Meta) error {
	const op = "commit"
	h.t.mu.Lock()
	defer h.t.mu.Unlock()
	u := h.u
	if u.done != nil {
		if u.done.Digest != want {
			return u.fail(op, hufu.KindIntegrity, "digest_differs")
		}
		return nil
	}
	if err := cmp.Or(h.open(op), blob.Canceled(ctx, op, u.key.Path)); err != nil {
		return err
	}
	root, err := u.root()
	switch {
	case err != nil:
		return err
	case root != want:
		return u.fail(op, hufu.KindIntegrity, "digest_differs")
	}
	h.unseal()
	m.Digest, m.Upload = want, u.id
	h.prepared = &m
	u.sealed++
	return nil
}

// unseal undoes Prepare.
func (h *holder) unseal() {
	if h.prepared != nil {
		h.prepared = nil
		h.u.sealed--
	}
}

func (h *holder) Finish(ctx context.Context, c hufu.Condition) (hufu.Entry, error) {
	const op = "commit"
	h.t.mu.Lock()
	defer h.t.mu.Unlock()
	t, u := h.t, h.u
	if u.done != nil {
		return *u.done, nil
	}
	err := cmp.Or(h.open(op), blob.Canceled(ctx, op, u.key.Path))
	if err == nil && h.prepared == nil {
		err = u.fail(op, hufu.KindInternal, "")
	}
	var dir *node
	if err == nil {
		dir, err = t.folder(op, u.key.Path, u.key.Path.Parent())
	}
	if hufu.KindOf(err) == hufu.KindNotFound || err == nil && dir != u.into { // it was moved away, or removed
		err = u.fail(op, hufu.KindNotFound, "upload_gone")
	}
	if hufu.CodeOf(err) == "upload_gone" && !u.gone {
		t.discard(u)
	}
	var n *node
	if err == nil {
		n = t.newNode(hufu.File, *h.prepared)
		n.digest, n.upload, n.bytes = h.prepared.Digest, u.id, u.content()
		_, err = t.place(ctx, op, u.key.Path, n, c, &h.guard)
	}
	h.unseal()
	if err != nil {
		return hufu.Entry{}, err
	}
	e := n.entry(u.key.Path.Base())
	u.done = &e
	delete(t.uploads, u.id)
	u.cost -= n.cost() + n.bytes.cost() // the file has it now
	t.discardSuperseded(u)
	for i, c := range u.chunks {
		u.chunks[i] = chunk{cv: c.cv}
	}
	return e, nil
}

// content returns the bytes of all chunks.
func (u *upload) content() *content {
	c := &content{size: u.key.Size, refs: 1}
	for _, i := range slices.Sorted(maps.Keys(u.chunks)) {
		if data := u.chunks[i].data; data != nil {
			c.index, c.data = append(c.index, i), append(c.data, data)
		}
	}
	return c
}

func (h *holder) Abort() error {
	h.t.mu.Lock()
	if h.u.done == nil && !h.u.gone {
		h.t.discard(h.u)
	}
	h.t.mu.Unlock()
	return h.Close()
}

func (h *holder) Close() error {
	t, u := h.t, h.u
	t.mu.Lock()
	defer t.mu.Unlock()
	if h.closed {
		return nil
	}
	h.closed = true
	h.unseal()
	for number, half := range u.half {
		if half.by == h {
			t.dropHalf(u, number)
		}
	}
	switch u.holders--; {
	case u.holders > 0 || u.gone:
	case u.done != nil:
		t.o.Room.give(u.cost)
		u.cost = 0
	case u.into == nil: // nothing has arrived
		t.discard(u)
	}
	return nil
}
