//go:build linux

package disk_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"

	"hufu/internal/blob"
	"hufu/internal/blob/disk"
	"hufu/internal/digest"
)

// Whoever puts something below a folder that another has made, and has not made
// durable, makes the name of that folder durable too, once.
func TestFolderMadeByAnotherIsDurable(t *testing.T) {
	t.Parallel()
	big := random(mib+5, 70)
	type watched struct {
		*tree
		folders atomic.Int64 // how many were synced
		named   func()       // called once when a batch has given its names
	}
	one := func(tr *watched, fill func(b blob.Batch)) {
		t := tr.t
		t.Helper()
		b := tr.Batch(blob.Guard{})
		fill(b)
		for _, r := range b.Finish(t.Context()) {
			must(t, r.Err)
		}
	}
	// Each makes the folder d and calls then before that is durable.
	makers := map[string]func(tr *watched, then func()){
		"for a file": func(tr *watched, then func()) {
			b := tr.Batch(blob.Guard{})
			b.Put(t.Context(), path(tr.t, "d/x"), []byte("x"), meta, ifAbsent())
			then()
			b.Discard()
		},
		"by itself": func(tr *watched, then func()) {
			b := tr.Batch(blob.Guard{})
			b.Mkdir(t.Context(), path(tr.t, "d"), meta, false)
			then()
			must(tr.t, b.Finish(tr.t.Context())[0].Err)
		},
		"moved": func(tr *watched, then func()) {
			must(tr.t, os.Mkdir(filepath.Join(tr.root, "old"), 0o700))
			tr.named = then
			one(tr, func(b blob.Batch) { b.Rename(t.Context(), path(tr.t, "old"), path(tr.t, "d"), ifAbsent(), "") })
		},
	}
	actions := map[string]func(tr *watched, name string){
		"file":             func(tr *watched, name string) { must(tr.t, tr.put("d/"+name, "x", ifAbsent()).Err) },
		"file, whatsoever": func(tr *watched, name string) { must(tr.t, tr.put("d/"+name, "x", always()).Err) },
		"file below":       func(tr *watched, name string) { must(tr.t, tr.put("d/"+name+"/e/f", "x", ifAbsent()).Err) },
		"folder": func(tr *watched, name string) {
			one(tr, func(b blob.Batch) { b.Mkdir(t.Context(), path(tr.t, "d/"+name), meta, true) })
		},
		"link": func(tr *watched, name string) {
			one(tr, func(b blob.Batch) { b.Symlink(t.Context(), path(tr.t, "d/"+name), "x", meta, ifAbsent()) })
		},
		"moved there": func(tr *watched, name string) {
			must(tr.t, os.MkdirAll(filepath.Join(tr.root, "from"), 0o700))
			must(tr.t, os.WriteFile(filepath.Join(tr.root, "from", name), nil, 0o600))
			one(tr, func(b blob.Batch) {
				b.Rename(t.Context(), path(tr.t, "from/"+name), path(tr.t, "d/"+name), ifAbsent(), "")
			})
		},
		"mode": func(tr *watched, name string) {
			must(tr.t, os.WriteFile(filepath.Join(tr.root, "d", name), nil, 0o600))
			one(tr, func(b blob.Batch) { b.SetMeta(t.Context(), path(tr.t, "d/"+name), meta, "") })
		},
		"upload": func(tr *watched, name string) {
			u := tr.open(key(tr.t, "d/"+name, big))
			defer u.Close()
			write(tr.t, u, big, 0, 1)
			_, err := blob.CommitUpload(tr.t.Context(), u, digest.Sum(big), meta, ifAbsent())
			must(tr.t, err)
			if _, ok := tr.Committed(t.Context(), u.Info().ID, path(tr.t, "d/"+name)); !ok {
				tr.t.Error("not told as committed")
			}
		},
	}
	open := func(t *testing.T) *watched {
		tr := &watched{}
		tr.tree = newTree(t, disk.Options{Server: true, Hook: func(step string) error {
			switch {
			case step == "sync-folder":
				tr.folders.Add(1)
			case step == "batch-named" && tr.named != nil:
				then := tr.named
				tr.named = nil
				then()
			}
			return nil
		}})
		tr.WithFsync()
		return tr
	}
	for maker, begin := range makers {
		for action, do := range actions {
			t.Run(maker+"/"+action, func(t *testing.T) {
				t.Parallel()
				count := func(tr *watched, name string) int64 {
					before := tr.folders.Load()
					do(tr, name)
					return tr.folders.Load() - before
				}
				tr := open(t)
				must(t, os.Mkdir(filepath.Join(tr.root, "d"), 0o700)) // long ago
				usual := count(tr, "a")
				tr = open(t)
				begin(tr, func() {
					if n := count(tr, "a"); n != usual+1 {
						t.Errorf("%d folders were synced, of one that is durable %d", n, usual)
					}
					if n := count(tr, "b"); n != usual {
						t.Errorf("then %d folders were synced, of one that is durable %d", n, usual)
					}
				})
				if n := count(tr, "c"); n != usual {
					t.Errorf("in the end %d folders were synced, of one that is durable %d", n, usual)
				}
				if n := tr.Fresh(); n != 0 {
					t.Errorf("%d names are remembered", n)
				}
			})
		}
	}
}

// A folder that could not be made durable, and cannot be removed because somebody
// has begun to put something there, is not believed by anyone: the system tells of
// the failure once. It can be removed and made again.
func TestFolderThatIsNotDurableIsNotBelieved(t *testing.T) {
	t.Parallel()
	for _, whole := range []bool{false, true} {
		t.Run("whole="+strconv.FormatBool(whole), func(t *testing.T) {
			t.Parallel()
			var f failing
			tr := newTree(t, disk.Options{Server: true, Hook: f.hook})
			tr.WithoutTmpfile()
			if whole {
				tr.WithSyncfs()
			} else {
				tr.WithFsync()
			}
			maker, other := tr.Batch(blob.Guard{}), tr.Batch(blob.Guard{})
			maker.Mkdir(t.Context(), path(t, "d"), meta, false)
			other.Put(t.Context(), path(t, "d/f"), []byte("f"), meta, ifAbsent())
			f.left.Store(1)
			for _, b := range []blob.Batch{maker, other} {
				if err := b.Finish(t.Context())[0].Err; !errors.Is(err, disk.ErrSync) {
					t.Error("acknowledged:", err)
				}
			}
			if _, err := os.Stat(filepath.Join(tr.root, "d")); err != nil {
				t.Fatal("the folder is gone, so this tests nothing:", err)
			}
			if err := tr.put("d/g", "g", ifAbsent()).Err; !errors.Is(err, disk.ErrSync) {
				t.Error("acknowledged:", err)
			}
			big := random(mib+5, 71)
			u := tr.open(key(t, "d/e", big))
			write(t, u, big, 0, 1)
			if _, err := blob.CommitUpload(t.Context(), u, digest.Sum(big), meta, ifAbsent()); !errors.Is(err, disk.ErrSync) {
				t.Error("acknowledged:", err)
			}
			u.Close()
			b := tr.Batch(blob.Guard{})
			b.Mkdir(t.Context(), path(t, "d"), meta, false)
			if err := b.Finish(t.Context())[0].Err; !errors.Is(err, disk.ErrSync) {
				t.Error("acknowledged:", err)
			}
			b.Remove(t.Context(), path(t, "d"), true, "")
			must(t, b.Finish(t.Context())[0].Err)
			must(t, tr.put("d/g", "g", ifAbsent()).Err)
			noneReserved(t, tr.root)
			if n := tr.Fresh(); n != 0 {
				t.Errorf("%d names are remembered", n)
			}
		})
	}
}

// A folder may hold the names of several: when it cannot be made durable, all are
// told who had given theirs before.
func TestFailedSyncOfAFolderIsToldToAll(t *testing.T) {
	t.Parallel()
	var f failing
	tr := newTree(t, disk.Options{Server: true, Hook: f.hook})
	tr.WithFsync()
	batches := []blob.Batch{tr.Batch(blob.Guard{}), tr.Batch(blob.Guard{})}
	for i, b := range batches {
		b.Put(t.Context(), path(t, strconv.Itoa(i)), []byte("x"), meta, always())
	}
	f.left.Store(2) // after the file's own
	for _, b := range batches {
		if err := b.Finish(t.Context())[0].Err; !errors.Is(err, disk.ErrSync) {
			t.Error("acknowledged:", err)
		}
	}
	if left := names(t, tr.root); len(left) != 0 {
		t.Errorf("left: %q", left)
	}
	must(t, tr.put("f", "x", ifAbsent()).Err)
}

// What is given up leaves its folders, and these are durable: nobody else would
// make them so.
func TestFoldersOfWhatIsGivenUp(t *testing.T) {
	t.Parallel()
	tr := newTree(t, server())
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for name, end := range map[string]func(blob.Batch){
		"discarded": blob.Batch.Discard,
		"canceled":  func(b blob.Batch) { b.Finish(over) },
	} {
		b := tr.Batch(blob.Guard{})
		b.Put(t.Context(), path(t, name+"/e/f"), []byte("x"), meta, ifAbsent())
		if tr.Fresh() != 2 {
			t.Errorf("%s: %d names are remembered", name, tr.Fresh())
		}
		end(b)
		if tr.Fresh() != 0 {
			t.Errorf("%s: in the end %d names are remembered", name, tr.Fresh())
		}
		if got := names(t, filepath.Join(tr.root, name)); !slices.Equal(got, []string{"e"}) {
			t.Errorf("%s: %q", name, got)
		}
	}
}
