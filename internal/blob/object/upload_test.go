package object_test

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/blob/object"
	"hufu/internal/digest"
	"hufu/internal/meta"
)

// traced is a context that calls seen when Done is called from within one of some functions.
type traced struct {
	context.Context //nolint:containedctx // it is one
	seen            func()
	in              []string // how the names of the functions end
}

func (c traced) Done() <-chan struct{} {
	pc := make([]uintptr, 50)
	for frames, more := runtime.CallersFrames(pc[:runtime.Callers(0, pc)]), true; more; {
		var f runtime.Frame
		f, more = frames.Next()
		if slices.ContainsFunc(c.in, func(end string) bool { return strings.HasSuffix(f.Function, end) }) {
			c.seen()
			break
		}
	}
	return c.Context.Done()
}

// inTurn is a context that tells when a change of names begins to wait for its turn.
func inTurn(ctx context.Context, waits func()) context.Context {
	return traced{ctx, waits, []string{"(*Names).ChangeIf"}}
}

func chunk(data []byte, i int64) ([]byte, digest.CV) {
	c := data[i*hufu.ChunkSize:][:digest.ChunkLen(int64(len(data)), i)]
	return c, digest.Chunk(c, i)
}

// TestNoMutexIsHeldDuringRequests: a change of names waits for all others, and these for the mutexes.
func TestNoMutexIsHeldDuringRequests(t *testing.T) {
	t.Parallel()
	n := database(t)
	f, b := newFake(t)
	o := object.Options{Installation: "test"}
	tree, second := tree(t, object.NewTrees(n, b, o)), tree(t, object.NewTrees(n, b, o))
	data, other := content(2<<20+1, 'a'), content(2<<20+1, 'b')
	u := open(t, tree, "f", data)
	waited, asked := 0, 0
	f.before = func(*http.Request) {
		if asked++; object.Locked(u) {
			t.Error("a mutex is held during a request to the bucket")
		}
	}
	ctx := inTurn(t.Context(), func() {
		if waited++; object.Locked(u) {
			t.Error("a mutex is held while a change of names waits for its turn")
		}
	})
	write := func(data []byte, i int64) {
		c, cv := chunk(data, i)
		must(t, u.Write(ctx, i, c, cv))
	}
	write(data, 0)
	write(other, 0) // instead of what has arrived
	v, err := second.FindUpload(t.Context(), u.Info().ID, blob.Guard{})
	must(t, err)
	must(t, send(t, v, data, 1))
	write(other, 1) // instead of what has arrived elsewhere
	write(other, 2)
	must(t, v.Close())
	must(t, u.Prepare(ctx, digest.Sum(other), blob.Meta{}))
	_, err = u.Finish(ctx, always)
	must(t, err)
	must(t, u.Close())
	if waited < 4 || asked < 4 {
		t.Errorf("%d changes of names and %d requests to the bucket were seen", waited, asked)
	}
	holds(t, tree, "f", other)
}

// TestCloseReleasesTheUploadWhateverHappens: one that nobody has open any more can expire, even if
// the database was held up when it was closed.
func TestCloseReleasesTheUploadWhateverHappens(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(blob.Upload) error{"close": blob.Upload.Close, "abort": blob.Upload.Abort} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := database(t)
			_, b := newFake(t)
			s := object.NewTrees(n, b, object.Options{Installation: "test"})
			s.Hurry(50 * time.Millisecond)
			tree := tree(t, s)
			data := content(2<<20+1, 'a')
			u := open(t, tree, "f", data)
			must(t, send(t, u, data, 0))
			var wg sync.WaitGroup
			defer wg.Wait()
			held, opening, closed := make(chan struct{}), make(chan struct{}), make(chan struct{})
			defer close(closed)
			wg.Go(func() {
				_ = n.Change(context.Background(), func(meta.NameQueries) error {
					close(held)
					<-closed
					return nil
				})
			})
			<-held
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			wg.Go(func() {
				ctx := inTurn(ctx, sync.OnceFunc(func() { close(opening) }))
				key := blob.UploadKey{Path: path(t, "other"), Size: int64(len(data)), Source: "v", Owner: "alice/x"}
				if name == "close" {
					_, _ = tree.OpenUpload(ctx, key, blob.Guard{})
					return
				}
				c, cv := chunk(content(2<<20+1, 'b'), 0)
				_ = u.Write(ctx, 0, c, cv)
			})
			<-opening
			err := end(u)
			cancel()
			closed <- struct{}{}
			wg.Wait()
			if name == "close" {
				must(t, err)
			}
			if n, err := s.Expire(t.Context(), -time.Hour); n != 1 || err != nil {
				t.Errorf("%d uploads have expired: %v", n, err)
			}
		})
	}
}

// TestTheObjectOfAnEarlierChunkStays: a backup of the database may refer to it. It goes with the file.
func TestTheObjectOfAnEarlierChunkStays(t *testing.T) {
	t.Parallel()
	f, b := newFake(t)
	s := object.NewTrees(database(t), b, object.Options{Installation: "test"})
	tree := tree(t, s)
	data, other := content(2<<20+1, 'a'), content(2<<20+1, 'b')
	u := open(t, tree, "f", data)
	must(t, send(t, u, other, 0))
	before := f.keys()
	for i := range int64(3) {
		must(t, send(t, u, data, i))
	}
	_, err := blob.CommitUpload(t.Context(), u, digest.Sum(data), blob.Meta{}, always)
	must(t, err)
	holds(t, tree, "f", data)
	if _, err := s.Clean(t.Context(), -time.Minute); err != nil || len(f.keys()) != 4 || !slices.Contains(f.keys(), before[0]) {
		t.Errorf("%q are left, before were %q: %v", f.keys(), before, err)
	}
	remove(t, tree, "f")
	if _, err := s.Clean(t.Context(), -time.Minute); err != nil || len(f.keys()) > 0 {
		t.Errorf("%q are left: %v", f.keys(), err)
	}
}

// TestUnfinishedUploadsTakeBoundedMemory: one user's uploads leave room for another's, what finds no
// room is refused and can come later, and nothing is taken by what is over.
func TestUnfinishedUploadsTakeBoundedMemory(t *testing.T) {
	t.Parallel()
	n := database(t)
	_, b := newFake(t)
	s := object.NewTrees(n, b, object.Options{Installation: "test", Uploads: 40 << 10})
	tree := tree(t, s)
	size := int64(8<<20 + 1)
	var all []blob.Upload
	opened := func(user string) (count int) {
		for ; ; count++ {
			key := blob.UploadKey{Path: path(t, fmt.Sprint(user, count)), Size: size, Source: "v", Owner: user + "/x"}
			u, err := tree.OpenUpload(t.Context(), key, blob.Guard{})
			if err != nil {
				wantCode(t, err, hufu.KindQuota, "uploads_full")
				return count
			}
			all = append(all, u)
		}
	}
	if alice, bob := opened("alice"), opened("bob"); alice < 15 || alice > 20 || bob < 5 {
		t.Errorf("alice has %d, bob %d", alice, bob)
	}
	// The memory for chunks is taken as well.
	u, i := all[0], int64(0)
	zeros := func(i int64) error {
		return u.Write(t.Context(), i, nil, digest.Zeros(digest.ChunkLen(size, i), i))
	}
	for ; ; i++ {
		if err := zeros(i); err != nil {
			wantCode(t, err, hufu.KindQuota, "uploads_full")
			break
		}
	}
	for _, u := range all[1:] {
		must(t, u.Close())
	}
	for ; i < digest.Chunks(size); i++ {
		must(t, zeros(i))
	}
	used := s.Charged()
	must(t, send(t, u, content(int(size), 'x'), 0)) // instead of zeros
	if now := s.Charged(); now != used {
		t.Errorf("%d bytes are taken, before it were %d", now, used)
	}
	again, err := object.NewTrees(n, b, object.Options{Installation: "test", Uploads: 2 << 10}).User(t.Context(), "alice")
	must(t, err)
	_, err = again.FindUpload(t.Context(), u.Info().ID, blob.Guard{}) // with all that has arrived
	wantCode(t, err, hufu.KindQuota, "uploads_full")
	must(t, zeros(0))
	root, err := u.Root()
	must(t, err)
	_, err = blob.CommitUpload(t.Context(), u, root, blob.Meta{}, always)
	must(t, err)
	must(t, u.Close())
	u = open(t, tree, "given up", content(int(size), 'x'))
	must(t, zeros(3))
	must(t, u.Abort())
	if used := s.Charged(); used != 0 {
		t.Errorf("%d bytes are taken for nothing", used)
	}
}
