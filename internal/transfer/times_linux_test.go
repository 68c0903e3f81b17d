package transfer

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hufu"
	"hufu/internal/blob/disk"
)

// TestTimesThatCannotBeKept: there is one note of them all, in both directions,
// and none where all times are kept.
func TestTimesThatCannotBeKept(t *testing.T) {
	t.Parallel()
	w, src, dst := newWorld(), newNear(t), newNear(t)
	far := time.Date(2400, 1, 2, 3, 4, 5, 0, time.UTC)
	early := time.Date(1900, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, at := range map[string]time.Time{"early": early, "far": far, "folder/far": far, "last": time.Unix(0, 1<<63-1), "now": time.Now()} {
		src.write(name, []byte(name))
		ts := []unix.Timespec{{Sec: at.Unix(), Nsec: int64(at.Nanosecond())}, {Sec: at.Unix(), Nsec: int64(at.Nanosecond())}}
		if err := unix.UtimesNanoAt(unix.AT_FDCWD, filepath.Join(src.dir, name), ts, 0); err != nil { // os.Chtimes ends in 2262
			t.Fatal(err)
		}
	}
	kept := 0
	for name, want := range map[string]time.Time{"far": far, "early": early} { // some file systems keep neither
		if i, err := os.Stat(filepath.Join(src.dir, name)); err == nil && i.ModTime().Equal(want) {
			kept++
		}
	}
	if kept < 2 {
		t.Fatal("the folder for tests, /dev/shm or TMPDIR, keeps no such times; tmpfs and xfs do")
	}
	run := func(names []string, run func(e *Engine, s []Source) error) int64 {
		t.Helper()
		e := New(w, Options{})
		var sources []Source
		for _, n := range names {
			sources = append(sources, src.one(n, n))
		}
		if err := run(e, sources); err != nil {
			t.Fatal(err)
		}
		note, count := e.Times()
		if (note != nil) != (count > 0) || count > 0 && hufu.CodeOf(note) != "times_not_kept" {
			t.Errorf("note %v of %d", note, count)
		}
		return count
	}
	put := func(e *Engine, s []Source) error { return e.Put(t.Context(), s) }
	if n := run([]string{"early", "now"}, put); n != 0 {
		t.Errorf("%d times changed that travel", n)
	}
	if n := run([]string{"far", "folder", "last"}, put); n != 3 {
		t.Errorf("%d times changed on the way there, not 3", n)
	}
	for _, name := range []string{"far", "folder/far"} { // as the wire makes it
		w.things[name].MTime = time.Unix(0, 1<<63-1)
	}
	get := func(e *Engine, _ []Source) error { return e.Get(t.Context(), dst.all()) }
	if n := run(nil, get); n != 3 {
		t.Errorf("%d times changed on the way back, not 3", n)
	}
}

// TestTimesThatThisDiskCannotKeep: ext4 keeps no time before 1901, and is found
// out.
func TestTimesThatThisDiskCannotKeep(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	early := time.Date(1900, 1, 2, 3, 4, 5, 0, time.UTC)
	probe := filepath.Join(dir, "probe")
	if err := errors.Join(os.WriteFile(probe, nil, 0o600), os.Chtimes(probe, early, early)); err != nil {
		t.Fatal(err)
	}
	i, err := os.Stat(probe)
	if err != nil {
		t.Fatal(err)
	}
	want := int64(2) // the file, and the folder
	if i.ModTime().Equal(early) {
		want = 0
	}
	into := filepath.Join(dir, "into")
	if err := os.Mkdir(into, 0o700); err != nil {
		t.Fatal(err)
	}
	s, err := disk.Open(into, disk.Options{Uploads: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	w, src := newWorld(), newNear(t)
	for _, name := range []string{"early", "folder/now"} {
		src.write(name, []byte(name))
	}
	if _, err := put(t.Context(), w, Options{}, src.all()); err != nil {
		t.Fatal(err)
	}
	w.things["early"].MTime, w.things["folder"].MTime = early, early
	e := New(w, Options{})
	if err := e.Get(t.Context(), []Source{{Side: Side{Store: s, Local: into}, Contents: true}}); err != nil {
		t.Fatal(err)
	}
	if _, n := e.Times(); n != want {
		t.Errorf("%d times are told as changed, not %d", n, want)
	}
}
