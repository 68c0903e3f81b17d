package files

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/blob/disk"
	"hufu/internal/digest"
)

// house is a served data folder.
type house struct {
	t    testing.TB
	data string
	s    *Service
}

func newHouse(t testing.TB, shared ...string) *house {
	t.Helper()
	h := &house{t: t, data: memory(t)}
	for _, name := range append(shared, "common") {
		if err := os.MkdirAll(filepath.Join(h.data, "files", "shared", name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	h.open()
	t.Cleanup(func() { _ = h.s.Close() })
	return h
}

// memory returns a folder where syncing takes no time, if there is one that keeps
// extended attributes: durability is tested elsewhere.
func memory(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "hufu-test-") //nolint:usetesting // not where TempDir is
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if !keepsAttributes(dir) {
		return t.TempDir()
	}
	return dir
}

func (h *house) open() {
	h.t.Helper()
	log := slog.New(slog.DiscardHandler)
	trees, err := disk.OpenTrees(filepath.Join(h.data, "files"), filepath.Join(h.data, "uploads"), disk.UploadRoom, log)
	if err != nil {
		h.t.Fatal(err)
	}
	h.s = New(trees, log)
}

// view returns what a user sees who stays admitted.
func (h *house) view(user, device string) *View {
	return h.s.For(user, device, func() error { return nil }, slog.DiscardHandler)
}

func (h *house) again() {
	h.t.Helper()
	if err := h.s.Close(); err != nil {
		h.t.Fatal(err)
	}
	h.open()
}

// tree lists the regular files, links and folders below the data folder's
// files, by their bytes.
func (h *house) tree() []string {
	var all []string
	root := filepath.Join(h.data, "files")
	_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if rel := strings.TrimPrefix(path, root+"/"); err == nil && path != root && !strings.HasPrefix(d.Name(), hufu.ReservedPrefix) {
			all = append(all, rel)
		}
		return nil
	})
	return all
}

func at(t testing.TB, s string) hufu.Path {
	t.Helper()
	p, err := hufu.ParsePath(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// do carries out one change.
func do(v *View, change func(*Batch)) blob.Result {
	b := v.Batch()
	change(b)
	return b.Commit(context.Background())[0]
}

func put(t testing.TB, v *View, name, content string, c hufu.ConditionKind) error {
	return do(v, func(b *Batch) {
		b.Put(context.Background(), at(t, name), []byte(content), blob.Meta{Mode: 0o755, Digest: digest.Sum([]byte(content))}, hufu.Condition{Kind: c})
	}).Err
}

func mkdir(t testing.TB, v *View, name string) error {
	return do(v, func(b *Batch) { b.Mkdir(context.Background(), at(t, name), 0o755, true) }).Err
}

func remove(t testing.TB, v *View, name string) error {
	return do(v, func(b *Batch) { b.Remove(context.Background(), at(t, name), true, "") }).Err
}

func rename(t testing.TB, v *View, from, to string) error {
	return do(v, func(b *Batch) {
		b.Rename(context.Background(), at(t, from), at(t, to), hufu.Condition{Kind: hufu.IfAbsent}, "")
	}).Err
}

func read(t testing.TB, v *View, name string) (string, error) {
	f, err := v.Open(context.Background(), at(t, name))
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	data := make([]byte, f.Entry().Size)
	_, err = f.ReadAt(context.Background(), data, 0)
	return string(data), err
}

func list(t testing.TB, v *View, name string) []string {
	t.Helper()
	var names []string
	if err := v.List(context.Background(), at(t, name), blob.Page{}, func(e hufu.Entry) error { names = append(names, e.Name); return nil }); err != nil {
		t.Error(err)
	}
	slices.Sort(names)
	return names
}

func code(t testing.TB, err error, want string) {
	t.Helper()
	if hufu.CodeOf(err) != want {
		t.Errorf("the answer is %v, want %s", err, want)
	}
}

func ok(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// TestSharedFolder: everybody reads and adds, and changes what is his own.
func TestSharedFolder(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice, bob := h.view("alice", "pc"), h.view("bob", "pc")
	const s = "/@shared/common"
	ok(t, put(t, alice, s+"/plan", "alice's", hufu.IfAbsent), mkdir(t, alice, s+"/a/b/c"), put(t, bob, s+"/a/b/bobs", "bob's", hufu.IfAbsent))
	for _, k := range []hufu.ConditionKind{hufu.IfAbsent, hufu.Always} {
		err := put(t, bob, s+"/plan", "stolen", k)
		if got, _ := read(t, bob, s+"/plan"); err == nil || got != "alice's" {
			t.Errorf("bob wrote %q over alice's file: %v", got, err)
		}
	}
	code(t, remove(t, bob, s+"/plan"), "not_yours")
	code(t, rename(t, bob, s+"/plan", s+"/mine"), "not_yours")
	code(t, do(bob, func(b *Batch) { b.SetMeta(context.Background(), at(t, s+"/plan"), blob.Meta{Mode: 0o777}, "") }).Err, "not_yours")
	code(t, remove(t, bob, s+"/a"), "not_yours")
	code(t, do(bob, func(b *Batch) { b.SetMeta(context.Background(), at(t, s+"/a/b"), blob.Meta{Mode: 0o777}, "") }).Err, "not_yours")
	// The folders that were made on the way to c are alice's too; what bob put
	// into one of them is not, wherever it would go.
	code(t, remove(t, alice, s+"/a"), "not_yours")
	code(t, rename(t, alice, s+"/a", s+"/z"), "not_yours")
	code(t, rename(t, alice, s+"/a/b", s+"/z"), "not_yours")
	ok(t, do(alice, func(b *Batch) { b.SetMeta(context.Background(), at(t, s+"/a/b"), blob.Meta{Mode: 0o700}, "") }).Err)
	if got, err := read(t, bob, s+"/a/b/bobs"); got != "bob's" {
		t.Errorf("bob's file holds %q, %v", got, err)
	}
	ok(t, remove(t, bob, s+"/a/b/bobs"), rename(t, alice, s+"/a", s+"/z"), remove(t, alice, s+"/z"))
	// Parents made by putting are the user's as well, whatever the size.
	ok(t, put(t, bob, s+"/p/q/small", "x", hufu.IfAbsent))
	large := bytes.Repeat([]byte{7}, 2*hufu.ChunkSize)
	upload(t, bob, s+"/r/t/large", large)
	for _, d := range []string{"/p", "/r"} {
		code(t, remove(t, alice, s+d), "not_yours")
		ok(t, remove(t, bob, s+d))
	}
	if names := list(t, alice, s); !slices.Equal(names, []string{"plan"}) {
		t.Errorf("left are %v", names)
	}
}

func upload(t testing.TB, v *View, name string, data []byte) {
	t.Helper()
	u, err := v.OpenUpload(t.Context(), at(t, name), int64(len(data)), "source")
	ok(t, err)
	defer func() { _ = u.Close() }()
	fill(t, u, data)
	_, err = v.CommitUpload(t.Context(), u.Info().ID, at(t, name), digest.Sum(data), blob.Meta{Mode: 0o644}, hufu.Condition{Kind: hufu.IfAbsent})
	ok(t, err)
}

func fill(t testing.TB, u blob.Upload, data []byte) {
	t.Helper()
	for i := range digest.Chunks(int64(len(data))) {
		piece := data[i*hufu.ChunkSize:][:digest.ChunkLen(int64(len(data)), i)]
		ok(t, u.Write(context.Background(), i, piece, digest.Chunk(piece, i)))
	}
}

// TestAddedWhileRemoving: what somebody adds between the look and the removal
// stays, and so does what is asked for in the same group.
func TestAddedWhileRemoving(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice, bob := h.view("alice", "pc"), h.view("bob", "pc")
	const s = "/@shared/common"
	for _, late := range []string{"/mine/bobs", "/mine/deep/er/bobs"} {
		ok(t, mkdir(t, alice, s+"/mine/deep/er"), put(t, alice, s+"/mine/one", "1", hufu.Always))
		b := alice.Batch()
		b.Remove(context.Background(), at(t, s+"/mine"), true, "")
		ok(t, put(t, bob, s+late, "bob's", hufu.IfAbsent))
		code(t, b.Commit(t.Context())[0].Err, "not_yours")
		if got, err := read(t, bob, s+late); got != "bob's" {
			t.Errorf("bob's file holds %q, %v", got, err)
		}
		ok(t, remove(t, bob, s+late), remove(t, alice, s+"/mine"))
	}
	// A link in a folder of alice's is alice's.
	ok(t, mkdir(t, alice, s+"/links"))
	link := func(v *View, name string) error {
		return do(v, func(b *Batch) {
			b.Link(context.Background(), at(t, name), "/etc/passwd", blob.Meta{}, hufu.Condition{Kind: hufu.IfAbsent})
		}).Err
	}
	ok(t, link(alice, s+"/links/l"))
	code(t, link(alice, s+"/l"), "link_needs_own_folder")
	code(t, link(bob, s+"/links/b"), "link_needs_own_folder")
	code(t, rename(t, alice, s+"/links/l", s+"/l"), "link_needs_own_folder")
	code(t, remove(t, bob, s+"/links/l"), "not_yours")
	ok(t, remove(t, alice, s+"/links"))
}

// TestUploadsOfOthers: an id is good for the user's own device alone.
func TestUploadsOfOthers(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	data := bytes.Repeat([]byte("data"), hufu.ChunkSize)
	want := digest.Sum(data)
	for _, name := range []string{"/large", "/@shared/common/large"} {
		alice := h.view("alice", "pc")
		u, err := alice.OpenUpload(t.Context(), at(t, name), int64(len(data)), "v")
		ok(t, err)
		fill(t, u, data)
		ok(t, u.Close())
		h.again() // nobody has looked at any place since
		alice = h.view("alice", "pc")
		for _, v := range []*View{h.view("bob", "pc"), h.view("alice", "phone"), h.view("al", "ice/pc"), h.view("alice/pc", "")} {
			if strings.Contains(v.sub.User, "/") {
				continue // no such user can be
			}
			_, err := v.FindUpload(context.Background(), u.Info().ID)
			code(t, err, "upload_unknown")
			code(t, v.Abandon(context.Background(), u.Info().ID), "upload_unknown")
			_, err = v.CommitUpload(t.Context(), u.Info().ID, at(t, name), want, blob.Meta{}, hufu.Condition{Kind: hufu.IfAbsent})
			code(t, err, "upload_unknown")
		}
		found, err := alice.FindUpload(context.Background(), u.Info().ID)
		ok(t, err)
		if found.Info().Have != 4 {
			t.Errorf("%d chunks are there", found.Info().Have)
		}
		_, err = alice.CommitUpload(t.Context(), u.Info().ID, at(t, "/elsewhere"), want, blob.Meta{}, hufu.Condition{Kind: hufu.IfAbsent})
		code(t, err, "upload_unknown")
		_, err = alice.CommitUpload(t.Context(), u.Info().ID, at(t, name), want, blob.Meta{}, hufu.Condition{Kind: hufu.IfAbsent})
		ok(t, err, found.Close())
		// Once more, as who did not hear the answer; and as somebody else.
		_, err = alice.CommitUpload(t.Context(), u.Info().ID, at(t, name), want, blob.Meta{}, hufu.Condition{Kind: hufu.IfAbsent})
		ok(t, err)
		_, err = h.view("bob", "pc").CommitUpload(t.Context(), u.Info().ID, at(t, name), want, blob.Meta{}, hufu.Condition{Kind: hufu.IfAbsent})
		code(t, err, "upload_unknown")
	}
	// What is bob's in a shared folder is refused before alice sends it.
	ok(t, put(t, h.view("bob", "pc"), "/@shared/common/bobs", "x", hufu.IfAbsent))
	_, err := h.view("alice", "pc").OpenUpload(t.Context(), at(t, "/@shared/common/bobs"), int64(len(data)), "v")
	code(t, err, "not_yours")
}

// TestExpire finds also the uploads of users who have not been here since.
func TestExpire(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, v := range []*View{h.view("alice", "pc"), h.view("bob", "pc")} {
		u, err := v.OpenUpload(t.Context(), at(t, "/large"), 2*hufu.ChunkSize, "v")
		ok(t, err, u.Write(context.Background(), 0, nil, digest.Zeros(hufu.ChunkSize, 0)), u.Close())
	}
	h.again()
	old := time.Now().Add(-UploadLife - time.Hour)
	journals := func() []string {
		found, err := filepath.Glob(filepath.Join(h.data, "uploads", "users", "*", "*"))
		ok(t, err)
		return found
	}
	if len(journals()) != 2 {
		t.Fatalf("journals: %v", journals())
	}
	h.s.Expire(context.Background())
	if len(journals()) != 2 {
		t.Errorf("young uploads are gone")
	}
	for _, j := range journals() {
		ok(t, os.Chtimes(j, old, old))
	}
	h.s.Expire(context.Background())
	if left := journals(); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

// TestSignposts: the ground between the places is looked at and not changed.
func TestSignposts(t *testing.T) {
	t.Parallel()
	h := newHouse(t, "docs")
	v := h.view("alice", "pc")
	if names := list(t, v, "/@shared"); !slices.Equal(names, []string{"common", "docs"}) {
		t.Errorf("shared are %v", names)
	}
	for _, p := range []string{"/@shared", "/@shared/common", "/", "/@shared/none", "/@shared/none/x", "/@other", "/@other/x", "/@"} {
		for name, err := range map[string]error{
			"put": put(t, v, p, "x", hufu.Always), "remove": remove(t, v, p), "rename": rename(t, v, p, "/x"), "rename to": rename(t, v, "/f", p),
			"link": do(v, func(b *Batch) {
				b.Link(context.Background(), at(t, p), "x", blob.Meta{}, hufu.Condition{Kind: hufu.Always})
			}).Err,
			"setmeta": do(v, func(b *Batch) { b.SetMeta(context.Background(), at(t, p), blob.Meta{Mode: 0}, "") }).Err,
		} {
			if err == nil {
				t.Errorf("%s of %s is allowed", name, p)
			}
		}
		if _, err := v.OpenUpload(t.Context(), at(t, p), 2*hufu.ChunkSize, "v"); err == nil {
			t.Errorf("upload to %s is allowed", p)
		}
		if _, err := v.Open(context.Background(), at(t, p)); err == nil {
			t.Errorf("%s opens as a file", p)
		}
		if _, err := v.Digest(t.Context(), at(t, p)); err == nil {
			t.Errorf("%s has a digest", p)
		}
	}
	for _, p := range []string{"/@shared/none", "/@shared/none/x"} {
		_, stat := v.Stat(t.Context(), at(t, p))
		_, open := v.OpenUpload(t.Context(), at(t, p), 2*hufu.ChunkSize, "v")
		for name, err := range map[string]error{
			"stat": stat, "open": open, "put": put(t, v, p, "x", hufu.Always), "mkdir": mkdir(t, v, p), "remove": remove(t, v, p), "rename to": rename(t, v, "/f", p),
		} {
			if e, ok := errors.AsType[*hufu.Error](err); !ok || e.Kind != hufu.KindNotFound || e.Code != "shared_missing" || e.Args["folder"] != ":/@shared/none" {
				t.Errorf("%s of %s: %v", name, p, err)
			}
		}
	}
	for _, p := range []string{"/@shared", "/@shared/common", "/"} {
		if e, err := v.Stat(context.Background(), at(t, p)); err != nil || e.Kind != hufu.Folder {
			t.Errorf("%s is %v, %v", p, e, err)
		}
		if _, _, err := v.Space(context.Background(), at(t, p)); err != nil {
			t.Errorf("space of %s: %v", p, err)
		}
		ok(t, mkdir(t, v, p))
	}
	for _, p := range []string{"/@other", "/@shared/none/x", "/@shared/new"} {
		if mkdir(t, v, p) == nil {
			t.Errorf("made %s", p)
		}
	}
	if left := h.tree(); !slices.Equal(left, []string{"shared", "shared/common", "shared/docs", "users", "users/alice"}) {
		t.Errorf("on the disk stands %v", left)
	}
}

// TestUploadBehindAFault: a shared folder that cannot be opened may hold the upload, so
// it is not told to be unknown.
func TestUploadBehindAFault(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	v := New(faulty{h.s.stores}, slog.New(slog.DiscardHandler)).For("alice", "pc", func() error { return nil }, slog.DiscardHandler)
	defer v.Close()
	if _, err := v.FindUpload(t.Context(), strings.Repeat("0", 32)); !errors.Is(err, syscall.EIO) {
		t.Errorf("with a broken disk: %v", err)
	}
}

// faulty is stores whose shared folders lie on a broken disk.
type faulty struct{ Stores }

func (faulty) Shared(context.Context, string) (blob.Tree, error) {
	return nil, &hufu.Error{Op: "open", Kind: hufu.KindUnreadable, Err: syscall.EIO}
}
