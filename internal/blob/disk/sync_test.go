//go:build linux

package disk_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/blob/disk"
	"hufu/internal/digest"
)

// failing makes the n-th making durable of a store fail, once, as a disk does:
// the one after it says that all is well.
type failing struct{ left atomic.Int64 }

func (f *failing) hook(step string) error {
	if strings.HasPrefix(step, "sync-") && f.left.Add(-1) == 0 {
		return syscall.EIO
	}
	return nil
}

// A failed fsync is final, wherever it comes: nothing of what was being written
// is acknowledged, then or when asked again, no name and no journal is left of
// it, and what was replaced stands under its name again.
func TestFailedSyncIsFinal(t *testing.T) {
	t.Parallel()
	big := random(2*mib+5, 50)
	type action func(tr *tree) error
	batch := func(fill func(tr *tree, b blob.Batch)) action {
		return func(tr *tree) error {
			b := tr.Batch(blob.Guard{})
			fill(tr, b)
			var errs []error
			for _, r := range b.Finish(tr.t.Context()) {
				errs = append(errs, r.Err)
			}
			return errors.Join(errs...)
		}
	}
	upload := func(name string, cond func(tr *tree) hufu.Condition) action {
		return func(tr *tree) error {
			u, err := tr.OpenUpload(tr.t.Context(), key(tr.t, name, big), blob.Guard{})
			if err != nil {
				return err
			}
			defer u.Close()
			for i := range digest.Chunks(int64(len(big))) {
				if err := u.Write(t.Context(), i, chunk(big, i), digest.Chunk(chunk(big, i), i)); err != nil {
					// No chunk is there, so nothing can be acknowledged; nor is a folder
					// whose name may not stay.
					if dir := filepath.Dir(name); dir != "." {
						if _, err := os.Lstat(filepath.Join(tr.root, dir)); err == nil {
							tr.t.Errorf("left: the folder %s", dir)
						}
					}
					return err
				}
			}
			c := cond(tr)
			_, err = blob.CommitUpload(tr.t.Context(), u, digest.Sum(big), meta, c)
			if err != nil {
				if _, err := blob.CommitUpload(tr.t.Context(), u, digest.Sum(big), meta, c); hufu.CodeOf(err) != "upload_gone" {
					tr.t.Errorf("asked again: %v", err)
				}
				if again, err := tr.FindUpload(tr.t.Context(), u.Info().ID, blob.Guard{}); err == nil {
					again.Close()
					tr.t.Error("the upload is found again")
				}
				if _, ok := tr.Committed(t.Context(), u.Info().ID, path(tr.t, name)); ok {
					tr.t.Error("told as committed")
				}
			}
			return err
		}
	}
	absent := func(*tree) hufu.Condition { return ifAbsent() }
	whatever := func(*tree) hufu.Condition { return always() }
	seen := func(tr *tree) hufu.Condition {
		e, err := tr.Stat(t.Context(), path(tr.t, "old"))
		must(tr.t, err)
		return ifVersion(e.Version)
	}
	for name, c := range map[string]struct {
		do     action
		target string
		want   string
		links  bool
	}{
		"new file": {batch(func(tr *tree, b blob.Batch) {
			b.Put(t.Context(), path(tr.t, "new"), []byte("new"), meta, ifAbsent())
		}), "new", "new", false},
		"new file in new folders": {batch(func(tr *tree, b blob.Batch) {
			b.Put(t.Context(), path(tr.t, "a/b/new"), []byte("new"), meta, always())
		}), "a/b/new", "new", false},
		"replaced file": {batch(func(tr *tree, b blob.Batch) {
			b.Put(t.Context(), path(tr.t, "old"), []byte("new"), meta, always())
		}), "old", "new", false},
		"replaced version": {batch(func(tr *tree, b blob.Batch) {
			b.Put(t.Context(), path(tr.t, "old"), []byte("new"), meta, seen(tr))
		}), "old", "new", false},
		"folder":              {batch(func(tr *tree, b blob.Batch) { b.Mkdir(t.Context(), path(tr.t, "f/g"), meta, true) }), "f/g", "", false},
		"link":                {batch(func(tr *tree, b blob.Batch) { b.Symlink(t.Context(), path(tr.t, "l"), "x", meta, ifAbsent()) }), "l", "x", true},
		"replaced by a link":  {batch(func(tr *tree, b blob.Batch) { b.Symlink(t.Context(), path(tr.t, "old"), "x", meta, always()) }), "old", "x", true},
		"upload":              {upload("big", absent), "big", string(big), false},
		"upload, new folders": {upload("a/b/big", absent), "a/b/big", string(big), false},
		"upload over another": {upload("old", whatever), "old", string(big), false},
		"upload over version": {upload("old", seen), "old", string(big), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachTree(t, func(t *testing.T, first *tree, isServer bool) {
				var f failing
				tr := first.reopen(disk.Options{Server: isServer, Hook: f.hook})
				switch filepath.Base(t.Name()) {
				case "fallback":
					tr.WithoutOpenat2()
					tr.WithoutTmpfile()
				case "fsync":
					tr.WithFsync()
				}
				tr.mustPut("old", "old content")
				read := func() string {
					full := filepath.Join(tr.root, c.target)
					i, err := os.Lstat(full)
					switch {
					case errors.Is(err, os.ErrNotExist):
						return "nothing"
					case i.IsDir():
						return ""
					case i.Mode()&os.ModeSymlink != 0:
						s, err := os.Readlink(full)
						must(t, err)
						return s
					}
					return tr.content(c.target)
				}
				before := read()
				failed := 0
				for n := int64(1); ; n++ {
					if n > 20 {
						t.Fatal("it fails for ever")
					}
					f.left.Store(n)
					err := c.do(tr)
					f.left.Store(0)
					if err == nil {
						break
					}
					failed++
					if !errors.Is(err, syscall.EIO) {
						t.Fatal(err)
					}
					if now := read(); now != before {
						t.Fatalf("failure %d left %.20q", n, now)
					}
					noneReserved(t, tr.root)
					if now, err := os.ReadDir(filepath.Join(tr.dir, "uploads")); err == nil && len(now) > 0 {
						t.Fatalf("failure %d left journals: %v", n, now)
					}
				}
				if failed == 0 {
					t.Error("nothing was made durable")
				}
				if read() != c.want {
					t.Errorf("in the end: %.20q", read())
				}
				noneReserved(t, tr.root)
			})
		})
	}
}

// noneReserved looks through a tree for names of what nobody needs any more.
func noneReserved(t *testing.T, root string) {
	t.Helper()
	must(t, filepath.WalkDir(root, func(p string, _ os.DirEntry, err error) error {
		if strings.HasPrefix(filepath.Base(p), hufu.ReservedPrefix) {
			t.Errorf("left: %s", p)
		}
		return err
	}))
}

// Of many files in one batch each is told for itself: what is acknowledged is
// there, what is not stands as it was before.
func TestFailedSyncAmongMany(t *testing.T) {
	t.Parallel()
	var f failing
	tr := newTree(t, disk.Options{Server: true, Hook: f.hook})
	tr.WithFsync()
	files := []string{"old", "m/1", "m/2", "n/1", "n/2", "n/3"}
	for n := int64(1); ; n++ {
		for _, p := range files {
			_ = os.Remove(filepath.Join(tr.root, p))
		}
		tr.mustPut("old", "old content")
		b := tr.Batch(blob.Guard{})
		for _, p := range files {
			b.Put(t.Context(), path(t, p), []byte("new"), meta, always())
		}
		f.left.Store(n)
		failed := false
		for i, r := range b.Finish(t.Context()) {
			got, err := os.ReadFile(filepath.Join(tr.root, files[i]))
			switch {
			case r.Err == nil && string(got) != "new":
				t.Errorf("failure %d: %s was acknowledged: %q %v", n, files[i], got, err)
			case r.Err != nil && string(got) == "new":
				t.Errorf("failure %d: %s was not acknowledged and is there", n, files[i])
			}
			failed = failed || r.Err != nil
		}
		noneReserved(t, tr.root)
		if !failed {
			break
		}
	}
}

// A failure that one batch is told of concerns all that had been written before,
// also by those who ask only later: the system will tell it no second time.
func TestFailedSyncIsToldToAll(t *testing.T) {
	t.Parallel()
	var f failing
	tr := newTree(t, disk.Options{Server: true, Hook: f.hook})
	tr.WithSyncfs()
	batches := []blob.Batch{tr.Batch(blob.Guard{}), tr.Batch(blob.Guard{})}
	for i, b := range batches {
		for j := range 3 {
			b.Put(t.Context(), path(t, strconv.Itoa(i)+"/"+strconv.Itoa(j)), []byte("x"), meta, always())
		}
	}
	f.left.Store(1)
	for _, b := range batches {
		for _, r := range b.Finish(t.Context()) {
			if !errors.Is(r.Err, disk.ErrSync) {
				t.Error("acknowledged:", r.Err)
			}
			wantErr(t, r.Err, hufu.KindUnreadable, "disk_failed")
		}
	}
	for i, b := range batches {
		b.Put(t.Context(), path(t, strconv.Itoa(i)), []byte("x"), meta, always())
		if r := b.Finish(t.Context())[0]; r.Err != nil {
			t.Error(r.Err)
		}
	}
}

// The first store on a file system has what earlier processes left made durable,
// and the one after it finds that done.
func TestSettled(t *testing.T) {
	t.Parallel()
	var steps []string
	o := disk.Options{Server: true, Settled: &disk.Settled{}, Hook: func(step string) error {
		steps = append(steps, step)
		return nil
	}}
	tr := newTree(t, o)
	tr.reopen(o)
	if !slices.Equal(steps, []string{"sync-start"}) {
		t.Errorf("%q", steps)
	}
}

// A name that is taken may be an earlier try of the same: that it is there is no
// answer while it cannot be made durable.
func TestFailedSyncOfWhatWasFound(t *testing.T) {
	t.Parallel()
	var f failing
	tr := newTree(t, disk.Options{Server: true, Hook: f.hook})
	tr.WithFsync()
	tr.mustPut("f", "x")
	f.left.Store(2) // after the file's own
	if r := tr.put("f", "x", ifAbsent()); !errors.Is(r.Err, disk.ErrSync) {
		t.Error(r.Err)
	}
}

// TestFailedSyncAtTheStart: the disk tells a failure once, when the file system is
// synced at the start. What a killed process had named is acknowledged to nobody,
// then or after another start that finds nothing wrong.
func TestFailedSyncAtTheStart(t *testing.T) {
	t.Parallel()
	for _, killed := range []string{"commit-named", "commit-done"} { // with a journal, and without
		for _, asked := range []bool{true, false} { // before the other start, too
			t.Run(fmt.Sprintf("%s,%v", killed, asked), func(t *testing.T) {
				t.Parallel()
				failedSyncAtTheStart(t, killed, asked)
			})
		}
	}
}

func failedSyncAtTheStart(t *testing.T, killed string, asked bool) {
	t.Helper()
	dir, uploads := t.TempDir(), t.TempDir()
	big := random(2*mib+5, 50)
	open := func(hook func(string) error) *disk.Store {
		t.Helper()
		s, err := disk.Open(dir, disk.Options{Server: true, Uploads: uploads, Settled: &disk.Settled{}, Hook: hook})
		must(t, err)
		return s
	}
	failing := func(at string, err error) func(string) error {
		return func(step string) error {
			if step == at {
				return err
			}
			return nil
		}
	}
	s := open(failing(killed, errors.New("killed")))
	u, err := s.OpenUpload(t.Context(), key(t, "f", big), blob.Guard{})
	must(t, err)
	for i := range digest.Chunks(int64(len(big))) {
		must(t, u.Write(t.Context(), i, chunk(big, i), digest.Chunk(chunk(big, i), i)))
	}
	if _, err = blob.CommitUpload(t.Context(), u, digest.Sum(big), meta, ifAbsent()); err == nil {
		t.Fatal("committed")
	}
	id := u.Info().ID
	u.Close()
	must(t, s.Close())
	s = open(failing("sync-start", syscall.EIO))
	if _, err := s.FindUpload(t.Context(), id, blob.Guard{}); err == nil {
		t.Error("it is still an upload")
	}
	if asked {
		if _, ok := s.Committed(t.Context(), id, path(t, "f")); ok {
			t.Error("acknowledged although the only sync that could tell has failed")
		}
	}
	must(t, s.Close())
	s = open(nil)
	defer s.Close()
	if _, ok := s.Committed(t.Context(), id, path(t, "f")); ok && (asked || killed == "commit-named") {
		t.Error("acknowledged after another start, which could not tell any more")
	}
}

// TestCanceledFolderIsNotAcknowledged: a batch that is given up has made nothing
// durable, its folders included.
func TestCanceledFolderIsNotAcknowledged(t *testing.T) {
	t.Parallel()
	s, err := disk.Open(t.TempDir(), disk.Options{Server: true})
	must(t, err)
	defer s.Close()
	b := s.Batch(blob.Guard{})
	b.Mkdir(t.Context(), path(t, "d"), meta, true)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if r := b.Finish(ctx)[0]; r.Err == nil {
		t.Errorf("%+v", r)
	}
}
