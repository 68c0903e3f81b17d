package server_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/blob/mem"
	"hufu/internal/digest"
	"hufu/internal/files"
	"hufu/internal/frame"
	"hufu/internal/testenv"
)

// far are trees whose reads wait until so many of them have begun.
type far struct {
	files.Stores
	waits  chan struct{} // closed when enough have begun
	mu     sync.Mutex
	begun  int
	enough int
	late   atomic.Bool // a read has waited in vain
	opened atomic.Int64
	groups atomic.Int64 // of files that were opened together
}

func (f *far) User(ctx context.Context, name string) (blob.Tree, error) {
	tree, err := f.Stores.User(ctx, name)
	return farTree{tree, f}, err
}

// wait returns when enough reads have begun, including this one.
func (f *far) wait(ctx context.Context) {
	f.mu.Lock()
	if f.begun++; f.begun == f.enough {
		close(f.waits)
	}
	f.mu.Unlock()
	select {
	case <-f.waits:
	case <-ctx.Done():
	case <-time.After(20 * time.Second): // the test fails
		f.late.Store(true)
	}
}

func (f *far) together() bool {
	select {
	case <-f.waits:
		return true
	default:
		return false
	}
}

type farTree struct {
	blob.Tree
	f *far
}

func (t farTree) OpenTogether(ctx context.Context, paths []hufu.Path) ([]blob.File, []error) {
	t.f.groups.Add(1)
	files, errs := make([]blob.File, len(paths)), make([]error, len(paths))
	o := t.Opener()
	defer o.Close()
	for i, p := range paths {
		files[i], errs[i] = o.Open(ctx, p, "")
	}
	return files, errs
}

func (t farTree) Opener() blob.Opener { return farOpener{t.Tree.Opener(), t.f} }

type farOpener struct {
	blob.Opener
	f *far
}

func (o farOpener) Open(ctx context.Context, p hufu.Path, version string) (blob.File, error) {
	o.f.opened.Add(1)
	file, err := o.Opener.Open(ctx, p, version)
	if err != nil {
		return nil, err
	}
	return farFile{file, o.f}, nil
}

type farFile struct {
	blob.File
	f *far
}

func (f farFile) ReadAt(ctx context.Context, b []byte, off int64) (int, error) {
	f.f.wait(ctx)
	return f.File.ReadAt(ctx, b, off)
}

func (f farFile) ReadChunk(ctx context.Context, index int64, buf []byte) ([]byte, bool, digest.CV, error) {
	f.f.wait(ctx)
	return f.File.ReadChunk(ctx, index, buf)
}

// reply is an answer with the bytes behind it.
type reply struct {
	frame.Message
	raw []byte
}

// readsTogether sends requests of which the server has all before it carries out the first, and
// returns the answers. size is that of the bytes of an answer.
func readsTogether(t *testing.T, env *testenv.Env, w *wire, size func(i int) int, requests ...frame.Message) (answers []reply) {
	t.Helper()
	var once sync.Once
	env.Server.Watch(func(ctx context.Context) context.Context {
		once.Do(func() {
			soon(t, "all requests are there", func() bool { return env.Server.Unanswered() == len(requests) })
		})
		return ctx
	})
	for _, m := range requests {
		w.say(m)
	}
	for i := range requests {
		r := reply{Message: w.hear()}
		switch r.Message.(type) {
		case *frame.GetAnswer, *frame.ReadAnswer:
			r.raw = make([]byte, size(i))
			if _, err := io.ReadFull(w.in, r.raw); err != nil {
				t.Fatal(err)
			}
		}
		answers = append(answers, r)
	}
	return answers
}

// TestReadingAhead: gets and reads that wait are carried out side by side where files are far, and
// answered in their order. One that fails, and one that comes after a change, are answered as ever.
func TestReadingAhead(t *testing.T) {
	t.Parallel()
	f := &far{Stores: mem.NewTrees(mem.Options{}), waits: make(chan struct{}), enough: 6}
	env := testenv.New(t, testenv.Options{Trees: f})
	w := asPerson(t, env, env.Person("alice"))
	var gets []frame.Message
	for i := range 8 {
		w.put(fmt.Sprintf("f%d", i), fmt.Sprintf("number %d", i), ifFree)
		gets = append(gets, &frame.Get{Path: frame.Path(fmt.Sprintf("f%d", i))})
	}
	gets = append(gets[:5], append([]frame.Message{&frame.Get{Path: frame.Path("missing")}}, gets[5:]...)...)
	small := func(int) int { return len("number 0") }
	for i, a := range readsTogether(t, env, w, small, gets...) {
		if i == 5 {
			if e, ok := a.Message.(*frame.Error); !ok || e.Kind != hufu.KindNotFound.String() {
				t.Errorf("%+v", a)
			}
			continue
		}
		if want := fmt.Sprintf("number %d", i-i/6); string(a.raw) != want {
			t.Errorf("answer %d is %+v, want %s", i, a, want)
		}
	}
	if !f.together() {
		t.Error("the gets were not carried out side by side")
	}
	if n := f.groups.Load(); n != 1 {
		t.Errorf("the files behind the first one were opened in %d groups", n)
	}

	// What waits behind a change is not begun before it.
	answers := readsTogether(t, env, w, small,
		&frame.Get{Path: frame.Path("f0")}, &frame.Remove{Path: frame.Path("f1")}, &frame.Get{Path: frame.Path("f1")})
	if e, ok := answers[2].Message.(*frame.Error); !ok || e.Kind != hufu.KindNotFound.String() {
		t.Errorf("a file was got after it was removed: %+v", answers[2])
	}
}

// TestReadingChunksAhead: the same for the chunks of a large file. What is read ahead for a client
// that leaves is given back.
func TestReadingChunksAhead(t *testing.T) {
	t.Parallel()
	f := &far{Stores: mem.NewTrees(mem.Options{}), waits: make(chan struct{}), enough: 3}
	env := testenv.New(t, testenv.Options{Trees: f})
	w := asPerson(t, env, env.Person("alice"))
	data := bytesOf(5*hufu.ChunkSize + 1)
	id := w.open("big", data)
	w.upload(id, data, 0, 1, 2, 3, 4, 5)
	version := answered[*frame.CommitAnswer](w, commitOf(id, "big", data, ifFree), nil).Entry.Version
	var reads []frame.Message
	for i := range int64(6) {
		reads = append(reads, &frame.Read{Path: frame.Path("big"), Version: version, Index: i})
	}
	length := func(i int) int { return digest.ChunkLen(int64(len(data)), int64(i)) }
	for i, a := range readsTogether(t, env, w, length, reads...) {
		if !bytes.Equal(a.raw, data[i*hufu.ChunkSize:][:length(i)]) {
			t.Errorf("answer %d has other bytes", i)
		}
	}
	if !f.together() {
		t.Error("the chunks were not read side by side")
	}
	var begun atomic.Bool
	env.Server.Watch(func(ctx context.Context) context.Context { begun.Store(true); return ctx })
	for _, m := range reads {
		w.say(m)
	}
	soon(t, "a read is carried out", begun.Load)
	_ = w.Close()
	soon(t, "nothing is held for a client that has left", func() bool { return env.Server.Ahead() == 0 })
}

// TestReadingChunksAndFilesAhead: gets behind many reads, which wait until they are begun together,
// keep none of the reads from being begun.
func TestReadingChunksAndFilesAhead(t *testing.T) {
	t.Parallel()
	f := &far{Stores: mem.NewTrees(mem.Options{}), waits: make(chan struct{}), enough: 3}
	env := testenv.New(t, testenv.Options{Trees: f})
	w := asPerson(t, env, env.Person("alice"))
	const chunks = 11
	data := bytesOf(chunks * hufu.ChunkSize)
	id := w.open("big", data)
	var all []int64
	for i := range int64(chunks) {
		all = append(all, i)
	}
	w.upload(id, data, all...)
	version := answered[*frame.CommitAnswer](w, commitOf(id, "big", data, ifFree), nil).Entry.Version
	w.put("small", "text", ifFree)
	var requests []frame.Message
	for i := range int64(chunks) {
		requests = append(requests, &frame.Read{Path: frame.Path("big"), Version: version, Index: i})
	}
	for range 3 {
		requests = append(requests, &frame.Get{Path: frame.Path("small")})
	}
	length := func(i int) int {
		if i < chunks {
			return hufu.ChunkSize
		}
		return len("text")
	}
	for i, a := range readsTogether(t, env, w, length, requests...) {
		want := []byte("text")
		if i < chunks {
			want = data[i*hufu.ChunkSize:][:hufu.ChunkSize]
		}
		if !bytes.Equal(a.raw, want) {
			t.Errorf("answer %d has other bytes", i)
		}
	}
	_ = w.Close()
	soon(t, "nothing is held for a client that has left", func() bool { return env.Server.Ahead() == 0 })
}

// TestCanceledReadsAhead: what is read ahead for a request that the client takes back is stopped.
func TestCanceledReadsAhead(t *testing.T) {
	t.Parallel()
	f := &far{Stores: mem.NewTrees(mem.Options{}), waits: make(chan struct{}), enough: 1000}
	env := testenv.New(t, testenv.Options{Trees: f})
	w := asPerson(t, env, env.Person("alice"))
	w.put("f", "text", ifFree)
	const gets = 4
	canceled := make(chan struct{})
	var once sync.Once
	env.Server.Watch(func(ctx context.Context) context.Context {
		once.Do(func() {
			soon(t, "all requests are there", func() bool { return env.Server.Unanswered() == gets })
			go func() {
				soon(t, "all are read ahead", func() bool { f.mu.Lock(); defer f.mu.Unlock(); return f.begun == gets })
				close(canceled)
			}()
		})
		return ctx
	})
	for range gets { // numbers 2 to 5, after hello and put
		w.say(&frame.Get{Path: frame.Path("f")})
	}
	<-canceled
	for _, n := range []uint64{5, 4, 3, 2} { // the one in work last: what follows it would be begun
		w.say(&frame.Cancel{Request: n})
	}
	for range gets {
		if e, ok := w.hear().(*frame.Error); !ok || e.Kind != hufu.KindCanceled.String() {
			t.Errorf("%+v", e)
		}
	}
	soon(t, "nothing is held", func() bool { return env.Server.Ahead() == 0 })
	if f.late.Load() {
		t.Error("a read went on after its request was taken back")
	}
}

// TestNothingIsOpenedAheadWithoutRoom: a get that cannot be read ahead is opened once, in its turn.
func TestNothingIsOpenedAheadWithoutRoom(t *testing.T) {
	t.Parallel()
	f := &far{Stores: mem.NewTrees(mem.Options{}), waits: make(chan struct{}), enough: 1}
	env := testenv.New(t, testenv.Options{Trees: f})
	w := asPerson(t, env, env.Person("alice"))
	w.put("f", "text", ifFree)
	var gets []frame.Message
	for range 8 {
		gets = append(gets, &frame.Get{Path: frame.Path("f")})
	}
	give := env.Server.FillAhead()
	before := f.opened.Load()
	for i, a := range readsTogether(t, env, w, func(int) int { return len("text") }, gets...) {
		if string(a.raw) != "text" {
			t.Errorf("answer %d: %+v", i, a)
		}
	}
	if n := f.opened.Load() - before; n != int64(len(gets)) {
		t.Errorf("files were opened %d times for %d gets", n, len(gets))
	}
	give()
	soon(t, "nothing is held", func() bool { return env.Server.Ahead() == 0 })
}
