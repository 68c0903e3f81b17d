//go:build linux

package disk_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/blob/disk"
	"hufu/internal/digest"
)

// replacers put something under the name f, in different ways.
func replacers(t *testing.T) map[string]func(tr *tree, i int) error {
	put := func(tr *tree, i int, cond hufu.Condition) error {
		b := tr.Batch(blob.Guard{})
		b.Put(t.Context(), path(t, "f"), fmt.Append(nil, "new ", i), meta, cond)
		return b.Finish(t.Context())[0].Err
	}
	seen := func(tr *tree) hufu.Condition {
		e, err := tr.Stat(t.Context(), path(t, "f"))
		if err != nil {
			return ifAbsent()
		}
		return ifVersion(e.Version)
	}
	return map[string]func(tr *tree, i int) error{
		"file":    func(tr *tree, i int) error { return put(tr, i, always()) },
		"version": func(tr *tree, i int) error { return put(tr, i, seen(tr)) },
		"link": func(tr *tree, i int) error {
			b := tr.Batch(blob.Guard{})
			b.Symlink(t.Context(), path(t, "f"), fmt.Sprint("new ", i), meta, always())
			return b.Finish(t.Context())[0].Err
		},
		"upload": func(tr *tree, i int) error {
			data := random(2*mib, uint64(90+i))
			k := key(t, "f", data)
			k.Source = fmt.Sprint("v", i)
			u, err := tr.OpenUpload(t.Context(), k, blob.Guard{})
			if err != nil {
				return err
			}
			defer u.Close()
			for c := range int64(2) {
				if err := u.Write(t.Context(), c, chunk(data, c), digest.Chunk(chunk(data, c), c)); err != nil {
					return err
				}
			}
			_, err = blob.CommitUpload(t.Context(), u, digest.Sum(data), meta, seen(tr))
			return err
		},
	}
}

// Several replace one name one after the other, and none of that can be made
// durable: in whatever order they are told, what stood there in the beginning
// stands there in the end.
func TestReplacedByManyAndNotDurable(t *testing.T) {
	t.Parallel()
	all := replacers(t)
	for _, kinds := range [][]string{
		{"file", "file"},
		{"version", "version"},
		{"link", "link"},
		{"upload", "upload"},
		{"upload", "version"},
		{"file", "upload"},
		{"file", "version", "link"},
		{"version", "upload", "file"},
		{"link", "upload", "upload"},
	} {
		for _, order := range orders(len(kinds)) {
			for _, old := range []string{"old content", ""} {
				for _, tmpfile := range []bool{true, false} {
					if !tmpfile && len(kinds) > 2 {
						continue
					}
					t.Run(fmt.Sprint(strings.Join(kinds, ","), order, old, tmpfile), func(t *testing.T) {
						t.Parallel()
						var mu sync.Mutex
						failing := false
						named := make(chan chan struct{})
						tr := newTree(t, disk.Options{Server: true, Hook: func(step string) error {
							mu.Lock()
							on := failing
							mu.Unlock()
							switch {
							case !on:
							case step == "batch-named" || step == "commit-named":
								goOn := make(chan struct{})
								named <- goOn
								<-goOn
							case step == "sync-folder":
								return syscall.EIO
							}
							return nil
						}})
						tr.WithFsync()
						if !tmpfile {
							tr.WithoutTmpfile()
						}
						if old != "" {
							tr.mustPut("f", old)
						}
						mu.Lock()
						failing = true
						mu.Unlock()
						goOn, ended := make([]chan struct{}, len(kinds)), make([]chan error, len(kinds))
						for i, kind := range kinds {
							ended[i] = make(chan error, 1)
							go func() { ended[i] <- all[kind](tr, i) }()
							goOn[i] = <-named
						}
						for _, i := range order {
							close(goOn[i])
							if err := <-ended[i]; !errors.Is(err, disk.ErrSync) {
								t.Errorf("%d: %v", i, err)
							}
						}
						got, err := os.ReadFile(filepath.Join(tr.root, "f"))
						if string(got) != old || old == "" && !errors.Is(err, fs.ErrNotExist) {
							t.Errorf("%.20q is there, %v", got, err)
						}
						noneReserved(t, tr.root)
						if n := tr.Staged() + tr.Replaced(); n != 0 {
							t.Errorf("%d reserved names are remembered", n)
						}
						if left := names(t, filepath.Join(tr.dir, "uploads")); len(left) != 0 {
							t.Errorf("left: %q", left)
						}
					})
				}
			}
		}
	}
}

// orders are all orders of the first n numbers.
func orders(n int) [][]int {
	if n == 0 {
		return [][]int{nil}
	}
	var all [][]int
	for _, o := range orders(n - 1) {
		for i := range n {
			all = append(all, slices.Insert(slices.Clone(o), i, n-1))
		}
	}
	return all
}

// everywhere reads all files of a tree, those under reserved names too.
func everywhere(t *testing.T, root string) (all []string) {
	t.Helper()
	list, err := os.ReadDir(root)
	must(t, err)
	for _, e := range list {
		if b, err := os.ReadFile(filepath.Join(root, e.Name())); err == nil {
			all = append(all, string(b))
		}
	}
	return all
}

// save replaces a file as an editor does.
func save(t *testing.T, file, content string) {
	t.Helper()
	must(t, os.WriteFile(file+"~", []byte(content), 0o600))
	must(t, os.Rename(file+"~", file))
}

// Somebody saves a file just before it is replaced under a condition, and it cannot
// be put back: it is never removed, whatever is done then, and the next one who
// opens the tree puts it back.
func TestNotPutBackIsKept(t *testing.T) {
	t.Parallel()
	ways := replacers(t)
	ways["rename"] = func(tr *tree, _ int) error {
		must(t, os.WriteFile(filepath.Join(tr.root, "g"), []byte("g"), 0o600))
		e, err := tr.Stat(t.Context(), path(t, "f"))
		must(t, err)
		b := tr.Batch(blob.Guard{})
		b.Rename(t.Context(), path(t, "g"), path(t, "f"), ifVersion(e.Version), "")
		return b.Finish(t.Context())[0].Err
	}
	for _, way := range []string{"version", "upload", "rename"} {
		for _, tmpfile := range []bool{true, false} {
			for _, isServer := range []bool{true, false} {
				t.Run(fmt.Sprint(way, tmpfile, isServer), func(t *testing.T) {
					t.Parallel()
					var tr *tree
					broken := true
					tr = newTree(t, disk.Options{Server: isServer, Hook: func(step string) error {
						switch {
						case step == "replace-checked" && broken:
							save(t, filepath.Join(tr.root, "f"), "somebody else's")
						case step == "put-back" && broken:
							return syscall.EIO
						}
						return nil
					}})
					if !tmpfile {
						tr.WithoutTmpfile()
					}
					tr.mustPut("f", "old")
					if err := ways[way](tr, 0); err == nil {
						t.Fatal("it replaced another version than it was to")
					}
					there := func(when string) {
						t.Helper()
						tr.list("") // a server clears away what it does not know
						if !slices.Contains(everywhere(t, tr.root), "somebody else's") {
							t.Fatal("lost ", when)
						}
					}
					there("at once")
					broken = false
					again := way == "upload" && !tmpfile
					if again { // the same again takes it for nothing of its own
						must(t, ways[way](tr, 0))
						there("when it was tried again")
						_, err := tr.Expire(-1)
						must(t, err)
						there("when uploads expired")
					}
					tr = tr.reopen(disk.Options{Server: isServer})
					must(t, tr.Recover())
					there("when the tree was opened again")
					if way != "rename" && !again {
						if got := tr.content("f"); got != "somebody else's" {
							t.Errorf("f holds %.20q", got)
						}
					}
					if way == "version" {
						noneReserved(t, tr.root)
						if left := names(t, filepath.Join(tr.dir, "uploads")); len(left) != 0 {
							t.Errorf("left: %q", left)
						}
					}
				})
			}
		}
	}
}

// Somebody saves a file just before it is replaced under a condition, and another
// just before that is put back: the last one stays.
func TestSavedWhilePutBack(t *testing.T) {
	t.Parallel()
	ways := replacers(t)
	for _, way := range []string{"version", "upload"} {
		for _, later := range []int{1, 2, 3} {
			var tr *tree
			saved := 0
			tr = newTree(t, disk.Options{Server: true, Hook: func(step string) error {
				if step == "replace-checked" && saved == 0 || step == "put-back" && saved <= later {
					saved++
					save(t, filepath.Join(tr.root, "f"), fmt.Sprint("saved ", saved))
				}
				return nil
			}})
			tr.mustPut("f", "old")
			if err := ways[way](tr, 0); hufu.CodeOf(err) != "target_changed" {
				t.Errorf("%s, %d: %v", way, later, err)
			}
			if got := tr.content("f"); got != fmt.Sprint("saved ", later+1) {
				t.Errorf("%s, %d: f holds %q", way, later, got)
			}
			if way == "version" {
				noneReserved(t, tr.root)
			}
		}
	}
}

// What a failed sync undoes cannot be undone: both versions are there until it is
// known which one stays.
func TestNotTakenBackIsKept(t *testing.T) {
	t.Parallel()
	ways := replacers(t)
	for _, way := range []string{"file", "version", "link", "upload"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			broken := true
			tr := newTree(t, disk.Options{Server: true, Hook: func(step string) error {
				if broken && (step == "sync-folder" || step == "put-back") {
					return syscall.EIO
				}
				return nil
			}})
			tr.WithFsync()
			broken = false
			tr.mustPut("f", "old")
			broken = true
			if err := ways[way](tr, 0); !errors.Is(err, disk.ErrSync) {
				t.Fatal(err)
			}
			tr.list("")
			if !slices.Contains(everywhere(t, tr.root), "old") {
				t.Error("the old version is gone")
			}
			if _, err := os.Lstat(filepath.Join(tr.root, "f")); err != nil {
				t.Error(err)
			}
		})
	}
}

// A commit that failed with somebody's file under the upload's name may be repeated:
// that file is not taken for what an earlier try has replaced.
func TestNotPutBackAndCommittedAgain(t *testing.T) {
	t.Parallel()
	var tr *tree
	broken := true
	tr = newTree(t, disk.Options{Server: true, Hook: func(step string) error {
		switch {
		case step == "replace-checked" && broken:
			save(t, filepath.Join(tr.root, "f"), "somebody else's")
		case step == "put-back" && broken:
			return syscall.EIO
		}
		return nil
	}})
	cond := ifVersion(tr.mustPut("f", "old").Version)
	data := random(2*mib, 95)
	u := tr.open(key(t, "f", data))
	defer u.Close()
	write(t, u, data, 0, 1)
	for range 3 {
		if _, err := blob.CommitUpload(t.Context(), u, digest.Sum(data), meta, cond); err == nil {
			t.Error("committed")
		}
		broken = false
	}
	if !slices.Contains(everywhere(t, tr.root), "somebody else's") {
		t.Error("lost")
	}
}
