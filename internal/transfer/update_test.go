//go:build unix

package transfer

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hufu"
)

// TestUnchangedFileGetsModeAndTime: what is there with the same contents gets the mode and time of
// its source, in both directions, and no bytes are sent; a folder in which something has changed
// has its time again.
func TestUnchangedFileGetsModeAndTime(t *testing.T) {
	t.Parallel()
	later := someTime.Add(time.Hour)
	w, src := newWorld(), newNear(t)
	names := []string{"d/later", "d/mode", "d/same", "link"}
	for _, name := range names[:3] {
		src.write(name, []byte(name))
		w.set(name, []byte(name), someTime, "alice")
		w.things[name].Mode = 0o644
	}
	src.write("d/large", noise(hufu.ChunkSize+1, 1))
	w.things["link"] = &thing{Entry: hufu.Entry{Name: "link", Kind: hufu.Link, Target: "there", MTime: someTime, Version: "v0"}}
	at := func(name string, when time.Time) error {
		ts := unix.NsecToTimespec(when.UnixNano())
		return unix.UtimesNanoAt(unix.AT_FDCWD, filepath.Join(src.dir, name), []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW)
	}
	err := errors.Join(os.Symlink("there", filepath.Join(src.dir, "link")), os.Chmod(filepath.Join(src.dir, "d/mode"), 0o755),
		at("d/later", later), at("d/mode", someTime), at("d/same", someTime), at("link", later), at("d", someTime))
	if err != nil {
		t.Fatal(err)
	}
	w.things["d"].Mode = 0o755
	for _, o := range []struct {
		Options
		updated []string
	}{
		{Options{Conflict: Skip}, nil},
		{Options{DryRun: true}, nil},
		{Options{}, []string{"d/later", "d/mode", "link"}},
		{Options{}, nil},
	} {
		w.things["d"].MTime = someTime
		var told reports
		o.Report = told.add
		e := New(w, o.Options)
		if err := e.Put(t.Context(), src.all()); err != nil || told.codes() != "" || !slices.Equal(told.of(Updated), o.updated) {
			t.Fatalf("%+v: %v %s, updated %q", o.Options, err, told.codes(), told.of(Updated))
		}
		if o.DryRun && !slices.Equal(told.of(WouldUpdate), []string{"d/later", "d/mode", "link"}) {
			t.Errorf("%q would be updated", told.of(WouldUpdate))
		}
	}
	for name, want := range map[string]hufu.Entry{"d/later": {Mode: 0o644, MTime: later}, "d/mode": {Mode: 0o755, MTime: someTime}, "link": {MTime: later}} {
		if got := w.things[name]; !got.MTime.Equal(want.MTime) || got.Kind == hufu.File && got.Mode != want.Mode {
			t.Errorf("%s: %v %o", name, got.MTime, got.Mode)
		}
	}

	dst := newNear(t)
	if _, err := get(t.Context(), w, Options{}, dst.all()); err != nil {
		t.Fatal(err)
	}
	w.things["d/later"].MTime, w.things["d/mode"].Mode, w.things["link"].MTime = someTime, 0o600, someTime
	delete(w.things, "d/large")
	w.set("d/new", []byte("x"), someTime, "alice")
	told, err := get(t.Context(), w, Options{}, dst.all())
	if err != nil || told.codes() != "" || !slices.Equal(told.of(Updated), []string{"d/later", "d/mode", "link"}) || !slices.Equal(told.of(Transferred), []string{"d/new"}) {
		t.Errorf("get: %v %s, updated %q, transferred %q", err, told.codes(), told.of(Updated), told.of(Transferred))
	}
	for _, name := range []string{"d", "d/later", "d/mode", "d/same", "link"} {
		i, err := os.Lstat(filepath.Join(dst.dir, name))
		if err != nil || !i.ModTime().Equal(w.things[name].MTime) || i.Mode().IsRegular() && uint32(i.Mode()) != w.things[name].Mode {
			t.Errorf("%s: %v %v, not %v", name, i.ModTime(), i.Mode(), w.things[name].MTime)
		}
	}
}

// TestOthersUnchangedFile: somebody else's file with the same contents keeps its mode and time,
// which is no failure; and what the user of this computer allowed for one stays allowed.
func TestOthersUnchangedFile(t *testing.T) {
	t.Parallel()
	w, n := newWorld(), newNear(t)
	n.write("run", []byte("x"))
	w.set("run", []byte("x"), someTime, "bob")
	w.fault = func(op string, _ hufu.Path, after bool) error {
		if op == "setmeta" && !after {
			return failed(hufu.KindPermission, "not_yours")
		}
		return nil
	}
	told, err := put(t.Context(), w, Options{}, n.all())
	if err != nil || told.codes() != "" || !slices.Equal(told.of(Skipped), []string{"run"}) {
		t.Error(err, told)
	}
	if err := os.Chmod(filepath.Join(n.dir, "run"), 0o711); err != nil {
		t.Fatal(err)
	}
	told, err = get(t.Context(), w, Options{Strip: true, Me: "alice"}, n.all())
	i, statErr := os.Stat(filepath.Join(n.dir, "run"))
	if err := errors.Join(err, statErr); err != nil || told.codes() != "" || i.Mode() != 0o755 {
		t.Error(err, told, i.Mode())
	}
}

// TestUpdateOfAnotherVersion: a file that is replaced between the look at it and the change keeps
// its mode and time.
func TestUpdateOfAnotherVersion(t *testing.T) {
	t.Parallel()
	w, src := newWorld(), newNear(t)
	src.write("f", []byte("x"))
	w.set("f", []byte("x"), someTime, "")
	w.fault = func(op string, _ hufu.Path, after bool) error {
		if op == "setmeta" && !after {
			w.set("f", []byte("newer"), someTime, "")
		}
		return nil
	}
	if told, err := put(t.Context(), w, Options{}, src.all()); err != nil || told.codes() != "target_changed" || !w.things["f"].MTime.Equal(someTime) {
		t.Error(err, told)
	}
}
