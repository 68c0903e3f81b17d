package disk_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/blob/disk"
	"hufu/internal/digest"
)

// tree is a store on a fresh folder, with what tests ask of it.
type tree struct {
	*disk.Store
	t    *testing.T
	dir  string // holds root, uploads and whatever must stay untouched
	root string
}

func newTree(t *testing.T, o disk.Options) *tree {
	t.Helper()
	dir := t.TempDir()
	root := filepath.Join(dir, "root")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	return openTree(t, dir, o)
}

func openTree(t *testing.T, dir string, o disk.Options) *tree {
	t.Helper()
	if o.Uploads == "" {
		o.Uploads = filepath.Join(dir, "uploads")
	}
	s, err := disk.Open(filepath.Join(dir, "root"), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return &tree{Store: s, t: t, dir: dir, root: filepath.Join(dir, "root")}
}

func server() disk.Options { return disk.Options{Server: true} }

func path(t testing.TB, s string) hufu.Path {
	t.Helper()
	p, err := hufu.ParsePath(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (tr *tree) put(p, data string, c hufu.Condition) blob.Result {
	tr.t.Helper()
	b := tr.Batch(blob.Guard{})
	b.Put(tr.t.Context(), path(tr.t, p), []byte(data), blob.Meta{
		Mode: 0o640, MTime: time.Unix(1_700_000_000, 123456789), Digest: digest.Sum([]byte(data)), By: "alice",
	}, c)
	return b.Finish(tr.t.Context())[0]
}

func (tr *tree) mustPut(p, data string) hufu.Entry {
	tr.t.Helper()
	r := tr.put(p, data, hufu.Condition{Kind: hufu.Always})
	if r.Err != nil {
		tr.t.Fatal(r.Err)
	}
	e, err := tr.Stat(tr.t.Context(), path(tr.t, p))
	if err != nil {
		tr.t.Fatal(err)
	}
	return e
}

func (tr *tree) content(p string) string {
	tr.t.Helper()
	b, err := os.ReadFile(filepath.Join(tr.root, p))
	if err != nil {
		tr.t.Fatal(err)
	}
	return string(b)
}

// names lists everything in a folder of the disk, reserved names too.
func names(t *testing.T, dir string) []string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range list {
		all = append(all, e.Name())
	}
	return all
}

func (tr *tree) list(p string) []string {
	tr.t.Helper()
	var all []string
	if err := listAll(tr.t.Context(), tr, path(tr.t, p), func(e hufu.Entry) error { all = append(all, e.Name); return nil }); err != nil {
		tr.t.Fatal(err)
	}
	slices.Sort(all)
	return all
}

// must ends a test whose preparation fails.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t *testing.T, err error, kind hufu.Kind, code string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %v %s", kind, code)
	}
	if hufu.KindOf(err) != kind || hufu.CodeOf(err) != code {
		t.Fatalf("%v: is %v %s, want %v %s", err, hufu.KindOf(err), hufu.CodeOf(err), kind, code)
	}
}

func always() hufu.Condition   { return hufu.Condition{Kind: hufu.Always} }
func ifAbsent() hufu.Condition { return hufu.Condition{Kind: hufu.IfAbsent} }
func ifVersion(v string) hufu.Condition {
	return hufu.Condition{Kind: hufu.IfVersion, Version: v}
}

// eachTree runs a test on a server's tree and a person's, by all ways of
// staging and resolving.
func eachTree(t *testing.T, run func(t *testing.T, tr *tree, isServer bool)) {
	t.Helper()
	for _, name := range []string{"server", "person", "fallback", "fsync"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tr := newTree(t, disk.Options{Server: name != "person"})
			switch name {
			case "fallback":
				tr.WithoutOpenat2()
				tr.WithoutTmpfile()
			case "fsync":
				tr.WithFsync()
			}
			run(t, tr, name != "person")
		})
	}
}

func TestPutStatListRead(t *testing.T) {
	t.Parallel()
	eachTree(t, func(t *testing.T, tr *tree, isServer bool) {
		data := strings.Repeat("hello ", 700)
		r := tr.put("a/b/c.txt", data, ifAbsent())
		if r.Err != nil || !r.Created {
			t.Fatal(r)
		}
		e, err := tr.Stat(t.Context(), path(t, "a/b/c.txt"))
		if err != nil {
			t.Fatal(err)
		}
		want := hufu.Entry{
			Name: "c.txt", Kind: hufu.File, Size: int64(len(data)), MTime: time.Unix(1_700_000_000, 123456789), Mode: 0o640,
			Version: e.Version,
		}
		if isServer {
			want.Digest, want.By = digest.Sum([]byte(data)), "alice"
		}
		if e != want {
			t.Errorf("got  %+v\nwant %+v", e, want)
		}
		if isServer && r.Version != e.Version {
			t.Errorf("commit said %s, stat says %s", r.Version, e.Version)
		}
		fi, _ := os.Stat(filepath.Join(tr.root, "a/b/c.txt"))
		if mode := map[bool]os.FileMode{true: 0o600, false: 0o640}[isServer]; fi.Mode() != mode {
			t.Errorf("mode on disk is %v, want %v", fi.Mode(), mode)
		}
		var seen []hufu.Entry
		if err := listAll(t.Context(), tr, path(t, "a/b"), func(e hufu.Entry) error { seen = append(seen, e); return nil }); err != nil {
			t.Fatal(err)
		}
		if len(seen) != 1 || seen[0] != e {
			t.Errorf("list says %+v", seen)
		}
		f, err := openFile(t, tr, path(t, "a/b/c.txt"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		buf := make([]byte, len(data)+10)
		n, err := f.ReadAt(t.Context(), buf, 0)
		if err != nil || string(buf[:n]) != data {
			t.Errorf("read %d, %v", n, err)
		}
		if f.Entry() != e {
			t.Errorf("open says %+v", f.Entry())
		}
		if err := f.Check(t.Context()); err != nil {
			t.Error(err)
		}
		if got := names(t, filepath.Join(tr.root, "a/b")); !slices.Equal(got, []string{"c.txt"}) {
			t.Errorf("on disk: %q", got)
		}
	})
}

func TestNothingHasItsNameBeforeCommit(t *testing.T) {
	t.Parallel()
	eachTree(t, func(t *testing.T, tr *tree, _ bool) {
		b := tr.Batch(blob.Guard{})
		b.Put(t.Context(), path(t, "x"), []byte("1"), blob.Meta{}, always())
		if got := tr.list(""); len(got) != 0 {
			t.Fatalf("seen before commit: %q", got)
		}
		b.Discard()
		if got := names(t, tr.root); len(got) != 0 {
			t.Fatalf("left by discard: %q", got)
		}
	})
}

func TestConditions(t *testing.T) {
	t.Parallel()
	eachTree(t, func(t *testing.T, tr *tree, _ bool) {
		old := tr.mustPut("f", "one")
		wantErr(t, tr.put("f", "two", ifAbsent()).Err, hufu.KindExists, "target_exists")
		wantErr(t, tr.put("f", "two", ifVersion("1.2")).Err, hufu.KindChanged, "target_changed")
		wantErr(t, tr.put("nothing", "two", ifVersion(old.Version)).Err, hufu.KindChanged, "target_changed")
		r := tr.put("f", "two", ifVersion(old.Version))
		if r.Err != nil || r.Created || tr.content("f") != "two" {
			t.Fatal(r, tr.content("f"))
		}
		wantErr(t, tr.put("f", "three", ifVersion(old.Version)).Err, hufu.KindChanged, "target_changed")
		if r := tr.put("f", "three", always()); r.Err != nil || r.Created || tr.content("f") != "three" {
			t.Fatal(r)
		}
		if err := os.Mkdir(filepath.Join(tr.root, "d"), 0o755); err != nil {
			t.Fatal(err)
		}
		for _, c := range []hufu.Condition{always(), ifAbsent()} {
			wantErr(t, tr.put("d", "x", c).Err, hufu.KindWrongKind, "folder_in_the_way")
		}
		wantErr(t, tr.put("g", "x", hufu.Condition{}).Err, hufu.KindInvalid, "condition_form")
		wantErr(t, tr.put("f/x", "x", always()).Err, hufu.KindWrongKind, "not_a_folder")
		if got := names(t, tr.root); !slices.Equal(got, []string{"d", "f"}) {
			t.Errorf("left on disk: %q", got)
		}
	})
}

func TestOperations(t *testing.T) {
	t.Parallel()
	eachTree(t, func(t *testing.T, tr *tree, isServer bool) {
		b := tr.Batch(blob.Guard{})
		m := blob.Meta{Mode: 0o750, By: "bob"}
		mk := b.Mkdir(t.Context(), path(t, "d/e"), m, true)
		again := b.Mkdir(t.Context(), path(t, "d/e"), m, true)
		lost := b.Mkdir(t.Context(), path(t, "no/where"), m, false)
		file := b.Put(t.Context(), path(t, "d/e/f"), []byte("x"), blob.Meta{Mode: 0o6755}, ifAbsent())
		link := b.Symlink(t.Context(), path(t, "d/l"), "../../etc/passwd", blob.Meta{MTime: time.Unix(99, 0)}, ifAbsent())
		over := b.Symlink(t.Context(), path(t, "d/l"), "elsewhere", blob.Meta{}, ifAbsent())
		meta := b.SetMeta(t.Context(), path(t, "d/e"), blob.Meta{Mode: 0o555, MTime: time.Unix(1000, 5)}, "")
		res := b.Finish(t.Context())
		if r := res[mk]; r.Err != nil || !r.Created {
			t.Error(r)
		}
		if r := res[again]; r.Err != nil || r.Created {
			t.Error(r)
		}
		wantErr(t, res[lost].Err, hufu.KindNotFound, "not_found")
		if e, err := tr.Stat(t.Context(), path(t, "d/e/f")); res[file].Err != nil || err != nil || e.Mode != 0o755 {
			t.Error(res[file], e, err)
		}
		if fi, _ := os.Stat(filepath.Join(tr.root, "d/e/f")); fi.Mode()&(os.ModeSetuid|os.ModeSetgid|os.ModeSticky) != 0 {
			t.Error("setuid or the like on disk:", fi.Mode())
		}
		if e, err := tr.Stat(t.Context(), path(t, "d/l")); res[link].Err != nil || err != nil || e.Target != "../../etc/passwd" || !e.MTime.Equal(time.Unix(99, 0)) {
			t.Error(res[link], e, err)
		}
		wantErr(t, res[over].Err, hufu.KindExists, "target_exists")
		if e, err := tr.Stat(t.Context(), path(t, "d/e")); res[meta].Err != nil || err != nil || e.Mode != 0o555 || !e.MTime.Equal(time.Unix(1000, 5)) || isServer && e.By != "bob" {
			t.Error(res[meta], e, err)
		}
		must(t, os.Chmod(filepath.Join(tr.root, "d/e"), 0o755))

		b.Rename(t.Context(), path(t, "d/e"), path(t, "d/g"), ifAbsent(), "")
		b.Remove(t.Context(), path(t, "d"), false, "")
		b.Rename(t.Context(), path(t, "d"), path(t, "d/in/itself"), ifAbsent(), "")
		b.Rename(t.Context(), path(t, "d/l"), path(t, "d/g"), always(), "")
		b.Remove(t.Context(), path(t, ""), true, "")
		b.Remove(t.Context(), path(t, "d/nothing"), true, "")
		b.Rename(t.Context(), path(t, "d/nothing"), path(t, "d/n"), always(), "")
		res = b.Finish(t.Context())
		if r := res[0]; r.Err != nil || !r.Created {
			t.Error(r)
		}
		wantErr(t, res[1].Err, hufu.KindNotEmpty, "not_empty")
		wantErr(t, res[2].Err, hufu.KindInvalid, "rename_into_itself")
		wantErr(t, res[3].Err, hufu.KindWrongKind, "folder_in_the_way")
		wantErr(t, res[4].Err, hufu.KindInvalidPath, "root_folder")
		wantErr(t, res[5].Err, hufu.KindNotFound, "not_found")
		wantErr(t, res[6].Err, hufu.KindNotFound, "not_found")
		if tr.content("d/g/f") != "x" {
			t.Error("lost by rename")
		}
		b.Remove(t.Context(), path(t, "d"), true, "")
		if r := b.Finish(t.Context())[0]; r.Err != nil {
			t.Error(r.Err)
		}
		if got := names(t, tr.root); len(got) != 0 {
			t.Errorf("left: %q", got)
		}
	})
}

// TestRemovalOfNamesThatAreNotFound: a file system that lists names and then finds
// none of them, as a broken one does, ends the removal of their folder.
func TestRemovalOfNamesThatAreNotFound(t *testing.T) {
	t.Parallel()
	const above = 8 // folders above one that is read 512 names at a time
	removals, broken := 0, true
	tr := newTree(t, disk.Options{Server: true, Hook: func(step string) error {
		if step == "removing" {
			removals++
			if broken && removals > above {
				return syscall.ENOENT
			}
		}
		return nil
	}})
	deep := filepath.Join(tr.root, "d", strings.Repeat("d/", above))
	must(t, os.MkdirAll(deep, 0o755))
	for i := range 600 {
		must(t, os.WriteFile(filepath.Join(deep, strconv.Itoa(i)), nil, 0o600))
	}
	remove := func() error {
		b := tr.Batch(blob.Guard{})
		b.Remove(t.Context(), path(t, "d"), true, "")
		return b.Finish(t.Context())[0].Err
	}
	wantErr(t, remove(), hufu.KindNotEmpty, "not_empty")
	if removals < above+512 {
		t.Errorf("%d removals: the deep folder was not reached", removals)
	}
	broken = false
	must(t, remove())
}

func TestSetMetaKeepsTheDigest(t *testing.T) {
	t.Parallel()
	tr := newTree(t, server())
	tr.mustPut("f", "x")
	b := tr.Batch(blob.Guard{})
	b.SetMeta(t.Context(), path(t, "f"), blob.Meta{Mode: 0o444, MTime: time.Unix(5, 0)}, "")
	if r := b.Finish(t.Context())[0]; r.Err != nil {
		t.Fatal(r.Err)
	}
	e, err := tr.Stat(t.Context(), path(t, "f"))
	if err != nil || e.Digest != digest.Sum([]byte("x")) || e.Mode != 0o444 || e.By != "alice" || !e.MTime.Equal(time.Unix(5, 0)) {
		t.Errorf("%+v %v", e, err)
	}
}

func TestDigestIsComputedKeptAndChecked(t *testing.T) {
	t.Parallel()
	tr := newTree(t, server())
	data := bytes.Repeat([]byte("0123456789abcdef"), 200_000) // four chunks
	file := filepath.Join(tr.root, "f")
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := openFile(t, tr, path(t, "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	before, _ := tr.Stat(t.Context(), path(t, "f"))
	e, err := tr.Digest(t.Context(), path(t, "f"))
	if err != nil || e.Digest != digest.Sum(data) {
		t.Fatal(e, err)
	}
	if err := f.Check(t.Context()); err != nil {
		t.Error("keeping the digest looks like a change:", err)
	}
	after, err := tr.Stat(t.Context(), path(t, "f"))
	if err != nil || after.Digest != e.Digest || after.Version != e.Version || after.Mode != 0o644 {
		t.Errorf("%+v %v", after, err)
	}
	if r := tr.put("f", "new", ifVersion(before.Version)); r.Err != nil {
		t.Error("a version seen before the digest was kept:", r.Err)
	}
	// Bit rot: other bytes, same size and time.
	tr.mustPut("g", "good")
	must(t, os.WriteFile(filepath.Join(tr.root, "g"), []byte("evil"), 0o600))
	must(t, os.Chtimes(filepath.Join(tr.root, "g"), time.Time{}, time.Unix(1_700_000_000, 123456789)))
	_, err = tr.Digest(t.Context(), path(t, "g"))
	wantErr(t, err, hufu.KindIntegrity, "stored_digest_differs")
	// An honest change from outside: the old digest is not shown.
	must(t, os.WriteFile(filepath.Join(tr.root, "g"), []byte("longer"), 0o600))
	if e, err := tr.Stat(t.Context(), path(t, "g")); err != nil || !e.Digest.IsZero() || e.By != "alice" {
		t.Errorf("%+v %v", e, err)
	}
	if e, err := tr.Digest(t.Context(), path(t, "g")); err != nil || e.Digest != digest.Sum([]byte("longer")) {
		t.Errorf("%+v %v", e, err)
	}
}

func TestFree(t *testing.T) {
	t.Parallel()
	free, total, err := newTree(t, server()).Space(t.Context())
	if err != nil || free <= 0 || total < free {
		t.Error(free, total, err)
	}
}

func TestOpenRefusesWhatIsNoFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, err := disk.Open(filepath.Join(dir, "none"), disk.Options{})
	wantErr(t, err, hufu.KindNotFound, "not_found")
	must(t, os.WriteFile(filepath.Join(dir, "f"), nil, 0o600))
	_, err = disk.Open(filepath.Join(dir, "f"), disk.Options{})
	wantErr(t, err, hufu.KindWrongKind, "not_a_folder")
}

// TestOpener: one after the other, in this folder, in another store's of the
// same name, in the root; a folder that was replaced is seen after Close.
func TestOpener(t *testing.T) {
	t.Parallel()
	a, b := newTree(t, server()), newTree(t, server())
	a.mustPut("d/f", "one")
	a.mustPut("d/g", "two")
	a.mustPut("f", "root")
	b.mustPut("d/f", "other")
	openers := map[*tree]blob.Opener{a: a.Opener(), b: b.Opener()}
	for _, o := range openers {
		defer o.Close()
	}
	read := func(tr *tree, name, want string) {
		t.Helper()
		f, err := openers[tr].Open(t.Context(), path(t, name), "")
		if err != nil {
			t.Error(err)
			return
		}
		defer f.Close()
		buf := make([]byte, 16)
		if n, err := f.ReadAt(t.Context(), buf, 0); err != nil || string(buf[:n]) != want {
			t.Errorf("%s holds %q, not %q: %v", name, buf[:n], want, err)
		}
	}
	read(a, "d/f", "one")
	read(a, "d/g", "two")
	read(b, "d/f", "other")
	read(a, "f", "root")
	read(a, "d/g", "two")
	for _, name := range []string{"d/none", "none/f", "d"} {
		if _, err := openers[a].Open(t.Context(), path(t, name), ""); err == nil {
			t.Errorf("%s was opened", name)
		}
	}
	read(a, "d/f", "one")
	if err := os.Rename(filepath.Join(a.root, "d"), filepath.Join(a.root, "e")); err != nil {
		t.Fatal(err)
	}
	a.mustPut("d/f", "new")
	read(a, "d/f", "one") // where it was
	openers[a].Close()
	read(a, "d/f", "new")
}

// openFile opens the regular file p of s.
func openFile(t testing.TB, s blob.Tree, p hufu.Path) (blob.File, error) {
	o := s.Opener()
	defer o.Close()
	return o.Open(t.Context(), p, "")
}

// listAll calls yield for everything in the folder p.
func listAll(ctx context.Context, s blob.Tree, p hufu.Path, yield func(hufu.Entry) error) error {
	_, err := s.List(ctx, p, blob.Page{}, yield)
	return err
}
