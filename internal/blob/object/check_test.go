package object_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/blob/object"
	"hufu/internal/digest"
	"hufu/internal/meta"
)

const grace = 30 * 24 * time.Hour

// findings checks the store, and returns what was found.
func findings(t *testing.T, s *object.Trees, repair bool) (all []string, sum object.CheckedStore) {
	t.Helper()
	sum, err := s.Check(t.Context(), object.CheckOptions{Grace: grace, Repair: repair}, func(f object.Finding) error {
		line := strings.Join(append([]string{f.Problem}, f.Paths...), " ")
		if f.Removed {
			line += " removed"
		}
		all = append(all, line)
		return nil
	})
	must(t, err)
	slices.Sort(all)
	return all, sum
}

// TestCheckFindsWhatIsLost: objects that are lost are named with the paths of their files, and those
// that no file has are removed after the grace time. The listing may be in any order.
func TestCheckFindsWhatIsLost(t *testing.T) {
	t.Parallel()
	for _, sorted := range []bool{true, false} {
		t.Run(fmt.Sprint(sorted), func(t *testing.T) {
			t.Parallel()
			f, b := newFake(t)
			f.sorted = sorted
			s := object.NewTrees(database(t), b, object.Options{Installation: "test"})
			tree := tree(t, s)
			medium, large := content(20_000, 'm'), content(3<<20+1, 'l')
			copy(large[1<<20:], make([]byte, 1<<20)) // a hole, which has no object
			upload := func(p string) {
				u := open(t, tree, p, large)
				for i := range int64(4) {
					if i == 1 {
						must(t, u.Write(t.Context(), i, nil, digest.Zeros(hufu.ChunkSize, i)))
					} else {
						must(t, send(t, u, large, i))
					}
				}
				_, err := blob.CommitUpload(t.Context(), u, digest.Sum(large), blob.Meta{}, always)
				must(t, err)
			}
			made := func(do func()) (fresh []string) {
				before := f.keys()
				do()
				return slices.DeleteFunc(f.keys(), func(key string) bool { return slices.Contains(before, key) })
			}
			fill := func(dir string) []string {
				return made(func() {
					must(t, put(t, tree, dir+"empty", nil))
					must(t, put(t, tree, dir+"small", []byte("small")))
					must(t, put(t, tree, dir+"medium", medium))
					upload(dir + "large")
				})
			}
			for _, dir := range []string{"", "d/e/"} {
				fill(dir)
			}
			gone := fill("gone/")
			remove(t, tree, "gone")
			dead := made(func() { must(t, put(t, tree, "dead", medium)) })
			remove(t, tree, "dead")
			unfinished := open(t, tree, "unfinished", large)
			pending := made(func() { must(t, send(t, unfinished, large, 0)) })
			one := made(func() { must(t, put(t, tree, "d/one", medium)) })
			many := made(func() { upload("d/many") })
			short := made(func() { upload("short") })

			got, sum := findings(t, s, true)
			want := object.CheckedStore{Files: 15, Folders: 3, Objects: 21, Bytes: sum.Bytes}
			if len(got) > 0 || sum != want || len(one)+len(pending)+len(dead) != 3 || len(many) != 3 {
				t.Fatalf("%q, %+v, want %+v", got, sum, want)
			}

			change := func(do func()) {
				f.mu.Lock()
				defer f.mu.Unlock()
				do()
			}
			change(func() {
				for _, key := range slices.Concat(one, many[1:2], gone) { // a removed folder is not missed
					delete(f.objects, key)
				}
				f.objects[short[0]] = f.objects[short[0]][:100]
			})
			lost := []string{"object_length users/alice/short", "object_missing users/alice/d/many", "object_missing users/alice/d/one"}
			if got, sum := findings(t, s, true); !slices.Equal(got, lost) || sum.Damaged != 3 {
				t.Errorf("%q %+v", got, sum)
			}

			// What nobody needs: a second object of a unit, and one of a content without a row.
			strange := []string{"test/strange", "test/" + meta.NewID().String() + "/0/x"}
			change(func() {
				for _, key := range append(strange, many[0]+"z", "test/"+meta.NewID().String()+"/0/0.0") {
					f.objects[key] = []byte("x")
				}
			})
			lost = append(lost, "object_foreign", "object_foreign")
			slices.Sort(lost)
			if got, sum := findings(t, s, true); !slices.Equal(got, lost) || sum.Unused != 0 {
				t.Errorf("new objects: %q %+v", got, sum)
			}
			unused := append([]string{"object_unused", "object_unused"}, lost...)
			slices.Sort(unused)
			for age, repair := range map[time.Duration]bool{2 * time.Hour: true, grace + time.Hour: false} {
				change(func() { f.age = age })
				if got, sum := findings(t, s, repair); !slices.Equal(got, unused) || sum.Unused != 2 || sum.Removed != 0 {
					t.Errorf("%v old: %q %+v", age, got, sum)
				}
			}
			change(func() { f.age = grace + time.Hour })
			before := len(f.keys())
			if _, sum := findings(t, s, true); sum.Unused != 2 || sum.Removed != 2 || len(f.keys()) != before-2 {
				t.Errorf("%d objects are left of %d: %+v", len(f.keys()), before, sum)
			}
			if got, sum := findings(t, s, true); !slices.Equal(got, lost) || sum.Removed != 0 {
				t.Errorf("%q %+v", got, sum)
			}
			for _, key := range slices.Concat(dead, pending, many[:1], many[2:]) {
				if !slices.Contains(f.keys(), key) {
					t.Errorf("%s is gone", key)
				}
			}
		})
	}
}

// TestCheckFindsRowsThatDisagree: names without a file, folders without a name, and counts.
func TestCheckFindsRowsThatDisagree(t *testing.T) {
	t.Parallel()
	n := database(t)
	_, b := newFake(t)
	s := object.NewTrees(n, b, object.Options{Installation: "test"})
	tree, ctx := tree(t, s), t.Context()
	for _, p := range []string{"d/nameless", "d/more", "lost/f", "gone/f", "fine"} {
		must(t, put(t, tree, p, []byte("x")))
	}
	top, err := n.Root(ctx, "users/alice")
	must(t, err)
	at := func(path, name string) meta.Place {
		w, err := n.Look(ctx, top, path, name)
		must(t, err)
		return w
	}
	must(t, n.Release(ctx, at("d/", "nameless").Entry.Child))
	second := at("d/", "more")
	second.Entry.Name = "second"
	must(t, n.PutEntry(ctx, second.Folder, second.Entry))
	must(t, n.DropEntry(ctx, top, "lost"))
	must(t, n.Detach(ctx, at("", "gone").Entry.Child))
	data := content(2<<20, 'u')
	u := open(t, tree, "half", data)
	must(t, send(t, u, data, 0))
	id, _ := meta.ParseID(u.Info().ID)
	_, err = n.Abandon(ctx, id)
	must(t, err)
	want := []string{
		"folder_lost", "folder_missing users/alice/gone", "name_without_file users/alice/d/nameless", "upload_lost half",
		"wrong_references users/alice/d/more users/alice/d/second",
	}
	if got, sum := findings(t, s, true); !slices.Equal(got, want) || sum.Damaged != 5 {
		t.Errorf("%q %+v", got, sum)
	}
	// What the clean-up should have taken long ago.
	got := 0
	_, err = s.Check(ctx, object.CheckOptions{Grace: -10 * 24 * time.Hour}, func(f object.Finding) error {
		if f.Problem == object.Overdue && !f.Damage {
			got++
		}
		return nil
	})
	if err != nil || got != 2 { // the abandoned upload, and the nameless content
		t.Errorf("%d are overdue: %v", got, err)
	}
}

// TestCheckOfFilesThatAreRemovedMeanwhile: their objects go before they are looked at.
func TestCheckOfFilesThatAreRemovedMeanwhile(t *testing.T) {
	t.Parallel()
	f, b := newFake(t)
	s := object.NewTrees(database(t), b, object.Options{Installation: "test"})
	tree := tree(t, s)
	must(t, put(t, tree, "f", content(20_000, 'f')))
	must(t, b.Delete(t.Context(), f.keys()[0]))
	must(t, put(t, tree, "other", content(20_000, 'o')))
	looked := false
	f.before = func(r *http.Request) {
		if r.Method == http.MethodHead && !looked {
			looked = true
			remove(t, tree, "f")
		}
	}
	if got, _ := findings(t, s, true); len(got) > 0 || !looked {
		t.Errorf("%q, looked %v", got, looked)
	}
}

// TestCheckWhileServersWork: nothing that goes on looks like damage, or is taken.
func TestCheckWhileServersWork(t *testing.T) {
	t.Parallel()
	n := database(t)
	f, b := newFake(t)
	f.age = 2 * grace // if it were for its age alone, everything could be removed
	o := object.Options{Installation: "test", Inline: -1}
	over := make(chan struct{})
	var wg sync.WaitGroup
	for i := range 3 {
		wg.Go(func() {
			s := object.NewTrees(n, b, o)
			tree, err := s.User(t.Context(), "alice")
			if err != nil {
				t.Error(err)
				return
			}
			data := content(2<<20+1, byte('a'+i))
			for round := 0; ; round++ {
				select {
				case <-over:
					return
				default:
				}
				dir := fmt.Sprintf("d%d/", (i+round)%3)
				p, _ := hufu.ParsePath(fmt.Sprintf("own%d/large", i))
				batch := tree.Batch(blob.Guard{})
				for j := range 5 {
					q, _ := hufu.ParsePath(dir + fmt.Sprint(j))
					batch.Put(t.Context(), q, data[:100+i], blob.Meta{}, always)
				}
				batch.Finish(t.Context())
				u, err := tree.OpenUpload(t.Context(), blob.UploadKey{Path: p, Size: int64(len(data)), Source: fmt.Sprint(round), Owner: "alice/x"}, blob.Guard{})
				if err != nil {
					continue
				}
				for c := range int64(3) {
					if err := send(t, u, data, c); err != nil {
						t.Error(err)
					}
				}
				if _, err := blob.CommitUpload(t.Context(), u, digest.Sum(data), blob.Meta{}, always); err != nil && round%4 != 0 {
					t.Error(err)
				}
				_ = u.Close()
				if round%2 == 1 {
					q, _ := hufu.ParsePath(strings.TrimSuffix(dir, "/"))
					batch.Remove(t.Context(), q, true, "")
					batch.Finish(t.Context())
				}
				if _, err := s.Clean(t.Context(), -time.Minute); err != nil {
					t.Error(err)
				}
			}
		})
	}
	s := object.NewTrees(n, b, o)
	for range 5 {
		if got, sum := findings(t, s, true); sum.Damaged > 0 {
			t.Errorf("%q", got)
		}
	}
	close(over)
	wg.Wait()
	if got, sum := findings(t, s, true); sum.Damaged > 0 {
		t.Errorf("%q", got)
	}
	var files []string
	tree := tree(t, s)
	for i := range 3 {
		files = append(files, fmt.Sprintf("own%d/large", i))
	}
	for i, p := range files {
		if _, err := tree.Stat(t.Context(), path(t, p)); err == nil {
			holds(t, tree, p, content(2<<20+1, byte('a'+i)))
		}
	}
}
