package disk_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"hufu"
	"hufu/internal/blob/disk"
	"hufu/internal/digest"
)

// errNo is what the guards of these tests refuse with.
var errNo = &hufu.Error{Op: "guard", Kind: hufu.KindPermission, Code: "not_yours"}

// of allows what a user may do who may change only what is their own.
func of(user string) disk.Guard {
	return disk.Guard{Deep: true, May: func(c disk.Change) error {
		if c.Old != 0 && c.Owner() != user {
			return errNo
		}
		return nil
	}}
}

// as stages changes of a user, guarded.
func (tr *tree) as(user string, stage func(*disk.Batch)) *disk.Batch {
	b := tr.Batch()
	b.Guard(of(user))
	stage(b)
	return b
}

func putAs(t testing.TB, b *disk.Batch, user, p, data string, c hufu.Condition) {
	b.Put(path(t, p), []byte(data), disk.Meta{Mode: 0o640, Digest: digest.Sum([]byte(data)), By: user}, c)
}

// inside lists what stands below dir, with its kind and content.
func inside(t testing.TB, dir string) (all []string) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		line := p + " " + d.Type().String()
		if d.Type().IsRegular() {
			b, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			line += " " + string(b)
		}
		all = append(all, line)
		return nil
	}))
	return all
}

// TestGuardIsAskedWhereTheChangeIs: about what stands there then, with the
// folder locked until the change is made; and what it refuses is not made.
func TestGuardIsAskedWhereTheChangeIs(t *testing.T) {
	t.Parallel()
	kinds := [...]string{"", "file", "folder", "link", "other"}
	for name, c := range map[string]struct {
		stage func(*disk.Batch)
		asked []string // name, what stands and will stand there, its owner, the folder's, the lock
	}{
		"put new":     {func(b *disk.Batch) { putAs(t, b, "carol", "d/n", "x", ifAbsent()) }, []string{"d/n,,file,,alice,shared"}},
		"put over":    {func(b *disk.Batch) { putAs(t, b, "carol", "d/f", "x", always()) }, []string{"d/f,,file,,alice,shared", "d/f,file,file,bob,alice,alone"}},
		"put, parent": {func(b *disk.Batch) { putAs(t, b, "carol", "d/p/n", "x", ifAbsent()) }, []string{"d/p,,folder,,alice,shared", "d/p/n,,file,,carol,shared"}},
		"mkdir":       {func(b *disk.Batch) { b.Mkdir(path(t, "d/n"), disk.Meta{By: "carol"}, false) }, []string{"d/n,,folder,,alice,shared"}},
		"link new":    {func(b *disk.Batch) { b.Symlink(path(t, "d/n"), "x", disk.Meta{}, ifAbsent()) }, []string{"d/n,,link,,alice,shared"}},
		"link over":   {func(b *disk.Batch) { b.Symlink(path(t, "d/f"), "x", disk.Meta{}, always()) }, []string{"d/f,file,link,bob,alice,alone"}},
		"over link":   {func(b *disk.Batch) { putAs(t, b, "carol", "d/l", "x", always()) }, []string{"d/l,,file,,alice,shared", "d/l,link,file,alice,alice,alone"}},
		"set link":    {func(b *disk.Batch) { b.SetMeta(path(t, "d/l"), disk.Meta{}) }, []string{"d/l,link,link,alice,alice,alone"}},
		"remove":      {func(b *disk.Batch) { b.Remove(path(t, "d/f"), false) }, []string{"d/f,file,,bob,alice,alone"}},
		"rmdir":       {func(b *disk.Batch) { b.Remove(path(t, "d/e"), false) }, []string{"d/e,folder,,bob,alice,alone", "d/e,folder,,bob,alice,alone"}},
		"remove all": {func(b *disk.Batch) { b.Remove(path(t, "d/s"), true) }, []string{
			"d/s,folder,,alice,alice,alone",
			"d/s/g,file,,bob,alice,", // the look that leaves the folder whole
			"d/s/g,file,,bob,alice,alone",
			"d/s,folder,,alice,alice,alone",
		}},
		"rename":        {func(b *disk.Batch) { b.Rename(path(t, "d/f"), path(t, "d/n"), ifAbsent()) }, []string{"d/f,file,,bob,alice,alone", "d/n,,file,,alice,alone"}},
		"rename over":   {func(b *disk.Batch) { b.Rename(path(t, "d/f"), path(t, "d/l"), always()) }, []string{"d/f,file,,bob,alice,alone", "d/l,link,file,alice,alice,alone"}},
		"rename folder": {func(b *disk.Batch) { b.Rename(path(t, "d/s"), path(t, "n"), ifAbsent()) }, []string{"d/s,folder,,alice,alice,alone", "d/s/g,file,,bob,alice,alone", "n,,folder,,,alone"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tr := newTree(t, server())
			b := tr.Batch()
			b.Mkdir(path(t, "d"), disk.Meta{By: "alice"}, false)
			b.Mkdir(path(t, "d/s"), disk.Meta{By: "alice"}, false)
			b.Mkdir(path(t, "d/e"), disk.Meta{By: "bob"}, false)
			putAs(t, b, "bob", "d/f", "f", ifAbsent())
			putAs(t, b, "bob", "d/s/g", "g", ifAbsent())
			b.Symlink(path(t, "d/l"), "x", disk.Meta{}, ifAbsent())
			for _, r := range b.Commit(t.Context()) {
				must(t, r.Err)
			}
			before := inside(t, tr.root)
			for i := range c.asked { // refused at each step
				if name == "remove all" && i == 3 || name == "put, parent" && i == 1 {
					continue // what came before has happened
				}
				asked := 0
				b.Guard(disk.Guard{Deep: true, May: func(disk.Change) error {
					if asked++; asked > i {
						return errNo
					}
					return nil
				}})
				c.stage(b)
				wantErr(t, b.Commit(t.Context())[0].Err, hufu.KindPermission, "not_yours")
				if after := inside(t, tr.root); !slices.Equal(after, before) {
					t.Fatalf("refused at step %d, and changed\n%q to\n%q", i, before, after)
				}
			}
			var asked []string
			b.Guard(disk.Guard{Deep: true, May: func(c disk.Change) error {
				owner := ""
				if c.Old != 0 {
					owner = c.Owner()
				}
				asked = append(asked, strings.Join([]string{c.Path.String(), kinds[c.Old], kinds[c.New], owner, c.FolderOwner(), c.Locked()}, ","))
				return nil
			}})
			c.stage(b)
			must(t, b.Commit(t.Context())[0].Err)
			if !slices.Equal(asked, c.asked) {
				t.Errorf("asked\n%q, want\n%q", asked, c.asked)
			}
			if slices.Equal(inside(t, tr.root), before) && name != "set link" {
				t.Error("nothing has changed")
			}
		})
	}
}

// TestGuardOfAnUpload: it is asked at the commit, and may allow it another time.
func TestGuardOfAnUpload(t *testing.T) {
	t.Parallel()
	eachTree(t, func(t *testing.T, tr *tree, isServer bool) {
		if !isServer {
			return
		}
		b := tr.Batch()
		putAs(t, b, "bob", "f", "bob's", ifAbsent())
		must(t, b.Commit(t.Context())[0].Err)
		e, err := tr.Stat(path(t, "f"))
		must(t, err)
		data := random(mib+1, 9)
		u, err := tr.OpenUpload(tr.t.Context(), key(t, "f", data))
		must(t, err)
		write(t, u, data, 0, 1)
		u.Guard(of("alice"))
		for _, c := range []hufu.Condition{always(), ifVersion(e.Version)} {
			_, err = u.Commit(t.Context(), digest.Sum(data), meta, c)
			wantErr(t, err, hufu.KindPermission, "not_yours")
			if got := tr.content("f"); got != "bob's" {
				t.Fatalf("bob's file holds %d bytes", len(got))
			}
		}
		must(t, tr.as("bob", func(b *disk.Batch) { b.Remove(path(t, "f"), false) }).Commit(t.Context())[0].Err)
		_, err = u.Commit(t.Context(), digest.Sum(data), meta, always())
		must(t, errors.Join(err, u.Close()))
	})
}

// TestGuardUnderRace: whatever alice does at the same moment, what bob has put
// stands there until he removes it.
func TestGuardUnderRace(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		bobs  []string // where his file may stand; he puts it under the first name
		alice []func(*testing.T, *disk.Batch)
	}{
		"file": {[]string{"a/f"}, []func(*testing.T, *disk.Batch){
			func(t *testing.T, b *disk.Batch) { putAs(t, b, "alice", "a/f", "alice's", ifAbsent()) },
			func(t *testing.T, b *disk.Batch) { putAs(t, b, "alice", "a/f", "alice's", always()) },
			func(t *testing.T, b *disk.Batch) { b.SetMeta(path(t, "a/f"), disk.Meta{Mode: 0o777}) },
			func(t *testing.T, b *disk.Batch) { b.Rename(path(t, "a/f"), path(t, "a/g"), always()) },
			func(t *testing.T, b *disk.Batch) { b.Rename(path(t, "a/g"), path(t, "a/f"), always()) },
			func(t *testing.T, b *disk.Batch) { b.Remove(path(t, "a/f"), false) },
			func(t *testing.T, b *disk.Batch) { putAs(t, b, "alice", "a/f", "alice's", ifAbsent()) },
			func(t *testing.T, b *disk.Batch) { b.Symlink(path(t, "a/f"), "x", disk.Meta{}, always()) },
			func(t *testing.T, b *disk.Batch) { b.Remove(path(t, "a/f"), true) },
			func(t *testing.T, b *disk.Batch) { b.Remove(path(t, "a/f"), true) },
		}},
		"folder": {[]string{"d/s/f", "e/s/f"}, []func(*testing.T, *disk.Batch){
			func(t *testing.T, b *disk.Batch) { putAs(t, b, "alice", "d/s/x", "alice's", always()) },
			func(t *testing.T, b *disk.Batch) { b.Rename(path(t, "d"), path(t, "e"), ifAbsent()) },
			func(t *testing.T, b *disk.Batch) { b.Rename(path(t, "e"), path(t, "d"), ifAbsent()) },
			func(t *testing.T, b *disk.Batch) { b.Remove(path(t, "d"), true) },
			func(t *testing.T, b *disk.Batch) { b.Remove(path(t, "e"), true) },
			func(t *testing.T, b *disk.Batch) { b.Remove(path(t, "d/s"), true) },
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tr := newTree(t, server())
			must(t, tr.as("alice", func(b *disk.Batch) { b.Mkdir(path(t, "a"), disk.Meta{By: "alice"}, true) }).Commit(t.Context())[0].Err)
			var over atomic.Bool
			var wg sync.WaitGroup
			slow := of("alice") // so that there is time between the answer and the change
			slow.May = func(c disk.Change) error {
				err := of("alice").May(c)
				for range 100 {
					runtime.Gosched()
				}
				return err
			}
			for first := range 2 {
				wg.Go(func() {
					for i := first; !over.Load(); i++ {
						b := tr.Batch()
						b.Guard(slow)
						c.alice[i%len(c.alice)](t, b)
						_ = b.Commit(t.Context())
					}
				})
			}
			done := 0
			for range 400 {
				if tr.as("bob", func(b *disk.Batch) { putAs(t, b, "bob", c.bobs[0], "bob's", ifAbsent()) }).Commit(t.Context())[0].Err != nil {
					continue
				}
				done++
				stands := ""
				for _, p := range c.bobs {
					if e, err := tr.Stat(path(t, p)); err == nil && e.By == "bob" {
						stands = p
					}
				}
				if stands == "" {
					t.Error("what bob has put is gone")
					break
				}
				for range 5 {
					if e, err := tr.Stat(path(t, stands)); err != nil || e.By != "bob" || e.Mode != 0o640 || e.Digest != digest.Sum([]byte("bob's")) {
						t.Errorf("what bob has put is %+v, %v", e, err)
					}
				}
				for _, p := range []string{stands, "d/s", "d", "e"} { // folders made on the way are bob's too
					err := tr.as("bob", func(b *disk.Batch) { b.Remove(path(t, p), p == stands) }).Commit(t.Context())[0].Err
					if p == stands && err != nil {
						t.Errorf("bob removes his file: %v", err)
					}
				}
				if t.Failed() {
					break
				}
			}
			over.Store(true)
			wg.Wait()
			t.Logf("bob has put %d times", done)
		})
	}
}
