//go:build linux

package disk_test

import (
	"os"
	"path/filepath"
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
