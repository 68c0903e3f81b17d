package disk_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/digest"
)

func TestMoreFilesThanDescriptors(t *testing.T) {
	t.Parallel()
	eachTree(t, func(t *testing.T, tr *tree, _ bool) {
		const allowed, n = 300, 777
		tr.WithDescriptors(allowed)
		b := tr.Batch(blob.Guard{})
		for i := range n {
			p := path(t, "d"+string(rune('a'+i%26))+"/"+strings.Repeat("x", 1+i/26))
			b.Put(t.Context(), p, []byte("data"), blob.Meta{Mode: 0o600}, ifAbsent())
		}
		for _, r := range b.Finish(t.Context()) {
			if r.Err != nil {
				t.Fatal(r.Err)
			}
		}
		if left := tr.DescriptorsLeft(); left != allowed {
			t.Errorf("%d descriptors are free again, of %d", left, allowed)
		}
		total := 0
		for _, d := range names(t, tr.root) {
			for _, f := range names(t, filepath.Join(tr.root, d)) {
				if strings.HasPrefix(f, hufu.ReservedPrefix) {
					t.Fatal("left:", f)
				}
				total++
			}
		}
		if total != n {
			t.Errorf("%d files of %d", total, n)
		}
	})
}

func TestEveryNameThatTheDiskHolds(t *testing.T) {
	t.Parallel()
	eachTree(t, func(t *testing.T, tr *tree, _ bool) {
		var want []string
		for c := 1; c < 256; c++ {
			if c != '/' {
				want = append(want, "n"+string([]byte{byte(c)}))
			}
		}
		want = append(want, strings.Repeat("\xff", 255), strings.Repeat("é", 127)+"x", " ", "...", "-rf", "CON", "a:b", "e\u0301", "\u00e9")
		b := tr.Batch(blob.Guard{})
		for _, n := range want {
			b.Put(t.Context(), path(t, n), []byte(n), blob.Meta{Mode: 0o600}, ifAbsent())
		}
		for _, r := range b.Finish(t.Context()) {
			if r.Err != nil {
				t.Fatal(r.Err)
			}
		}
		slices.Sort(want)
		if got := tr.list(""); !slices.Equal(got, want) {
			t.Errorf("got %d names, want %d", len(got), len(want))
		}
		for _, n := range want {
			e, err := tr.Stat(t.Context(), path(t, n))
			if err != nil || e.Name != n || e.Size != int64(len(n)) {
				t.Fatalf("%q: %+v %v", n, e, err)
			}
		}
	})
}

func TestLongPath(t *testing.T) {
	t.Parallel()
	eachTree(t, func(t *testing.T, tr *tree, _ bool) {
		deep := strings.Repeat(strings.Repeat("d", 240)+"/", 17)[:hufu.MaxPath-2] + "/f"
		tr.mustPut(deep, "x")
		e, err := tr.Stat(t.Context(), path(t, deep))
		if err != nil || e.Size != 1 {
			t.Fatal(e, err)
		}
		b := tr.Batch(blob.Guard{})
		b.Remove(t.Context(), path(t, strings.Repeat("d", 240)), true, "")
		if r := b.Finish(t.Context())[0]; r.Err != nil {
			t.Fatal(r.Err)
		}
	})
}

func TestReservedNamesAreHidden(t *testing.T) {
	t.Parallel()
	tr := newTree(t, server())
	if err := os.WriteFile(filepath.Join(tr.root, ".hufu-secret"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := tr.list(""); len(got) != 0 {
		t.Errorf("listed: %q", got)
	}
	p := path(t, ".hufu-secret")
	_, err := tr.Stat(t.Context(), p)
	wantErr(t, err, hufu.KindInvalidPath, "name_reserved")
	_, err = openFile(t, tr, p)
	wantErr(t, err, hufu.KindInvalidPath, "name_reserved")
	wantErr(t, listAll(t.Context(), tr, p, nil), hufu.KindInvalidPath, "name_reserved")
	_, err = tr.OpenUpload(tr.t.Context(), blob.UploadKey{Path: p, Size: 2 << 20}, blob.Guard{})
	wantErr(t, err, hufu.KindInvalidPath, "name_reserved")
	b := tr.Batch(blob.Guard{})
	b.Put(t.Context(), p, nil, blob.Meta{}, always())
	b.Mkdir(t.Context(), path(t, "a/.hufu-x/b"), blob.Meta{}, true)
	b.Symlink(t.Context(), p, "x", blob.Meta{}, always())
	b.SetMeta(t.Context(), p, blob.Meta{}, "")
	b.Remove(t.Context(), p, true, "")
	b.Rename(t.Context(), p, path(t, "x"), always(), "")
	b.Rename(t.Context(), path(t, "x"), p, always(), "")
	for _, r := range b.Finish(t.Context()) {
		wantErr(t, r.Err, hufu.KindInvalidPath, "name_reserved")
	}
	// A folder that looks empty can be removed, whatever a crash left in it.
	must(t, os.Mkdir(filepath.Join(tr.root, "d"), 0o700))
	must(t, os.WriteFile(filepath.Join(tr.root, "d", ".hufu-left"), nil, 0o600))
	b.Remove(t.Context(), path(t, "d"), false, "")
	if r := b.Finish(t.Context())[0]; r.Err != nil {
		t.Error(r.Err)
	}
}

func TestSweepRemovesWhatACrashLeft(t *testing.T) {
	t.Parallel()
	tr := newTree(t, server())
	left := filepath.Join(tr.root, ".hufu-00112233445566778899aabbccddeeff")
	must(t, os.WriteFile(left, []byte("x"), 0o600))
	// An unfinished upload is not left over: its journal knows.
	u, err := tr.OpenUpload(tr.t.Context(), blob.UploadKey{Path: path(t, "large"), Size: 2 << 20, Source: "v", Owner: "o"}, blob.Guard{})
	must(t, err)
	must(t, u.Write(t.Context(), 0, nil, digest.Zeros(hufu.ChunkSize, 0)))
	must(t, u.Close())
	tr.list("")
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Error("what nobody uses must go:", err)
	}
	if _, err := os.Stat(filepath.Join(tr.root, ".hufu-"+u.Info().ID)); err != nil {
		t.Error("an unfinished upload must stay:", err)
	}
}

// What a batch has staged is in use until its end, whatever a clock says: neither
// a listing nor the removal of a folder that looks empty takes it away.
func TestStagedFilesAreLeftAlone(t *testing.T) {
	t.Parallel()
	tr := newTree(t, server())
	tr.WithoutTmpfile()
	old := tr.mustPut("d/old", "old")
	b := tr.Batch(blob.Guard{})
	b.Put(t.Context(), path(t, "d/new"), []byte("new"), blob.Meta{}, ifAbsent())
	b.Put(t.Context(), path(t, "d/old"), []byte("newer"), blob.Meta{}, ifVersion(old.Version))
	b.Put(t.Context(), path(t, "e/new"), []byte("new"), blob.Meta{}, ifAbsent())
	tr.list("d")
	r := tr.Batch(blob.Guard{})
	r.Remove(t.Context(), path(t, "e"), false, "")
	if err := r.Finish(t.Context())[0].Err; hufu.KindOf(err) != hufu.KindNotEmpty {
		t.Error(err)
	}
	for _, r := range b.Finish(t.Context()) {
		if r.Err != nil {
			t.Error(r.Err)
		}
	}
	if got := names(t, filepath.Join(tr.root, "d")); !slices.Equal(got, []string{"new", "old"}) {
		t.Errorf("left: %q", got)
	}
	b.Put(t.Context(), path(t, "d/gone"), []byte("new"), blob.Meta{}, ifAbsent())
	b.Discard()
	if got := tr.Staged(); got != 0 {
		t.Errorf("%d names are in use for ever", got)
	}
}
