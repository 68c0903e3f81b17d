//go:build linux

package disk_test

import (
	"context"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/blob/disk"
	"hufu/internal/digest"
)

// An upload whose name cannot be made durable for want of a descriptor keeps all its chunks: the
// same Finish, and one after the upload was opened again, succeeds.
func TestFinishWithoutADescriptor(t *testing.T) {
	t.Parallel()
	big := random(2*mib+3, 71)
	for _, step := range []string{"look-above", "open-to-sync"} {
		for name, cond := range map[string]func(old hufu.Entry) hufu.Condition{
			"new":     func(hufu.Entry) hufu.Condition { return ifAbsent() },
			"any":     func(hufu.Entry) hufu.Condition { return always() },
			"version": func(old hufu.Entry) hufu.Condition { return ifVersion(old.Version) },
		} {
			for _, again := range []bool{false, true} {
				full := step + "/" + name + "/same handle"
				if again {
					full = step + "/" + name + "/opened again"
				}
				t.Run(full, func(t *testing.T) {
					t.Parallel()
					var on atomic.Bool
					tr := newTree(t, disk.Options{Server: true, Hook: func(at string) error {
						if at == step && on.Load() {
							return syscall.EMFILE
						}
						return nil
					}})
					tr.WithFsync()
					other := tr.Batch(blob.Guard{}) // makes the folder, not durably yet
					defer other.Discard()
					other.Mkdir(t.Context(), path(t, "d"), meta, true)
					var old hufu.Entry
					if name != "new" {
						must(t, os.WriteFile(filepath.Join(tr.root, "d/big"), []byte("old content"), 0o600))
						var err error
						old, err = tr.Stat(t.Context(), path(t, "d/big"))
						must(t, err)
					}
					u := tr.open(key(t, "d/big", big))
					defer func() { u.Close() }()
					write(t, u, big, 0, 1, 2)
					on.Store(true)
					_, err := blob.CommitUpload(t.Context(), u, digest.Sum(big), meta, cond(old))
					wantErr(t, err, hufu.KindUnavailable, "too_many_open_files")
					if got, _ := os.ReadFile(filepath.Join(tr.root, "d/big")); name == "new" && got != nil || name != "new" && string(got) != "old content" {
						t.Errorf("%.20q has the name", got)
					}
					on.Store(false)
					if again {
						must(t, u.Close())
						u = tr.open(key(t, "d/big", big))
						if have := u.Info().Have; have != 3 {
							t.Fatalf("%d chunks are left", have)
						}
					}
					if name == "version" { // its time of change is another now
						old, err = tr.Stat(t.Context(), path(t, "d/big"))
						must(t, err)
					}
					_, err = blob.CommitUpload(t.Context(), u, digest.Sum(big), meta, cond(old))
					must(t, err)
					if tr.content("d/big") != string(big) {
						t.Error("other bytes")
					}
					if _, ok := tr.Committed(t.Context(), u.Info().ID, path(t, "d/big")); !ok {
						t.Error("not told as committed")
					}
					noneReserved(t, tr.root)
					if left := names(t, filepath.Join(tr.dir, "uploads")); len(left) != 0 {
						t.Errorf("left: %q", left)
					}
					if n := tr.Staged() + tr.Replaced(); n != 0 {
						t.Errorf("%d reserved names are remembered", n)
					}
				})
			}
		}
	}
}

// A committed file whose name cannot be synced for want of a descriptor is not disowned: the client
// that asks again gets the right answer.
func TestCommittedWithoutADescriptor(t *testing.T) {
	t.Parallel()
	big := random(2*mib+3, 72)
	var on atomic.Bool
	tr := newTree(t, disk.Options{Server: true, Hook: func(at string) error {
		if at == "look-above" && on.Load() {
			return syscall.EMFILE
		}
		return nil
	}})
	tr.WithFsync()
	other := tr.Batch(blob.Guard{})
	defer other.Discard()
	other.Mkdir(t.Context(), path(t, "d"), meta, true)
	u := tr.open(key(t, "d/big", big))
	defer u.Close()
	write(t, u, big, 0, 1, 2)
	_, err := blob.CommitUpload(t.Context(), u, digest.Sum(big), meta, ifAbsent())
	must(t, err)
	other.Mkdir(t.Context(), path(t, "d/e"), meta, true) // something fresh, so that the folders are looked at
	on.Store(true)
	if _, ok := tr.Committed(t.Context(), u.Info().ID, path(t, "d/big")); ok {
		t.Error("told as committed without a sync")
	}
	on.Store(false)
	if _, ok := tr.Committed(t.Context(), u.Info().ID, path(t, "d/big")); !ok {
		t.Error("not told as committed")
	}
}

// A file that kept its name after a failed Finish is visible: no chunk of it changes, whatever the
// next Finish returns.
func TestVisibleUploadStaysSealed(t *testing.T) {
	t.Parallel()
	var on atomic.Bool
	tr := newTree(t, disk.Options{Server: true, Hook: func(at string) error {
		switch {
		case on.Load() && at == "look-above":
			return syscall.EMFILE
		case on.Load() && at == "put-back":
			return syscall.EIO
		}
		return nil
	}})
	tr.WithFsync()
	other := tr.Batch(blob.Guard{}) // makes the folder, not durably yet
	defer other.Discard()
	other.Mkdir(t.Context(), path(t, "d"), meta, true)
	must(t, os.WriteFile(filepath.Join(tr.root, "d/big"), []byte("old content"), 0o600))
	big, stale := random(2*mib+3, 76), random(2*mib+3, 77)
	u := tr.open(key(t, "d/big", big))
	defer u.Close()
	write(t, u, big, 0, 1, 2)
	on.Store(true)
	_, err := blob.CommitUpload(t.Context(), u, digest.Sum(big), meta, always())
	wantErr(t, err, hufu.KindUnavailable, "too_many_open_files")
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, ctx := range []context.Context{canceled, t.Context()} {
		if _, err := u.Finish(ctx, always()); err == nil {
			t.Error("committed")
		}
		if tr.content("d/big") != string(big) {
			t.Fatal("the file lost its name: nothing is tested")
		}
		c := chunk(stale, 1)
		wantErr(t, u.Write(t.Context(), 1, c, digest.Chunk(c, 1)), hufu.KindChanged, "file_changed")
		if tr.content("d/big") != string(big) {
			t.Error("a visible file was changed")
		}
	}
}
