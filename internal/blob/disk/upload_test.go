//go:build linux

package disk_test

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/blob/disk"
	"hufu/internal/digest"
)

const mib = hufu.ChunkSize

// random makes bytes that are the same for the same seed.
func random(n int, seed uint64) []byte {
	b := make([]byte, n)
	var s [32]byte
	s[0] = byte(seed)
	_, _ = rand.NewChaCha8(s).Read(b)
	return b
}

func chunk(data []byte, i int64) []byte {
	return data[i*mib : i*mib+int64(digest.ChunkLen(int64(len(data)), i))]
}

func write(t testing.TB, u blob.Upload, data []byte, indexes ...int64) {
	t.Helper()
	for _, i := range indexes {
		c := chunk(data, i)
		if err := u.Write(t.Context(), i, c, digest.Chunk(c, i)); err != nil {
			t.Fatal(err)
		}
	}
}

func key(t testing.TB, p string, data []byte) blob.UploadKey {
	return blob.UploadKey{Path: path(t, p), Size: int64(len(data)), Source: "v1", Owner: "alice/laptop"}
}

func (tr *tree) open(k blob.UploadKey) blob.Upload {
	tr.t.Helper()
	u, err := tr.OpenUpload(tr.t.Context(), k, blob.Guard{})
	if err != nil {
		tr.t.Fatal(err)
	}
	return u
}

func missing(u blob.Upload) []int64 {
	var all []int64
	for i, n := u.Missing(0), digest.Chunks(u.Info().Key.Size); i < n; i = u.Missing(i + 1) {
		all = append(all, i)
	}
	return all
}

var meta = blob.Meta{Mode: 0o644, MTime: time.Unix(1_700_000_000, 0), By: "alice"}

func TestUpload(t *testing.T) {
	t.Parallel()
	eachTree(t, func(t *testing.T, tr *tree, isServer bool) {
		data := random(3*mib+17, 1)
		u := tr.open(key(t, "a/b/big", data))
		defer u.Close()
		if len(u.Info().ID) != 32 || u.Info().Key != key(t, "a/b/big", data) {
			t.Error(u.Info().ID, u.Info().Key)
		}
		write(t, u, data, 2, 0)
		if got := missing(u); !slices.Equal(got, []int64{1, 3}) || u.Info().Have != 2 {
			t.Fatal(got, u.Info().Have)
		}
		if got := tr.list("a/b"); len(got) != 0 {
			t.Fatalf("seen before commit: %q", got)
		}
		_, err := blob.CommitUpload(t.Context(), u, digest.Sum(data), meta, ifAbsent())
		wantErr(t, err, hufu.KindInvalid, "upload_incomplete")
		for _, bad := range []struct {
			i    int64
			data []byte
		}{{-1, data[:mib]}, {4, data[:mib]}, {1, data[:5]}, {3, data[:18]}} {
			wantErr(t, u.Write(t.Context(), bad.i, bad.data, digest.CV{}), hufu.KindInvalid, "chunk_form")
		}
		write(t, u, data, 1, 3, 1)                                                               // twice is once
		if err := u.Write(t.Context(), 1, data[:mib], digest.Chunk(data[:mib], 1)); err != nil { // a newer one
			t.Error(err)
		}
		_, err = blob.CommitUpload(t.Context(), u, digest.Sum(data), meta, ifAbsent())
		wantErr(t, err, hufu.KindIntegrity, "digest_differs")
		write(t, u, data, 1)
		_, err = blob.CommitUpload(t.Context(), u, digest.Sum(data[1:]), meta, ifAbsent())
		wantErr(t, err, hufu.KindIntegrity, "digest_differs")
		e, err := blob.CommitUpload(t.Context(), u, digest.Sum(data), meta, ifAbsent())
		if err != nil {
			t.Fatal(err)
		}
		got, err := tr.Stat(t.Context(), path(t, "a/b/big"))
		got.Digest = e.Digest
		if err != nil || got != e || e.Digest != digest.Sum(data) || isServer && e.Upload != u.Info().ID {
			t.Errorf("%+v\n%+v %v", got, e, err)
		}
		if tr.content("a/b/big") != string(data) {
			t.Error("other bytes")
		}
		again, err := blob.CommitUpload(t.Context(), u, digest.Sum(data), meta, ifAbsent())
		if err != nil || again != e {
			t.Error("repeated commit:", again, err)
		}
		if e, ok := tr.Committed(t.Context(), u.Info().ID, path(t, "a/b/big")); ok != isServer || ok && e.Size != int64(len(data)) {
			t.Error("known as committed:", ok)
		}
		if _, ok := tr.Committed(t.Context(), strings.Repeat("0", 32), path(t, "a/b/big")); ok {
			t.Error("another upload is known as committed")
		}
		if _, err := tr.FindUpload(tr.t.Context(), u.Info().ID, blob.Guard{}); err == nil {
			t.Error("still unfinished")
		}
		if left := append(names(t, filepath.Join(tr.dir, "uploads")), names(t, filepath.Join(tr.root, "a/b"))...); !slices.Equal(left, []string{"big"}) {
			t.Errorf("left: %q", left)
		}
	})
}

func TestUploadConditions(t *testing.T) {
	t.Parallel()
	tr := newTree(t, server())
	data := random(2*mib, 2)
	old := tr.mustPut("f", "old")
	u := tr.open(key(t, "f", data))
	defer u.Close()
	write(t, u, data, 0, 1)
	_, err := blob.CommitUpload(t.Context(), u, digest.Sum(data), meta, ifAbsent())
	wantErr(t, err, hufu.KindExists, "target_exists")
	tr.mustPut("f", "new")
	_, err = blob.CommitUpload(t.Context(), u, digest.Sum(data), meta, ifVersion(old.Version))
	wantErr(t, err, hufu.KindChanged, "target_changed")
	if tr.content("f") != "new" {
		t.Error("replaced all the same")
	}
	// Refused is not lost: with a condition that holds it goes through.
	if _, err := blob.CommitUpload(t.Context(), u, digest.Sum(data), meta, always()); err != nil || tr.content("f") != string(data) {
		t.Error(err)
	}
}

// reopen ends the store as a kill would, keeping the folder.
func (tr *tree) reopen(o disk.Options) *tree {
	tr.t.Helper()
	tr.Close()
	return openTree(tr.t, tr.dir, o)
}

func TestResumeInTheSameBoot(t *testing.T) {
	t.Parallel()
	eachTree(t, func(t *testing.T, tr *tree, isServer bool) {
		data := random(4*mib, 3)
		u := tr.open(key(t, "d/f", data))
		id := u.Info().ID
		write(t, u, data, 3, 1)
		u.Close()
		tr = tr.reopen(disk.Options{Server: isServer})
		u = tr.open(key(t, "d/f", data))
		defer u.Close()
		if u.Info().ID != id || !slices.Equal(missing(u), []int64{0, 2}) {
			t.Fatal("not resumed:", missing(u))
		}
		if cv := maps.Collect(u.There())[1]; cv != digest.Chunk(chunk(data, 1), 1) {
			t.Error("chaining value lost")
		}
		write(t, u, data, 0, 2)
		if _, err := blob.CommitUpload(t.Context(), u, digest.Sum(data), meta, ifAbsent()); err != nil {
			t.Fatal(err)
		}
		if tr.content("d/f") != string(data) {
			t.Error("other bytes")
		}
	})
}

// A power cut leaves a journal that speaks of bytes which never reached the
// disk (HT-49).
func TestHT49AnotherBootBelievesNothing(t *testing.T) {
	t.Parallel()
	for _, isServer := range []bool{true, false} {
		tr := newTree(t, disk.Options{Server: isServer, Boot: "one"})
		data := random(4*mib+5, 4)
		u := tr.open(key(t, "f", data))
		write(t, u, data, 0, 1, 2, 4)
		u.Close()
		staging := filepath.Join(tr.root, hufu.ReservedPrefix+u.Info().ID)
		if err := overwrite(staging, mib, make([]byte, mib)); err != nil { // came back as zeros
			t.Fatal(err)
		}
		if err := os.Truncate(staging, 4*mib+1); err != nil { // the end is missing
			t.Fatal(err)
		}
		same := tr.reopen(disk.Options{Server: isServer, Boot: "one"})
		u = same.open(key(t, "f", data))
		if got := missing(u); !slices.Equal(got, []int64{3}) {
			t.Fatalf("in the same boot the journal is believed, got %v", got)
		}
		u.Close()
		must(t, os.Truncate(staging, 4*mib+1))
		tr = same.reopen(disk.Options{Server: isServer, Boot: "two"})
		u = tr.open(key(t, "f", data))
		if got := missing(u); !slices.Equal(got, []int64{1, 3, 4}) {
			t.Fatalf("missing %v, want what is not on the disk", got)
		}
		write(t, u, data, 1)
		u.Close()
		tr = tr.reopen(disk.Options{Server: isServer, Boot: "two"}) // the journal of this boot
		u = tr.open(key(t, "f", data))
		if got := missing(u); !slices.Equal(got, []int64{3, 4}) {
			t.Fatalf("missing %v in the second boot", got)
		}
		write(t, u, data, 3, 4)
		if _, err := blob.CommitUpload(t.Context(), u, digest.Sum(data), meta, ifAbsent()); err != nil {
			t.Fatal(err)
		}
		u.Close()
		if tr.content("f") != string(data) {
			t.Error("other bytes")
		}
	}
}

func overwrite(file string, off int64, b []byte) error {
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, off)
	return errors.Join(err, f.Close())
}

func TestTornJournal(t *testing.T) {
	t.Parallel()
	data := random(4*mib, 5)
	const record = 44
	for name, c := range map[string]struct {
		harm func(j []byte) []byte
		want []int64 // missing; nil: begun anew
	}{
		"torn record":      {func(j []byte) []byte { return j[:len(j)-record/2] }, []int64{2, 3}},
		"flipped bit":      {func(j []byte) []byte { j[len(j)-record-10] ^= 1; return j }, []int64{1, 2, 3}},
		"zeros behind":     {func(j []byte) []byte { return append(j, make([]byte, 4096)...) }, []int64{3}},
		"record of others": {func(j []byte) []byte { return append(j, j[:record]...) }, []int64{3}},
		"torn header":      {func(j []byte) []byte { return j[:20] }, nil},
		"empty":            {func([]byte) []byte { return nil }, nil},
		"zeros":            {func(j []byte) []byte { clear(j); return j }, nil},
		"flipped header":   {func(j []byte) []byte { j[30] ^= 1; return j }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tr := newTree(t, server())
			u := tr.open(key(t, "f", data))
			id := u.Info().ID
			write(t, u, data, 0, 1, 2)
			u.Close()
			file := filepath.Join(tr.dir, "uploads", id)
			j, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, c.harm(j), 0o600); err != nil {
				t.Fatal(err)
			}
			tr = tr.reopen(server())
			u = tr.open(key(t, "f", data))
			if c.want == nil {
				if u.Info().ID == id || u.Info().Have != 0 {
					t.Fatal("resumed from a broken journal")
				}
			} else if got := missing(u); u.Info().ID != id || !slices.Equal(got, c.want) {
				t.Fatalf("missing %v, want %v", got, c.want)
			}
			write(t, u, data, missing(u)...)
			u.Close()
			tr = tr.reopen(server()) // what was appended after the harm holds too
			u = tr.open(key(t, "f", data))
			defer u.Close()
			if u.Info().Have != 4 {
				t.Fatal("missing", missing(u))
			}
			if _, err := blob.CommitUpload(t.Context(), u, digest.Sum(data), meta, ifAbsent()); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestOtherBytesBeginAnew(t *testing.T) {
	t.Parallel()
	tr := newTree(t, server())
	data := random(2*mib, 6)
	k := key(t, "f", data)
	u := tr.open(k)
	write(t, u, data, 0)
	other := k
	other.Source = "v2"
	v := tr.open(other) // while the first is open both go on
	if v.Info().ID == u.Info().ID {
		t.Fatal("two versions in one upload")
	}
	foreign := k
	foreign.Owner = "bob/phone"
	w := tr.open(foreign)
	if w.Info().ID == u.Info().ID || w.Info().Have != 0 {
		t.Fatal("two owners in one upload")
	}
	write(t, w, data, 0)
	w.Close()
	u.Close()
	v.Close()
	v = tr.open(other)
	v.Close()
	if x, err := tr.FindUpload(tr.t.Context(), u.Info().ID, blob.Guard{}); err != nil {
		t.Error("the first was discarded before the second brought anything")
	} else {
		x.Close()
	}
	v = tr.open(other)
	write(t, v, data, 0)
	v.Close()
	if _, err := tr.FindUpload(tr.t.Context(), u.Info().ID, blob.Guard{}); err == nil {
		t.Error("the first should have been discarded")
	}
	if x, err := tr.FindUpload(t.Context(), w.Info().ID, blob.Guard{}); err != nil {
		t.Error("somebody else's upload was discarded")
	} else {
		x.Close()
	}
	if got := names(t, tr.root); len(got) != 2 {
		t.Errorf("on disk: %q", got)
	}
}

// TestBegunWithTheFirstChunk: what is opened and then not wanted leaves nothing.
func TestBegunWithTheFirstChunk(t *testing.T) {
	t.Parallel()
	tr := newTree(t, server())
	data := random(2*mib, 8)
	traces := func() int { return len(names(t, tr.root)) + len(names(t, filepath.Join(tr.dir, "uploads"))) }
	u := tr.open(key(t, "f", data))
	v, err := tr.FindUpload(tr.t.Context(), u.Info().ID, blob.Guard{}) // as another lane does
	if err != nil {
		t.Fatal("not found by its id")
	}
	if n := traces(); n != 0 {
		t.Errorf("%d files made by opening", n)
	}
	u.Close()
	write(t, v, data, 1)
	if n := traces(); n != 2 {
		t.Errorf("%d files for one chunk", n)
	}
	v.Close()
	v = tr.open(key(t, "f", data))
	if v.Info().ID != u.Info().ID || v.Info().Have != 1 {
		t.Errorf("not gone on with: %d chunks", v.Info().Have)
	}
	must(t, v.Abort())
	// Given up by another holder before anything has come: not begun any more,
	// and nothing else is discarded for it.
	older := tr.open(key(t, "f", data))
	write(t, older, data, 0)
	older.Close()
	k := key(t, "f", data)
	k.Source = "v2"
	u, v = tr.open(k), tr.open(k)
	must(t, v.Abort())
	err = u.Write(t.Context(), 0, data[:mib], digest.Chunk(data[:mib], 0))
	wantErr(t, err, hufu.KindNotFound, "upload_gone")
	u.Close()
	older = tr.open(key(t, "f", data))
	if older.Info().Have != 1 {
		t.Error("an upload was discarded for one that never began")
	}
	must(t, older.Abort())
	u = tr.open(key(t, "f", data))
	u.Close()
	if _, err := tr.FindUpload(tr.t.Context(), u.Info().ID, blob.Guard{}); err == nil {
		t.Error("remembered although nothing came and nobody holds it")
	}
	if n := traces(); n != 0 {
		t.Errorf("%d files left", n)
	}
}

// TestAwait: whoever commits may wait for what others bring.
func TestAwait(t *testing.T) {
	t.Parallel()
	tr := newTree(t, server())
	data := random(2*mib, 9)
	u := tr.open(key(t, "f", data))
	defer u.Close()
	write(t, u, data, 1)
	over, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { u.Await(over) })
	stop()
	wg.Wait()
	if u.Info().Have != 1 {
		t.Error(u.Info().Have)
	}
	wg.Go(func() { write(t, u, data, 0) })
	u.Await(t.Context())
	if _, err := blob.CommitUpload(t.Context(), u, digest.Sum(data), meta, ifAbsent()); err != nil {
		t.Error(err)
	}
	wg.Wait()
	v := tr.open(key(t, "g", data))
	wg.Go(func() { v.Await(t.Context()) })
	must(t, v.Abort())
	wg.Wait()
}

func TestHoldersShareAnUpload(t *testing.T) {
	t.Parallel()
	tr := newTree(t, server())
	data := random(16*mib+1, 7)
	var wg sync.WaitGroup
	for lane := range 6 {
		wg.Go(func() {
			u, err := tr.OpenUpload(tr.t.Context(), key(t, "d/f", data), blob.Guard{})
			if err != nil {
				t.Error(err)
				return
			}
			defer u.Close()
			for i := range int64(17) { // each chunk comes several times, at once
				i = (i + int64(lane/2)*5) % 17
				c := chunk(data, i)
				if err := u.Write(t.Context(), i, c, digest.Chunk(c, i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	u := tr.open(key(t, "d/f", data))
	if u.Info().Have != 17 {
		t.Fatal("have", u.Info().Have)
	}
	for range 4 { // an answer may get lost
		wg.Go(func() {
			if _, err := blob.CommitUpload(t.Context(), u, digest.Sum(data), meta, ifAbsent()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	u.Close()
	if tr.content("d/f") != string(data) {
		t.Error("other bytes")
	}
	if err := u.Write(t.Context(), 0, chunk(data, 0), digest.CV{}); err == nil {
		t.Error("written after close")
	}
}

func TestAbort(t *testing.T) {
	t.Parallel()
	tr := newTree(t, server())
	data := random(2*mib, 8)
	u := tr.open(key(t, "f", data))
	v := tr.open(key(t, "f", data))
	write(t, u, data, 0)
	if err := u.Abort(); err != nil {
		t.Fatal(err)
	}
	c := chunk(data, 1)
	wantErr(t, v.Write(t.Context(), 1, c, digest.Chunk(c, 1)), hufu.KindNotFound, "upload_gone")
	_, err := blob.CommitUpload(t.Context(), v, digest.Sum(data), meta, always())
	wantErr(t, err, hufu.KindNotFound, "upload_gone")
	v.Close()
	if left := append(names(t, tr.root), names(t, filepath.Join(tr.dir, "uploads"))...); len(left) != 0 {
		t.Errorf("left: %q", left)
	}
}

func TestFolderRemovedDuringUpload(t *testing.T) {
	t.Parallel()
	tr := newTree(t, server())
	data := random(2*mib, 9)
	u := tr.open(key(t, "d/f", data))
	defer u.Close()
	write(t, u, data, 0, 1)
	b := tr.Batch(blob.Guard{})
	b.Remove(t.Context(), path(t, "d"), false, "")
	wantErr(t, b.Finish(t.Context())[0].Err, hufu.KindNotEmpty, "not_empty")
	b.Remove(t.Context(), path(t, "d"), true, "")
	b.Mkdir(t.Context(), path(t, "d"), blob.Meta{}, true)
	b.Finish(t.Context())
	if _, err := blob.CommitUpload(t.Context(), u, digest.Sum(data), meta, always()); hufu.KindOf(err) != hufu.KindNotFound {
		t.Error(err)
	}
}

func TestExpire(t *testing.T) {
	t.Parallel()
	for _, isServer := range []bool{true, false} {
		tr := newTree(t, disk.Options{Server: isServer})
		data := random(2*mib, 10)
		old, used := tr.open(key(t, "old", data)), tr.open(key(t, "used", data))
		fresh := tr.open(key(t, "fresh", data))
		for _, u := range []blob.Upload{old, used, fresh} {
			write(t, u, data, 0)
		}
		old.Close()
		fresh.Close()
		long := time.Now().Add(-48 * time.Hour)
		for _, u := range []blob.Upload{old, used} {
			if err := os.Chtimes(filepath.Join(tr.dir, "uploads", u.Info().ID), long, long); err != nil {
				t.Fatal(err)
			}
		}
		// Somebody was killed who was about to replace the journal.
		torn := filepath.Join(tr.dir, "uploads", old.Info().ID+".new")
		must(t, os.WriteFile(torn, nil, 0o600))
		if n, err := tr.Expire(24 * time.Hour); n != 1 || err != nil {
			t.Error(n, err)
		}
		if _, err := os.Stat(torn); !os.IsNotExist(err) {
			t.Error("the torn journal is left:", err)
		}
		used.Close()
		if got := names(t, tr.root); len(got) != 2 {
			t.Errorf("on disk: %q", got)
		}
		if isServer {
			continue
		}
		// Another tree that shares the folder of journals.
		dir := t.TempDir()
		must(t, os.Mkdir(filepath.Join(dir, "root"), 0o755))
		other := openTree(t, dir, disk.Options{Uploads: filepath.Join(tr.dir, "uploads")})
		if _, err := other.FindUpload(t.Context(), fresh.Info().ID, blob.Guard{}); err == nil {
			t.Error("found in another tree")
		}
		if n, err := other.Expire(24 * time.Hour); n != 0 || err != nil {
			t.Error(n, err)
		}
		if got := names(t, tr.root); len(got) != 2 {
			t.Errorf("on disk: %q", got)
		}
	}
}

// TestDiscard: what is given up goes with its journal, what lies elsewhere or is
// in use stays.
func TestDiscard(t *testing.T) {
	t.Parallel()
	tr := newTree(t, disk.Options{})
	must(t, os.MkdirAll(filepath.Join(tr.dir, "root", "d", "deep"), 0o755))
	data := random(2*mib, 12)
	for _, n := range []string{"d/a", "d/deep/b", "d2", "e"} {
		u := tr.open(key(t, n, data))
		write(t, u, data, 0)
		u.Close()
	}
	used := tr.open(key(t, "d/used", data))
	defer used.Close()
	write(t, used, data, 0)
	journals := func() int { return len(names(t, filepath.Join(tr.dir, "uploads"))) }
	if n := journals(); n != 5 {
		t.Fatalf("%d journals", n)
	}
	// As a program that has just begun.
	fresh := openTree(t, tr.dir, disk.Options{})
	must(t, fresh.Discard(path(t, "d")))
	if n := journals(); n != 3 {
		t.Errorf("%d journals are left", n)
	}
	if got := names(t, filepath.Join(tr.root, "d", "deep")); len(got) != 0 {
		t.Errorf("left behind: %q", got)
	}
	write(t, used, data, 1)
	if _, err := blob.CommitUpload(t.Context(), used, digest.Sum(data), meta, ifAbsent()); err != nil {
		t.Error("what was in use was taken away:", err)
	}
	u := fresh.open(key(t, "e", data))
	defer u.Close()
	if u.Info().Have != 1 {
		t.Errorf("%d chunks of what lies elsewhere are left", u.Info().Have)
	}
}

func TestTwoProcesses(t *testing.T) {
	t.Parallel()
	one := newTree(t, disk.Options{})
	two := openTree(t, one.dir, disk.Options{}) // flock minds descriptors, not processes
	data := random(2*mib, 11)
	u := one.open(key(t, "f", data))
	defer u.Close()
	write(t, u, data, 0)
	v := two.open(key(t, "f", data))
	defer v.Close()
	if v.Info().ID == u.Info().ID {
		t.Fatal("two processes write one staging file")
	}
	if n, err := two.Expire(-time.Hour); n > 1 || err != nil {
		t.Error(n, err)
	}
	write(t, u, data, 1)
	if _, err := blob.CommitUpload(t.Context(), u, digest.Sum(data), meta, ifAbsent()); err != nil {
		t.Error("the other's expiry took an upload in use:", err)
	}
}

// TestNewerChunkReplaces: what a chunk is to be is what was sent last, across a
// kill too, and until a commit has begun to give the file its name.
func TestNewerChunkReplaces(t *testing.T) {
	t.Parallel()
	var killed atomic.Bool
	o := disk.Options{Server: true, Hook: func(step string) error {
		if step == "chunk-written" && killed.Load() {
			return errors.New("killed")
		}
		return nil
	}}
	tr := newTree(t, o)
	stale, data := random(2*mib+5, 21), random(2*mib+5, 22)
	clear(data[mib : 2*mib])
	u := tr.open(key(t, "f", data))
	write(t, u, stale, 0, 1, 2)
	write(t, u, data, 0)
	if err := u.Write(t.Context(), 1, nil, digest.Zeros(mib, 1)); err != nil {
		t.Fatal(err)
	}
	u.Close()
	tr = tr.reopen(o) // the journal knows the newer ones
	u = tr.open(key(t, "f", data))
	if cv := maps.Collect(u.There())[0]; cv != digest.Chunk(chunk(data, 0), 0) || u.Info().Have != 3 {
		t.Error("not the newer chunk, or not all:", u.Info().Have)
	}

	// Killed between the bytes and the journal: the chunk counts as missing.
	killed.Store(true)
	if err := u.Write(t.Context(), 2, chunk(data, 2), digest.Chunk(chunk(data, 2), 2)); err == nil {
		t.Fatal("the failure was not met")
	}
	killed.Store(false)
	u.Close()
	tr = tr.reopen(o)
	u = tr.open(key(t, "f", data))
	if got := missing(u); !slices.Equal(got, []int64{2}) {
		t.Errorf("missing: %v", got)
	}
	write(t, u, stale, 2)
	write(t, u, data, 2)

	// A condition that was not met leaves the upload open to newer chunks.
	tr.mustPut("f", "in the way")
	_, err := blob.CommitUpload(t.Context(), u, digest.Sum(data), meta, ifAbsent())
	wantErr(t, err, hufu.KindExists, "target_exists")
	write(t, u, stale, 0)
	write(t, u, data, 0)
	if _, err := blob.CommitUpload(t.Context(), u, digest.Sum(data), meta, always()); err != nil {
		t.Fatal(err)
	}
	wantErr(t, u.Write(t.Context(), 0, chunk(stale, 0), digest.Chunk(chunk(stale, 0), 0)), hufu.KindChanged, "file_changed")
	if tr.content("f") != string(data) {
		t.Error("other bytes")
	}
}

// A journal that is just being made is not a torn one, whatever the clocks say and
// whenever another process looks.
func TestJournalThatIsBeingMade(t *testing.T) {
	t.Parallel()
	var other *tree
	tr := newTree(t, disk.Options{Hook: func(step string) error {
		if step == "journal-made" && other != nil {
			o := other
			other = nil
			return o.Recover()
		}
		return nil
	}})
	data := random(2*mib, 70)
	other = openTree(t, tr.dir, disk.Options{})
	u := tr.open(key(t, "big", data))
	write(t, u, data, 0)
	if got := names(t, filepath.Join(tr.dir, "uploads")); !slices.Equal(got, []string{u.Info().ID}) {
		t.Errorf("journals: %q", got)
	}
	u.Close()
	again := tr.reopen(disk.Options{}).open(key(t, "big", data))
	defer again.Close()
	if again.Info().Have != 1 {
		t.Errorf("%d chunks are there", again.Info().Have)
	}
}

// A program that is being started has our descriptors until it really begins: what
// was closed meanwhile is not locked any more all the same.
func TestLockIsGivenUpWithACopyOfItsDescriptor(t *testing.T) {
	t.Parallel()
	one := newTree(t, disk.Options{})
	data := random(2*mib, 71)
	u := one.open(key(t, "f", data))
	write(t, u, data, 0)
	journal := filepath.Join(one.dir, "uploads", u.Info().ID)
	list, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	copied := -1
	for _, e := range list {
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && to == journal {
			n, err := strconv.Atoi(e.Name())
			must(t, err)
			copied, err = syscall.Dup(n)
			must(t, err)
		}
	}
	if copied < 0 {
		t.Fatal("the journal is not open")
	}
	defer func() { _ = syscall.Close(copied) }()
	u.Close()
	again := openTree(t, one.dir, disk.Options{}).open(key(t, "f", data))
	defer again.Close()
	if again.Info().ID != u.Info().ID {
		t.Error("it is still locked")
	}
}

// A journal that was replaced between being opened and being locked is another
// process's, and so are its bytes.
func TestReplacedJournalIsNotDiscarded(t *testing.T) {
	t.Parallel()
	var replace func()
	one := newTree(t, disk.Options{Hook: func(step string) error {
		if step == "journal-opened" && replace != nil {
			replace()
		}
		return nil
	}})
	data := random(2*mib, 72)
	u := one.open(key(t, "f", data))
	write(t, u, data, 0)
	u.Close()
	journal := filepath.Join(one.dir, "uploads", u.Info().ID)
	replace = func() {
		b, err := os.ReadFile(journal)
		must(t, errors.Join(err, os.WriteFile(journal+".new", b, 0o600), os.Rename(journal+".new", journal)))
	}
	must(t, one.Discard(path(t, "f")))
	again := openTree(t, one.dir, disk.Options{}).open(key(t, "f", data))
	defer again.Close()
	if again.Info().ID != u.Info().ID || again.Info().Have != 1 {
		t.Errorf("%d chunks are left", again.Info().Have)
	}
}

// Reading an upload of another boot again ends with whoever wants to go on with it,
// and the next one finds what was there.
func TestVerifyingEnds(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	var read atomic.Int64
	o := disk.Options{Server: true, Boot: "one", Hook: func(step string) error {
		if step == "verify-chunk" && read.Add(1) == 3 {
			cancel()
		}
		return nil
	}}
	tr := newTree(t, o)
	data := random(30*mib, 73)
	u := tr.open(key(t, "f", data))
	for i := range int64(30) {
		write(t, u, data, i)
	}
	u.Close()
	o.Boot = "two"
	tr = tr.reopen(o)
	if _, err := tr.OpenUpload(ctx, key(t, "f", data), blob.Guard{}); hufu.KindOf(err) != hufu.KindCanceled || read.Load() > 8 {
		t.Errorf("%d chunks were read: %v", read.Load(), err)
	}
	again := tr.open(key(t, "f", data))
	defer again.Close()
	if again.Info().ID != u.Info().ID || again.Info().Have != 30 {
		t.Errorf("%d chunks are left", again.Info().Have)
	}
}

// Where the disk is full, the uploads that a new one supersedes make room for it.
func TestASupersededUploadMakesRoom(t *testing.T) {
	t.Parallel()
	full := false
	var dir string
	tr := newTree(t, disk.Options{Hook: func(step string) error {
		left, _ := os.ReadDir(dir)
		if full && step == "upload-staged" && len(left) > 1 { // journals
			return syscall.ENOSPC
		}
		return nil
	}})
	dir = filepath.Join(tr.dir, "uploads")
	data := random(2*mib, 76)
	older, others := tr.open(key(t, "f", data)), tr.open(key(t, "g", data))
	write(t, older, data, 0)
	must(t, older.Close())
	full = true
	k := key(t, "f", data)
	k.Source = "v2"
	u := tr.open(k)
	write(t, u, data, 0)
	wantErr(t, others.Write(t.Context(), 0, data[:mib], digest.Chunk(data[:mib], 0)), hufu.KindQuota, "disk_full")
	must(t, others.Close())
	must(t, u.Abort())
}
