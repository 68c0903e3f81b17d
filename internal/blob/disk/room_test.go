//go:build linux

package disk_test

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"testing"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/digest"
)

// heap is how much memory is in use.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestHT42AnnouncedSizesTakeNoMemory: uploads cost what was sent, not what was
// announced. It is not parallel, so that nothing else takes memory meanwhile.
func TestHT42AnnouncedSizesTakeNoMemory(t *testing.T) { //nolint:paralleltest // measures the heap
	tr := newTree(t, server())
	before := heap()
	var all []blob.Upload
	for i := range 32 {
		all = append(all, tr.open(blob.UploadKey{Path: path(t, fmt.Sprint("f", i)), Size: hufu.MaxFileSize, Source: "v", Owner: "alice/pc"}))
	}
	if grown := heap() - before; grown > 1<<20 {
		t.Errorf("32 opened uploads of 1 PiB take %d bytes", grown)
	}
	for _, u := range all {
		u.Close()
	}
}

// TestHT42FarChunks: of an upload with a few chunks that lie far apart only these
// are known, also to whoever opens it later, in the same boot and in another.
func TestHT42FarChunks(t *testing.T) { //nolint:paralleltest // measures the heap
	const size = 8 << 40 // what any file system takes
	last := digest.Chunks(size) - 1
	tr := newTree(t, server())
	k := blob.UploadKey{Path: path(t, "f"), Size: size, Source: "v", Owner: "alice/pc"}
	u := tr.open(k)
	want := map[int64]digest.CV{}
	for _, i := range []int64{last, 0, last / 2, 1, 70} {
		want[i] = digest.Zeros(mib, i)
		must(t, u.Write(t.Context(), i, nil, want[i]))
	}
	data := random(mib, 3)
	want[4711] = digest.Chunk(data, 4711)
	must(t, u.Write(t.Context(), 4711, data, want[4711]))
	u.Close()
	tr.Close()
	for _, boot := range []string{"", "another", "another"} {
		o := server()
		o.Boot = boot
		before := heap()
		tr = openTree(t, tr.dir, o)
		u = tr.open(k)
		if got := maps.Collect(u.There()); !maps.Equal(got, want) {
			t.Errorf("boot %q: there are %v", boot, slices.Sorted(maps.Keys(got)))
		}
		if u.Missing(last) == last || u.Missing(last-1) != last-1 || u.Missing(last+1) != last+1 || u.Info().Have != int64(len(want)) {
			t.Errorf("boot %q: %d are there", boot, u.Info().Have)
		}
		must(t, u.Write(t.Context(), last, nil, want[last]))
		if grown := heap() - before; grown > 4<<20 {
			t.Errorf("boot %q: 6 chunks of 8 TiB take %d bytes", boot, grown)
		}
		u.Close()
		tr.Close()
	}
}

// TestHT42RoomIsShared: one user's uploads leave room for another's, and what is
// over takes none.
func TestHT42RoomIsShared(t *testing.T) {
	t.Parallel()
	o := server()
	o.Room = blob.NewRoom(100 << 10)
	tr := newTree(t, o)
	var all []blob.Upload
	opened := func(user string) (n int) {
		for ; ; n++ {
			u, err := tr.OpenUpload(tr.t.Context(), blob.UploadKey{Path: path(t, fmt.Sprint(user, n)), Size: 1 << 40, Source: "v", Owner: user + fmt.Sprint("/", n%7)}, blob.Guard{})
			if err != nil {
				wantErr(t, err, hufu.KindQuota, "uploads_full")
				return n
			}
			all = append(all, u)
		}
	}
	if a, b, c := opened("alice"), opened("bob"), opened("carl"); a < 40 || b < 20 || c < 10 || a > 50 {
		t.Errorf("alice has %d, bob %d, carl %d", a, b, c)
	}
	// What is there takes room as well; a chunk for which there is none is refused
	// and can come later.
	u := all[0]
	far := int64(0)
	for ; ; far += 1000 {
		if err := u.Write(t.Context(), far, nil, digest.Zeros(mib, far)); err != nil {
			wantErr(t, err, hufu.KindQuota, "uploads_full")
			break
		}
	}
	for _, u := range all[1:] {
		u.Close()
	}
	must(t, u.Write(t.Context(), far, nil, digest.Zeros(mib, far)))
	k := u.Info().Key
	u.Close()
	idle := o.Room.Used()
	if idle < 1<<10 || idle > 2<<10 {
		t.Errorf("one unfinished upload that nobody has open takes %d", idle)
	}
	tr.Close()
	// A journal is believed as far as there is room.
	for _, limit := range []int64{1 << 20, 2 << 10} {
		o.Room = blob.NewRoom(limit)
		tr = openTree(t, tr.dir, o)
		u, err := tr.OpenUpload(tr.t.Context(), k, blob.Guard{})
		if limit < 100<<10 {
			wantErr(t, err, hufu.KindQuota, "uploads_full")
		} else if must(t, err); u.Info().Have != far/1000+1 {
			t.Errorf("%d chunks are there, want %d", u.Info().Have, far/1000+1)
		}
		if err == nil {
			must(t, u.Close())
		}
		if used := o.Room.Used(); used != idle {
			t.Errorf("%d bytes are taken, want %d", used, idle)
		}
		tr.Close()
	}
	o.Room = blob.NewRoom(1 << 20)
	tr = openTree(t, tr.dir, o)
	must(t, tr.open(k).Abort())
	if used := o.Room.Used(); used != 0 {
		t.Errorf("%d bytes are taken by nothing", used)
	}
}

// TestManyChunks fills an upload across segments and windows of the journal, in an
// order in which chunks overtake each other, and commits it.
func TestManyChunks(t *testing.T) {
	t.Parallel()
	const n = 3000
	tr := newTree(t, server())
	k := blob.UploadKey{Path: path(t, "f"), Size: n*mib - 7, Source: "v", Owner: "alice/pc"}
	u := tr.open(k)
	var tree digest.Tree
	cvs := make([]digest.CV, n)
	for i := range int64(n) {
		cvs[i] = digest.Zeros(digest.ChunkLen(k.Size, i), i)
		tree.Push(cvs[i])
	}
	for i := range int64(n) {
		i = i * 7 % n
		must(t, u.Write(t.Context(), i, nil, cvs[i]))
	}
	u.Close()
	u = tr.open(k)
	defer u.Close()
	if got, err := u.Root(); err != nil || got != tree.Root() {
		t.Error(got, err)
	}
	_, err := blob.CommitUpload(t.Context(), u, tree.Root(), meta, ifAbsent())
	must(t, err)
}
