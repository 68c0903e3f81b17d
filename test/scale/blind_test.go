//go:build e2e && linux

package scale

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// caseBlind mounts a file system that takes names for one if they differ only in case, as those of
// macOS and Windows do. This one lists all of them in small letters.
func caseBlind(t *testing.T, dir string) {
	t.Helper()
	image := filepath.Join(t.TempDir(), "disk")
	run := func(name string, args ...string) {
		t.Helper()
		if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
			t.Fatalf("a case-blind disk cannot be mounted, so none was tried: %s: %v %s", name, err, out)
		}
	}
	run("truncate", "-s", "16M", image)
	run("mkntfs", "-F", "-Q", "-q", image)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	run("lowntfs-3g", image, dir, "-o", "ignore_case")
	t.Cleanup(func() { _ = exec.Command("umount", "-l", dir).Run() })
}

// TestCaseBlindTarget: what was renamed at the source in nothing but case is updated at a target
// that takes both names for one, and is not deleted there. Of two such names of the source one
// fails, by name, and so does the second of two such folders with all that is in it.
func TestCaseBlindTarget(t *testing.T) {
	w := newWorld(t, t.TempDir(), 0)
	caseBlind(t, w.home("disk"))
	write := func(name, text string) {
		t.Helper()
		w.must(os.MkdirAll(filepath.Dir(w.home(name)), 0o755))
		w.must(os.WriteFile(w.home(name), []byte(text), 0o644))
	}
	holds := func(name, want string) {
		t.Helper()
		if got, _ := os.ReadFile(w.home(name)); string(got) != want {
			t.Errorf("%s has %q instead of %q", name, got, want)
		}
	}
	write("src/readme", "old")
	write("src/photos/p", "p")
	write("src/gone", "gone")
	w.do(0, "put", "src", ":/")
	w.do(0, "sync", "--delete", ":/src", "disk/src")
	w.do(0, "mv", ":/src/readme", ":/src/README")
	w.do(0, "mv", ":/src/photos", ":/src/Photos")
	w.do(0, "rm", ":/src/gone")
	write("new", "newer")
	w.do(0, "put", "-f", "-T", "new", ":/src/README")

	if dry := w.do(0, "sync", "-n", "--delete", ":/src", "disk/src").Out; strings.Count(dry, "would be deleted") != 1 || !strings.Contains(dry, "gone: would be deleted") {
		t.Errorf("a dry run says:\n%s", dry)
	}
	for range 2 {
		w.do(0, "sync", "--delete", ":/src", "disk/src")
		holds("disk/src/readme", "newer")
		holds("disk/src/photos/p", "p")
		if _, err := os.Stat(w.home("disk/src/gone")); err == nil {
			t.Error("what is gone at the source is still there")
		}
	}

	write("new", "newest")
	w.do(0, "put", "-f", "-T", "new", ":/src/README")
	if r := w.do(1, "get", ":/src/README", "disk/src/"); !strings.Contains(r.Err, "already exists and differs") {
		t.Error(r)
	}
	w.do(0, "get", "--conflict", "replace", ":/src/README", "disk/src/")
	holds("disk/src/readme", "newest")

	write("new", "of photos")
	w.do(0, "put", "-T", "new", ":/src/photos/q")
	for range 2 {
		r := w.do(1, "sync", ":/src", "disk/src")
		if strings.Count(r.Err, `Another source of the same command goes to "disk/src/Photos" too.`) != 1 {
			t.Error(r)
		}
		holds("disk/src/photos/q", "of photos")
	}
	w.do(0, "put", "-T", "new", ":/src/B")
	w.do(0, "sync", ":/src/Photos", "disk/other")
	write("new", "second")
	w.do(0, "put", "-T", "new", ":/src/b")
	w.do(1, "get", ":/src/B", ":/src/b", "disk/other/")
	if got, _ := os.ReadFile(w.home("disk/other/b")); string(got) != "of photos" && string(got) != "second" {
		t.Errorf("%q", got)
	}
}
