package disk_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"hufu/internal/blob/disk"
)

// TestRenameNewReplacesNothing: what stands at the new name stays, a file and
// an empty folder as well.
func TestRenameNewReplacesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	name := func(s string) string { return filepath.Join(dir, s) }
	for what, create := range map[string]func(string) error{
		"file":   func(s string) error { return os.WriteFile(s, []byte(s), 0o600) },
		"folder": func(s string) error { return os.Mkdir(s, 0o700) },
	} {
		for _, s := range []string{name("from"), name("to")} {
			if err := create(s); err != nil {
				t.Fatal(err)
			}
		}
		if err := disk.RenameNew(name("from"), name("to")); !errors.Is(err, fs.ErrExist) {
			t.Errorf("%s over another: %v", what, err)
		}
		if err := disk.RenameNew(name("from"), name("free")); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		for _, s := range []string{"to", "free"} {
			if err := os.Remove(name(s)); err != nil {
				t.Error(err)
			}
		}
	}
	if err := disk.RenameNew(name("none"), name("new")); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
