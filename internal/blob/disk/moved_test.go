//go:build linux

package disk_test

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/blob/disk"
)

// folders makes the folder d and n others, and returns a batch that puts the file f into each.
func (tr *tree) folders(n int) blob.Batch {
	tr.t.Helper()
	b := tr.Batch(blob.Guard{})
	for i := range n + 1 {
		name := "d"
		if i > 0 {
			name += strconv.Itoa(i)
		}
		must(tr.t, os.Mkdir(filepath.Join(tr.root, name), 0o700))
		must(tr.t, os.WriteFile(filepath.Join(tr.root, name, "f"), []byte("old"), 0o600))
		b.Put(tr.t.Context(), path(tr.t, name+"/f"), []byte("new"), meta, hufu.Condition{Kind: hufu.Always})
	}
	return b
}

// A batch that has all its folders open syncs them by their handles, so that a rename in it may move
// one of them.
func TestABatchSyncsAFolderThatItMoves(t *testing.T) {
	t.Parallel()
	for _, n := range []int{disk.MaxFolders/2 + 1, disk.MaxFolders - 1} {
		tr := newTree(t, server())
		tr.WithFsync()
		b := tr.folders(n)
		b.Rename(t.Context(), path(t, "d"), path(t, "e"), ifAbsent(), "")
		for i, r := range b.Finish(t.Context()) {
			if r.Err != nil {
				t.Fatalf("%d folders, change %d: %v", n, i, r.Err)
			}
		}
		if got := tr.content("e/f"); got != "new" {
			t.Errorf("%d folders: e/f holds %q, want new", n, got)
		}
	}
}

// A batch removes the files that it replaced, also from a folder that it has closed and moved.
func TestABatchRemovesReplacedFilesFromAFolderThatItMoves(t *testing.T) {
	t.Parallel()
	eachTree(t, func(t *testing.T, tr *tree, _ bool) {
		tr.WithSyncfs()
		b := tr.folders(disk.MaxFolders + 2)
		b.Rename(t.Context(), path(t, "d"), path(t, "e"), ifAbsent(), "")
		b.Rename(t.Context(), path(t, "e"), path(t, "g"), ifAbsent(), "")
		for i, r := range b.Finish(t.Context()) {
			if r.Err != nil {
				t.Fatalf("change %d: %v", i, r.Err)
			}
		}
		if got := names(t, filepath.Join(tr.root, "g")); !slices.Equal(got, []string{"f"}) || tr.content("g/f") != "new" {
			t.Errorf("left in the moved folder: %q", got)
		}
		if tr.Replaced() != 0 || tr.Staged() != 0 {
			t.Errorf("%d replaced files and %d reserved names are remembered", tr.Replaced(), tr.Staged())
		}
	})
}

// A replaced file is not remembered after its folder was removed.
func TestABatchForgetsReplacedFilesOfAFolderThatItRemoves(t *testing.T) {
	t.Parallel()
	tr := newTree(t, server())
	tr.WithSyncfs()
	b := tr.folders(disk.MaxFolders + 2)
	b.Remove(t.Context(), path(t, "d"), true, "")
	for i, r := range b.Finish(t.Context()) {
		if r.Err != nil {
			t.Fatalf("change %d: %v", i, r.Err)
		}
	}
	if tr.Replaced() != 0 || tr.Staged() != 0 {
		t.Errorf("%d replaced files and %d reserved names are remembered", tr.Replaced(), tr.Staged())
	}
}

// If another program renames a folder that a batch has closed, nothing stays there under a reserved
// name: neither a replaced file, nor one that was given back its name after an error, nor a staged
// file.
func TestABatchLeavesNothingInAFolderThatAnotherProgramMoves(t *testing.T) {
	t.Parallel()
	eachTree(t, func(t *testing.T, first *tree, isServer bool) {
		for _, c := range []struct {
			name string
			with func(*disk.Store)
			end  func(blob.Batch) error
			want string
		}{
			{"durable", (*disk.Store).WithSyncfs, func(b blob.Batch) error { return b.Finish(t.Context())[0].Err }, "new"},
			{"not durable", (*disk.Store).WithFsync, func(b blob.Batch) error { return b.Finish(t.Context())[0].Err }, "old"},
			{"discarded", (*disk.Store).WithoutTmpfile, func(b blob.Batch) error { b.Discard(); return nil }, "old"},
		} {
			t.Run(c.name, func(t *testing.T) {
				var tr *tree
				move := func() {
					must(t, os.Rename(filepath.Join(tr.root, "d"), filepath.Join(tr.root, "e")))
					must(t, os.Mkdir(filepath.Join(tr.root, "d"), 0o700))
				}
				named := 0
				o := disk.Options{Server: isServer, Hook: func(step string) error {
					if step == "batch-name" {
						if named++; named == disk.MaxFolders+3 {
							move()
						}
					}
					return nil
				}}
				must(t, os.RemoveAll(first.root))
				must(t, os.Mkdir(first.root, 0o700))
				tr = first.reopen(o)
				c.with(tr.Store)
				b := tr.folders(disk.MaxFolders + 2)
				if c.name == "discarded" {
					move()
				}
				if err := c.end(b); (err == nil) != (c.name != "not durable") {
					t.Fatal(err)
				}
				if isServer {
					tr.list("e") // removes what is not in use
				} else if got := tr.content("e/f"); got != c.want {
					t.Errorf("e/f holds %q, want %q", got, c.want)
				}
				noneReserved(t, tr.root)
				if tr.Replaced() != 0 || tr.Staged() != 0 {
					t.Errorf("%d replaced files and %d reserved names are remembered", tr.Replaced(), tr.Staged())
				}
			})
		}
	})
}
