//go:build linux

package disk_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/blob/disk"
	"hufu/internal/digest"
)

// renumber gives every staging file of a folder another number, as mounting a FAT file system again
// does.
func renumber(t *testing.T, dir string) {
	t.Helper()
	for _, n := range names(t, dir) {
		if full := filepath.Join(dir, n); strings.HasPrefix(n, hufu.ReservedPrefix) {
			b, err := os.ReadFile(full)
			must(t, err)
			must(t, os.WriteFile(full+"x", b, 0o600))
			must(t, os.Rename(full+"x", full))
		}
	}
}

// Where a file has another number after each mount, an upload is resumed nevertheless, with the
// chunks whose bytes are there, and a superseded one leaves nothing.
func TestResumeOnAFileSystemThatRenumbers(t *testing.T) {
	t.Parallel()
	for _, source := range []string{"v1", "v2"} {
		t.Run(source, func(t *testing.T) {
			t.Parallel()
			tr := newTree(t, disk.Options{})
			data := random(3*mib+1, 76)
			u := tr.open(key(t, "d/big", data))
			write(t, u, data, 0, 2)
			id := u.Info().ID
			must(t, u.Close())
			must(t, tr.Close())
			renumber(t, filepath.Join(tr.root, "d"))
			// A mount takes the cache with it: chunk 2 had not reached the disk.
			f, err := os.OpenFile(filepath.Join(tr.root, "d", hufu.ReservedPrefix+id), os.O_WRONLY, 0)
			must(t, err)
			_, err = f.WriteAt(make([]byte, mib), 2*mib)
			must(t, errors.Join(err, f.Close()))
			tr = openTree(t, tr.dir, disk.Options{})
			tr.WithNewNumbers()
			k := key(t, "d/big", data)
			k.Source = source
			u = tr.open(k)
			defer func() { u.Close() }()
			if have := u.Info().Have; source == "v1" && (have != 1 || u.Info().ID != id) {
				t.Errorf("%d chunks are left", have)
			}
			write(t, u, data, missing(u)...)
			_, err = blob.CommitUpload(t.Context(), u, digest.Sum(data), meta, ifAbsent())
			must(t, err)
			if tr.content("d/big") != string(data) {
				t.Error("other bytes")
			}
			noneReserved(t, tr.root)
			if left := names(t, filepath.Join(tr.dir, "uploads")); len(left) != 0 {
				t.Errorf("left: %q", left)
			}
		})
	}
}

// There the file under the final name may have the number that the staging file had before: the
// upload is still not finished.
func TestANumberIsNoProofOnAFileSystemThatRenumbers(t *testing.T) {
	t.Parallel()
	tr := newTree(t, disk.Options{})
	data := random(2*mib, 79)
	u := tr.open(key(t, "d/big", data))
	write(t, u, data, 0)
	id := u.Info().ID
	must(t, u.Close())
	must(t, tr.Close())
	dir := filepath.Join(tr.root, "d")
	must(t, os.Link(filepath.Join(dir, hufu.ReservedPrefix+id), filepath.Join(dir, "big")))
	renumber(t, dir)
	tr = openTree(t, tr.dir, disk.Options{})
	tr.WithNewNumbers()
	u = tr.open(key(t, "d/big", data))
	defer u.Close()
	if u.Info().ID != id || u.Info().Have != 1 {
		t.Errorf("%d chunks are left", u.Info().Have)
	}
}

// Elsewhere a file with another number under the reserved name is somebody else's, and stays.
func TestAnotherFileUnderTheReservedNameStays(t *testing.T) {
	t.Parallel()
	tr := newTree(t, disk.Options{})
	data := random(2*mib, 77)
	u := tr.open(key(t, "d/big", data))
	write(t, u, data, 0)
	id := u.Info().ID
	must(t, u.Close())
	must(t, tr.Close())
	renumber(t, filepath.Join(tr.root, "d"))
	tr = openTree(t, tr.dir, disk.Options{})
	u = tr.open(key(t, "d/big", data))
	defer u.Close()
	if u.Info().ID == id || u.Info().Have != 0 {
		t.Error("another file was taken for the staging file")
	}
	if _, err := os.Lstat(filepath.Join(tr.root, "d", hufu.ReservedPrefix+id)); err != nil {
		t.Error(err)
	}
}

// The bytes of an unfinished download do not stay in a folder that the user has renamed, whether
// the folder was made again or not.
func TestRenamedFolderKeepsNoBytes(t *testing.T) {
	t.Parallel()
	for _, moved := range [][2]string{{"a", "z"}, {"a/b", "a/z"}, {"a/b/c", "a/b/z"}} {
		for _, again := range []bool{false, true} {
			t.Run(moved[0], func(t *testing.T) {
				t.Parallel()
				tr := newTree(t, disk.Options{})
				data := random(2*mib, 78)
				u := tr.open(key(t, "a/b/c/big", data))
				write(t, u, data, 0)
				must(t, u.Close())
				tr = tr.reopen(disk.Options{})
				must(t, os.Rename(filepath.Join(tr.root, moved[0]), filepath.Join(tr.root, moved[1])))
				must(t, os.WriteFile(filepath.Join(tr.root, "file"), nil, 0o600))
				if again {
					must(t, os.MkdirAll(filepath.Join(tr.root, "a/b/c"), 0o700))
				}
				u = tr.open(key(t, "a/b/c/big", data))
				defer u.Close()
				if u.Info().Have != 0 {
					t.Errorf("%d chunks are left", u.Info().Have)
				}
				noneReserved(t, tr.root)
			})
		}
	}
}
