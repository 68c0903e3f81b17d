package mem_test

import (
	"bytes"
	"strconv"
	"testing"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/blob/mem"
	"hufu/internal/digest"
)

func path(t *testing.T, p string) hufu.Path {
	t.Helper()
	q, err := hufu.ParsePath(p)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func free(t *testing.T, tree *mem.Tree) int64 {
	t.Helper()
	n, _, err := tree.Space(t.Context())
	must(t, err)
	return n
}

func put(t *testing.T, tree *mem.Tree, p string, data []byte) error {
	t.Helper()
	b := tree.Batch(blob.Guard{})
	b.Put(t.Context(), path(t, p), data, blob.Meta{}, hufu.Condition{Kind: hufu.Always})
	return b.Finish(t.Context())[0].Err
}

func remove(t *testing.T, tree *mem.Tree, p string) {
	t.Helper()
	b := tree.Batch(blob.Guard{})
	b.Remove(t.Context(), path(t, p), true, "")
	must(t, b.Finish(t.Context())[0].Err)
}

// send writes chunk i of an upload: zeros if hole, else other bytes.
func send(t *testing.T, u blob.Upload, i int64, hole bool) error {
	t.Helper()
	if hole {
		return u.Write(t.Context(), i, nil, digest.Zeros(hufu.ChunkSize, i))
	}
	data := bytes.Repeat([]byte{byte(i + 1)}, hufu.ChunkSize)
	return u.Write(t.Context(), i, data, digest.Chunk(data, i))
}

func wantFull(t *testing.T, err error) {
	t.Helper()
	if hufu.KindOf(err) != hufu.KindQuota || hufu.CodeOf(err) != "disk_full" {
		t.Fatalf("%v, want disk_full", err)
	}
}

// TestMemoryIsBounded: files, names, folders and links count, staged ones too, and
// all of it is given back.
func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	tree := mem.New(mem.Options{Room: mem.NewRoom(1 << 20)})
	all := free(t, tree)
	wantFull(t, put(t, tree, "f", make([]byte, 1<<20)))
	names := 0
	for ; ; names++ {
		if err := put(t, tree, strconv.Itoa(names), nil); err != nil {
			wantFull(t, err)
			break
		}
	}
	if names > 1024 {
		t.Errorf("%d names in 1 MiB", names)
	}
	must(t, put2(t, tree))
	for i := range names {
		remove(t, tree, strconv.Itoa(i))
	}
	if got := free(t, tree); got != all {
		t.Errorf("%d bytes are lost", all-got)
	}

	b := tree.Batch(blob.Guard{})
	b.Put(t.Context(), path(t, "f"), make([]byte, 600<<10), blob.Meta{}, hufu.Condition{Kind: hufu.Always})
	wantFull(t, put(t, tree, "g", make([]byte, 600<<10)))
	b.Discard()
	if got := free(t, tree); got != all {
		t.Errorf("%d staged bytes are lost", all-got)
	}
	must(t, put(t, tree, "d/g", make([]byte, 600<<10)))

	// What somebody reads takes room until it is closed.
	f, err := tree.Opener().Open(t.Context(), path(t, "d/g"), "")
	must(t, err)
	remove(t, tree, "d")
	wantFull(t, put(t, tree, "g", make([]byte, 600<<10)))
	got, err := f.Whole(t.Context(), make([]byte, hufu.ChunkSize))
	if err != nil || len(got) != 600<<10 || hufu.KindOf(f.Check(t.Context())) != hufu.KindChanged {
		t.Errorf("%d bytes, %v, %v", len(got), err, f.Check(t.Context()))
	}
	must(t, f.Close())
	if got := free(t, tree); got != all {
		t.Errorf("%d bytes are lost that were open", all-got)
	}
}

// put2 changes what is there, which takes no more.
func put2(t *testing.T, tree *mem.Tree) error {
	t.Helper()
	b := tree.Batch(blob.Guard{})
	b.SetMeta(t.Context(), path(t, "0"), blob.Meta{Mode: 0o600}, "")
	b.Rename(t.Context(), path(t, "1"), path(t, "2"), hufu.Condition{Kind: hufu.Always}, "")
	b.Rename(t.Context(), path(t, "2"), path(t, "1"), hufu.Condition{Kind: hufu.IfAbsent}, "")
	b.Rename(t.Context(), path(t, "3"), path(t, "2"), hufu.Condition{Kind: hufu.IfAbsent}, "")
	for _, r := range b.Finish(t.Context()) {
		if r.Err != nil {
			return r.Err
		}
	}
	return put(t, tree, "3", nil) // the room of the one that was replaced
}

// TestUploadsAreBounded: an announced size takes nothing, each chunk does, and all of
// it is given back whatever becomes of the upload.
func TestUploadsAreBounded(t *testing.T) {
	t.Parallel()
	for _, unit := range []int64{hufu.ChunkSize, 4 << 20} {
		tree := mem.New(mem.Options{Room: mem.NewRoom(10 << 20), Unit: unit})
		all := free(t, tree)
		back := func(what string) {
			t.Helper()
			if got := free(t, tree); got != all {
				t.Errorf("unit %d: %s: %d bytes are lost", unit, what, all-got)
			}
		}
		open := func(size int64) blob.Upload {
			t.Helper()
			u, err := tree.OpenUpload(t.Context(), blob.UploadKey{Path: path(t, "d/f"), Size: size, Source: "v", Owner: "alice/pc"}, blob.Guard{})
			must(t, err)
			return u
		}
		u := open(hufu.MaxFileSize)
		if got := free(t, tree); got < all-4096 {
			t.Errorf("an announcement takes %d bytes", all-got)
		}
		must(t, u.Close())
		back("opened")

		u = open(hufu.MaxFileSize)
		n := int64(0)
		for ; ; n++ {
			if err := send(t, u, n, false); err != nil {
				wantFull(t, err)
				break
			}
		}
		if n != 9 {
			t.Errorf("unit %d: %d chunks in 10 MiB", unit, n)
		}
		have := n / (unit / hufu.ChunkSize) * (unit / hufu.ChunkSize)
		if got := u.Info().Have; got != have || u.Missing(0) != have {
			t.Errorf("unit %d: %d are there, want %d", unit, got, have)
		}
		must(t, u.Close()) // what is half goes
		if left := all - free(t, tree); left < have<<20 || left > have<<20+64<<10 {
			t.Errorf("unit %d: %d bytes are taken by %d chunks", unit, left, have)
		}
		u = open(hufu.MaxFileSize)
		must(t, u.Abort())
		remove(t, tree, "d")
		back("aborted")

		// Holes take no memory once the file is there.
		const chunks = 1 << 9
		u = open(chunks * hufu.ChunkSize)
		for i := range int64(chunks) {
			must(t, send(t, u, i, i != 7))
		}
		root, err := u.Root()
		must(t, err)
		_, err = blob.CommitUpload(t.Context(), u, root, blob.Meta{}, hufu.Condition{Kind: hufu.IfAbsent})
		must(t, err)
		must(t, u.Close())
		if taken := all - free(t, tree); taken > hufu.ChunkSize+4<<10 {
			t.Errorf("unit %d: a chunk among holes takes %d bytes", unit, taken)
		}
		f, err := tree.Opener().Open(t.Context(), path(t, "d/f"), "")
		must(t, err)
		for off, want := range map[int64]int64{0: 7 << 20, 7<<20 + 5: 7<<20 + 5, 8 << 20: f.Size()} {
			if got := f.NextData(off); got != want {
				t.Errorf("after %d data begins at %d, want %d", off, got, want)
			}
		}
		must(t, f.Close())
		remove(t, tree, "d")
		back("finished")

		u = open(3 * hufu.ChunkSize)
		for i := range int64(3) {
			must(t, send(t, u, i, false))
		}
		for range 3 { // replaced
			must(t, send(t, u, 0, true))
			for i := int64(1); i < unit/hufu.ChunkSize && i < 3; i++ {
				must(t, send(t, u, i, false))
			}
			must(t, send(t, u, 0, false))
			for i := int64(1); i < unit/hufu.ChunkSize && i < 3; i++ {
				must(t, send(t, u, i, false))
			}
		}
		remove(t, tree, "d")
		must(t, u.Close())
		back("removed")
	}
}

// TestVersionsOfTwoTreesDiffer: a client that knows a version of a tree before the
// server was started anew does not take another for it.
func TestVersionsOfTwoTreesDiffer(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 3 {
		tree := mem.New(mem.Options{})
		must(t, put(t, tree, "f", nil))
		e, err := tree.Stat(t.Context(), path(t, "f"))
		must(t, err)
		if seen[e.Version] || e.Version == "" {
			t.Errorf("version %q again", e.Version)
		}
		seen[e.Version] = true
	}
}
