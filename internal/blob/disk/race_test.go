//go:build linux

package disk_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/blob/disk"
	"hufu/internal/digest"
)

// A file replaced, truncated or edited in place while it is open is noticed,
// also with its time put back (HT-48).
func TestHT48EveryChangeIsNoticed(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(file string) error{
		"replaced": func(file string) error {
			if err := os.WriteFile(file+".new", []byte("0123456789"), 0o600); err != nil {
				return err
			}
			return os.Rename(file+".new", file)
		},
		"truncated": func(file string) error { return os.Truncate(file, 4) },
		"appended":  func(file string) error { return overwrite(file, 10, []byte("x")) },
		"edited":    func(file string) error { return overwrite(file, 3, []byte("x")) },
		"edited, time put back": func(file string) error {
			fi, err := os.Stat(file)
			return errors.Join(err, overwrite(file, 3, []byte("x")), os.Chtimes(file, fi.ModTime(), fi.ModTime()))
		},
		"removed": os.Remove,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for range 20 {
				tr := newTree(t, disk.Options{})
				file := filepath.Join(tr.root, "f")
				must(t, os.WriteFile(file, []byte("0123456789"), 0o600))
				f, err := openFile(t, tr, path(t, "f")) // written a moment ago: the same tick of a coarse clock
				if err != nil {
					t.Fatal(err)
				}
				if err := f.Check(t.Context()); err != nil {
					t.Fatal(err)
				}
				if err := change(file); err != nil {
					t.Fatal(err)
				}
				wantErr(t, f.Check(t.Context()), hufu.KindChanged, "file_changed")
				f.Close()
			}
		})
	}
}

func TestHT48DigestOfAChangingFile(t *testing.T) {
	t.Parallel()
	chunks, after := 0, func() {} // called when two chunks have been read
	tr := newTree(t, disk.Options{Server: true, Hook: func(step string) error {
		if step == "digest-chunk" {
			if chunks++; chunks == 2 {
				after()
			}
		}
		return nil
	}})
	file := filepath.Join(tr.root, "f")
	must(t, os.WriteFile(file, random(4*mib, 22), 0o600))
	ctx, cancel := context.WithCancel(t.Context())
	for _, c := range []struct {
		change func()
		kind   hufu.Kind
		code   string
		chunks int // read until it ended
	}{
		{func() { must(t, overwrite(file, 5, []byte("changed"))) }, hufu.KindChanged, "file_changed", 2},
		{func() { must(t, os.Truncate(file, 3*mib)) }, hufu.KindChanged, "file_changed", 2},
		{cancel, hufu.KindCanceled, hufu.KindCanceled.String(), 2},
	} {
		chunks, after = 0, c.change
		_, err := tr.Digest(ctx, path(t, "f"))
		wantErr(t, err, c.kind, c.code)
		if chunks != c.chunks {
			t.Errorf("%v after %d chunks", err, chunks)
		}
	}
	if e, err := tr.Stat(t.Context(), path(t, "f")); err != nil || !e.Digest.IsZero() {
		t.Error("a digest of a mixture was kept:", e, err)
	}
}

// Of many commits with the same condition exactly one succeeds (HT-54).
func TestHT54OneWinnerUnderRace(t *testing.T) {
	t.Parallel()
	eachTree(t, func(t *testing.T, tr *tree, _ bool) {
		data := random(mib+1, 23)
		for round := range 8 {
			cond := ifAbsent()
			if round > 0 {
				e, err := tr.Stat(t.Context(), path(t, "f"))
				if err != nil {
					t.Fatal(err)
				}
				cond = ifVersion(e.Version)
			}
			var won atomic.Int32
			var wg sync.WaitGroup
			count := func(err error) {
				if err == nil {
					won.Add(1)
				} else if k := hufu.KindOf(err); k != hufu.KindExists && k != hufu.KindChanged {
					t.Error(err)
				}
			}
			for i := range 8 {
				wg.Go(func() {
					b := tr.Batch(blob.Guard{})
					b.Put(t.Context(), path(t, "f"), []byte{byte(i)}, blob.Meta{Mode: 0o600}, cond)
					count(b.Finish(t.Context())[0].Err)
				})
			}
			wg.Go(func() {
				u, err := tr.OpenUpload(tr.t.Context(), key(t, "f", data), blob.Guard{})
				if err != nil {
					t.Error(err)
					return
				}
				write(t, u, data, 0, 1)
				_, err = blob.CommitUpload(t.Context(), u, digest.Sum(data), meta, cond)
				count(err)
				must(t, u.Abort())
			})
			wg.Wait()
			if won.Load() != 1 {
				t.Fatalf("round %d: %d winners", round, won.Load())
			}
		}
		if got := names(t, tr.root); !slices.Equal(got, []string{"f"}) {
			t.Errorf("on disk: %q", got)
		}
	})
}

// An editor that saves between our check and our replacing loses nothing.
func TestHT54ForeignSaveBetweenCheckAndReplace(t *testing.T) {
	t.Parallel()
	var file string
	tr := newTree(t, disk.Options{Hook: func(step string) error {
		if step != "replace-checked" {
			return nil
		}
		if err := os.WriteFile(file+"~", []byte("the editor's"), 0o600); err != nil {
			return err
		}
		return os.Rename(file+"~", file)
	}})
	file = filepath.Join(tr.root, "f")
	e := tr.mustPut("f", "old")
	wantErr(t, tr.put("f", "ours", ifVersion(e.Version)).Err, hufu.KindChanged, "target_changed")
	if tr.content("f") != "the editor's" {
		t.Errorf("holds %q", tr.content("f"))
	}
	if got := names(t, tr.root); !slices.Equal(got, []string{"f"}) {
		t.Errorf("on disk: %q", got)
	}
}

func TestOldKernel(t *testing.T) {
	t.Parallel()
	tr := newTree(t, server())
	tr.OldKernel()
	old := tr.mustPut("a/f", "one")
	if r := tr.put("a/f", "two", ifVersion(old.Version)); r.Err != nil {
		t.Fatal(r.Err)
	}
	e, err := tr.Stat(t.Context(), path(t, "a/f"))
	if err != nil || e.Digest != digest.Sum([]byte("two")) || e.By != "alice" {
		t.Errorf("%+v %v", e, err)
	}
	f, err := openFile(t, tr, path(t, "a/f")) // waits for the end of the clock's tick
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := overwrite(filepath.Join(tr.root, "a/f"), 0, []byte("T")); err != nil {
		t.Fatal(err)
	}
	wantErr(t, f.Check(t.Context()), hufu.KindChanged, "file_changed")
	if got := tr.list("a"); !slices.Equal(got, []string{"f"}) {
		t.Error(got)
	}
}

// A file of holes and data has the digest of its bytes, and the digest of a huge
// one ends with whoever wants it.
func TestDigestOfHoles(t *testing.T) {
	t.Parallel()
	chunks := 0
	ctx, cancel := context.WithCancel(t.Context())
	tr := newTree(t, disk.Options{Server: true, Hook: func(step string) error {
		if step == "digest-chunk" {
			if chunks++; chunks == 100 {
				cancel()
			}
		}
		return nil
	}})
	data := make([]byte, 7*mib+77)
	copy(data[2*mib+5:], random(mib, 60))
	full := filepath.Join(tr.root, "holes")
	f, err := os.Create(full)
	must(t, err)
	defer f.Close()
	_, err = f.WriteAt(data[2*mib+5:3*mib+5], 2*mib+5)
	must(t, err)
	must(t, f.Truncate(int64(len(data))))
	e, err := tr.Digest(t.Context(), path(t, "holes"))
	if err != nil || e.Digest != digest.Sum(data) {
		t.Errorf("%v %v", e.Digest, err)
	}
	chunks = 0
	must(t, f.Truncate(100<<30))
	if _, err := tr.Digest(ctx, path(t, "holes")); hufu.KindOf(err) != hufu.KindCanceled || chunks != 100 {
		t.Errorf("%d chunks, %v", chunks, err)
	}
}

// A removal and a listing end with whoever wants them, wherever they are: also in
// one folder of many files.
func TestRemovalAndListingEnd(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	removed := 0
	tr := newTree(t, disk.Options{Server: true, Hook: func(step string) error {
		if step == "removing" {
			if removed++; removed == 10 {
				cancel()
			}
		}
		return nil
	}})
	must(t, os.Mkdir(filepath.Join(tr.root, "d"), 0o700))
	for i := range 100 {
		must(t, os.WriteFile(filepath.Join(tr.root, "d", strconv.Itoa(i)), nil, 0o600))
	}
	b := tr.Batch(blob.Guard{})
	b.Remove(t.Context(), path(t, "d"), true, "")
	if err := b.Finish(ctx)[0].Err; hufu.KindOf(err) != hufu.KindCanceled {
		t.Error(err)
	}
	if left := len(names(t, filepath.Join(tr.root, "d"))); left != 91 {
		t.Errorf("%d of 100 are left", left)
	}
	ctx, cancel = context.WithCancel(t.Context())
	seen := 0
	err := listAll(ctx, tr, path(t, "d"), func(hufu.Entry) error {
		if seen++; seen == 10 {
			cancel()
		}
		return nil
	})
	if hufu.KindOf(err) != hufu.KindCanceled || seen != 10 {
		t.Errorf("%d seen, %v", seen, err)
	}
}
