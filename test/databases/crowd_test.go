//go:build e2e && linux

package databases

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/digest"
)

// numberOf is the larger number in "make soak" and the smaller one otherwise.
func numberOf(few, many int) int {
	if os.Getenv("HUFU_LARGE") != "" {
		return many
	}
	return few
}

// one makes a single change and returns its error.
func one(t *testing.T, tree blob.Tree, change func(blob.Batch)) error {
	b := tree.Batch(blob.Guard{})
	change(b)
	return b.Finish(t.Context())[0].Err
}

// put puts one file.
func put(t *testing.T, tree blob.Tree, p hufu.Path, data string) error {
	return one(t, tree, func(b blob.Batch) {
		b.Put(t.Context(), p, []byte(data), blob.Meta{Digest: digest.Sum([]byte(data))}, hufu.Condition{Kind: hufu.IfAbsent})
	})
}

// namesIn lists a folder page by page.
func namesIn(t *testing.T, tree blob.Tree, p hufu.Path) (all []string) {
	t.Helper()
	for after := ""; ; {
		next, err := tree.List(t.Context(), p, blob.Page{After: after, Limit: 4096}, func(e hufu.Entry) error {
			all = append(all, e.Name)
			return nil
		})
		if must(t, err); next == "" {
			return all
		}
		after = next
	}
}

// TestFoldersRenamedWhileFilesCome: folders are renamed in one process while eight clients put files into
// them in another one. A file that was put is in one place, below the old or the new name of its folder;
// one that was refused is in none.
func TestFoldersRenamedWhileFilesCome(t *testing.T) {
	each(t, func(t *testing.T, e *engine) {
		trees := twoProcesses(t, e)
		folders := numberOf(40, 1000)
		at := func(format string, args ...any) hufu.Path {
			p, err := hufu.ParsePath(fmt.Sprintf(format, args...))
			must(t, err)
			return p
		}
		b := trees[0].Batch(blob.Guard{})
		for i := range folders {
			b.Mkdir(t.Context(), at("from/%d", i), blob.Meta{Mode: 0o755}, true)
		}
		b.Mkdir(t.Context(), at("to"), blob.Meta{Mode: 0o755}, true)
		for _, r := range b.Finish(t.Context()) {
			must(t, r.Err)
		}
		const clients = 8
		var refused atomic.Int64
		var wg sync.WaitGroup
		for c := range clients {
			wg.Go(func() {
				for i := range folders {
					err := put(t, trees[1], at("from/%d/%d", i, c), fmt.Sprint(i, c))
					for hufu.KindOf(err) == hufu.KindNotFound { // the folder was renamed since it was looked for: nothing was put
						refused.Add(1)
						err = put(t, trees[1], at("from/%d/%d", i, c), fmt.Sprint(i, c))
					}
					if err != nil {
						t.Errorf("put %d into folder %d: %v", c, i, err)
					}
				}
			})
		}
		wg.Go(func() {
			for i := range folders {
				err := one(t, trees[0], func(b blob.Batch) {
					b.Rename(t.Context(), at("from/%d", i), at("to/%d", i), hufu.Condition{Kind: hufu.IfAbsent}, "")
				})
				if err != nil {
					t.Errorf("rename folder %d: %v", i, err)
				}
			}
		})
		wg.Wait()
		t.Logf("%d puts were refused because their folder was renamed", refused.Load())
		places := map[string]int{}
		for _, top := range []string{"from", "to"} {
			for _, dir := range namesIn(t, trees[0], at("%s", top)) {
				for _, name := range namesIn(t, trees[0], at("%s/%s", top, dir)) {
					places[dir+"/"+name]++
				}
			}
		}
		for file, n := range places {
			if n != 1 {
				t.Errorf("%s is in %d places", file, n)
			}
		}
		if len(places) != clients*folders {
			t.Errorf("%d files are there, %d were put", len(places), clients*folders)
		}
		if moved := namesIn(t, trees[1], at("to")); len(moved) != folders {
			t.Errorf("%d folders were renamed", len(moved))
		}
	})
}

// TestManyNames: a folder of very many names is listed in pages, in order, moved, and removed as any other.
func TestManyNames(t *testing.T) {
	each(t, func(t *testing.T, e *engine) {
		tree := twoProcesses(t, e)[0]
		n := numberOf(6000, 100_000)
		at := func(p string) hufu.Path {
			path, err := hufu.ParsePath(p)
			must(t, err)
			return path
		}
		b := tree.Batch(blob.Guard{})
		for i := range n {
			b.Put(t.Context(), at(fmt.Sprintf("d/%06d", i)), []byte("x"), blob.Meta{}, hufu.Condition{Kind: hufu.IfAbsent})
			if (i+1)%512 == 0 || i == n-1 {
				for _, r := range b.Finish(t.Context()) {
					must(t, r.Err)
				}
			}
		}
		must(t, one(t, tree, func(b blob.Batch) {
			b.Rename(t.Context(), at("d"), at("e"), hufu.Condition{Kind: hufu.IfAbsent}, "")
		}))
		all := namesIn(t, tree, at("e"))
		for i, name := range all {
			if name != fmt.Sprintf("%06d", i) {
				t.Fatalf("name %d is %q", i, name)
			}
		}
		if len(all) != n {
			t.Errorf("%d names of %d are listed", len(all), n)
		}
		must(t, one(t, tree, func(b blob.Batch) { b.Remove(t.Context(), at("e"), true, "") }))
		if _, err := tree.Stat(t.Context(), at("e")); hufu.KindOf(err) != hufu.KindNotFound {
			t.Error(err)
		}
	})
}

// TestSlowDatabaseOfObjects: though each statement takes long, in "make soak" 300 ms, files come and go
// whole, and nothing is asked to try again.
func TestSlowDatabaseOfObjects(t *testing.T) {
	each(t, func(t *testing.T, e *engine) {
		l := e.link(t)
		s := newNodesOn(t, e.at(l.address, e.create(t)), 1, "")
		alice := s.enroll(s.all[0], "alice", s.all[0].Address)
		must(t, os.Mkdir(filepath.Join(alice.Home, "d"), 0o700))
		content := random(t, alice, "d/large", 3<<20)
		must(t, os.WriteFile(filepath.Join(alice.Home, "d", "small"), []byte("small"), 0o600))
		l.delay(time.Duration(numberOf(20, 300)) * time.Millisecond) // a put takes some 150 statements, one after the other
		for _, args := range [][]string{{"put", "d", ":/"}, {"get", ":/d", "back"}, {"mv", ":/d", ":/e"}, {"rm", "-r", ":/e"}} {
			r, err := alice.Run(args...)
			if must(t, err); r.Code != 0 {
				t.Error(args, r)
			}
		}
		if strings.Contains(s.all[0].Log(), "why=unavailable") {
			t.Error("the server was too busy")
		}
		for name, want := range map[string]string{"large": string(content), "small": "small"} {
			if got, err := os.ReadFile(filepath.Join(alice.Home, "back", name)); err != nil || string(got) != want {
				t.Errorf("%s: %d bytes came back: %v", name, len(got), err)
			}
		}
	})
}
