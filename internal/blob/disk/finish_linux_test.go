package disk_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/blob/disk"
	"hufu/internal/digest"
)

// The folder above an upload may be removed at any moment: it is made again for
// the first chunk, and from then on the upload is gone with it, which is told.
func TestFolderRemovedInTheMiddleOfAStep(t *testing.T) {
	t.Parallel()
	data := random(2*mib, 96)
	var tr *tree
	times := 0
	remove := func() {
		if times--; times >= 0 {
			must(t, os.RemoveAll(filepath.Join(tr.root, "d")))
		}
	}
	tr = newTree(t, disk.Options{Server: true, Hook: func(step string) error {
		if step == "journal-made" {
			remove()
		}
		return nil
	}})
	first := chunk(data, 0)
	begin := func() (blob.Upload, error) {
		u := tr.open(key(t, "d/e/f", data))
		return u, u.Write(t.Context(), 0, first, digest.Chunk(first, 0))
	}
	times = 100 // again and again
	u, err := begin()
	wantErr(t, err, hufu.KindNotFound, "upload_gone")
	u.Close()
	times = 1
	u, err = begin()
	must(t, err)
	write(t, u, data, missing(u)...)
	id := u.Info().ID
	u.Close()
	u, err = tr.FindUpload(t.Context(), id, blob.Guard{May: func(context.Context, blob.Change) error { remove(); return nil }})
	must(t, err)
	times = 1
	_, err = blob.CommitUpload(t.Context(), u, digest.Sum(data), meta, ifAbsent())
	wantErr(t, err, hufu.KindNotFound, "upload_gone")
	u.Close()
	u, err = begin()
	must(t, err)
	write(t, u, data, missing(u)...)
	_, err = blob.CommitUpload(t.Context(), u, digest.Sum(data), meta, ifAbsent())
	must(t, err)
	u.Close()
	if tr.content("d/e/f") != string(data) {
		t.Error("other bytes")
	}
	if left := names(t, filepath.Join(tr.dir, "uploads")); len(left) != 0 {
		t.Errorf("left: %q", left)
	}
}
