//go:build e2e && linux

package gui

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"hufu/test/built"
)

// TestManyFilesDropped: a folder of many files that is dropped on the page is one transfer, and the page
// can be used meanwhile. With HUFU_LARGE it is 100,000 files; what they cost is printed.
func TestManyFilesDropped(t *testing.T) {
	files := 2_000
	if os.Getenv("HUFU_LARGE") != "" {
		files = 100_000
	}
	w := newWorld(t)
	alice := w.join(t, "")
	elsewhere := t.TempDir()
	for i := range files {
		write(t, filepath.Join(elsewhere, "many", fmt.Sprintf("%03d", i/1000), fmt.Sprintf("file %d.txt", i)), fmt.Append(nil, "content ", i))
	}
	d := sit(t, alice)
	p := enter(t, d)
	p.patience(600)
	// The longest time in which the page drew nothing.
	eval[int](p, "window.longest = 0, window.was = performance.now(), (function f() { const now = performance.now(); longest = Math.max(longest, now - was); was = now; requestAnimationFrame(f) })(), 1")
	begun := time.Now()
	p.dropFiles("section.pane.remote .grid", filepath.Join(elsewhere, "many"))
	p.until(row("remote", "many"))
	p.show("settings") // while it runs
	p.show("files")
	p.show("transfers")
	p.job("many", "done")
	t.Logf("%d files in %v; the page drew nothing for %.0f ms at most; the program behind it needed %d MiB at most", files, time.Since(begun).Round(time.Millisecond), eval[float64](p, "longest"), built.Peak(d.pid)>>20)
	if n := eval[int](p, "document.querySelectorAll('.job').length"); n != 1 {
		t.Errorf("%d transfers", n)
	}
	n := 0
	if err := filepath.WalkDir(w.served("many"), func(_ string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			n++
		}
		return err
	}); err != nil || n != files {
		t.Errorf("%d of %d files arrived: %v", n, files, err)
	}
	same(t, w.served(fmt.Sprintf("many/001/file %d.txt", 1234)), []byte("content 1234"))
	if err := built.Eventually("the spool is empty", func() bool {
		left, err := os.ReadDir(filepath.Join(alice.Home, ".local/state/hufu/spool"))
		return err == nil && len(left) == 0
	}); err != nil {
		t.Error(err)
	}
}
