package atomicfile_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"hufu/internal/atomicfile"
)

func content(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestWrite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	for _, v := range []struct {
		data string
		mode fs.FileMode
	}{{"first", 0o600}, {"the second, longer", 0o644}, {"", 0o666}, {"last", 0o400}, {"again", 0o600}} {
		if err := atomicfile.Write(path, []byte(v.data), v.mode); err != nil {
			t.Fatal(err)
		}
		if got := content(t, path); got != v.data {
			t.Errorf("holds %q, not %q", got, v.data)
		}
		fi, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if runtime.GOOS != "windows" && fi.Mode() != v.mode {
			t.Errorf("mode %v, not %v", fi.Mode(), v.mode)
		}
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) != 1 {
		t.Errorf("left: %v %v", list, err)
	}
}

// TestOldStays: whatever goes wrong, the old file is there, and nothing else.
func TestOldStays(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	if err := atomicfile.Write(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	fault := errors.New("fault")
	err := atomicfile.WriteFunc(path, 0o600, func(w io.Writer) error {
		if _, err := io.WriteString(w, "half of the ne"); err != nil {
			return err
		}
		if got := content(t, path); got != "old" {
			t.Errorf("the name holds %q while the new content is written", got)
		}
		return fault
	})
	if !errors.Is(err, fault) {
		t.Errorf("got %v", err)
	}
	if got := content(t, path); got != "old" {
		t.Errorf("holds %q", got)
	}
	// A folder stands where the file would go.
	taken := filepath.Join(dir, "taken")
	if err := os.MkdirAll(filepath.Join(taken, "full"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := atomicfile.Write(taken, []byte("x"), 0o600); err == nil {
		t.Error("a folder was replaced")
	}
	if err := atomicfile.Write(filepath.Join(dir, "none", "file"), nil, 0o600); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) != 2 {
		t.Errorf("left: %v %v", list, err)
	}
}

func TestMkdirAll(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a", "b", "c")
	for range 2 {
		if err := atomicfile.MkdirAll(path, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if fi, err := os.Stat(path); err != nil || !fi.IsDir() {
		t.Error(fi, err)
	}
	file := filepath.Join(path, "file")
	if err := atomicfile.Write(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := atomicfile.MkdirAll(filepath.Join(file, "below"), 0o700); err == nil {
		t.Error("a folder was made below a file")
	}
}
