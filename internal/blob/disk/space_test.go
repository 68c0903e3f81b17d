//go:build linux

package disk_test

import (
	"bytes"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/blob/disk"
	"hufu/internal/digest"
)

// Announced sizes take no space (HT-53).
func TestHT53AnnouncedSizesTakeNoSpace(t *testing.T) {
	t.Parallel()
	tr := newTree(t, server())
	const size = 10 << 40
	u := tr.open(blob.UploadKey{Path: path(t, "f"), Size: size, Owner: "a"})
	defer func() { _ = u.Abort() }()
	used := func() int64 {
		fi, err := os.Stat(filepath.Join(tr.root, hufu.ReservedPrefix+u.Info().ID))
		if err != nil {
			t.Fatal(err)
		}
		return fi.Sys().(*syscall.Stat_t).Blocks * 512
	}
	if got := names(t, tr.root); len(got) != 0 {
		t.Fatalf("made by an announcement: %q", got)
	}
	zero := make([]byte, mib)
	must(t, u.Write(t.Context(), 1, nil, digest.Chunk(zero, 1)))
	if n := used(); n > mib {
		t.Fatalf("%d bytes taken by a hole", n)
	}
	data := random(mib, 12)
	for i := range int64(40) { // far apart, so that each could reserve around it
		i *= 1000
		if err := u.Write(t.Context(), i, data, digest.Chunk(data, i)); err != nil {
			t.Fatal(err)
		}
	}
	if n := used(); n > (256+40+1)*mib {
		t.Errorf("%d MiB taken by 40", n/mib)
	}
}

func TestHT53HolesTakeNoSpace(t *testing.T) {
	t.Parallel()
	tr := newTree(t, server())
	const chunks = 200
	data := make([]byte, chunks*mib)
	copy(data[70*mib:], random(mib, 13))
	zero := make([]byte, mib)
	u := tr.open(key(t, "f", data))
	defer u.Close()
	write(t, u, data, 70) // reserves around it, before the holes are known
	for i := range int64(chunks) {
		if i != 70 {
			if err := u.Write(t.Context(), i, nil, digest.Chunk(zero, i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := blob.CommitUpload(t.Context(), u, digest.Sum(data), meta, ifAbsent()); err != nil {
		t.Fatal(err)
	}
	fi, _ := os.Stat(filepath.Join(tr.root, "f"))
	if n := fi.Sys().(*syscall.Stat_t).Blocks * 512; n > 2*mib {
		t.Errorf("%d KiB taken by one MiB between holes", n>>10)
	}
	f, err := openFile(t, tr, path(t, "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if at := f.NextData(0); at != 70*mib && at != 0 {
		t.Errorf("data begins at %d", at)
	}
	if at := f.NextData(71 * mib); at != chunks*mib && at != 71*mib {
		t.Errorf("data goes on at %d", at)
	}
	if e, err := tr.Digest(t.Context(), path(t, "f")); err != nil || e.Digest != digest.Sum(data) {
		t.Error(err)
	}
	buf := make([]byte, mib)
	for i := range int64(chunks) {
		want := data[i*mib:][:mib]
		got, hole, cv, err := f.ReadChunk(t.Context(), i, buf)
		if err != nil || cv != digest.Chunk(want, i) || !hole && !bytes.Equal(got, want) || hole && len(got) != 0 {
			t.Fatalf("chunk %d: %d bytes, hole %v, %v", i, len(got), hole, err)
		}
	}
	for _, i := range []int64{-1, chunks} {
		if _, _, _, err := f.ReadChunk(t.Context(), i, buf); hufu.CodeOf(err) != "chunk_index" {
			t.Errorf("chunk %d: %v", i, err)
		}
	}
	if err := os.Truncate(filepath.Join(tr.root, "f"), 70*mib+100); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := f.ReadChunk(t.Context(), 70, buf); hufu.CodeOf(err) != "file_changed" {
		t.Errorf("a chunk that has gone: %v", err)
	}
}

// A hole over a chunk whose bytes were spoilt reads as zeros all the same.
func TestHoleOverOldBytes(t *testing.T) {
	t.Parallel()
	tr := newTree(t, disk.Options{Boot: "one"})
	data := random(2*mib, 14)
	u := tr.open(key(t, "f", data))
	write(t, u, data, 0)
	u.Close()
	must(t, overwrite(filepath.Join(tr.root, hufu.ReservedPrefix+u.Info().ID), 5, []byte("spoilt")))
	tr = tr.reopen(disk.Options{Boot: "two"})
	clear(data[:mib])
	u = tr.open(key(t, "f", data))
	defer u.Close()
	if err := u.Write(t.Context(), 0, nil, digest.Chunk(data[:mib], 0)); err != nil {
		t.Fatal(err)
	}
	write(t, u, data, 1)
	if _, err := blob.CommitUpload(t.Context(), u, digest.Sum(data), meta, always()); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal([]byte(tr.content("f")), data) {
		t.Error("old bytes shine through")
	}
}

func TestUploadSizes(t *testing.T) {
	t.Parallel()
	tr := newTree(t, server())
	for _, size := range []int64{-1, 0, mib, hufu.MaxFileSize + 1} {
		_, err := tr.OpenUpload(tr.t.Context(), blob.UploadKey{Path: path(t, "f"), Size: size}, blob.Guard{})
		wantErr(t, err, hufu.KindInvalid, "upload_size")
	}
}
