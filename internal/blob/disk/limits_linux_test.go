package disk_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/blob/disk"
	"hufu/internal/digest"
)

// peak is the largest number that was seen, by any goroutine: files are synced by several.
type peak struct {
	mu   sync.Mutex
	most int
}

func (p *peak) see(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.most = max(p.most, n)
}

func (p *peak) value() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.most
}

func (p *peak) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.most = 0
}

// Finish holds no more folders open than its limit, in however many folders it has work.
func TestFinishOpensFewFolders(t *testing.T) { //nolint:paralleltest // counts the descriptors of the process
	const folders = 3 * disk.MaxFolders
	open := func() int {
		list, err := os.ReadDir("/proc/self/fd")
		must(t, err)
		return len(list)
	}
	var most peak
	before := 0
	tr := newTree(t, disk.Options{Server: true, Hook: func(step string) error {
		if strings.HasPrefix(step, "batch-") || step == "sync-folder" || step == "removing" {
			most.see(open() - before)
		}
		return nil
	}})
	tr.WithFsync()
	tr.WithoutTmpfile()
	tr.WithDescriptors(1)
	b := tr.Batch(blob.Guard{})
	finish := func(what string) {
		t.Helper()
		most.forget()
		for _, r := range b.Finish(t.Context()) {
			must(t, r.Err)
		}
		if limit := 2*disk.MaxFolders + 64; most.value() > limit {
			t.Errorf("%s: %d descriptors at a time, want %d at most", what, most.value(), limit)
		}
	}
	before = open()
	for i := range folders {
		b.Put(t.Context(), path(t, strconv.Itoa(i)+"/f"), []byte("x"), meta, ifAbsent())
	}
	finish("put")
	for i := range folders {
		b.Rename(t.Context(), path(t, strconv.Itoa(i)+"/f"), path(t, strconv.Itoa(i)+"/g"), ifAbsent(), "")
	}
	finish("rename")
	for i := range folders {
		b.Remove(t.Context(), path(t, strconv.Itoa(i)+"/g"), false, "")
	}
	finish("remove")
}

// A batch with more folders than it may hold open makes the names in each of them durable, also in
// one that it renames. If somebody else has moved one, nothing is acknowledged.
func TestManyFoldersAreAllSynced(t *testing.T) {
	t.Parallel()
	const folders = disk.MaxFolders + 10
	for _, elsewhere := range []bool{false, true} {
		var synced atomic.Int64
		named := 0
		var tr *tree
		tr = newTree(t, disk.Options{Server: true, Hook: func(step string) error {
			switch step {
			case "sync-folder":
				synced.Add(1)
			case "batch-name":
				if named++; elsewhere && named == 2*folders {
					must(t, os.Rename(filepath.Join(tr.root, "0"), filepath.Join(tr.root, "moved")))
				}
			}
			return nil
		}})
		tr.WithFsync()
		b := tr.Batch(blob.Guard{})
		for _, name := range []string{"f", "g"} { // the first time makes the folders
			synced.Store(0)
			for i := range folders {
				b.Put(t.Context(), path(t, strconv.Itoa(i)+"/"+name), []byte("x"), meta, ifAbsent())
			}
			if name == "g" && !elsewhere {
				b.Rename(t.Context(), path(t, "0"), path(t, "moved"), ifAbsent(), "")
			}
			for _, r := range b.Finish(t.Context()) {
				if name == "g" && elsewhere {
					wantErr(t, r.Err, hufu.KindNotFound, "not_found")
				} else {
					must(t, r.Err)
				}
			}
			if n := synced.Load(); !elsewhere && n <= folders {
				t.Errorf("%s: %d folders were synced, want more than %d", name, n, folders)
			}
		}
	}
}

// A staged file that was closed for want of descriptors is made durable by syncfs, not opened again:
// its mode may forbid that, and an fsync of another handle may miss an error.
func TestClosedStagedFilesAreSyncedWhole(t *testing.T) {
	t.Parallel()
	eachTree(t, func(t *testing.T, first *tree, isServer bool) {
		var steps []string
		fault := error(nil)
		tr := first.reopen(disk.Options{Server: isServer, Hook: func(step string) error {
			if strings.HasPrefix(step, "sync-") || step == "batch-name" {
				steps = append(steps, step)
			}
			if step == "sync-all" {
				return fault
			}
			return nil
		}})
		tr.WithSyncfsOnly()
		tr.WithoutTmpfile()
		tr.WithDescriptors(1)
		b := tr.Batch(blob.Guard{})
		put := func() []blob.Result {
			for _, name := range []string{"a", "b"} {
				b.Put(t.Context(), path(t, name), []byte("new"), blob.Meta{Mode: 0o200}, always())
			}
			return b.Finish(t.Context())
		}
		for _, r := range put() {
			must(t, r.Err)
		}
		if want := []string{"sync-all", "sync-file", "batch-name", "batch-name"}; len(steps) < len(want) || !slices.Equal(steps[:len(want)], want) {
			t.Errorf("%q, want %q and then the folder", steps, want)
		}
		fault = syscall.EIO
		for _, r := range put() {
			wantErr(t, r.Err, hufu.KindUnreadable, "disk_failed")
		}
		noneReserved(t, tr.root)
	})
}

// A trail that could not be kept once is kept by the next use of the batch.
func TestTrailIsTriedAgain(t *testing.T) {
	t.Parallel()
	fault, trails := errors.New("fault"), 0
	var tr *tree
	tr = newTree(t, disk.Options{Server: true, Hook: func(step string) error {
		switch step {
		case "journal-made":
			return fault
		case "batch-named":
			for _, n := range names(t, filepath.Join(tr.dir, "uploads")) {
				if strings.HasSuffix(n, ".old") {
					trails++
				}
			}
		}
		return nil
	}})
	tr.WithoutTmpfile()
	must(t, tr.Recover())
	b := tr.Batch(blob.Guard{})
	for _, want := range []int{0, 1} {
		b.Put(t.Context(), path(t, strconv.Itoa(want)), []byte("x"), meta, ifAbsent())
		must(t, b.Finish(t.Context())[0].Err)
		if trails != want {
			t.Errorf("%d trails, want %d", trails, want)
		}
		fault = nil
	}
}

// A chunk that is replaced takes the space that it had: the count of reserved chunks does not sink
// below what is reserved.
func TestReplacedChunksAreCountedOnce(t *testing.T) {
	t.Parallel()
	tr := newTree(t, server())
	tr.WithPreallocate()
	k := blob.UploadKey{Path: path(t, "big"), Size: 128 << 20, Source: "v1", Owner: "alice"}
	u := tr.open(k)
	defer u.Close()
	for i := range byte(5) {
		data := make([]byte, mib)
		data[0] = i + 1
		must(t, u.Write(t.Context(), 0, data, digest.Chunk(data, 0)))
	}
	if n := disk.ReservedChunks(u); n != 31 {
		t.Errorf("%d chunks are reserved and not used, want 31", n)
	}
}

// A region is not reserved while a hole in it is made and not yet recorded: the hole would take space.
func TestNoSpaceIsReservedForAHoleThatIsBeingMade(t *testing.T) {
	t.Parallel()
	var u blob.Upload
	waits, done := make(chan struct{}), make(chan error, 1)
	tr := newTree(t, disk.Options{Server: true, Hook: func(step string) error {
		switch step {
		case "hole-made":
			data := make([]byte, mib)
			data[0] = 1
			go func() { done <- u.Write(t.Context(), 0, data, digest.Chunk(data, 0)) }()
			<-waits
			for range 10_000 { // so that a writer that does not wait is done
				runtime.Gosched()
			}
		case "reserve-wait":
			close(waits)
		}
		return nil
	}})
	tr.WithPreallocate()
	u = tr.open(blob.UploadKey{Path: path(t, "big"), Size: 128 << 20, Source: "v1", Owner: "alice"})
	defer u.Close()
	must(t, u.Write(t.Context(), 1, nil, digest.Zeros(mib, 1)))
	must(t, <-done)
	if n := disk.ReservedChunks(u); n != 0 {
		t.Errorf("%d chunks are reserved around a hole", n)
	}
}

// A change that waits for a folder that another change holds ends with its context.
func TestWaitingForAFolderEndsWithTheContext(t *testing.T) {
	t.Parallel()
	tr := newTree(t, disk.Options{})
	for _, n := range []string{"d/f", "d/g/x"} {
		tr.mustPut(n, "old")
	}
	must(t, os.Symlink("f", filepath.Join(tr.root, "d/l")))
	fill := map[string]func(context.Context, blob.Batch){
		"new file": func(ctx context.Context, b blob.Batch) { b.Put(ctx, path(t, "d/n"), nil, meta, ifAbsent()) },
		"replaced": func(ctx context.Context, b blob.Batch) { b.Put(ctx, path(t, "d/f"), nil, meta, always()) },
		"folder":   func(ctx context.Context, b blob.Batch) { b.Mkdir(ctx, path(t, "d/m"), meta, false) },
		"link":     func(ctx context.Context, b blob.Batch) { b.Symlink(ctx, path(t, "d/k"), "f", meta, ifAbsent()) },
		"removed":  func(ctx context.Context, b blob.Batch) { b.Remove(ctx, path(t, "d/f"), false, "") },
		"tree":     func(ctx context.Context, b blob.Batch) { b.Remove(ctx, path(t, "d/g"), true, "") },
		"renamed":  func(ctx context.Context, b blob.Batch) { b.Rename(ctx, path(t, "d/f"), path(t, "e"), ifAbsent(), "") },
		"time":     func(ctx context.Context, b blob.Batch) { b.SetMeta(ctx, path(t, "d/l"), meta, "") },
	}
	var once sync.Once
	b := tr.Batch(blob.Guard{Deep: true, May: func(context.Context, blob.Change) error {
		once.Do(func() { // the batch holds the folder d
			for name, f := range fill {
				ctx, other := &waitedFor{Context: t.Context()}, tr.Batch(blob.Guard{})
				f(ctx, other)
				if err := other.Finish(ctx)[0].Err; hufu.KindOf(err) != hufu.KindCanceled {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
		return nil
	}})
	b.Rename(t.Context(), path(t, "d/g"), path(t, "d/h"), ifAbsent(), "")
	must(t, b.Finish(t.Context())[0].Err)
	if got := names(t, filepath.Join(tr.root, "d")); !slices.Equal(got, []string{"f", "h", "l"}) || tr.content("d/f") != "old" {
		t.Errorf("left: %q", got)
	}
}

// waitedFor is a context that ends when somebody waits for its end.
type waitedFor struct {
	context.Context
	ended atomic.Bool
}

func (c *waitedFor) Done() <-chan struct{} {
	c.ended.Store(true)
	closed := make(chan struct{})
	close(closed)
	return closed
}

func (c *waitedFor) Err() error {
	if c.ended.Load() {
		return context.Canceled
	}
	return nil
}

// What a failed search for journals has counted is not counted again by the next one.
func TestFailedSearchForJournalsCountsNothing(t *testing.T) {
	t.Parallel()
	fault, found := error(nil), 0
	room := blob.NewRoom(1 << 20)
	o := disk.Options{Server: true, Room: room, Hook: func(step string) error {
		if step == "journal-found" {
			if found++; found == 2 {
				return fault
			}
		}
		return nil
	}}
	tr := newTree(t, o)
	for _, n := range []string{"a", "b", "c"} {
		data := random(2*mib, 73)
		u := tr.open(key(t, n, data))
		write(t, u, data, 0)
		must(t, u.Close())
	}
	want := room.Used()
	tr = tr.reopen(o)
	fault, found = errors.New("fault"), 0
	if tr.Recover() == nil {
		t.Fatal("the search did not fail")
	}
	must(t, tr.Recover())
	if got := room.Used(); got != want {
		t.Errorf("%d bytes are counted, want %d", got, want)
	}
}

// A journal or trail that cannot be read for now fails the search, and the next one finds it. One that
// is gone, or of another user, is passed over.
func TestUnreadableJournalIsLookedForAgain(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"header-read", "trail-found"} {
		for _, c := range []struct {
			err    error
			passed bool
		}{{syscall.EMFILE, false}, {syscall.EIO, false}, {syscall.EACCES, true}, {syscall.ENOENT, true}} {
			t.Run(step+" "+c.err.Error(), func(t *testing.T) {
				t.Parallel()
				fault := error(nil)
				o := disk.Options{Hook: func(s string) error {
					if s == step {
						return fault
					}
					return nil
				}}
				tr := newTree(t, o)
				data := random(2*mib, 73)
				u := tr.open(key(t, "big", data))
				write(t, u, data, 0)
				id := u.Info().ID
				must(t, u.Close())
				must(t, os.WriteFile(filepath.Join(tr.dir, "uploads", strings.Repeat("0a", 16)+".old"), nil, 0o600))
				tr = tr.reopen(o)
				fault = c.err
				if err := tr.Recover(); (err == nil) != c.passed {
					t.Fatalf("the search: %v", err)
				}
				fault = nil
				u, err := tr.FindUpload(t.Context(), id, blob.Guard{})
				if (err == nil) != (step == "trail-found" || !c.passed) {
					t.Fatalf("afterwards: %v", err)
				}
				if err == nil {
					must(t, u.Close())
				}
			})
		}
	}
}

// FindUpload gives every error a kind, and an upload that another process has open is unknown here.
func TestFindUploadErrors(t *testing.T) {
	t.Parallel()
	tr := newTree(t, server())
	data := random(2*mib, 74)
	u := tr.open(key(t, "big", data))
	write(t, u, data, 0)
	id := u.Info().ID
	must(t, u.Close())
	must(t, tr.Recover())
	other := openTree(t, tr.dir, server())
	held := other.open(key(t, "big", data))
	_, err := tr.FindUpload(t.Context(), id, blob.Guard{})
	wantErr(t, err, hufu.KindNotFound, "upload_unknown")
	must(t, held.Close())
	journal := filepath.Join(tr.dir, "uploads", id)
	must(t, os.Rename(journal, journal+".kept"))
	must(t, os.Mkdir(journal, 0o700)) // opening it fails, and not for want of it
	_, err = tr.FindUpload(t.Context(), id, blob.Guard{})
	if hufu.KindOf(err) == hufu.KindInternal {
		t.Errorf("no kind: %v", err)
	}
	must(t, os.Remove(journal))
	must(t, os.Rename(journal+".kept", journal))
	u, err = tr.FindUpload(t.Context(), id, blob.Guard{})
	must(t, err)
	must(t, u.Close())
}

// An error of reading is not taken for an impossible name.
func TestReadErrorIsNotAboutTheName(t *testing.T) {
	t.Parallel()
	s, err := disk.Open("/proc/self", disk.Options{})
	must(t, err)
	defer s.Close()
	o := s.Opener()
	defer o.Close()
	f, err := o.Open(t.Context(), path(t, "pagemap"), "")
	must(t, err)
	defer f.Close()
	_, err = f.ReadAt(t.Context(), make([]byte, 3), 0) // the kernel wants a multiple of 8
	wantErr(t, err, hufu.KindUnreadable, "disk_failed")
}

// In a user's own tree a folder with a name that a listing shows, or one that another process may
// be using, is not empty.
func TestRemoveInAUsersTreeKeepsOthersNames(t *testing.T) {
	t.Parallel()
	tr := newTree(t, disk.Options{})
	remove := func() error {
		b := tr.Batch(blob.Guard{})
		b.Remove(t.Context(), path(t, "d"), false, "")
		return b.Finish(t.Context())[0].Err
	}
	must(t, os.Mkdir(filepath.Join(tr.root, "d"), 0o700))
	for _, name := range []string{".hufu-notes", hufu.ReservedPrefix + strings.Repeat("0a", 16)} {
		full := filepath.Join(tr.root, "d", name)
		must(t, os.WriteFile(full, []byte("x"), 0o600))
		wantErr(t, remove(), hufu.KindNotEmpty, "not_empty")
		must(t, os.Remove(full))
	}
	data := random(2*mib, 75)
	u := tr.open(key(t, "d/big", data))
	write(t, u, data, 0)
	wantErr(t, remove(), hufu.KindNotEmpty, "not_empty") // it is open
	must(t, u.Close())
	must(t, remove())
	if left := names(t, filepath.Join(tr.dir, "uploads")); len(left) != 0 {
		t.Errorf("left: %q", left)
	}
}
