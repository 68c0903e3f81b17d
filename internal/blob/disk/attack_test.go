//go:build linux

package disk_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/blob/disk"
	"hufu/internal/digest"
)

// everyOperation tries p with everything a store can do and returns what was
// answered.
func everyOperation(t testing.TB, s *disk.Store, p hufu.Path, data []byte) []error {
	var errs []error
	add := func(err error) { errs = append(errs, err) }
	_, err := s.Stat(t.Context(), p)
	add(err)
	add(listAll(context.Background(), s, p, func(hufu.Entry) error { return nil }))
	if f, err := openFile(t, s, p); err != nil {
		add(err)
	} else {
		f.Close()
		add(nil)
	}
	_, err = s.Digest(t.Context(), p)
	add(err)
	b := s.Batch(blob.Guard{})
	b.Put(t.Context(), p, []byte("planted"), blob.Meta{Mode: 0o600}, always())
	b.Put(t.Context(), p, []byte("planted"), blob.Meta{Mode: 0o600}, ifAbsent())
	b.Mkdir(t.Context(), p, blob.Meta{}, true)
	b.Symlink(t.Context(), p, "planted", blob.Meta{}, ifAbsent())
	b.SetMeta(t.Context(), p, blob.Meta{Mode: 0o777, MTime: time.Unix(1, 0)}, "")
	for _, r := range b.Finish(t.Context()) {
		add(r.Err)
	}
	if u, err := s.OpenUpload(t.Context(), blob.UploadKey{Path: p, Size: int64(len(data)), Owner: "mallory"}, blob.Guard{}); err != nil {
		add(err)
	} else {
		for i := range digest.Chunks(int64(len(data))) {
			c := chunk(data, i)
			add(u.Write(t.Context(), i, c, digest.Chunk(c, i)))
		}
		if _, err := blob.CommitUpload(t.Context(), u, digest.Sum(data), blob.Meta{Mode: 0o600}, always()); hufu.CodeOf(err) != "upload_incomplete" {
			add(err)
		}
		u.Close()
	}
	b.Rename(t.Context(), p, p, always(), "")
	b.Remove(t.Context(), p, true, "")
	for _, r := range b.Finish(t.Context()) {
		add(r.Err)
	}
	return errs
}

// picture is everything below dir that an attack could change.
func picture(t testing.TB, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		line := p + " " + fi.Mode().String() + " " + fi.ModTime().String()
		if fi.Mode().IsRegular() {
			b, _ := os.ReadFile(p)
			line += " " + string(b)
		}
		all = append(all, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// No link in a path is traversed, whether it leads out of the tree or to
// another place inside it, at any level, with or without a slash behind
// (HT-30, HT-31, HT-51).
func TestHT30NoLinkIsTraversed(t *testing.T) {
	t.Parallel()
	eachTree(t, func(t *testing.T, tr *tree, _ bool) {
		outside := filepath.Join(tr.dir, "outside")
		for _, dir := range []string{outside, filepath.Join(tr.root, "bob"), filepath.Join(tr.root, "alice/deep")} {
			must(t, os.MkdirAll(filepath.Join(dir, "sub"), 0o755))
			must(t, os.WriteFile(filepath.Join(dir, "secret"), []byte("secret"), 0o600))
			must(t, os.WriteFile(filepath.Join(dir, "sub/secret"), []byte("secret"), 0o600))
		}
		data := random(2*mib, 20)
		bob := filepath.Join(tr.root, "bob")
		for _, target := range []string{outside, "../outside", "../bob", bob, "bob", "/", "..", ".", "../../outside", "/proc/self/cwd", outside + "/", "deep/../../bob"} {
			for _, at := range []string{"link", "alice/link", "alice/deep/link"} {
				link := filepath.Join(tr.root, at)
				if err := os.Symlink(target, link); err != nil {
					t.Fatal(err)
				}
				before := append(picture(t, outside), picture(t, bob)...)
				for _, below := range []string{"secret", "sub/secret", "new", "sub/new/new"} {
					for _, err := range everyOperation(t, tr.Store, path(t, at+"/"+below), data) {
						wantErr(t, err, hufu.KindWrongKind, hufu.CodeOf(err))
						if c := hufu.CodeOf(err); c != "link_in_path" && c != "not_a_folder" {
							t.Fatal(err)
						}
					}
				}
				for _, form := range []string{at, at + "/"} { // the name itself: the link, never what it points to
					if err := listAll(t.Context(), tr, path(t, form), func(hufu.Entry) error { return nil }); err == nil {
						t.Error("listed through a link")
					}
					if _, err := openFile(t, tr, path(t, form)); err == nil {
						t.Error("opened through a link")
					}
					e, err := tr.Stat(t.Context(), path(t, form))
					if err != nil || e.Kind != hufu.Link || e.Target != target {
						t.Error(e, err)
					}
				}
				b := tr.Batch(blob.Guard{})
				b.Put(t.Context(), path(t, at), []byte("x"), blob.Meta{}, ifAbsent())
				b.SetMeta(t.Context(), path(t, at), blob.Meta{Mode: 0o777, MTime: time.Unix(7, 0)}, "")
				b.Put(t.Context(), path(t, at+"/"), []byte("instead"), blob.Meta{}, always()) // takes the link's place
				b.Remove(t.Context(), path(t, at), true, "")
				b.Finish(t.Context())
				if after := append(picture(t, outside), picture(t, bob)...); !slices.Equal(before, after) {
					t.Fatalf("%s -> %s: changed\n%s\n%s", at, target, strings.Join(before, "\n"), strings.Join(after, "\n"))
				}
				if _, err := os.Lstat(link); err == nil {
					t.Fatal("still there")
				}
			}
		}
	})
}

// Somebody with access to the disk exchanges the folder at each level for a
// link to a place outside, in a loop, while we write. What is outside is never
// read and never changed (HT-31, HT-51).
func TestHT31LinkSwappedInALoop(t *testing.T) {
	t.Parallel()
	for _, way := range []string{"openat2", "walk"} {
		for level, at := range []string{"a", "a/b", "a/b/c"} {
			t.Run(way+"/"+at, func(t *testing.T) {
				t.Parallel()
				tr := newTree(t, disk.Options{Server: level%2 == 0})
				if way == "walk" {
					tr.WithoutOpenat2()
				}
				outside := filepath.Join(tr.dir, "outside")
				must(t, os.MkdirAll(filepath.Join(outside, "b/c"), 0o755))
				must(t, os.MkdirAll(filepath.Join(outside, "c"), 0o755))
				for _, sub := range []string{"", "b", "b/c", "c"} {
					must(t, os.WriteFile(filepath.Join(outside, sub, "f"), []byte("secret"), 0o600))
				}
				must(t, os.MkdirAll(filepath.Join(tr.root, "a/b/c"), 0o755))
				before := picture(t, outside)
				folder, aside, link := filepath.Join(tr.root, at), filepath.Join(tr.dir, "aside"), filepath.Join(tr.dir, "link")
				must(t, os.Symlink(outside, link))
				var stop atomic.Bool
				var wg sync.WaitGroup
				wg.Go(func() {
					for !stop.Load() {
						_ = os.Rename(folder, aside)
						_ = os.Rename(link, folder)
						runtime.Gosched()
						_ = os.Rename(folder, link)
						_ = os.Rename(aside, folder)
					}
				})
				data := random(mib+1, 21)
				p := path(t, "a/b/c/f")
				refused, done := 0, 0
				for range 60 {
					if f, err := openFile(t, tr, p); err == nil {
						b := make([]byte, 16)
						if n, _ := f.ReadAt(t.Context(), b, 0); string(b[:n]) == "secret" {
							t.Error("read from outside")
						}
						f.Close()
					}
					for _, err := range everyOperation(t, tr.Store, p, data) {
						if err != nil {
							refused++
						} else {
							done++
						}
					}
				}
				stop.Store(true)
				wg.Wait()
				if after := picture(t, outside); !slices.Equal(before, after) {
					t.Fatalf("outside changed:\n%s\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
				}
				t.Logf("%d done, %d refused", done, refused)
			})
		}
	}
}

// Names are compared by whole segments and never rewritten (HT-27, HT-28,
// HT-29).
func TestHT29NamesThatMeanSomethingElsewhere(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"..", ".", "a/..", "../x", "a/./b", "a//b", "a\x00b", "//", "a/../../b", strings.Repeat("x", 256)} {
		if _, err := hufu.ParsePath(s); hufu.KindOf(err) != hufu.KindInvalidPath {
			t.Errorf("%q is a path", s)
		}
	}
	tr := newTree(t, server())
	all := []string{"CON", "NUL", "COM1", "x.", "x ", "f:stream", "%2e%2e%2f", "a\\..\\b", "share", "share2", "Share", "\x1b[2J", "\u202e", "~", "$HOME"}
	for _, n := range all {
		tr.mustPut(n, n)
	}
	slices.Sort(all)
	if got := tr.list(""); !slices.Equal(got, all) {
		t.Errorf("%q", got)
	}
	for _, n := range all {
		if tr.content(n) != n {
			t.Errorf("%q holds %q", n, tr.content(n))
		}
	}
}

// FIFOs are told, never opened: an opening would wake who waits at the other
// end.
func TestFIFOsAreNeverOpened(t *testing.T) {
	t.Parallel()
	eachTree(t, func(t *testing.T, tr *tree, _ bool) {
		fifo := filepath.Join(tr.root, "fifo")
		if err := unix.Mkfifo(fifo, 0o600); err != nil {
			t.Fatal(err)
		}
		watch, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(watch)
		if _, err := unix.InotifyAddWatch(watch, fifo, unix.IN_OPEN|unix.IN_ACCESS); err != nil {
			t.Fatal(err)
		}
		p := path(t, "fifo")
		if e, err := tr.Stat(t.Context(), p); err != nil || e.Kind != hufu.Other {
			t.Error(e, err)
		}
		if got := tr.list(""); !slices.Equal(got, []string{"fifo"}) {
			t.Error(got)
		}
		_, err = openFile(t, tr, p)
		wantErr(t, err, hufu.KindWrongKind, "not_a_file")
		_, err = tr.Digest(t.Context(), p)
		wantErr(t, err, hufu.KindWrongKind, "not_a_file")
		b := tr.Batch(blob.Guard{})
		b.SetMeta(t.Context(), p, blob.Meta{Mode: 0o777}, "")
		b.Mkdir(t.Context(), p, blob.Meta{}, true)
		b.Put(t.Context(), path(t, "fifo/x"), nil, blob.Meta{}, always())
		res := b.Finish(t.Context())
		wantErr(t, res[0].Err, hufu.KindWrongKind, "not_a_file")
		wantErr(t, res[1].Err, hufu.KindExists, "target_exists")
		wantErr(t, res[2].Err, hufu.KindWrongKind, "not_a_folder")
		var ev [4096]byte
		if n, err := unix.Read(watch, ev[:]); !errors.Is(err, unix.EAGAIN) {
			t.Errorf("the FIFO was opened: %d bytes of events, %v", n, err)
		}
		b.Remove(t.Context(), p, false, "")
		if r := b.Finish(t.Context())[0]; r.Err != nil {
			t.Error(r.Err)
		}
	})
}

// asNobody runs f without the rights of root, in this thread alone.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		f()
		return
	}
	done := make(chan struct{})
	go func() { // the thread ends with the goroutine
		defer close(done)
		runtime.LockOSThread()
		if err := unix.Setfsuid(65534); err != nil {
			t.Error(err)
			return
		}
		f()
	}()
	<-done
}

func TestUnreadableAmongReadable(t *testing.T) {
	t.Parallel()
	tr := newTree(t, disk.Options{})
	must(t, os.Chmod(tr.dir, 0o755))
	for _, n := range []string{"open", "shut"} {
		must(t, os.WriteFile(filepath.Join(tr.root, n), []byte(n), 0o644))
	}
	must(t, os.Mkdir(filepath.Join(tr.root, "dark"), 0o755))
	must(t, os.Chmod(filepath.Join(tr.root, "shut"), 0))
	must(t, os.Chmod(filepath.Join(tr.root, "dark"), 0))
	defer func() { _ = os.Chmod(filepath.Join(tr.root, "dark"), 0o755) }()
	if os.Geteuid() != 0 {
		must(t, os.Chmod(tr.root, 0o555))
		defer func() { _ = os.Chmod(tr.root, 0o755) }()
	}
	asNobody(t, func() {
		var seen []string
		if err := listAll(t.Context(), tr, path(t, ""), func(e hufu.Entry) error { seen = append(seen, e.Name); return nil }); err != nil || len(seen) != 3 {
			t.Error(seen, err)
		}
		if f, err := openFile(t, tr, path(t, "open")); err != nil {
			t.Error(err)
		} else {
			f.Close()
		}
		check := func(err error, kind hufu.Kind, code string) {
			t.Helper()
			if hufu.KindOf(err) != kind || hufu.CodeOf(err) != code {
				t.Errorf("%v: want %v %s", err, kind, code)
			}
		}
		_, err := openFile(t, tr, path(t, "shut"))
		check(err, hufu.KindUnreadable, "file_unreadable")
		check(listAll(t.Context(), tr, path(t, "dark"), nil), hufu.KindUnreadable, "file_unreadable")
		b := tr.Batch(blob.Guard{})
		b.Put(t.Context(), path(t, "new"), nil, blob.Meta{}, always())
		b.Remove(t.Context(), path(t, "open"), false, "")
		for _, r := range b.Finish(t.Context()) {
			check(r.Err, hufu.KindPermission, "file_unwritable")
		}
	})
}
