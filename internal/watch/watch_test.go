package watch

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"

	"hufu"
)

func newWatcher(t *testing.T) (w *Watcher, dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "watched")
	if err := os.MkdirAll(filepath.Join(dir, "a", "b"), 0o755); err != nil {
		t.Fatal(err)
	}
	w, err := New(dir, true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	return w, dir
}

func write(t *testing.T, path string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte("x"), 0o600)); err != nil {
		t.Fatal(err)
	}
}

// TestEveryChangeEndsAWait: in a folder that was there, in a new one, of contents, modes and names.
func TestEveryChangeEndsAWait(t *testing.T) {
	t.Parallel()
	w, dir := newWatcher(t)
	file := filepath.Join(dir, "a", "b", "f")
	for name, change := range map[string]func(){
		"a write":         func() { write(t, file) },
		"a deep folder":   func() { write(t, filepath.Join(dir, "new", "deep", "f")) },
		"in a new folder": func() { write(t, filepath.Join(dir, "new", "deep", "g")) },
		"a removal":       func() { write(t, file); _ = os.Remove(file) },
		"a rename":        func() { write(t, file); _ = os.Rename(file, file+"2") },
	} {
		change()
		if err := w.Wait(t.Context(), time.Hour); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.Wait(ctx, time.Hour); hufu.KindOf(err) != hufu.KindCanceled {
		t.Error(err)
	}
}

// TestOverflow: when the system has lost changes, a Wait ends, and folders that came meanwhile are
// watched.
func TestOverflow(t *testing.T) {
	t.Parallel()
	w, dir := newWatcher(t)
	if err := w.in.Remove(filepath.Join(dir, "a", "b")); err != nil { // as if it had been made unseen
		t.Fatal(err)
	}
	w.in.Errors <- fsnotify.ErrEventOverflow
	if err := w.Wait(t.Context(), time.Hour); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "a", "b", "f"))
	if err := w.Wait(t.Context(), time.Hour); err != nil {
		t.Error(err)
	}
}

// TestFolderVanishes: that is an error, also if another folder has its name.
func TestFolderVanishes(t *testing.T) {
	t.Parallel()
	for _, again := range []bool{false, true} {
		w, dir := newWatcher(t)
		err := os.Rename(dir, dir+"2")
		if again {
			err = errors.Join(err, os.Mkdir(dir, 0o755))
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Wait(t.Context(), time.Hour); hufu.CodeOf(err) != "watch_gone" {
			t.Errorf("%v: %v", again, err)
		}
	}
	if _, err := New(filepath.Join(t.TempDir(), "none"), true); hufu.CodeOf(err) != "watch_gone" {
		t.Error(err)
	}
}

// withDisk watches dir. A file system is mounted on each folder with the name "disk" while mounted says
// so.
func withDisk(t *testing.T, dir string, mounted *atomic.Bool) *Watcher {
	t.Helper()
	w, err := begin(dir, func(path string) uint64 {
		if _, err := os.Lstat(path); err == nil && filepath.Base(path) == "disk" && mounted.Load() {
			return 2
		}
		return 0
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	return w
}

// TestMountVanishes: a file system that was mounted below the folder and no longer is leaves an empty
// folder, which must not be taken for the source.
func TestMountVanishes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "disk", "f")
	write(t, file)
	var mounted atomic.Bool
	mounted.Store(true)
	w := withDisk(t, dir, &mounted)
	if err := w.There(t.Context()); err != nil {
		t.Error(err)
	}
	mounted.Store(false)
	write(t, file)
	err := w.Wait(t.Context(), time.Hour)
	if e, ok := errors.AsType[*hufu.Error](err); !ok || e.Code != "watch_gone" || e.Path != filepath.Join(w.root(), "disk") {
		t.Error(err)
	}
}

// TestMountAppears: a file system that is mounted later is missed as well.
func TestMountAppears(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "disk", "f"))
	var mounted atomic.Bool
	w := withDisk(t, dir, &mounted)
	for _, now := range []bool{false, true, false} {
		mounted.Store(now)
		if err := w.Look(t.Context()); err != nil && !now {
			if hufu.CodeOf(err) != "watch_gone" || len(w.mounts) != 1 {
				t.Error(err)
			}
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
	t.Error("not missed")
}

// TestMountIsRenamed: a file system below a renamed folder is still there, and is missed under its new
// name. If it was unmounted before, that is noticed, too.
func TestMountIsRenamed(t *testing.T) {
	t.Parallel()
	for _, gone := range []bool{false, true} {
		dir := t.TempDir()
		up := filepath.Join(dir, "up")
		write(t, filepath.Join(up, "disk", "f"))
		var mounted atomic.Bool
		mounted.Store(true)
		w := withDisk(t, dir, &mounted)
		mounted.Store(!gone)
		if err := os.Rename(up, up+"2"); err != nil {
			t.Fatal(err)
		}
		switch err := w.Wait(t.Context(), time.Hour); {
		case gone:
			if hufu.CodeOf(err) != "watch_gone" {
				t.Error("unmounted, then renamed:", err)
			}
			continue
		case err != nil:
			t.Fatal(err)
		}
		mounted.Store(false)
		err := w.There(t.Context())
		if e, ok := errors.AsType[*hufu.Error](err); !ok || e.Code != "watch_gone" || e.Path != filepath.Join(w.root(), "up2", "disk") {
			t.Error(err)
		}
	}
}

// TestKnown: a folder that was removed is forgotten at the next look.
func TestKnown(t *testing.T) {
	t.Parallel()
	w, dir := newWatcher(t)
	for i := range 20 {
		write(t, filepath.Join(dir, strconv.Itoa(i), "f"))
	}
	watches(t, w, dir)
	for i := range 20 {
		if err := os.RemoveAll(filepath.Join(dir, strconv.Itoa(i))); err != nil {
			t.Fatal(err)
		}
	}
	watches(t, w, dir)
	if err := w.Look(t.Context()); err != nil {
		t.Fatal(err)
	}
	for path := range w.known {
		if i, err := os.Stat(path); err != nil || !i.IsDir() {
			t.Errorf("%s is known: %v", path, err)
		}
	}
	if _, ok := w.known[filepath.Join(w.root(), "a", "b")]; !ok {
		t.Errorf("not known: %v", w.known)
	}
}

// watches makes changes until exactly the folders that are there are watched.
func watches(t *testing.T, w *Watcher, dir string) {
	t.Helper()
	var there, watched []string
	for range 50 {
		there = nil
		_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				there = append(there, path)
			}
			return nil
		})
		watched = w.in.WatchList()
		slices.Sort(there)
		slices.Sort(watched)
		if slices.Equal(there, watched) {
			return
		}
		write(t, filepath.Join(dir, "change"))
		if err := w.Wait(t.Context(), time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	t.Fatalf("watched: %q, there are: %q", watched, there)
}

// TestRenamedFolders: a folder that was renamed is watched under its new name, with what was in it and
// what comes into it later; one that was moved away is watched no more.
func TestRenamedFolders(t *testing.T) {
	t.Parallel()
	w, dir := newWatcher(t)
	at := filepath.Join(dir, "a")
	for _, to := range []string{"a2", "a", filepath.Join("deep", "a3")} {
		write(t, filepath.Join(dir, "deep", "f"))
		if err := os.Rename(at, filepath.Join(dir, to)); err != nil {
			t.Fatal(err)
		}
		at = filepath.Join(dir, to)
		watches(t, w, dir)
		write(t, filepath.Join(at, "new", "f"))
		write(t, filepath.Join(at, "b", "new", "f"))
		watches(t, w, dir)
	}
	if err := os.Rename(filepath.Join(dir, "deep"), dir+"-away"); err != nil {
		t.Fatal(err)
	}
	watches(t, w, dir)
}

// TestRenamedAndRemoved: fsnotify holds its lock while it reports that a watch is gone. The watch goes
// on nevertheless.
func TestRenamedAndRemoved(t *testing.T) {
	t.Parallel()
	w, dir := newWatcher(t)
	at := func(i int) string { return filepath.Join(dir, strconv.Itoa(i)) }
	for i := range 200 {
		write(t, filepath.Join(at(i), "f"))
		_ = os.Remove(filepath.Join(at(i), "f"))
	}
	watches(t, w, dir)
	for i := range 200 { // the new folder is watched while the old one's watch is ended
		if err := errors.Join(os.Rename(at(i), at(i)+"x"), os.Remove(at(i)+"x"), os.Mkdir(at(i)+"x", 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(dir, "deep", "er", "f"))
	watches(t, w, dir)
}
