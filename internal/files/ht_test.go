package files

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/digest"
)

// FuzzHT27DecidedIsOpened: whatever spelling of a path is taken at all, the
// file stands where its bytes say, in the place that was decided on, and
// nowhere else; and it is the same file for every way to reach it.
func FuzzHT27DecidedIsOpened(f *testing.F) {
	for _, s := range []string{
		"a", "/a", "a/", "//a", "a//b", "./a", "a/.", "a/./b", "..", "a/..", "a/../b", "../bob/secret", "/../../etc/passwd",
		"%2e%2e/bob/secret", "..%2fbob", "a%00b", "a\x00b", `..\bob\secret`, `a\..\..\bob`, "a\\b", "\xc0\xae\xc0\xae/bob/secret", "\xff\xfe",
		"é", "e\u0301", "A", "a", "ſ", "K", "\u2024\u2024/bob", "\uff0e\uff0e/bob", "\uff0fbob", "CON", "nul", "com1.txt", "x.", "x ", " x", "a:b", "a::$DATA", "~", "~bob", "$HOME",
		"-rf", "*", "?", "\n", "\r\n", "\x1b[2J", "@shared", "@shared/common", "@shared/common/x", "@shared/common/../x", "@shared/common/a/b", "@shared//common/x", "@SHARED/common/x",
		"@shared/commonx/x", "@shared/./common/x", "@shared/../users/bob/secret", "@shared/.hidden/x", "@shared/..", "@", "@x", "a/@shared/common", " @shared/common/x",
		".hufu-x", "a/.hufu-x", ".HUFU-x", "@shared/common/.hufu-1", strings.Repeat("x", 255), strings.Repeat("x", 256), strings.Repeat("d/", 255) + "f", strings.Repeat("d/", 256) + "f",
	} {
		f.Add(s)
	}
	h := newHouse(f)
	ok(f, mkdir(f, h.view("alice", "pc"), "/"), mkdir(f, h.view("bob", "pc"), "/"))
	f.Fuzz(func(t *testing.T, s string) {
		p, err := hufu.ParsePath(s)
		if err != nil {
			return
		}
		v := h.view("alice", "pc")
		before := h.tree()
		err = do(v, func(b *Batch) {
			b.Put(context.Background(), p, []byte("here"), blob.Meta{Mode: 0o644, Digest: digest.Sum([]byte("here"))}, hufu.Condition{Kind: hufu.IfAbsent})
		}).Err
		if err != nil {
			return
		}
		defer func() {
			top := p // what was made in the place
			for !top.Parent().IsRoot() && top.Parent().String() != "@shared/common" {
				top = top.Parent()
			}
			if err := do(v, func(b *Batch) { b.Remove(context.Background(), top, true, "") }).Err; err != nil {
				t.Errorf("removing %q: %v", top, err)
			}
			if after := h.tree(); !slices.Equal(after, before) {
				t.Errorf("after the removal of %q: %q, before: %q", s, after, before)
			}
		}()
		// The decision, made from the segments alone.
		segments := strings.Split(strings.Trim(s, "/"), "/")
		want := "users/alice/" + strings.Join(segments, "/")
		if segments[0] == "@shared" {
			want = "shared/" + strings.Join(segments[1:], "/")
		}
		var stands []string
		for _, name := range h.tree() {
			if i, err := os.Lstat(filepath.Join(h.data, "files") + "/" + name); err == nil && i.Mode().IsRegular() {
				stands = append(stands, name)
			}
		}
		if !slices.Equal(stands, []string{want}) {
			t.Fatalf("%q was decided to be %q and stands at %q", s, want, stands)
		}
		e, err := v.Stat(context.Background(), p)
		if err != nil || e.Name != segments[len(segments)-1] || e.By != "alice" {
			t.Errorf("stat of %q: %+v, %v", s, e, err)
		}
		file, err := v.Open(context.Background(), p)
		if err != nil || file.Entry().Version != e.Version {
			t.Fatalf("open of %q: %v", s, err)
		}
		_ = file.Close()
		listed := false
		if err := v.List(context.Background(), p.Parent(), blob.Page{}, func(x hufu.Entry) error { listed = listed || x.Name == e.Name && x.Version == e.Version; return nil }); err != nil || !listed {
			t.Errorf("%q is not in its folder's listing: %v", s, err)
		}
		if segments[0] != "@shared" {
			if _, err := h.view("bob", "pc").Stat(context.Background(), p); err == nil {
				t.Errorf("bob finds %q", s)
			}
		}
	})
}

// TestHT28SiblingPrefixes: a name is not inside another that begins like it.
func TestHT28SiblingPrefixes(t *testing.T) {
	t.Parallel()
	h := newHouse(t, "common2", "commo", "comm")
	users := []string{"al", "alice", "alice2", "alic"}
	for _, u := range users {
		v := h.view(u, "pc")
		ok(t, put(t, v, "/a", u, hufu.IfAbsent), put(t, v, "/ab/x", u, hufu.IfAbsent), put(t, v, "/a.d/x", u, hufu.IfAbsent), put(t, v, "/d/x", u, hufu.IfAbsent), put(t, v, "/dd/x", u, hufu.IfAbsent))
	}
	alice := h.view("alice", "pc")
	ok(t, remove(t, alice, "/d"))
	if names := list(t, alice, "/"); !slices.Equal(names, []string{"a", "a.d", "ab", "dd"}) {
		t.Errorf("after removing d: %v", names)
	}
	ok(t, rename(t, alice, "/a", "/ab/a"), rename(t, alice, "/ab", "/abc"), rename(t, alice, "/abc", "/ab"))
	code(t, rename(t, alice, "/ab", "/ab/inside"), "rename_into_itself")
	for _, u := range users {
		v := h.view(u, "pc")
		name := "/a"
		if u == "alice" {
			name = "/ab/a"
		}
		if got, err := read(t, v, name); got != u {
			t.Errorf("%s reads %q, %v", u, got, err)
		}
	}
	for _, s := range []string{"common", "common2", "commo", "comm"} {
		ok(t, put(t, alice, "/@shared/"+s+"/x", s, hufu.IfAbsent))
	}
	for _, s := range []string{"common", "common2", "commo", "comm"} {
		if got, err := read(t, h.view("bob", "pc"), "/@shared/"+s+"/x"); got != s || !slices.Equal(list(t, alice, "/@shared/"+s), []string{"x"}) {
			t.Errorf("%s holds %q, %v", s, got, err)
		}
	}
	for _, p := range []string{"/@shared/com/x", "/@shared/common22/x", "/@share/common/x", "/@shared2/common/x"} {
		if put(t, alice, p, "x", hufu.IfAbsent) == nil {
			t.Errorf("put into %s", p)
		}
	}
	for _, c := range []struct {
		p, q string
		want bool
	}{{"share2", "share", false}, {"share/x", "share", true}, {"share", "share", true}, {"share", "", true}, {"shar", "share", false}, {"share2/share", "share", false}} {
		if at(t, c.p).Below(at(t, c.q)) != c.want {
			t.Errorf("%s below %s: want %v", c.p, c.q, c.want)
		}
	}
}

// TestHT29NamesAreNoPaths: names that mean something elsewhere are names here,
// and those that lead out of a place are none.
func TestHT29NamesAreNoPaths(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	ok(t, os.MkdirAll(filepath.Join(h.data, "files", "shared", ".hidden"), 0o700))
	ok(t, os.Symlink(filepath.Join(h.data, "files", "users"), filepath.Join(h.data, "files", "shared", "link")))
	ok(t, os.WriteFile(filepath.Join(h.data, "files", "shared", "file"), nil, 0o600))
	v := h.view("alice", "pc")
	ok(t, put(t, h.view("bob", "pc"), "/secret", "bob's", hufu.IfAbsent))
	for _, name := range []string{".hidden", "link", "link/bob", "file", "file/x", "CON", "...", `..\users\bob`, `common\..\..\users`} {
		for _, below := range []string{"", "/x", "/secret", "/bob/secret"} {
			p, err := hufu.ParsePath("@shared/" + name + below)
			if err != nil {
				continue
			}
			if _, err := v.Stat(context.Background(), p); err == nil {
				t.Errorf("%s is there", p)
			}
			if err := v.List(context.Background(), p, blob.Page{}, func(hufu.Entry) error { return nil }); err == nil {
				t.Errorf("%s is listed", p)
			}
			if do(v, func(b *Batch) { b.Mkdir(context.Background(), p, 0o755, true) }).Err == nil || put(t, v, p.Virtual(), "x", hufu.Always) == nil {
				t.Errorf("wrote to %s", p)
			}
		}
	}
	if names := list(t, v, "/@shared"); !slices.Equal(names, []string{"common"}) {
		t.Errorf("shared are %v", names)
	}
	for _, name := range []string{"CON", "nul", "COM1", "lpt9.txt", "dot.", "space ", "a:stream", `back\slash`, "...", "~", "$(id)", "-rf", strings.Repeat("n", 255)} {
		ok(t, put(t, v, "/"+name, name, hufu.IfAbsent))
		if data, err := os.ReadFile(filepath.Join(h.data, "files", "users", "alice") + "/" + name); string(data) != name {
			t.Errorf("%q stands there as %q, %v", name, data, err)
		}
	}
	for _, s := range []string{"..", ".", "a\x00b", "a/../b", "x/" + strings.Repeat("n", 256), "a//b"} {
		if _, err := hufu.ParsePath(s); hufu.KindOf(err) != hufu.KindInvalidPath {
			t.Errorf("%q is a path: %v", s, err)
		}
	}
}

// TestHT38NothingUploadedIsRun: what is put carries no permission to be run on
// the server, and no name of it reaches the server's own files.
func TestHT38NothingUploadedIsRun(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	v := h.view("alice", "pc")
	names := []string{
		"hufu.db", "hufu.db-wal", "server.crt", "server.sock", "listen", "lock", "ca/root.key", "ca/issuing.key", "uploads/x", "teach/x", "config", "config.yaml", ".htaccess",
		"index.php", "run.sh", ".profile", ".ssh/authorized_keys", "cron.d/job", "libx.so", "users/bob/x", "shared/common/x",
	}
	for _, name := range names {
		for _, place := range []string{"/", "/@shared/common/"} {
			ok(t, put(t, v, place+name, "#!/bin/sh\ntouch /tmp/run\n", hufu.IfAbsent))
		}
	}
	ok(t, do(v, func(b *Batch) { b.SetMeta(context.Background(), at(t, "/run.sh"), blob.Meta{Mode: 0o777}, "") }).Err)
	upload(t, v, "/large.sh", bytes.Repeat([]byte("#!/bin/sh\n"), 300_000))
	files := 0
	err := filepath.WalkDir(h.data, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(h.data, path)
		inside := strings.HasPrefix(rel, "files/users/alice") || strings.HasPrefix(rel, "files/shared/common")
		i, err := d.Info()
		switch {
		case err != nil:
			return err
		case d.Type().IsRegular() && (!inside || i.Mode().Perm() != 0o600):
			t.Errorf("%s is %v", rel, i.Mode())
		case d.Type().IsRegular():
			files++
		}
		return nil
	})
	if err != nil || files != 2*len(names)+1 {
		t.Errorf("%d files, %v", files, err)
	}
	h.again() // a start reads nothing of it
	if e, err := h.view("alice", "pc").Stat(context.Background(), at(t, "/run.sh")); err != nil || e.Mode != 0o777 {
		t.Errorf("the client's mode is kept beside: %v, %v", e.Mode, err)
	}
}

// TestHT51LinksSwappedIn exchanges a folder of alice's, at every level, for a
// link to bob's and back in a loop while she reads and writes below it.
func TestHT51LinksSwappedIn(t *testing.T) {
	t.Parallel()
	for level, link := range []string{"pub", "a/pub", "a/b/pub", ""} {
		h := newHouse(t)
		alice, bob := h.view("alice", "pc"), h.view("bob", "pc")
		root := filepath.Join(h.data, "files", "users")
		secret := strings.Repeat("bob's secret ", 10)
		ok(t, put(t, bob, "/x", secret, hufu.IfAbsent), mkdir(t, bob, "/d"), put(t, bob, "/d/x", secret, hufu.IfAbsent))
		before := readTree(t, filepath.Join(root, "bob"))
		target := filepath.Join(root, "bob")
		folder := "/" + link
		swapped := filepath.Join(root, "alice", link)
		if link == "" { // the last name itself: a file for a link to a file
			folder, swapped, target = "/last", filepath.Join(root, "alice", "last", "x"), filepath.Join(root, "bob", "x")
		}
		ok(t, mkdir(t, alice, folder+"/d"), put(t, alice, folder+"/x", "alice's", hufu.IfAbsent))
		aside := filepath.Join(h.data, "aside")
		ok(t, os.Symlink(target, aside))
		var stop atomic.Bool
		var wg sync.WaitGroup
		wg.Go(func() {
			for !stop.Load() {
				_ = exchange(aside, swapped)
				runtime.Gosched()
			}
		})
		large := bytes.Repeat([]byte("alice"), hufu.ChunkSize/2)
		for i := range 150 {
			name := fmt.Sprintf("%s/new%d", folder, i)
			if got, err := read(t, alice, folder+"/x"); err == nil && strings.Contains(got, "bob") {
				t.Fatalf("level %d: alice reads %q", level, got)
			}
			_ = alice.List(context.Background(), at(t, folder), blob.Page{}, func(e hufu.Entry) error {
				if e.By == "bob" {
					t.Errorf("level %d: alice sees %s", level, e.Name)
				}
				return nil
			})
			if e, err := alice.Stat(context.Background(), at(t, folder+"/d/x")); err == nil {
				t.Errorf("level %d: alice finds %+v", level, e)
			}
			if e, err := alice.Digest(t.Context(), at(t, folder+"/x")); err == nil && e.Digest == digest.Sum([]byte(secret)) {
				t.Errorf("level %d: alice learns the digest of bob's file", level)
			}
			_ = put(t, alice, name, "alice's", hufu.Always)
			_ = put(t, alice, folder+"/x", "alice's", hufu.Always)
			_ = mkdir(t, alice, name+".d")
			_ = rename(t, alice, name, name+".r")
			_ = do(alice, func(b *Batch) { b.SetMeta(context.Background(), at(t, folder+"/x"), blob.Meta{Mode: 0o777}, "") }).Err
			_ = do(alice, func(b *Batch) {
				b.Link(context.Background(), at(t, name+".l"), "x", blob.Meta{}, hufu.Condition{Kind: hufu.IfAbsent})
			}).Err
			_ = remove(t, alice, folder+"/d")
			if i%10 == 0 {
				if u, err := alice.OpenUpload(t.Context(), at(t, name+".large"), int64(len(large)), "v"); err == nil {
					for c := range digest.Chunks(int64(len(large))) {
						piece := large[c*hufu.ChunkSize:][:digest.ChunkLen(int64(len(large)), c)]
						_ = u.Write(context.Background(), c, piece, digest.Chunk(piece, c))
					}
					_, _ = alice.CommitUpload(t.Context(), u.Info().ID, at(t, name+".large"), digest.Sum(large), blob.Meta{}, hufu.Condition{Kind: hufu.Always})
					_ = u.Close()
				}
			}
		}
		stop.Store(true)
		wg.Wait()
		if after := readTree(t, filepath.Join(root, "bob")); after != before {
			t.Errorf("level %d: bob's folder was\n%sand is\n%s", level, before, after)
		}
	}
}

// readTree describes a folder: names, modes and contents.
func readTree(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		i, err := d.Info()
		if err != nil {
			return err
		}
		var data []byte
		if d.Type().IsRegular() {
			data, err = os.ReadFile(path)
		}
		fmt.Fprintf(&b, "%s %v %q\n", path, i.Mode(), data)
		return err
	})
	ok(t, err)
	return b.String()
}

// TestHT54OneWins: two writers of one name, each many times.
func TestHT54OneWins(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, place := range []string{"/", "/@shared/common/"} {
		for i := range 30 {
			name := fmt.Sprintf("%sf%d", place, i)
			writers := []*View{h.view("alice", "pc"), h.view("alice", "phone")}
			race := func(c hufu.Condition) (won []int) {
				errs := make([]error, len(writers))
				var wg sync.WaitGroup
				for n, v := range writers {
					wg.Go(func() {
						data := fmt.Appendf(nil, "%d of %d", n, c.Kind)
						errs[n] = do(v, func(b *Batch) { b.Put(context.Background(), at(t, name), data, blob.Meta{Digest: digest.Sum(data)}, c) }).Err
					})
				}
				wg.Wait()
				for n, err := range errs {
					switch {
					case err == nil:
						won = append(won, n)
					case hufu.KindOf(err) != hufu.KindExists && hufu.KindOf(err) != hufu.KindChanged:
						t.Errorf("%s: %v", name, err)
					}
				}
				if got, err := read(t, writers[0], name); len(won) == 1 && got != fmt.Sprintf("%d of %d", won[0], c.Kind) {
					t.Errorf("%s: %d won and it holds %q, %v", name, won[0], got, err)
				}
				return won
			}
			if won := race(hufu.Condition{Kind: hufu.IfAbsent}); len(won) != 1 {
				t.Errorf("%s: %d wrote a new name", name, len(won))
			}
			e, err := writers[0].Stat(context.Background(), at(t, name))
			ok(t, err)
			if won := race(hufu.Condition{Kind: hufu.IfVersion, Version: e.Version}); len(won) != 1 {
				t.Errorf("%s: %d replaced one version", name, len(won))
			}
		}
	}
}
