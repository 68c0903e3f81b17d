//go:build unix

package transfer

import (
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"hufu"
)

// TestOneFileIsOnlyOneFile: what is wrong with one of many is told of that one.
func TestOneFileIsOnlyOneFile(t *testing.T) {
	t.Parallel()
	full := failed(hufu.KindQuota, "disk_full")
	w, src := newWorld(), newNear(t)
	for name, data := range contents() {
		src.write(name, data)
	}
	if err := syscall.Mkfifo(filepath.Join(src.dir, "a", "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(src.dir, "a", "link")); err != nil {
		t.Fatal(err)
	}
	w.fault = func(op string, p hufu.Path, after bool) error {
		switch {
		case after:
		case op == "put" && p.String() == "a/one", op == "commit" && p.String() == "a/large":
			return full
		case op == "list": // seen, and then no longer there
			_ = os.Remove(filepath.Join(src.dir, "gone"))
		case op == "stat":
			src.write("gone", []byte("x"))
		}
		return nil
	}
	src.write("gone", []byte("x"))
	told, err := put(t.Context(), w, Options{}, []Source{src.one("a", "a"), src.one("large", "large"), src.one("chunk", "chunk"), src.one("empty", "empty")})
	if err != nil {
		t.Fatal(err)
	}
	if got := told.of(Failed); !slices.Equal(got, []string{"a/large", "a/one"}) || told.codes() != "disk_full" {
		t.Errorf("failed: %v %s", got, told.codes())
	}
	if got := told.of(Transferred); !slices.Equal(got, []string{"a/b/two", "a/link", "chunk", "empty", "large"}) {
		t.Errorf("transferred: %v", got)
	}
	if got := told.of(Skipped); !slices.Equal(got, []string{"a/fifo"}) {
		t.Errorf("skipped: %v", got)
	}
	if l := w.things["a/link"]; l == nil || l.Kind != hufu.Link || l.Target != "/etc/passwd" {
		t.Errorf("the link arrived as %+v", l)
	}
}
