package disk

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"hufu/internal/blob/disk/sys"
)

// TestStagedInARemovedFolder: a folder that was removed while it is open is told
// as not found, whatever its file system says (ext4: not permitted).
func TestStagedInARemovedFolder(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "d")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	d, err := sys.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	var k sys.Kernel
	f, err := k.Tmpfile(d, 0o600)
	if err == nil {
		f.Close()
	}
	if !errors.Is(err, syscall.ENOENT) && !errors.Is(err, syscall.EOPNOTSUPP) {
		t.Error(err)
	}
}
