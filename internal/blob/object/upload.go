package object

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/digest"
	"hufu/internal/meta"
)

// A holder that waits for chunks looks for those that came to other processes: at once, after
// firstPoll, and then at growing intervals.
const (
	firstPoll = 20 * time.Millisecond
	lastPoll  = 200 * time.Millisecond
)

// cvSize is the size of a chaining value in bytes.
const cvSize = int64(len(digest.CV{}))

// uploadKey names an upload among those that are open.
type uploadKey struct {
	tree meta.ID
	key  [32]byte
}

// upload is an unfinished file that this process has open, shared by its holders. All that outlives
// them is in the database.
type upload struct {
	t     *Tree
	id    meta.ID
	key   blob.UploadKey
	row   meta.Upload
	unit  int64
	alone chan struct{} // holds one while the upload as a whole is changed

	into    meta.ID // the folder, none before the first chunk; guarded by Trees.mu
	holders int     // guarded by Trees.mu

	mu      sync.Mutex // guards what follows
	units   map[int64][]byte
	have    int64           // chunks
	charge  int64           // of Trees.values, for the upload and its units
	left    bool            // nobody has it open any more, and the charge was given back
	half    map[int64]*half // units of which chunks are missing
	sealed  int             // how many holders have prepared it
	gone    bool
	done    *hufu.Entry   // the file that it has become
	changed chan struct{} // closed and replaced at each change
}

// half holds the chunks of a unit that one holder has written, from its first on.
type half struct {
	by    *holder
	n     int64
	data  []byte // nil if all of them are zeros
	size  int64  // of the chunks
	taken int64  // of the room
	cost  int64  // of Trees.values
	cvs   []byte
}

// holder is a blob.Upload.
type holder struct {
	u        *upload
	guard    blob.Guard
	closed   bool
	prepared *prepared
}

// prepared is what a holder has prepared.
type prepared struct {
	meta   blob.Meta
	voided int64 // of the content then
}

func (u *upload) fail(op string, kind hufu.Kind, code string) error {
	return blob.Fail(op, u.key.Path, kind, code)
}

func (u *upload) broken(ctx context.Context, op string, err error) error {
	return broken(ctx, op, u.key.Path, err)
}

// hash returns a digest of these texts.
func hash(texts ...string) [32]byte {
	var b []byte
	for _, text := range texts {
		b = binary.BigEndian.AppendUint64(b, uint64(len(text)))
		b = append(b, text...)
	}
	return sha256.Sum256(b)
}

// row returns the row of a new upload.
func (t *Tree) row(k blob.UploadKey) meta.Upload {
	size := string(binary.BigEndian.AppendUint64(nil, uint64(k.Size)))
	return meta.Upload{
		ID: meta.RandomID(), Tree: t.root, Key: hash(k.Path.String(), size, k.Source, k.Owner), Place: hash(k.Path.String(), k.Owner),
		Path: k.Path.String(), Size: k.Size, Source: k.Source, Owner: k.Owner,
	}
}

// OpenUpload begins the upload k, or resumes it.
func (t *Tree) OpenUpload(ctx context.Context, k blob.UploadKey, g blob.Guard) (blob.Upload, error) {
	const op = "open upload"
	if err := cmp.Or(blob.Canceled(ctx, op, k.Path), blob.CheckTarget(op, k.Path)); err != nil {
		return nil, err
	}
	if k.Size <= hufu.ChunkSize || k.Size > hufu.MaxFileSize {
		return nil, blob.Fail(op, k.Path, hufu.KindInvalid, "upload_size")
	}
	release, err := t.alone(ctx, op, k.Path)
	if err != nil {
		return nil, err
	}
	defer release()
	fresh := t.row(k)
	defer t.s.expect(fresh.ID)()
	for range maxTries {
		if h := t.hold(func() *upload { return t.s.keys[uploadKey{t.root, fresh.Key}] }, g); h != nil {
			if !h.u.refresh(ctx) {
				return h, nil
			}
			_ = h.Close()
			continue // it has ended in another process
		}
		found, err := t.s.names.UploadsByKey(ctx, t.root, fresh.Key)
		if err != nil {
			return nil, broken(ctx, op, k.Path, err)
		}
		if len(found) > 0 {
			h, err := t.resume(ctx, op, found[0].ID, g)
			if h != nil || err != nil {
				return h, err
			}
			continue // it has ended
		}
		charge := cost(&k, nil)
		if !t.s.values.Take(k.User(), charge) {
			return nil, full(op, &k)
		}
		added := false
		err = t.s.names.Change(ctx, func(q meta.NameQueries) (err error) {
			if added, err = q.AddUpload(ctx, fresh); err == nil && added {
				err = q.AddContent(ctx, meta.Content{ID: fresh.ID, Size: k.Size, Layout: t.s.o.Unit, State: meta.StateOpen})
			}
			if err == nil && added {
				_, err = q.Hold(ctx, fresh.ID, t.s.grip, t.s.o.Hold)
			}
			return err //nolint:wrapcheck // below
		})
		if err == nil && added {
			return t.register(fresh, k, t.s.o.Unit, map[int64][]byte{}, g), nil
		}
		t.s.values.Give(k.User(), charge)
		if err != nil {
			return nil, broken(ctx, op, k.Path, err)
		}
	}
	return nil, blob.Fail(op, k.Path, hufu.KindUnavailable, "database_busy")
}

// FindUpload opens an unfinished upload by its id.
func (t *Tree) FindUpload(ctx context.Context, id string, g blob.Guard) (blob.Upload, error) {
	const op = "find upload"
	unknown := blob.Fail(op, hufu.Path{}, hufu.KindNotFound, "upload_unknown")
	if err := blob.Canceled(ctx, op, hufu.Path{}); err != nil {
		return nil, err
	}
	want, ok := meta.ParseID(id)
	if !ok {
		return nil, unknown
	}
	release, err := t.alone(ctx, op, hufu.Path{})
	if err != nil {
		return nil, err
	}
	defer release()
	if h := t.hold(func() *upload { return t.s.uploads[want] }, g); h != nil {
		return h, nil
	}
	h, err := t.resume(ctx, op, want, g)
	if h == nil && err == nil {
		err = unknown
	}
	return h, err
}

// resume opens an upload by its id. It returns nil if there is none.
func (t *Tree) resume(ctx context.Context, op string, id meta.ID, g blob.Guard) (blob.Upload, error) {
	defer t.s.expect(id)()
	found, err := t.s.names.UploadsByID(ctx, t.root, id)
	if err != nil {
		return nil, broken(ctx, op, hufu.Path{}, err)
	}
	if len(found) == 0 {
		return nil, nil
	}
	return t.load(ctx, op, found[0], g)
}

// load opens an upload that nobody here has open. It discards one whose folder was moved away, and
// returns nil then.
func (t *Tree) load(ctx context.Context, op string, row meta.Upload, g blob.Guard) (blob.Upload, error) {
	p, err := hufu.ParsePath(row.Path)
	if err != nil {
		return nil, broken(ctx, op, hufu.Path{}, err)
	}
	if !row.Into.IsZero() {
		at, err := t.folder(ctx, op, p, p.Parent())
		switch hufu.KindOf(err) {
		case 0, hufu.KindNotFound, hufu.KindWrongKind:
		default:
			return nil, err
		}
		if err != nil || at != row.Into {
			return nil, broken(ctx, op, p, t.s.discard(ctx, row.ID))
		}
	}
	if there, err := t.s.names.Hold(ctx, row.ID, t.s.grip, t.s.o.Hold); err != nil || !there {
		return nil, broken(ctx, op, p, err)
	}
	c, units, err := t.s.arrived(ctx, row.ID)
	if err != nil {
		return nil, broken(ctx, op, p, err)
	}
	if c.State != meta.StateOpen {
		return nil, broken(ctx, op, p, t.s.discard(ctx, row.ID))
	}
	k := blob.UploadKey{Path: p, Size: row.Size, Source: row.Source, Owner: row.Owner}
	if !t.s.values.Take(k.User(), cost(&k, units)) {
		return nil, full(op, &k)
	}
	return t.register(row, k, c.Layout, units, g), nil
}

// arrived reads what of an upload has arrived. The units may be newer than the content.
func (s *Trees) arrived(ctx context.Context, id meta.ID) (c meta.Content, all map[int64][]byte, err error) {
	if c, err = s.names.Content(ctx, id); err != nil {
		return c, nil, err //nolint:wrapcheck // the caller does
	}
	all = map[int64][]byte{}
	for from, more := int64(0), true; more; {
		page, err := s.names.Units(ctx, id, from, pageSize)
		if err != nil {
			return c, nil, err //nolint:wrapcheck // the caller does
		}
		for _, u := range page {
			all[u.Number], from = u.CVs, u.Number+1
		}
		more = len(page) == pageSize
	}
	return c, all, nil
}

// discard ends an upload that has not become a file. Its objects are left to the clean-up.
func (s *Trees) discard(ctx context.Context, id meta.ID) error {
	return s.names.Change(ctx, func(q meta.NameQueries) error { //nolint:wrapcheck // the caller does
		_, err := q.DropUpload(ctx, id)
		if err == nil {
			_, err = q.Abandon(ctx, id)
		}
		return err //nolint:wrapcheck // the caller does
	})
}

// Committed reports whether the upload id has become the file at p.
func (t *Tree) Committed(ctx context.Context, id string, p hufu.Path) (hufu.Entry, bool) {
	e, err := t.Stat(ctx, p)
	if err != nil || id == "" || e.Kind != hufu.File || e.Upload != id {
		return hufu.Entry{}, false
	}
	return e, true
}

// set takes over what has arrived. It takes memory that cannot be refused.
func (u *upload) set(units map[int64][]byte) {
	u.units, u.have = units, 0
	for number := range units {
		u.have += u.chunks(number)
	}
	u.charged(cost(&u.key, units) - u.charge)
}

// put notes the chaining values of a unit, nil for one that is not there any more.
func (u *upload) put(number int64, cvs []byte) {
	if old := u.units[number]; old != nil {
		u.have -= u.chunks(number)
		u.charged(-costOfUnit(len(old)))
		delete(u.units, number)
	}
	if cvs != nil {
		u.have += u.chunks(number)
		u.charged(costOfUnit(len(cvs)))
		u.units[number] = cvs
	}
}

// charged notes that the upload takes n more bytes.
func (u *upload) charged(n int64) {
	if !u.left {
		u.charge += n
		u.t.s.values.Force(u.key.User(), n)
	}
}

// cost returns about what an unfinished upload with these units takes.
func cost(k *blob.UploadKey, units map[int64][]byte) int64 {
	n := k.Cost()
	for _, cvs := range units {
		n += costOfUnit(len(cvs))
	}
	return n
}

// costOfUnit returns about what a unit takes whose chaining values are n bytes.
func costOfUnit(n int) int64 { return int64(n) + 64 }

// full is the error of an upload for which no memory is free.
func full(op string, k *blob.UploadKey) error {
	return blob.Fail(op, k.Path, hufu.KindQuota, "uploads_full")
}

// chunks returns the number of chunks of a unit.
func (u *upload) chunks(number int64) int64 {
	per := u.unit / hufu.ChunkSize
	return min(per, digest.Chunks(u.key.Size)-number*per)
}

// cv returns the chaining value of a chunk that has arrived.
func (u *upload) cv(index int64) (cv digest.CV, there bool) {
	per := u.unit / hufu.ChunkSize
	cvs := u.units[index/per]
	if cvs == nil {
		return cv, false
	}
	return digest.CV(cvs[index%per*cvSize:]), true
}

// notify wakes those that wait for a change.
func (u *upload) notify() {
	close(u.changed)
	u.changed = make(chan struct{})
}

func (h *holder) Info() blob.UploadInfo {
	h.u.mu.Lock()
	defer h.u.mu.Unlock()
	return blob.UploadInfo{ID: h.u.id.String(), Key: h.u.key, Unit: h.u.unit, Have: h.u.have}
}

func (h *holder) Missing(index int64) int64 {
	h.u.mu.Lock()
	defer h.u.mu.Unlock()
	for n := digest.Chunks(h.u.key.Size); index < n; index++ {
		if _, there := h.u.cv(index); !there {
			break
		}
	}
	return index
}

func (h *holder) There() iter.Seq2[int64, digest.CV] {
	return func(yield func(int64, digest.CV) bool) {
		h.u.mu.Lock()
		units := maps.Clone(h.u.units)
		h.u.mu.Unlock()
		per := h.u.unit / hufu.ChunkSize
		for _, number := range slices.Sorted(maps.Keys(units)) {
			for i := range h.u.chunks(number) {
				if !yield(number*per+i, digest.CV(units[number][i*cvSize:])) {
					return
				}
			}
		}
	}
}

func (h *holder) Root() (hufu.Digest, error) {
	h.u.mu.Lock()
	defer h.u.mu.Unlock()
	return h.u.root()
}

func (u *upload) root() (hufu.Digest, error) {
	n := digest.Chunks(u.key.Size)
	if u.have < n {
		return hufu.Digest{}, u.fail("digest", hufu.KindInvalid, "upload_incomplete")
	}
	var whole digest.Tree
	for i := range n {
		cv, _ := u.cv(i)
		whole.Push(cv)
	}
	return whole.Root(), nil
}

func (h *holder) Await(ctx context.Context) {
	u := h.u
	for wait := time.Duration(0); ; {
		u.mu.Lock()
		over := u.have == digest.Chunks(u.key.Size) || u.gone
		changed := u.changed
		u.mu.Unlock()
		if over || ctx.Err() != nil {
			return
		}
		if wait == 0 {
			if u.complete(ctx) {
				return
			}
			wait = firstPoll
		}
		poll := time.NewTimer(wait)
		select {
		case <-changed:
		case <-ctx.Done():
		case <-poll.C:
			if u.complete(ctx) {
				return
			}
			wait = min(2*wait, lastPoll)
		}
		poll.Stop()
	}
}

// complete reports whether all units have arrived, at whatever process, or the upload has ended.
func (u *upload) complete(ctx context.Context) bool {
	if !u.t.s.names.Shared() {
		return false
	}
	state, units, err := u.t.s.names.Progress(ctx, u.id)
	return err == nil && (state != meta.StateOpen || units == u.count()) // after an error it is asked again
}

// count returns the number of units.
func (u *upload) count() int64 {
	per := u.unit / hufu.ChunkSize
	return (digest.Chunks(u.key.Size) + per - 1) / per
}

// refresh takes over what has come to other processes since the upload was opened here, and reports
// whether the upload has ended. What cannot be found out is sent again.
func (u *upload) refresh(ctx context.Context) (over bool) {
	if !u.t.s.names.Shared() {
		return false
	}
	release, err := u.exclude(ctx, "open upload")
	if err != nil {
		return false
	}
	defer release()
	c, units, err := u.t.s.arrived(ctx, u.id)
	if err != nil {
		return false
	}
	switch c.State {
	case meta.StateOpen:
	case meta.StateLive: // the holders that have it still find the file
		u.t.s.unregister(u)
		return true
	default:
		u.end()
		return true
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.done == nil {
		u.set(units)
		u.notify()
	}
	return u.done != nil
}
