package object

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/meta"
)

// The settings that Options leave out.
const (
	defaultInline = 7 << 10
	defaultRoom   = 128 << 20
	defaultWait   = 30 * time.Second
	defaultValues = 512 << 20
)

// The prefixes of the names of trees in the database.
const (
	users  = "users/"
	shared = "shared/"
)

// Options are the settings of a store.
type Options struct {
	Installation string // the name of the installation, which begins each key
	Unit         int64  // of new uploads: a power of two from hufu.ChunkSize to MaxUnit; 0 is hufu.ChunkSize
	Inline       int64  // the largest file whose bytes are in the database; 0 is 7 KiB, less than 0 none

	// Room is how many bytes of memory staged files, and units of which chunks are missing, may take; 0
	// is 128 MiB. One user alone gets half of it. Wait is how long a file waits for some; 0 is 30 seconds.
	Room int64
	Wait time.Duration

	// Uploads bounds the memory of unfinished uploads: about 100 bytes for each chunk that has arrived
	// of one that is open. 0 is 512 MiB. One user alone gets half of it.
	Uploads int64

	// Lease is how long a clean-up is one process's without a sign of it; 0 is five minutes.
	Lease time.Duration

	// Hold is how long an upload counts as open without a sign of the process that has it open; 0 is
	// 30 seconds.
	Hold time.Duration
}

// Trees are the trees of an installation: one for each user, and the shared folders. Their names
// are in a database and their bytes in a bucket. Other processes may have them open, too.
type Trees struct {
	names  *meta.Names
	bucket *Bucket
	o      Options

	after    time.Duration // see afterwards
	grip     string        // of this process: in the keys of its objects
	attempts atomic.Int64  // makes each key another one
	room     *blob.Room    // for staged files, and units of which chunks are missing
	values   *blob.Room    // for unfinished uploads

	opening [64]chan struct{} // each holds one while an upload is opened; by the tree

	stays sync.WaitGroup  // stay, while it runs
	rest  sync.WaitGroup  // what closed uploads have left to do
	life  context.Context // ends with Close
	end   context.CancelFunc
	late  context.Context // ends a moment later
	cut   context.CancelFunc

	mu      sync.Mutex // guards what follows, and where an upload goes into
	staying bool       // stay runs
	uploads map[meta.ID]*upload
	coming  map[meta.ID]int       // how many are opening an upload
	keys    map[uploadKey]*upload // the same, without those that are over
}

// NewTrees returns the trees whose names are in names and whose bytes are in bucket.
func NewTrees(names *meta.Names, bucket *Bucket, o Options) *Trees {
	if o.Unit == 0 {
		o.Unit = hufu.ChunkSize
	}
	if o.Inline == 0 {
		o.Inline = defaultInline
	}
	if o.Room == 0 {
		o.Room = defaultRoom
	}
	if o.Wait == 0 {
		o.Wait = defaultWait
	}
	if o.Uploads == 0 {
		o.Uploads = defaultValues
	}
	if o.Lease == 0 {
		o.Lease = defaultLease
	}
	if o.Hold == 0 {
		o.Hold = defaultHold
	}
	var grip [8]byte
	_, _ = rand.Read(grip[:]) // never fails
	t := &Trees{names: names, bucket: bucket, o: o, after: 10 * time.Second, room: blob.NewRoom(o.Room), values: blob.NewRoom(o.Uploads), grip: hex.EncodeToString(grip[:]), uploads: map[meta.ID]*upload{}, coming: map[meta.ID]int{}, keys: map[uploadKey]*upload{}}
	t.life, t.end = context.WithCancel(context.Background())
	t.late, t.cut = context.WithCancel(context.Background())
	for i := range t.opening {
		t.opening[i] = make(chan struct{}, 1)
	}
	return t
}

// User opens the tree of a user, which it makes if needed.
func (s *Trees) User(ctx context.Context, name string) (blob.Tree, error) {
	return s.open(ctx, users+name, true)
}

// Shared opens a shared folder. The error is KindNotFound if there is none of that name.
func (s *Trees) Shared(ctx context.Context, name string) (blob.Tree, error) {
	return s.open(ctx, shared+name, false)
}

// MakeShared makes a shared folder, unless there is one of that name.
func (s *Trees) MakeShared(ctx context.Context, name string) error {
	_, err := s.open(ctx, shared+name, true)
	return err
}

// SharedNames returns the names of the shared folders.
func (s *Trees) SharedNames(ctx context.Context) ([]string, error) {
	all, err := s.names.Trees(ctx, shared, strings.TrimSuffix(shared, "/")+"0") // 0 follows the slash
	if err != nil {
		return nil, broken(ctx, "list shared", hufu.Path{}, err)
	}
	for i := range all {
		all[i] = strings.TrimPrefix(all[i], shared)
	}
	return all, nil
}

func (s *Trees) open(ctx context.Context, name string, create bool) (blob.Tree, error) {
	const op = "open store"
	if err := blob.Canceled(ctx, op, hufu.Path{}); err != nil {
		return nil, err
	}
	root, err := s.names.Root(ctx, name)
	if err == nil && root.IsZero() && create {
		err = s.names.Change(ctx, func(q meta.NameQueries) error {
			return q.AddTree(ctx, name, meta.Folder{ID: meta.NewID(), Mode: 0o755, MTime: time.Now().UnixNano()})
		})
		if err == nil {
			root, err = s.names.Root(ctx, name)
		}
	}
	if err != nil {
		return nil, broken(ctx, op, hufu.Path{}, err)
	}
	if root.IsZero() {
		return nil, blob.Fail(op, hufu.Path{}, hufu.KindNotFound, "")
	}
	return &Tree{s: s, root: root}, nil
}

// key returns the key of an object of a content.
func (s *Trees) key(content meta.ID, object string) string {
	return s.o.Installation + "/" + content.String() + "/" + object
}

// single is the object of a content that has one. No other attempt is made for the same content.
const single = "0/0.0"

// freshObject returns the end of a key that no object has had.
func (s *Trees) freshObject(unit int64) string {
	return fmt.Sprintf("%s/%d.%s", s.grip, unit, strconv.FormatInt(s.attempts.Add(1), 36))
}

// afterwards is the time that a call has for what must be done even though its context has ended.
func (s *Trees) afterwards() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), s.after)
}

// abandon gives contents up that have got no name. What cannot be given up now is left to the
// clean-up.
func (s *Trees) abandon(ids ...meta.ID) {
	if len(ids) == 0 {
		return
	}
	ctx, cancel := s.afterwards()
	defer cancel()
	_ = s.names.Change(ctx, func(q meta.NameQueries) error {
		_, err := q.Abandon(ctx, ids...)
		return err //nolint:wrapcheck // it is dropped
	})
}
