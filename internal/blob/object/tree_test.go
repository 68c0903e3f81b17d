package object_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/blob/blobtest"
	"hufu/internal/blob/object"
	"hufu/internal/digest"
	"hufu/internal/meta"
)

var zeroTime time.Time

// database opens a database of SQLite.
func database(t *testing.T) *meta.Names {
	t.Helper()
	db, err := meta.Open(t.Context(), meta.File(filepath.Join(t.TempDir(), "hufu.db")))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	n, err := db.Names()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	return n
}

func tree(t *testing.T, s *object.Trees) blob.Tree {
	t.Helper()
	tree, err := s.User(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// TestContract holds the store to the promises of package blob, with units of a chunk. test/objects
// does so with larger ones.
func TestContract(t *testing.T) {
	t.Parallel()
	blobtest.Run(t, func(t *testing.T) blobtest.Store {
		n := database(t)
		_, b := newFake(t)
		open := func() blob.Tree { return tree(t, object.NewTrees(n, b, object.Options{Installation: "test"})) }
		return blobtest.Store{
			Tree: open(), Unit: hufu.ChunkSize, Records: true, Modes: true, Times: true, Links: true, Names: true,
			Rounds:  20, // SQLite is slow under the race detector; test/objects has all of them
			Another: open, Reopen: open,
		}
	})
}

func path(t *testing.T, p string) hufu.Path {
	t.Helper()
	q, err := hufu.ParsePath(p)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantCode(t *testing.T, err error, kind hufu.Kind, code string) {
	t.Helper()
	if hufu.KindOf(err) != kind || hufu.CodeOf(err) != code {
		t.Fatalf("the error is %v, want %v %s", err, kind, code)
	}
}

var always = hufu.Condition{Kind: hufu.Always}

func put(t *testing.T, tree blob.Tree, p string, data []byte) error {
	t.Helper()
	b := tree.Batch(blob.Guard{})
	b.Put(t.Context(), path(t, p), data, blob.Meta{Mode: 0o640}, always)
	return b.Finish(t.Context())[0].Err
}

func remove(t *testing.T, tree blob.Tree, p string) {
	t.Helper()
	b := tree.Batch(blob.Guard{})
	b.Remove(t.Context(), path(t, p), true, "")
	must(t, b.Finish(t.Context())[0].Err)
}

// content returns n bytes that are no zeros.
func content(n int, seed byte) []byte { return bytes.Repeat([]byte{seed, 1, 2, 3, 5}, n/5+1)[:n] }

func open(t *testing.T, tree blob.Tree, p string, data []byte) blob.Upload {
	t.Helper()
	u, err := tree.OpenUpload(t.Context(), blob.UploadKey{Path: path(t, p), Size: int64(len(data)), Source: "v1", Owner: "alice/x"}, blob.Guard{})
	must(t, err)
	t.Cleanup(func() { _ = u.Close() })
	return u
}

func send(t *testing.T, u blob.Upload, data []byte, i int64) error {
	t.Helper()
	c := data[i*hufu.ChunkSize:][:digest.ChunkLen(int64(len(data)), i)]
	return u.Write(t.Context(), i, c, digest.Chunk(c, i))
}

func upload(t *testing.T, tree blob.Tree, p string, data []byte) {
	t.Helper()
	u := open(t, tree, p, data)
	for i := range digest.Chunks(int64(len(data))) {
		must(t, send(t, u, data, i))
	}
	_, err := blob.CommitUpload(t.Context(), u, digest.Sum(data), blob.Meta{}, always)
	must(t, errors.Join(err, u.Close()))
}

func holds(t *testing.T, tree blob.Tree, p string, want []byte) {
	t.Helper()
	f, err := tree.Opener().Open(t.Context(), path(t, p), "")
	must(t, err)
	defer func() { _ = f.Close() }()
	got := make([]byte, f.Size())
	if _, err := f.ReadAt(t.Context(), got, 0); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s holds %d bytes, want %d: %v", p, len(got), len(want), err)
	}
}

// TestCleanDeletesWhatHasNoName: objects of files that were replaced, removed, given up or lost with
// their folder go, and nothing else does.
func TestCleanDeletesWhatHasNoName(t *testing.T) {
	t.Parallel()
	n := database(t)
	f, b := newFake(t)
	s := object.NewTrees(n, b, object.Options{Installation: "test"})
	tree := tree(t, s)
	small, medium, large := []byte("small"), content(20_000, 'm'), content(2<<20+1, 'l')
	for _, dir := range []string{"keep/", "replaced/", "removed/", "d/e/"} {
		must(t, put(t, tree, dir+"small", small))
		must(t, put(t, tree, dir+"medium", medium))
		upload(t, tree, dir+"large", large)
	}
	for _, name := range []string{"small", "medium", "large"} {
		must(t, put(t, tree, "replaced/"+name, []byte("new")))
		remove(t, tree, "removed/"+name)
	}
	remove(t, tree, "d")
	given := open(t, tree, "given-up", large)
	must(t, send(t, given, large, 0))
	must(t, given.Abort())
	staged := tree.Batch(blob.Guard{})
	staged.Put(t.Context(), path(t, "staged"), medium, blob.Meta{}, always)
	staged.Prepare(t.Context())
	staged.Discard()
	unfinished := open(t, tree, "unfinished", large)
	must(t, send(t, unfinished, large, 0))

	const want = 4 + 1 // of the files below keep, and of the unfinished upload
	deleted, err := s.Clean(t.Context(), time.Hour)
	if before := len(f.keys()); err != nil || deleted != 0 || before <= want {
		t.Errorf("within the grace time %d objects were deleted, %d are left: %v", deleted, before, err)
	}
	before := len(f.keys())
	deleted, err = s.Clean(t.Context(), -time.Minute)
	if err != nil || len(f.keys()) != want || deleted != before-want {
		t.Errorf("%d objects were deleted, %q are left: %v", deleted, f.keys(), err)
	}
	for p, data := range map[string][]byte{"keep/small": small, "keep/medium": medium, "keep/large": large, "replaced/large": []byte("new")} {
		holds(t, tree, p, data)
	}
	for i := range int64(3) {
		must(t, send(t, unfinished, large, i))
	}
	_, err = blob.CommitUpload(t.Context(), unfinished, digest.Sum(large), blob.Meta{}, always)
	must(t, err)
	holds(t, tree, "unfinished", large)
}

// TestAFailedPutOfAnObjectIsNotAcknowledged: nor is anything damaged, and a repetition uses a new
// key.
func TestAFailedPutOfAnObjectIsNotAcknowledged(t *testing.T) {
	t.Parallel()
	f, b := newFake(t)
	tree := tree(t, object.NewTrees(database(t), b, object.Options{Installation: "test", Inline: -1}))
	old, fresh, large := []byte("old"), []byte("new"), content(2<<20+1, 'l')
	must(t, put(t, tree, "f", old))
	u := open(t, tree, "large", large)
	must(t, send(t, u, large, 0))
	f.fails(func(r *http.Request) bool { return r.Method == http.MethodPut })
	wantCode(t, put(t, tree, "f", fresh), hufu.KindUnavailable, "store_unreachable")
	wantCode(t, send(t, u, large, 1), hufu.KindUnavailable, "store_unreachable")
	f.fails(nil)
	holds(t, tree, "f", old)
	if got := u.Missing(0); got != 1 || u.Info().Have != 1 {
		t.Errorf("chunk %d is the first that is missing, %d are there", got, u.Info().Have)
	}
	must(t, put(t, tree, "f", fresh))
	holds(t, tree, "f", fresh)
	for i := range int64(3) {
		must(t, send(t, u, large, i))
	}
	_, err := blob.CommitUpload(t.Context(), u, digest.Sum(large), blob.Meta{}, always)
	must(t, err)
	f.fails(func(r *http.Request) bool { return r.Method == http.MethodGet })
	file, err := tree.Opener().Open(t.Context(), path(t, "large"), "")
	must(t, err)
	_, err = file.ReadAt(t.Context(), make([]byte, 10), hufu.ChunkSize-5)
	wantCode(t, err, hufu.KindUnavailable, "store_unreachable")
	f.fails(nil)
	holds(t, tree, "large", large)
	for _, key := range f.keys() { // an object gets lost
		must(t, b.Delete(t.Context(), key))
	}
	_, err = file.ReadAt(t.Context(), make([]byte, 10), 0)
	wantCode(t, err, hufu.KindIntegrity, "store_object_missing")
}

// TestWhatTheCleanUpHasTakenGetsNoName: states go one way. A batch that was staged for too long is
// refused, and so is an upload that has expired.
func TestWhatTheCleanUpHasTakenGetsNoName(t *testing.T) {
	t.Parallel()
	n := database(t)
	_, b := newFake(t)
	s := object.NewTrees(n, b, object.Options{Installation: "test"})
	tree := tree(t, s)
	batch := tree.Batch(blob.Guard{})
	batch.Put(t.Context(), path(t, "staged"), content(10_000, 's'), blob.Meta{}, always)
	batch.Prepare(t.Context())
	ids, err := n.Staged(t.Context(), -time.Hour, 10)
	must(t, err)
	for _, id := range ids {
		_, err := n.Abandon(t.Context(), id)
		must(t, err)
	}
	if r := batch.Finish(t.Context()); len(ids) != 1 || hufu.KindOf(r[0].Err) != hufu.KindUnavailable {
		t.Errorf("%d are staged: %+v", len(ids), r)
	}
	data := content(2<<20+1, 'u')
	u := open(t, tree, "f", data)
	for i := range int64(3) {
		must(t, send(t, u, data, i))
	}
	id := u.Info().ID
	if n, err := s.Expire(t.Context(), -time.Hour); n != 0 || err != nil {
		t.Errorf("%d open uploads have expired: %v", n, err)
	}
	other := object.NewTrees(n, b, object.Options{Installation: "test"})
	if n, err := other.Expire(t.Context(), time.Hour); n != 0 || err != nil {
		t.Errorf("%d new uploads have expired: %v", n, err)
	}
	must(t, u.Prepare(t.Context(), digest.Sum(data), blob.Meta{}))
	uploadID, _ := meta.ParseID(id)
	_, err = n.Hold(t.Context(), uploadID, s.Grip(), -time.Second) // the other process takes this one for dead
	must(t, err)
	if n, err := other.Expire(t.Context(), -time.Hour); n != 1 || err != nil {
		t.Errorf("%d uploads have expired: %v", n, err)
	}
	_, err = u.Finish(t.Context(), always)
	wantCode(t, err, hufu.KindNotFound, "upload_gone")
	_, err = tree.FindUpload(t.Context(), id, blob.Guard{})
	wantCode(t, err, hufu.KindNotFound, "upload_unknown")
	for _, p := range []string{"staged", "f"} {
		if _, err := tree.Stat(t.Context(), path(t, p)); hufu.KindOf(err) != hufu.KindNotFound {
			t.Errorf("%s is there: %v", p, err)
		}
	}
}

// TestAGroupIsCarriedOutInItsOrder: what comes later in a group meets what an earlier change of it has
// done to the folder.
func TestAGroupIsCarriedOutInItsOrder(t *testing.T) {
	t.Parallel()
	n := database(t)
	_, b := newFake(t)
	tree := tree(t, object.NewTrees(n, b, object.Options{Installation: "test"}))
	then := time.Date(2020, 2, 3, 4, 5, 6, 0, time.UTC)
	first := tree.Batch(blob.Guard{})
	first.Mkdir(t.Context(), path(t, "gone"), blob.Meta{Mode: 0o755}, true)
	first.Mkdir(t.Context(), path(t, "dated"), blob.Meta{Mode: 0o755}, true)
	first.Put(t.Context(), path(t, "x"), []byte("x"), blob.Meta{}, always)
	first.Put(t.Context(), path(t, "dated/y"), []byte("y"), blob.Meta{}, always)
	for _, r := range first.Finish(t.Context()) {
		must(t, r.Err)
	}
	group := tree.Batch(blob.Guard{})
	group.Remove(t.Context(), path(t, "gone"), false, "")
	group.Rename(t.Context(), path(t, "x"), path(t, "gone/x"), always, "")
	group.Remove(t.Context(), path(t, "dated/y"), false, "")
	group.SetMeta(t.Context(), path(t, "dated"), blob.Meta{Mode: 0o755, MTime: then}, "")
	r := group.Finish(t.Context())
	for _, i := range []int{0, 2, 3} {
		must(t, r[i].Err)
	}
	wantKind := hufu.KindNotFound
	if k := hufu.KindOf(r[1].Err); k != wantKind {
		t.Errorf("a file was moved into a folder that is gone: %v", r[1].Err)
	}
	_, err := tree.Stat(t.Context(), path(t, "x"))
	must(t, err)
	e, err := tree.Stat(t.Context(), path(t, "dated"))
	if must(t, err); !e.MTime.Equal(then) {
		t.Errorf("the folder has the time %v", e.MTime)
	}
}

// TestAnUploadOverTwoProcesses: the chunks of both count, and what one has changed since the other
// has prepared is not committed.
func TestAnUploadOverTwoProcesses(t *testing.T) {
	t.Parallel()
	n := database(t)
	_, b := newFake(t)
	o := object.Options{Installation: "test"}
	one, two := tree(t, object.NewTrees(n, b, o)), tree(t, object.NewTrees(n, b, o))
	data, other := content(2<<20+1, 'a'), content(2<<20+1, 'b')
	u := open(t, one, "f", data)
	v, err := two.FindUpload(t.Context(), u.Info().ID, blob.Guard{})
	must(t, err)
	defer func() { _ = v.Close() }()
	must(t, send(t, u, data, 0))
	must(t, send(t, v, data, 1))
	must(t, send(t, v, data, 2))
	must(t, send(t, u, data, 2)) // both have it
	must(t, u.Prepare(t.Context(), digest.Sum(data), blob.Meta{}))
	must(t, send(t, v, other, 1))
	_, err = u.Finish(t.Context(), always)
	wantCode(t, err, hufu.KindChanged, "file_changed")
	wantCode(t, u.Prepare(t.Context(), digest.Sum(data), blob.Meta{}), hufu.KindIntegrity, "digest_differs")
	must(t, send(t, u, data, 1))
	e, err := blob.CommitUpload(t.Context(), u, digest.Sum(data), blob.Meta{}, always)
	must(t, err)
	holds(t, two, "f", data)
	// The other learns of it, and repeats it with the same answer.
	wantCode(t, send(t, v, other, 0), hufu.KindChanged, "file_changed")
	must(t, v.Prepare(t.Context(), digest.Sum(data), blob.Meta{}))
	if again, err := v.Finish(t.Context(), always); err != nil || again != e {
		t.Errorf("%+v %v, want %+v", again, err, e)
	}
}

// TestUnitsThatAreGatheredTakeBoundedMemory: a unit of which chunks are missing counts against the
// room, until it is stored or its holder is gone.
func TestUnitsThatAreGatheredTakeBoundedMemory(t *testing.T) {
	t.Parallel()
	_, b := newFake(t)
	tree := tree(t, object.NewTrees(database(t), b, object.Options{Installation: "test", Unit: 4 << 20, Room: 8 << 20}))
	data := content(8<<20, 'r')
	u, v := open(t, tree, "f", data), open(t, tree, "g", data)
	must(t, send(t, u, data, 0))
	wantCode(t, send(t, v, data, 0), hufu.KindUnavailable, "unavailable")
	must(t, u.Close())
	for i := range digest.Chunks(int64(len(data))) {
		must(t, send(t, v, data, i))
	}
	_, err := blob.CommitUpload(t.Context(), v, digest.Sum(data), blob.Meta{}, always)
	must(t, err)
	holds(t, tree, "g", data)
}

func TestTrees(t *testing.T) {
	t.Parallel()
	n := database(t)
	_, b := newFake(t)
	s := object.NewTrees(n, b, object.Options{Installation: "test"})
	alice := tree(t, s)
	must(t, put(t, alice, "f", []byte("alice's")))
	_, err := s.Shared(t.Context(), "alice")
	wantCode(t, err, hufu.KindNotFound, "not_found")
	for _, name := range []string{"common", "a b", "common"} {
		must(t, s.MakeShared(t.Context(), name))
	}
	if names, err := s.SharedNames(t.Context()); err != nil || !slices.Equal(names, []string{"a b", "common"}) {
		t.Errorf("%q %v", names, err)
	}
	common, err := s.Shared(t.Context(), "common")
	must(t, err)
	if _, err := common.Stat(t.Context(), path(t, "f")); hufu.KindOf(err) != hufu.KindNotFound {
		t.Errorf("two trees are one: %v", err)
	}
	holds(t, tree(t, s), "f", []byte("alice's"))
}

// TestStagedFilesTakeBoundedMemory: what is staged counts against the room. Larger files are stored
// to make room; small ones are refused in the end, and all of it is given back.
func TestStagedFilesTakeBoundedMemory(t *testing.T) {
	t.Parallel()
	f, b := newFake(t)
	tree := tree(t, object.NewTrees(database(t), b, object.Options{Installation: "test", Room: 200_000}))
	for range 3 {
		batch := tree.Batch(blob.Guard{})
		stage := func(name string, n int) { batch.Put(t.Context(), path(t, name), content(n, 's'), blob.Meta{}, always) }
		for i := range 4 {
			stage("large"+strconv.Itoa(i), 40_000)
		}
		if n := len(f.keys()); n%4 != 2 {
			t.Errorf("%d objects are stored, want 2 more than before", n)
		}
		for i := range 20 {
			stage("small"+strconv.Itoa(i), 7_000)
		}
		refused := 0
		for i, r := range batch.Finish(t.Context()) {
			if r.Err != nil {
				wantCode(t, r.Err, hufu.KindUnavailable, "unavailable")
				if refused++; i < 4+14 {
					t.Errorf("change %d is refused", i)
				}
			}
		}
		if refused != 20-14 {
			t.Errorf("%d changes are refused", refused)
		}
	}
	batch := tree.Batch(blob.Guard{})
	batch.Put(t.Context(), path(t, "f"), content(100_000, 'f'), blob.Meta{}, always)
	batch.Discard()
	must(t, put(t, tree, "f", content(100_000, 'f')))
	holds(t, tree, "large3", content(40_000, 's'))
}

// TestStagedFilesWaitForMemory: a file for which another batch has taken the memory waits until that batch
// has ended, at most as long as it may, and not while its own batch holds some. Nothing of it is left.
func TestStagedFilesWaitForMemory(t *testing.T) {
	t.Parallel()
	_, b := newFake(t)
	s := object.NewTrees(database(t), b, object.Options{Installation: "test", Room: 200_000, Wait: 50 * time.Millisecond})
	tree := tree(t, s)
	first, second := tree.Batch(blob.Guard{}).(blob.Reserver), tree.Batch(blob.Guard{}).(blob.Reserver)
	stage := func(b blob.Batch, name string, n int) {
		b.Put(t.Context(), path(t, name), content(n, 's'), blob.Meta{By: "alice"}, always)
	}
	if !first.Reserve(t.Context(), "alice", 80_000, true) {
		t.Fatal("nothing is free")
	}
	stage(first, "a", 80_000)
	if second.Reserve(t.Context(), "alice", 40_000, false) || second.Reserve(t.Context(), "alice", 40_000, true) {
		t.Error("memory was free")
	}
	if second.Reserve(t.Context(), "alice", 100_001, true) {
		t.Error("one file takes more than half")
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if second.Reserve(gone, "alice", 40_000, true) {
		t.Error("one that is gone got memory")
	}
	if !second.Reserve(t.Context(), "bob", 20_000, false) {
		t.Error("another user waits, too")
	}
	second.Unreserve()
	waits := make(chan bool)
	go func() { waits <- second.Reserve(t.Context(), "alice", 40_000, true) }()
	if r := first.Finish(t.Context()); r[0].Err != nil {
		t.Fatal(r)
	}
	if !<-waits && !second.Reserve(t.Context(), "alice", 40_000, true) { // the store was slow
		t.Fatal("nothing is free although the other batch has ended")
	}
	stage(second, "b", 40_000)
	if r := second.Finish(t.Context()); r[0].Err != nil {
		t.Fatal(r)
	}
	for _, name := range []string{"c", hufu.ReservedPrefix + "x"} { // one that is put, and one that is refused, use what is reserved
		first.Reserve(t.Context(), "alice", 40_000, true)
		stage(first, name, 40_000)
	}
	first.Discard()
	if n := s.Staged(); n != 0 {
		t.Errorf("%d bytes are left", n)
	}
	holds(t, tree, "b", content(40_000, 's'))
}
