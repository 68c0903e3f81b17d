//go:build e2e && linux

package objects

import (
	"bytes"
	"testing"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/blob/object"
	"hufu/test/built"
	"hufu/test/s3"
)

// TestABucketThatKeepsVersions: a probe names it, everything is as in another bucket, and what was
// deleted still takes up space.
func TestABucketThatKeepsVersions(t *testing.T) {
	t.Parallel()
	store, err := s3.StartVersions()
	must(t, err)
	t.Cleanup(store.Stop)
	src, err := store.Bucket()
	must(t, err)
	must(t, store.KeepVersions(t.Context(), src))
	b := open(t, src)
	must(t, b.Probe(t.Context(), func(p object.Probed) error {
		if p.Check == "versions" {
			wantCode(t, p.Err, "store_versions")
		} else if p.Err != nil {
			t.Errorf("%s: %v", p.Check, p.Err)
		}
		return nil
	}))
	_, probed, err := store.Versions(t.Context(), src)
	must(t, err)

	trees := object.NewTrees(names(t), b, object.Options{Installation: "test", Inline: -1})
	alice, err := trees.User(t.Context(), "alice")
	must(t, err)
	at, err := hufu.ParsePath("file")
	must(t, err)
	buf := make([]byte, hufu.ChunkSize)
	for i := range 3 { // made, and replaced twice
		data := bytes.Repeat([]byte{byte(i), 1}, 50_000)
		batch := alice.Batch(blob.Guard{})
		batch.Put(t.Context(), at, data, blob.Meta{Mode: 0o640}, hufu.Condition{Kind: hufu.Always})
		must(t, batch.Finish(t.Context())[0].Err)
		o := alice.Opener()
		f, err := o.Open(t.Context(), at, "")
		must(t, err)
		if got, err := f.Whole(t.Context(), buf); err != nil || !bytes.Equal(got, data) {
			t.Errorf("put %d: another file came back: %v", i, err)
		}
		must(t, f.Close())
		o.Close()
	}
	batch := alice.Batch(blob.Guard{})
	batch.Remove(t.Context(), at, false, "")
	must(t, batch.Finish(t.Context())[0].Err)
	n := 0
	must(t, built.Eventually("what was replaced and removed is old enough to be deleted", func() bool {
		deleted, err := trees.Clean(t.Context(), 0)
		must(t, err)
		n += deleted
		return n >= 3
	}))
	objects, versions, err := store.Versions(t.Context(), src)
	if must(t, err); n != 3 || objects != 0 || versions-probed != 3 {
		t.Errorf("%d objects were deleted, of 3; %d are left, and %d versions of files", n, objects, versions-probed)
	}
}
