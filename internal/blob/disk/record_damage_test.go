//go:build linux

package disk_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/blob/disk"
)

// An attribute that this version cannot read may hold the uploader: nothing overwrites it.
func TestAnUnreadableRecordIsNotOverwritten(t *testing.T) {
	t.Parallel()
	for name, value := range map[string][]byte{
		"of a newer version": {0xa2, 0x01, 0x19, 0x01, 0xa4, 0x18, 0x63, 0x01}, // {1: 0640, 99: 1}
		"longer than ours":   bytes.Repeat([]byte("x"), 2000),
		"something else":     []byte("hello"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tr := newTree(t, server())
			full := filepath.Join(tr.root, "f")
			must(t, os.WriteFile(full, []byte("content"), 0o600))
			must(t, unix.Setxattr(full, "user.hufu", value, 0))
			b := tr.Batch(blob.Guard{})
			b.SetMeta(t.Context(), path(t, "f"), meta, "")
			wantErr(t, b.Finish(t.Context())[0].Err, hufu.KindUnreadable, "record_unreadable")
			if _, err := tr.Digest(t.Context(), path(t, "f")); err != nil {
				t.Error(err)
			}
			got := make([]byte, 4096)
			n, err := unix.Getxattr(full, "user.hufu", got)
			must(t, err)
			if !bytes.Equal(got[:n], value) {
				t.Errorf("%q is there", got[:n])
			}
		})
	}
}

// A folder or link whose making fails half way does not stay: the next try would find the name
// taken, and a folder without a record is nobody's.
func TestHalfMadeNameDoesNotStay(t *testing.T) {
	t.Parallel()
	for step, fill := range map[string]func(t *testing.T, b blob.Batch){
		"link-made":   func(t *testing.T, b blob.Batch) { b.Symlink(t.Context(), path(t, "n"), "x", meta, ifAbsent()) },
		"folder-made": func(t *testing.T, b blob.Batch) { b.Mkdir(t.Context(), path(t, "n"), meta, false) },
	} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			fault := error(syscall.ENOSPC)
			tr := newTree(t, disk.Options{Server: true, Hook: func(at string) error {
				if at == step {
					return fault
				}
				return nil
			}})
			b := tr.Batch(blob.Guard{})
			fill(t, b)
			if err := b.Finish(t.Context())[0].Err; !errors.Is(err, syscall.ENOSPC) {
				t.Fatal(err)
			}
			if left := names(t, tr.root); len(left) != 0 {
				t.Errorf("left: %q", left)
			}
			fault = nil
			fill(t, b)
			r := b.Finish(t.Context())[0]
			must(t, r.Err)
			if !r.Created {
				t.Error("not created by the second try")
			}
			if n := tr.Fresh(); n != 0 {
				t.Errorf("%d folders are remembered as not durable", n)
			}
		})
	}
}
