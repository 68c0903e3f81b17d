package transfer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"hufu"
	"hufu/internal/digest"
)

var someTime = time.Date(2024, 5, 6, 7, 8, 9, 123456789, time.UTC)

// contents are files of every size that matters.
func contents() map[string][]byte {
	return map[string][]byte{
		"empty": {}, "a/one": {1}, "a/b/two": noise(2000, 1), "chunk": noise(hufu.ChunkSize, 2), "large": noise(3*hufu.ChunkSize+5, 3),
		"a/large": noise(2*hufu.ChunkSize, 4), "zeros": make([]byte, 2*hufu.ChunkSize+1),
	}
}

// nth makes a fault that strikes at the nth request of a kind, once.
func nth(op string, n int64, after bool, err error) func(string, hufu.Path, bool) error {
	var seen atomic.Int64
	return func(o string, _ hufu.Path, a bool) error {
		if o == op && a == after && seen.Add(1) == n {
			return err
		}
		return nil
	}
}

// TestFaults breaks each step of a put and a get, before and after the other
// end has carried it out: every file arrives whole and is told of once.
func TestFaults(t *testing.T) {
	t.Parallel()
	unknown, incomplete := failed(hufu.KindNotFound, "upload_unknown"), failed(hufu.KindInvalid, "upload_incomplete")
	src := newNear(t)
	for name, data := range contents() {
		src.write(name, data)
	}
	for _, c := range []struct {
		op  string
		n   int64
		err error
	}{
		{"put", 1, errLoseLane},
		{"put", 3, errLoseLane},
		{"range", 1, errLoseLane},
		{"range", 4, errLoseLane},
		{"get", 1, errLoseLane},
		{"get", 3, errLoseLane},
		{"read", 1, errLoseLane},
		{"read", 4, errLoseLane},
		{"commit", 1, errLoseLane},
		{"commit", 2, errLoseLane},
		{"open", 1, errLoseLane},
		{"mkdir", 2, errLoseLane},
		{"setmeta", 1, errLoseLane},
		{"list", 1, errLoseLane},
		{"stat", 1, errLoseLane},
		{"range", 2, unknown},
		{"commit", 1, unknown},
		{"commit", 1, incomplete},
		{"range", 1, failed(hufu.KindNotFound, "upload_gone")},
	} {
		for _, after := range []bool{false, true} {
			if after && !errors.Is(c.err, errLoseLane) {
				continue
			}
			for _, lanes := range []int{1, 3} {
				t.Run(fmt.Sprintf("%s %d %v %d %s", c.op, c.n, after, lanes, hufu.CodeOf(c.err)), func(t *testing.T) {
					t.Parallel()
					w, dst := newWorld(), newNear(t)
					w.fault = nth(c.op, c.n, after, c.err)
					told, err := put(t.Context(), w, Options{Lanes: lanes}, src.all())
					if err != nil || told.codes() != "" {
						t.Fatal(err, told.codes())
					}
					for name, want := range contents() {
						if got, _ := w.content(name); !bytes.Equal(got, want) {
							t.Errorf("%s arrived as %d bytes", name, len(got))
						}
					}
					if got := told.of(Transferred); !slices.Equal(got, slices.Sorted(maps.Keys(contents()))) {
						t.Errorf("told of %v", got)
					}
					w.fault = nth(c.op, c.n, after, c.err)
					told, err = get(t.Context(), w, Options{Lanes: lanes}, dst.all())
					if err != nil || told.codes() != "" {
						t.Fatal(err, told.codes())
					}
					for name, want := range contents() {
						if got := dst.content(name); !bytes.Equal(got, want) {
							t.Errorf("%s came back as %d bytes", name, len(got))
						}
					}
					if got := told.of(Transferred); !slices.Equal(got, slices.Sorted(maps.Keys(contents()))) {
						t.Errorf("told of %v coming back", got)
					}
				})
			}
		}
	}
}

// TestUnknownWhetherItIsThere: another entry has got the name meanwhile, and whether it is this very
// file cannot be found out. The report says why not, instead of a conflict that may not exist.
func TestUnknownWhetherItIsThere(t *testing.T) {
	t.Parallel()
	taken, denied := failed(hufu.KindExists, "exists"), failed(hufu.KindPermission, "device_locked")
	src := newNear(t)
	src.write("put/f", []byte{1})
	src.write("commit/f", noise(2*hufu.ChunkSize, 1))
	src.write("link/to", nil)
	ops := []string{"put", "commit"}
	if runtime.GOOS != "windows" {
		if err := os.Symlink("to", filepath.Join(src.dir, "link", "l")); err != nil {
			t.Fatal(err)
		}
		ops = append(ops, "link")
	}
	for _, op := range ops {
		w := newWorld()
		var asked atomic.Bool
		w.fault = func(o string, _ hufu.Path, after bool) error {
			switch {
			case o == op && !after:
				asked.Store(true)
				return taken
			case o == "stat" && asked.Load():
				return denied
			}
			return nil
		}
		if told, err := put(t.Context(), w, Options{}, []Source{src.one(op, "/"+op)}); err != nil || told.codes() != "device_locked" {
			t.Errorf("%s: %v, %s", op, err, told.codes())
		}
	}
}

// TestCommitBehindTheLastChunk: the last file is committed before its chunks
// are answered, whatever becomes of the answers.
func TestCommitBehindTheLastChunk(t *testing.T) {
	t.Parallel()
	for _, lanes := range []int{1, 3} {
		for _, answered := range []error{nil, errLoseLane} {
			w, src, data := newWorld(), newNear(t), noise(5*hufu.ChunkSize+5, 3)
			src.write("large", data)
			committed := make(chan struct{})
			w.onCommit = sync.OnceFunc(func() { close(committed) })
			var lost atomic.Bool
			w.fault = func(op string, _ hufu.Path, after bool) error {
				if op != "range" || !after {
					return nil
				}
				select {
				case <-committed:
					if lost.CompareAndSwap(false, true) {
						return answered
					}
				case <-time.After(20 * time.Second):
					return failed(hufu.KindInternal, "commit_waits_for_answers")
				}
				return nil
			}
			var told reports
			e := New(w, Options{Lanes: lanes, Owner: "test", Report: told.add})
			if err := e.Put(t.Context(), src.all()); err != nil || told.codes() != "" {
				t.Fatal(lanes, answered, err, told.codes())
			}
			if done := e.Stats.BytesDone.Load(); done != int64(len(data)) {
				t.Errorf("%d bytes are done", done)
			}
			if got, _ := w.content("large"); !bytes.Equal(got, data) {
				t.Errorf("arrived as %d bytes", len(got))
			}
			if got := told.of(Transferred); !slices.Equal(got, []string{"large"}) {
				t.Errorf("told of %v", got)
			}
		}
	}
}

// TestSmallBeforeLargeOnOneLane: the answer of a small file comes while chunks
// of a large one are still awaited on the same lane, and no small one follows.
func TestSmallBeforeLargeOnOneLane(t *testing.T) {
	t.Parallel()
	w, dst := newWorld(), newNear(t)
	w.set("small", []byte("small"), someTime, "")
	w.set("large", noise(2*hufu.ChunkSize, 1), someTime, "")
	w.hold = true // answers come when all is asked for
	e := New(w, Options{Lanes: 1, Owner: "test"})
	w.onGet = func() {
		for {
			e.queue.mu.Lock()
			n := len(e.queue.large)
			e.queue.mu.Unlock()
			if n > 0 {
				return
			}
			runtime.Gosched()
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := e.Get(ctx, dst.all()); err != nil {
		t.Fatal(err)
	}
	if string(dst.content("small")) != "small" || len(dst.content("large")) != 2*hufu.ChunkSize {
		t.Error("not all arrived")
	}
}

// TestActiveWhileSourcesAreOpened: progress is asked for while large files are being
// opened. What fails without the lock is the race detector.
func TestActiveWhileSourcesAreOpened(t *testing.T) {
	t.Parallel()
	w, src := newWorld(), newNear(t)
	for i := range 8 {
		src.write(fmt.Sprintf("large%d", i), noise(2*hufu.ChunkSize, byte(i)))
	}
	e := New(w, Options{Owner: "test"})
	var asking sync.WaitGroup
	over := make(chan struct{})
	asking.Go(func() {
		for {
			select {
			case <-over:
				return
			default:
			}
			for _, p := range e.Active() {
				if p.Size != 2*hufu.ChunkSize {
					t.Errorf("%s has %d bytes", p.Local, p.Size)
				}
			}
			runtime.Gosched()
		}
	})
	if err := e.Put(t.Context(), src.all()); err != nil {
		t.Error(err)
	}
	close(over)
	asking.Wait()
}

// TestUnreadable: a source that cannot be read is told of, the others arrive.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	w, src := newWorld(), newNear(t)
	for i := range 20 {
		src.write(fmt.Sprintf("f%02d", i), []byte{byte(i)})
	}
	bad := "f07"
	want := "file_unreadable"
	if os.Geteuid() == 0 { // may read everything; but not what is no longer there
		want = "no_such_file"
		w.fault = func(op string, _ hufu.Path, after bool) error {
			if op == "lane" && !after {
				return os.Remove(filepath.Join(src.dir, bad))
			}
			return nil
		}
	} else if err := os.Chmod(filepath.Join(src.dir, bad), 0); err != nil {
		t.Fatal(err)
	}
	told, err := put(t.Context(), w, Options{Lanes: 1}, src.all())
	if err != nil || !slices.Equal(told.of(Failed), []string{bad}) || told.codes() != want || len(told.of(Transferred)) != 19 {
		t.Errorf("%v failed %v (%s), transferred %d", err, told.of(Failed), told.codes(), len(told.of(Transferred)))
	}
}

// TestFolderIsToldOnce: a folder that can be neither made nor changed is one
// failure, in both directions.
func TestFolderIsToldOnce(t *testing.T) {
	t.Parallel()
	told := func(direction string, r reports, err error, want ...string) {
		t.Helper()
		var folders []string
		for _, rep := range r {
			if rep.Outcome == Failed && rep.Kind == hufu.Folder {
				folders = append(folders, rep.Remote.String())
			}
		}
		slices.Sort(folders)
		if err != nil || !slices.Equal(folders, want) {
			t.Errorf("%s: told of %q, not of %q: %v", direction, folders, want, err)
		}
	}
	w, src := newWorld(), newNear(t)
	src.write("in/sub/f", []byte("x"))
	w.fault = func(op string, _ hufu.Path, after bool) error {
		if (op == "mkdir" || op == "setmeta") && !after {
			return failed(hufu.KindPermission, "not_allowed_here")
		}
		return nil
	}
	r, err := put(t.Context(), w, Options{}, []Source{src.one("in", "in")})
	told("put", r, err, "in", "in/sub")

	w = newWorld()
	w.set("in/sub/f", []byte("x"), someTime, "")
	dst := newNear(t)
	if err := os.RemoveAll(dst.dir); err != nil { // nothing can be made in it
		t.Fatal(err)
	}
	r, err = get(t.Context(), w, Options{}, []Source{dst.one("in", "in")})
	told("get", r, err, "in", "in/sub")
}

// TestFullHere: this computer's disk is full for one moment.
func TestFullHere(t *testing.T) {
	t.Parallel()
	var n atomic.Int64
	dst := nearWith(t, func(step string) error {
		if step == "put-written" && n.Add(1) == 2 || step == "chunk-written" && n.Add(1) == 2 {
			return syscall.ENOSPC
		}
		return nil
	})
	w := newWorld()
	for name, data := range contents() {
		w.set(name, data, someTime, "")
	}
	told, err := get(t.Context(), w, Options{Lanes: 1}, dst.all())
	if err != nil || told.codes() != "disk_full" || len(told.of(Failed)) != 1 {
		t.Fatal(err, told.codes(), told.of(Failed))
	}
	told, err = get(t.Context(), w, Options{Lanes: 1}, dst.all())
	if err != nil || told.codes() != "" || len(told.of(Transferred)) != 1 {
		t.Fatal(err, told.codes(), told.of(Transferred))
	}
	for name, want := range contents() {
		if !bytes.Equal(dst.content(name), want) {
			t.Errorf("%s is not whole", name)
		}
	}
}

// TestLaneThatNeverAnswers: a request that the server does not survive ends the
// transfer instead of being sent for ever.
func TestLaneThatNeverAnswers(t *testing.T) {
	t.Parallel()
	for _, op := range []string{"put", "range", "get", "read"} {
		synctest.Test(t, func(t *testing.T) {
			w, n := newWorld(), newNear(t)
			name := "poison"
			data := []byte("x")
			if op == "range" || op == "read" {
				data = noise(2*hufu.ChunkSize, 1)
			}
			w.fault = func(o string, _ hufu.Path, after bool) error {
				if o == op && after == (op != "range") { // chunks that have arrived can be committed without their answers
					return errLoseLane
				}
				return nil
			}
			var err error
			if op == "put" || op == "range" {
				n.write(name, data)
				w.things["poison"] = nil
				delete(w.things, "poison")
				_, err = put(t.Context(), w, Options{Lanes: 2}, n.all())
			} else {
				w.set(name, data, someTime, "")
				_, err = get(t.Context(), w, Options{Lanes: 2}, n.all())
			}
			if hufu.KindOf(err) != hufu.KindNetwork {
				t.Errorf("%s ended with %v", op, err)
			}
			if w.lanes > 2*maxFruitless {
				t.Errorf("%s took %d lanes", op, w.lanes)
			}
		})
	}
}

// TestAnswerLostButCarriedOut: the file was put, its answer was lost, and the
// name is taken when it is sent again: by these very bytes or by others.
func TestAnswerLostButCarriedOut(t *testing.T) {
	t.Parallel()
	for _, other := range []bool{false, true} {
		w, src := newWorld(), newNear(t)
		src.write("f", []byte("mine"))
		lose := nth("put", 1, true, errLoseLane)
		w.fault = func(op string, p hufu.Path, after bool) error {
			err := lose(op, p, after)
			if err != nil && other {
				w.set("f", []byte("others"), someTime, "")
			}
			return err
		}
		told, err := put(t.Context(), w, Options{Lanes: 1}, src.all())
		got, _ := w.content("f")
		switch {
		case err != nil:
			t.Error(err)
		case other && (told.codes() != "target_exists" || string(got) != "others"):
			t.Errorf("somebody else's file: %q, %q", told.codes(), got)
		case !other && (told.codes() != "" || len(told.of(Transferred)) != 1 || string(got) != "mine"):
			t.Errorf("my own file: %q, %q", told.codes(), got)
		}
	}
}

// TestLinkAnswerLostButCarriedOut: the same for a link, at a new name and in place of
// another.
func TestLinkAnswerLostButCarriedOut(t *testing.T) {
	t.Parallel()
	for _, there := range []bool{false, true} {
		for _, other := range []bool{false, true} {
			w, src := newWorld(), newNear(t)
			if err := os.Symlink("mine", filepath.Join(src.dir, "l")); err != nil {
				if runtime.GOOS == "windows" { // where a user may make no links
					t.Skip(err)
				}
				t.Fatal(err)
			}
			if there {
				w.things["l"] = &thing{hufu.Entry{Name: "l", Kind: hufu.Link, Target: "before", Version: w.version()}, nil}
			}
			lose := nth("link", 1, true, errLoseLane)
			w.fault = func(op string, p hufu.Path, after bool) error {
				err := lose(op, p, after)
				if err != nil && other {
					w.set("l", []byte("others"), someTime, "")
				}
				return err
			}
			told, err := put(t.Context(), w, Options{Conflict: Replace}, src.all())
			got := w.things["l"]
			switch {
			case err != nil:
				t.Error(err)
			case other && (told.codes() == "" || string(got.data) != "others"):
				t.Errorf("there %v, somebody else's: %q, %+v", there, told.codes(), got)
			case !other && (told.codes() != "" || len(told.of(Transferred)) != 1 || got.Target != "mine"):
				t.Errorf("there %v, my own: %q, %+v", there, told.codes(), got)
			}
		}
	}
}

// TestMemoryStaysFlat: with a hundred thousand small files and nothing moving,
// no more than the queue's bound are waiting, and stopping still works.
func TestMemoryStaysFlat(t *testing.T) {
	t.Parallel()
	for _, lanes := range []int{1, 64} {
		synctest.Test(t, func(t *testing.T) {
			w, dst := newWorld(), newNear(t)
			const files = 20_000
			w.list = func(p hufu.Path, fn func(hufu.Entry) error) error {
				for i := range files {
					if err := fn(hufu.Entry{Name: fmt.Sprintf("f%06d", i), Kind: hufu.File, Size: 1, Version: "v"}); err != nil {
						return err
					}
				}
				return nil
			}
			stuck := make(chan struct{})
			w.fault = func(op string, _ hufu.Path, _ bool) error {
				if op == "lane" {
					<-stuck
					return &hufu.Error{Op: "lane", Kind: hufu.KindNetwork}
				}
				return nil
			}
			ctx, cancel := context.WithCancel(t.Context())
			e := New(w, Options{Lanes: lanes, Owner: "test"})
			ended := make(chan error, 1)
			go func() { ended <- e.Get(ctx, dst.all()) }()
			synctest.Wait()
			e.queue.mu.Lock()
			waiting := len(e.queue.small)
			e.queue.mu.Unlock()
			if waiting > maxWaiting {
				t.Errorf("%d files wait", waiting)
			}
			if n := e.Stats.Files.Load(); n > maxWaiting+planners+int64(lanes) || n < maxWaiting {
				t.Errorf("%d files were looked at", n)
			}
			cancel()
			synctest.Wait()
			close(stuck)
			if err := <-ended; hufu.KindOf(err) != hufu.KindCanceled {
				t.Errorf("ended with %v", err)
			}
		})
	}
}

// TestStopped cancels a transfer at every kind of step, with one lane and with
// many: it ends, says so, and tells nothing afterwards.
func TestStopped(t *testing.T) {
	t.Parallel()
	for _, op := range []string{"put", "range", "commit", "open", "get", "read", "list", "mkdir", "lane"} {
		for _, lanes := range []int{1, 64} {
			synctest.Test(t, func(t *testing.T) {
				w, n, back := newWorld(), newNear(t), newNear(t)
				for name, data := range contents() {
					n.write(name, data)
					w.set("there/"+name, data, someTime, "")
				}
				for i := range 300 {
					w.set(fmt.Sprintf("there/many/%d", i), []byte{1}, someTime, "")
				}
				ctx, cancel := context.WithCancelCause(t.Context())
				stop := nth(op, 1, false, errors.New("now"))
				w.fault = func(o string, p hufu.Path, after bool) error {
					if stop(o, p, after) != nil {
						cancel(ErrDiscard)
					}
					return nil
				}
				var over atomic.Bool
				o := Options{Lanes: lanes, Owner: "test", Report: func(Report) {
					if over.Load() {
						t.Error("told after the end")
					}
				}}
				err := New(w, o).Put(ctx, n.all())
				if ctx.Err() == nil {
					err = New(w, o).Get(ctx, back.all())
				}
				over.Store(true)
				if hufu.KindOf(err) != hufu.KindCanceled || !errors.Is(err, ErrDiscard) {
					t.Errorf("%s: %v", op, err)
				}
				if len(w.uploads) > 0 {
					t.Errorf("%s: %d uploads were not given up", op, len(w.uploads))
				}
				synctest.Wait()
			})
		}
	}
}

// TestResume: what has arrived of a large file is not sent again.
func TestResume(t *testing.T) {
	t.Parallel()
	w, n, back := newWorld(), newNear(t), newNear(t)
	data := noise(9*hufu.ChunkSize+1, 1)
	n.write("large", data)
	enough := errors.New("enough")
	for _, op := range []string{"range", "read"} {
		ctx, cancel := context.WithCancelCause(t.Context())
		stop := nth(op, 6, false, enough)
		w.fault = func(o string, p hufu.Path, after bool) error {
			if stop(o, p, after) != nil {
				cancel(enough)
				return errLoseLane
			}
			return nil
		}
		run := func(ctx context.Context) (int64, error) {
			e := New(w, Options{Lanes: 1, Owner: "test"})
			var err error
			if op == "range" {
				err = e.Put(ctx, n.all())
			} else {
				err = e.Get(ctx, back.all())
			}
			return e.Stats.Resumed.Load(), err
		}
		if _, err := run(ctx); !errors.Is(err, enough) {
			t.Fatal(op, err)
		}
		w.fault = nil
		resumed, err := run(t.Context())
		if err != nil || resumed != 5*hufu.ChunkSize {
			t.Errorf("%s: %d bytes were there, %v", op, resumed, err)
		}
	}
	if !bytes.Equal(back.content("large"), data) {
		t.Error("it came back with other bytes")
	}
}

// TestTakeCostsNothing: what is still to do of a file of 1 PiB is not a list.
func TestTakeCostsNothing(t *testing.T) {
	t.Parallel()
	dst := newNear(t)
	it := &item{store: dst.store, path: must(hufu.ParsePath("huge")), from: hufu.Entry{Size: hufu.MaxFileSize, Version: "v"}}
	l := &large{it: it, chunks: digest.Chunks(hufu.MaxFileSize)}
	l.setUnit(hufu.ChunkSize)
	q := newQueue()
	q.addLarge(l)
	for i := range int64(1000) {
		if task, ok := q.next(taker{}, false); !ok || task.index != i {
			t.Fatalf("chunk %d is %d, %v", i, task.index, ok)
		}
	}
	q.finished(task{it: &item{large: l}, index: 7}, true, nil)
	if task, _ := q.next(taker{}, false); task.index != 7 {
		t.Errorf("a lost chunk comes back as %d", task.index)
	}
}

// TestStoppedForWhateverReason: a caller's own cause of stopping is a stop, and
// no error that nobody foresaw.
func TestStoppedForWhateverReason(t *testing.T) {
	t.Parallel()
	w, src := newWorld(), newNear(t)
	for name, data := range contents() {
		src.write(name, data)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	why := errors.New("a signal")
	w.fault = func(op string, _ hufu.Path, after bool) error {
		if op == "range" && after {
			cancel(why)
		}
		return nil
	}
	_, err := put(ctx, w, Options{}, src.all())
	if hufu.KindOf(err) != hufu.KindCanceled || !errors.Is(err, why) {
		t.Errorf("stopped: %v", err)
	}
}

// TestCommitOfAForgottenUpload: when the server no longer knows the upload of a
// commit, because it has happened and its answer was lost, nothing is sent again;
// and what is newer there stays, whatever was to be done with what was there
// before.
func TestCommitOfAForgottenUpload(t *testing.T) {
	t.Parallel()
	data := noise(2*hufu.ChunkSize+5, 3)
	for _, before := range []hufu.EntryKind{0, hufu.File, hufu.Link} {
		for _, newer := range []bool{false, true} {
			w, src := newWorld(), newNear(t)
			src.write("large", data)
			switch before {
			case hufu.File:
				w.set("large", []byte("older"), someTime, "")
			case hufu.Link:
				w.things["large"] = &thing{hufu.Entry{Name: "large", Kind: hufu.Link, Target: "x", Version: w.version()}, nil}
			}
			var opened atomic.Int64
			var once sync.Once
			w.fault = func(op string, _ hufu.Path, after bool) (err error) {
				switch {
				case op == "open" && after:
					opened.Add(1)
				case op == "commit" && after:
					once.Do(func() {
						if newer {
							w.set("large", []byte("newer"), someTime, "")
						}
						err = failed(hufu.KindNotFound, "upload_unknown")
					})
				}
				return err
			}
			told, err := put(t.Context(), w, Options{Conflict: Replace}, src.all())
			got, _ := w.content("large")
			switch {
			case err != nil:
				t.Error(err)
			case newer && (told.codes() == "" || string(got) != "newer"):
				t.Errorf("over %v: told %q, and there are %d bytes", before, told.codes(), len(got))
			case !newer && (told.codes() != "" || !bytes.Equal(got, data) || opened.Load() != 1):
				t.Errorf("over %v: told %q after %d opens, and there are %d bytes", before, told.codes(), opened.Load(), len(got))
			}
		}
	}
}
