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

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/blob/disk"
	"hufu/internal/digest"
)

// errNo is what the guards of these tests refuse with.
var errNo = &hufu.Error{Op: "guard", Kind: hufu.KindPermission, Code: "not_yours"}

// of allows what a user may do who may change only what is their own.
func of(user string) blob.Guard {
	return blob.Guard{Deep: true, May: func(_ context.Context, c blob.Change) error {
		if c.Old != 0 && c.Owners.Owner() != user {
			return errNo
		}
		return nil
	}}
}

// as stages changes of a user, guarded.
func (tr *tree) as(user string, stage func(blob.Batch)) blob.Batch {
	b := tr.Batch(of(user))
	stage(b)
	return b
}

func putAs(t testing.TB, b blob.Batch, user, p, data string, c hufu.Condition) {
	b.Put(t.Context(), path(t, p), []byte(data), blob.Meta{Mode: 0o640, Digest: digest.Sum([]byte(data)), By: user}, c)
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
		stage func(blob.Batch)
		asked []string // name, what stands and will stand there, its owner, the folder's, the lock
	}{
		"put new":     {func(b blob.Batch) { putAs(t, b, "carol", "d/n", "x", ifAbsent()) }, []string{"d/n,,file,,alice,shared"}},
		"put over":    {func(b blob.Batch) { putAs(t, b, "carol", "d/f", "x", always()) }, []string{"d/f,,file,,alice,shared", "d/f,file,file,bob,alice,alone"}},
		"put, parent": {func(b blob.Batch) { putAs(t, b, "carol", "d/p/n", "x", ifAbsent()) }, []string{"d/p,,folder,,alice,shared", "d/p/n,,file,,carol,shared"}},
		"mkdir":       {func(b blob.Batch) { b.Mkdir(t.Context(), path(t, "d/n"), blob.Meta{By: "carol"}, false) }, []string{"d/n,,folder,,alice,shared"}},
		"link new":    {func(b blob.Batch) { b.Symlink(t.Context(), path(t, "d/n"), "x", blob.Meta{}, ifAbsent()) }, []string{"d/n,,link,,alice,shared"}},
		"link over":   {func(b blob.Batch) { b.Symlink(t.Context(), path(t, "d/f"), "x", blob.Meta{}, always()) }, []string{"d/f,file,link,bob,alice,alone"}},
		"over link":   {func(b blob.Batch) { putAs(t, b, "carol", "d/l", "x", always()) }, []string{"d/l,,file,,alice,shared", "d/l,link,file,alice,alice,alone"}},
		"set link":    {func(b blob.Batch) { b.SetMeta(t.Context(), path(t, "d/l"), blob.Meta{}, "") }, []string{"d/l,link,link,alice,alice,alone"}},
		"remove":      {func(b blob.Batch) { b.Remove(t.Context(), path(t, "d/f"), false, "") }, []string{"d/f,file,,bob,alice,alone"}},
		"rmdir":       {func(b blob.Batch) { b.Remove(t.Context(), path(t, "d/e"), false, "") }, []string{"d/e,folder,,bob,alice,alone", "d/e,folder,,bob,alice,alone"}},
		"remove all": {func(b blob.Batch) { b.Remove(t.Context(), path(t, "d/s"), true, "") }, []string{
			"d/s,folder,,alice,alice,alone",
			"d/s/g,file,,bob,alice,", // the look that leaves the folder whole
			"d/s/g,file,,bob,alice,alone",
			"d/s,folder,,alice,alice,alone",
		}},
		"rename":        {func(b blob.Batch) { b.Rename(t.Context(), path(t, "d/f"), path(t, "d/n"), ifAbsent(), "") }, []string{"d/f,file,,bob,alice,alone", "d/n,,file,,alice,alone"}},
		"rename over":   {func(b blob.Batch) { b.Rename(t.Context(), path(t, "d/f"), path(t, "d/l"), always(), "") }, []string{"d/f,file,,bob,alice,alone", "d/l,link,file,alice,alice,alone"}},
		"rename folder": {func(b blob.Batch) { b.Rename(t.Context(), path(t, "d/s"), path(t, "n"), ifAbsent(), "") }, []string{"d/s,folder,,alice,alice,alone", "d/s/g,file,,bob,alice,alone", "n,,folder,,,alone"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tr := newTree(t, server())
			b := tr.Batch(blob.Guard{})
			b.Mkdir(t.Context(), path(t, "d"), blob.Meta{By: "alice"}, false)
			b.Mkdir(t.Context(), path(t, "d/s"), blob.Meta{By: "alice"}, false)
			b.Mkdir(t.Context(), path(t, "d/e"), blob.Meta{By: "bob"}, false)
			putAs(t, b, "bob", "d/f", "f", ifAbsent())
			putAs(t, b, "bob", "d/s/g", "g", ifAbsent())
			b.Symlink(t.Context(), path(t, "d/l"), "x", blob.Meta{}, ifAbsent())
			for _, r := range b.Finish(t.Context()) {
				must(t, r.Err)
			}
			before := inside(t, tr.root)
			for i := range c.asked { // refused at each step
				if name == "remove all" && i == 3 || name == "put, parent" && i == 1 {
					continue // what came before has happened
				}
				asked := 0
				b := tr.Batch(blob.Guard{Deep: true, May: func(context.Context, blob.Change) error {
					if asked++; asked > i {
						return errNo
					}
					return nil
				}})
				c.stage(b)
				wantErr(t, b.Finish(t.Context())[0].Err, hufu.KindPermission, "not_yours")
				if after := inside(t, tr.root); !slices.Equal(after, before) {
					t.Fatalf("refused at step %d, and changed\n%q to\n%q", i, before, after)
				}
			}
			var asked []string
			b = tr.Batch(blob.Guard{Deep: true, May: func(_ context.Context, c blob.Change) error {
				owner := ""
				if c.Old != 0 {
					owner = c.Owners.Owner()
				}
				asked = append(asked, strings.Join([]string{c.Path.String(), kinds[c.Old], kinds[c.New], owner, c.Owners.FolderOwner(), disk.Locked(c)}, ","))
				return nil
			}})
			c.stage(b)
			must(t, b.Finish(t.Context())[0].Err)
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
		b := tr.Batch(blob.Guard{})
		putAs(t, b, "bob", "f", "bob's", ifAbsent())
		must(t, b.Finish(t.Context())[0].Err)
		e, err := tr.Stat(t.Context(), path(t, "f"))
		must(t, err)
		data := random(mib+1, 9)
		u, err := tr.OpenUpload(tr.t.Context(), key(t, "f", data), of("alice"))
		must(t, err)
		write(t, u, data, 0, 1)
		for _, c := range []hufu.Condition{always(), ifVersion(e.Version)} {
			_, err = blob.CommitUpload(t.Context(), u, digest.Sum(data), meta, c)
			wantErr(t, err, hufu.KindPermission, "not_yours")
			if got := tr.content("f"); got != "bob's" {
				t.Fatalf("bob's file holds %d bytes", len(got))
			}
		}
		must(t, tr.as("bob", func(b blob.Batch) { b.Remove(t.Context(), path(t, "f"), false, "") }).Finish(t.Context())[0].Err)
		_, err = blob.CommitUpload(t.Context(), u, digest.Sum(data), meta, always())
		must(t, errors.Join(err, u.Close()))
	})
}

// TestGuardUnderRace: whatever alice does at the same moment, what bob has put
// stands there until he removes it.
func TestGuardUnderRace(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		bobs  []string // where his file may stand; he puts it under the first name
		alice []func(*testing.T, blob.Batch)
	}{
		"file": {[]string{"a/f"}, []func(*testing.T, blob.Batch){
			func(t *testing.T, b blob.Batch) { putAs(t, b, "alice", "a/f", "alice's", ifAbsent()) },
			func(t *testing.T, b blob.Batch) { putAs(t, b, "alice", "a/f", "alice's", always()) },
			func(t *testing.T, b blob.Batch) { b.SetMeta(t.Context(), path(t, "a/f"), blob.Meta{Mode: 0o777}, "") },
			func(t *testing.T, b blob.Batch) { b.Rename(t.Context(), path(t, "a/f"), path(t, "a/g"), always(), "") },
			func(t *testing.T, b blob.Batch) { b.Rename(t.Context(), path(t, "a/g"), path(t, "a/f"), always(), "") },
			func(t *testing.T, b blob.Batch) { b.Remove(t.Context(), path(t, "a/f"), false, "") },
			func(t *testing.T, b blob.Batch) { putAs(t, b, "alice", "a/f", "alice's", ifAbsent()) },
			func(t *testing.T, b blob.Batch) { b.Symlink(t.Context(), path(t, "a/f"), "x", blob.Meta{}, always()) },
			func(t *testing.T, b blob.Batch) { b.Remove(t.Context(), path(t, "a/f"), true, "") },
			func(t *testing.T, b blob.Batch) { b.Remove(t.Context(), path(t, "a/f"), true, "") },
		}},
		"folder": {[]string{"d/s/f", "e/s/f"}, []func(*testing.T, blob.Batch){
			func(t *testing.T, b blob.Batch) { putAs(t, b, "alice", "d/s/x", "alice's", always()) },
			func(t *testing.T, b blob.Batch) { b.Rename(t.Context(), path(t, "d"), path(t, "e"), ifAbsent(), "") },
			func(t *testing.T, b blob.Batch) { b.Rename(t.Context(), path(t, "e"), path(t, "d"), ifAbsent(), "") },
			func(t *testing.T, b blob.Batch) { b.Remove(t.Context(), path(t, "d"), true, "") },
			func(t *testing.T, b blob.Batch) { b.Remove(t.Context(), path(t, "e"), true, "") },
			func(t *testing.T, b blob.Batch) { b.Remove(t.Context(), path(t, "d/s"), true, "") },
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tr := newTree(t, server())
			must(t, tr.as("alice", func(b blob.Batch) { b.Mkdir(t.Context(), path(t, "a"), blob.Meta{By: "alice"}, true) }).Finish(t.Context())[0].Err)
			var over atomic.Bool
			var wg sync.WaitGroup
			slow := of("alice") // so that there is time between the answer and the change
			slow.May = func(ctx context.Context, c blob.Change) error {
				err := of("alice").May(ctx, c)
				for range 100 {
					runtime.Gosched()
				}
				return err
			}
			for first := range 2 {
				wg.Go(func() {
					for i := first; !over.Load(); i++ {
						b := tr.Batch(slow)
						c.alice[i%len(c.alice)](t, b)
						_ = b.Finish(t.Context())
					}
				})
			}
			done := 0
			for range 400 {
				if tr.as("bob", func(b blob.Batch) { putAs(t, b, "bob", c.bobs[0], "bob's", ifAbsent()) }).Finish(t.Context())[0].Err != nil {
					continue
				}
				done++
				stands := ""
				for _, p := range c.bobs {
					if e, err := tr.Stat(t.Context(), path(t, p)); err == nil && e.By == "bob" {
						stands = p
					}
				}
				if stands == "" {
					t.Error("what bob has put is gone")
					break
				}
				for range 5 {
					if e, err := tr.Stat(t.Context(), path(t, stands)); err != nil || e.By != "bob" || e.Mode != 0o640 || e.Digest != digest.Sum([]byte("bob's")) {
						t.Errorf("what bob has put is %+v, %v", e, err)
					}
				}
				for _, p := range []string{stands, "d/s", "d", "e"} { // folders made on the way are bob's too
					err := tr.as("bob", func(b blob.Batch) { b.Remove(t.Context(), path(t, p), p == stands, "") }).Finish(t.Context())[0].Err
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
