package sys

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Kernels before 6.6 set the mode of a file that cannot be opened, and of no link's target.
func TestChmodByProc(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "f")
	if err := errors.Join(os.WriteFile(file, nil, 0o200), os.Symlink("f", filepath.Join(dir, "l"))); err != nil {
		t.Fatal(err)
	}
	d, err := OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := d.chmodByProc("f", 0o640); err != nil {
		t.Fatal(err)
	}
	if err := d.chmodByProc("l", 0o777); !errors.Is(err, unix.EOPNOTSUPP) {
		t.Errorf("of a link: %v", err)
	}
	if n, err := d.Stat("f"); err != nil || n.Perm != 0o640 {
		t.Errorf("%o %v", n.Perm, err)
	}
}

// Without openat2 a link is told from a file at every depth.
func TestWalkTellsALink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := errors.Join(
		os.MkdirAll(filepath.Join(dir, "a/b"), 0o700), os.Symlink("b", filepath.Join(dir, "a/l")), os.Symlink("a", filepath.Join(dir, "l")),
		os.WriteFile(filepath.Join(dir, "a/f"), nil, 0o600),
	); err != nil {
		t.Fatal(err)
	}
	d, err := OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for path, want := range map[string]error{"l": unix.ELOOP, "a/l": unix.ELOOP, "a/l/c": unix.ELOOP, "a/f": unix.ENOTDIR, "a/f/c": unix.ENOTDIR} {
		if _, err := walk(d, path, PassFlags); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", path, err, want)
		}
	}
}
