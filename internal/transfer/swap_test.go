//go:build unix

package transfer

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hufu"
	"hufu/internal/digest"
)

// otherKinds makes a source and, by set, a target: each name of the source is of another kind there.
func otherKinds(t *testing.T, write, set func(name string, data []byte)) {
	t.Helper()
	big := noise(3*hufu.ChunkSize, 1)
	for name, data := range map[string][]byte{"small": []byte("s"), "large": big, "folder/in/it": []byte("i"), "other": []byte("o")} {
		write(name, data)
	}
	for name, data := range map[string][]byte{"small/old": []byte("1"), "large/old": []byte("2"), "link/old": []byte("3"), "folder": []byte("4"), "other": []byte("o")} {
		set(name, data)
	}
}

// TestReplacementComesFirst: what is in the way of something of another kind is at the target until
// that has arrived, and the next run ends what the last one has begun.
func TestReplacementComesFirst(t *testing.T) {
	t.Parallel()
	refused := func(ops ...string) func(string, hufu.Path, bool) error {
		return func(op string, p hufu.Path, after bool) error {
			if !after && slices.Contains(ops, op) && !strings.HasSuffix(p.String(), "other") {
				return failed(hufu.KindPermission, "not_yours")
			}
			return nil
		}
	}
	lost := func(ops ...string) func(string, hufu.Path, bool) error {
		return func(op string, _ hufu.Path, after bool) error {
			if !after && slices.Contains(ops, op) {
				return failed(hufu.KindUnavailable, "store_away")
			}
			return nil
		}
	}
	for name, fault := range map[string]func(string, hufu.Path, bool) error{
		"refused": refused("put", "commit", "link", "get", "read"), "ended": lost("put", "commit", "link", "get", "read"),
		"not removed": refused("remove"), "ended later": lost("remove", "rename"),
		"ended in remove": lost("remove"),
	} {
		for _, down := range []bool{false, true} {
			if down && name != "refused" && name != "ended" {
				continue // the fault is not of this side
			}
			w, here := newWorld(), newNear(t)
			link := func() { // of the source
				w.things["t/link"] = &thing{Entry: hufu.Entry{Name: "link", Kind: hufu.Link, Target: "to", MTime: someTime, Version: w.version()}}
			}
			far := func(name string, data []byte) { w.set("t/"+name, data, someTime, "") }
			holds := func(name, data string) bool {
				for _, as := range []string{name, strings.Replace(name, "folder", "folder.hufu-old", 1)} {
					at, _ := w.content("t/" + as)
					if down {
						at = here.content(as)
					}
					if string(at) == data {
						return true
					}
				}
				return false
			}
			run, from := put, here.whole("t")
			if down {
				run = get
				otherKinds(t, far, here.write)
				link()
			} else {
				otherKinds(t, here.write, far)
				if err := os.Symlink("to", filepath.Join(here.dir, "link")); err != nil {
					t.Fatal(err)
				}
			}
			w.fault = fault
			r, err := run(t.Context(), w, mirror(true, -1), from)
			if err == nil && r.codes() == "" {
				t.Errorf("%s %v: nothing has failed", name, down)
			}
			if name != "not removed" && strings.Contains(r.codes(), "wrong_kind") {
				t.Errorf("%s, down %v: %v %s", name, down, err, told(r))
			}
			for file, data := range map[string]string{"small/old": "1", "large/old": "2", "folder": "4"} {
				if !holds(file, data) {
					t.Errorf("%s, down %v: %s is gone: %v %s", name, down, file, err, told(r))
				}
			}
			w.fault = nil
			if r, err = run(t.Context(), w, mirror(true, -1), from); err != nil || r.codes() != "" {
				t.Errorf("%s, down %v: again: %v %s", name, down, err, r.codes())
			}
			var there []string
			for n := range w.things {
				if n, below := strings.CutPrefix(n, "t/"); below {
					there = append(there, n)
				}
			}
			if slices.Sort(there); !slices.Equal(there, here.names()) {
				t.Errorf("%s, down %v: %q here, %q there", name, down, here.names(), there)
			}
			for _, file := range []string{"small", "large", "folder/in/it"} {
				at, _ := w.content("t/" + file)
				if digest.Sum(at) != digest.Sum(here.content(file)) {
					t.Errorf("%s, down %v: %s differs", name, down, file)
				}
			}
			if r, err = run(t.Context(), w, mirror(true, -1), from); err != nil || told(r) != "" {
				t.Errorf("%s, down %v: the second time: %v %s", name, down, err, told(r))
			}
		}
	}
}

// TestBarredFolder: a file is not brought for a folder that stays because the filter protects
// something in it; what it does not protect goes, and nothing is left beside.
func TestBarredFolder(t *testing.T) {
	t.Parallel()
	o := mirror(true, -1)
	o.Filter = &Filter{}
	if err := o.Filter.Add(false, "*.o"); err != nil {
		t.Fatal(err)
	}
	w, src := newWorld(), newNear(t)
	src.write("d", []byte("a file"))
	w.set("t/d/sub/x.o", []byte("kept"), someTime, "")
	w.set("t/d/sub/y", []byte("not"), someTime, "")
	src.write("n/in", []byte("1")) // which has nothing to do with it
	w.set("t/n", []byte("a file"), someTime, "")
	for _, sent := range []int64{1, 0} {
		e := New(w, o)
		if err := e.Put(t.Context(), src.whole("t")); err != nil || e.Stats.Failed.Load() != 1 || e.Stats.Sent.Load() != sent {
			t.Errorf("%v, %d failed, %d sent", err, e.Stats.Failed.Load(), e.Stats.Sent.Load())
		}
		if w.things["t/n.hufu-old"] != nil {
			t.Error("what made way for a whole folder is still there")
		}
	}
	if w.things["t/d/sub/x.o"] == nil || w.things["t/d/sub/y"] != nil || w.things["t/d.hufu-new"] != nil {
		t.Error("not what a mirror leaves")
	}

	// Here only the last moment shows that the folder stays.
	w, dst := newWorld(), newNear(t)
	w.set("t/d", []byte("a file"), someTime, "")
	dst.write("d/old", []byte("old"))
	w.fault = func(op string, _ hufu.Path, after bool) error {
		if op == "get" && !after {
			dst.write("d/new.o", []byte("put there meanwhile"))
		}
		return nil
	}
	if r, err := get(t.Context(), w, o, dst.whole("t")); err != nil || r.codes() != "target_wrong_kind" || !slices.Equal(dst.names(), []string{"d", "d/new.o"}) {
		t.Errorf("%v %s %q", err, r.codes(), dst.names())
	}
}

// TestBesideNames: the names beside are free, of this length, and none of the source.
func TestBesideNames(t *testing.T) {
	t.Parallel()
	w, src := newWorld(), newNear(t)
	long := strings.Repeat("x", hufu.MaxSegment)
	for _, name := range []string{"a", "a.hufu-new", long} {
		src.write(name, []byte(name))
		w.set("t/"+name+"/old", []byte("old"), someTime, "")
	}
	src.write("f/in", []byte("in"))
	src.write("f.hufu-old", []byte("mine"))
	w.set("t/f", []byte("x"), someTime, "")
	if r, err := put(t.Context(), w, mirror(true, -1), src.whole("t")); err != nil || r.codes() != "" {
		t.Fatal(err, r.codes())
	}
	if r, err := put(t.Context(), w, mirror(true, -1), src.whole("t")); err != nil || told(r) != "" {
		t.Error(err, told(r))
	}
	for _, name := range []string{"a", "a.hufu-new", long, "f/in", "f.hufu-old"} {
		if at, _ := w.content("t/" + name); string(at) != string(src.content(name)) {
			t.Errorf("%.20s: %q", name, at)
		}
	}
}

// TestOldStaysUntilTheFolderIsThere: in later runs, and if it is listed as an extra in the same one.
func TestOldStaysUntilTheFolderIsThere(t *testing.T) {
	t.Parallel()
	w, src := newWorld(), newNear(t)
	w.pageOf = 1 // so that f.hufu-old is listed after f has made way
	src.write("f/big", []byte("new"))
	w.set("t/f", []byte("old"), someTime, "")
	for _, name := range []string{"f.a", "f.b", "f.c"} {
		src.write(name, []byte("x"))
		w.set("t/"+name, []byte("x"), someTime, "")
	}
	w.set("t/z", []byte("an extra"), someTime, "")
	w.set("t/z.hufu-old", []byte("an extra"), someTime, "")
	src.write("z", []byte("z"))
	w.fault = func(op string, p hufu.Path, after bool) error {
		if op == "put" && p.Base() == "big" && !after {
			return failed(hufu.KindPermission, "not_yours")
		}
		return nil
	}
	for n := range 3 {
		r, err := put(t.Context(), w, mirror(true, -1), src.whole("t"))
		if old, _ := w.content("t/f.hufu-old"); err != nil || string(old) != "old" || r.codes() != "not_yours" {
			t.Fatalf("run %d: %v %q %s", n, err, old, told(r))
		}
		if n := len(slices.DeleteFunc(r, func(x Report) bool { return hufu.CodeOf(x.Err) != "sync_old_kept" })); n != 1 {
			t.Errorf("told %d times", n)
		}
		if w.things["t/z.hufu-old"] != nil {
			t.Error("what is needed no longer is still there")
		}
	}
	w.fault = nil
	if r, err := put(t.Context(), w, mirror(true, -1), src.whole("t")); err != nil || r.codes() != "" || w.things["t/f.hufu-old"] != nil || w.things["t/f/big"] == nil {
		t.Errorf("%v %s", err, told(r))
	}
}

// TestNotWhatArrived: what somebody else puts under the name beside a folder does not replace it.
func TestNotWhatArrived(t *testing.T) {
	t.Parallel()
	for _, stale := range []bool{false, true} {
		w, src := newWorld(), newNear(t)
		src.write("f", []byte("new"))
		w.set("t/f/old", []byte("old"), someTime, "")
		if stale {
			w.set("t/f.hufu-new", []byte("sta"), someTime, "")
		}
		w.fault = func(op string, p hufu.Path, after bool) error {
			if op == "put" && !after {
				w.set("t/f.hufu-new", []byte("another"), someTime, "bob")
				return failed(hufu.KindPermission, "not_yours")
			}
			return nil
		}
		r, err := put(t.Context(), w, mirror(true, -1), src.whole("t"))
		if err != nil || r.codes() != "not_yours" || w.things["t/f/old"] == nil {
			t.Errorf("%v: %v %s", stale, err, told(r))
		}
	}
}

// TestNewStaysWithoutItsName: a file that cannot get the name of the folder that it has replaced is
// kept, until a later run has brought it.
func TestNewStaysWithoutItsName(t *testing.T) {
	t.Parallel()
	for _, kind := range []hufu.Kind{hufu.KindPermission, hufu.KindUnavailable} {
		w, src := newWorld(), newNear(t)
		src.write("f", []byte("new"))
		w.set("t/f/old", []byte("old"), someTime, "")
		refused := "rename"
		w.fault = func(op string, _ hufu.Path, after bool) error {
			if op == refused && !after {
				return failed(kind, "refused")
			}
			return nil
		}
		for _, refused = range []string{"rename", "put"} {
			r, err := put(t.Context(), w, mirror(true, -1), src.whole("t"))
			if beside, _ := w.content("t/f.hufu-new"); string(beside) != "new" || Stops(err) != (kind == hufu.KindUnavailable) {
				t.Fatalf("%s: %v %q %s", refused, err, beside, told(r))
			}
			if hears := slices.ContainsFunc(r, func(x Report) bool { return hufu.CodeOf(x.Err) == "sync_new_kept" }); !hears && (refused == "rename" || err == nil) {
				t.Errorf("%s: not told: %s", refused, told(r))
			}
		}
		w.fault = nil
		if r, err := put(t.Context(), w, mirror(true, -1), src.whole("t")); err != nil || r.codes() != "" || w.things["t/f.hufu-new"] != nil || w.things["t/f"].Kind != hufu.File {
			t.Errorf("%v %s", err, told(r))
		}
	}
}

// TestOldUnderFaults: what made way for a folder vanishes, cannot be looked at, or cannot be removed.
func TestOldUnderFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		op, want string
		kind     hufu.Kind
	}{
		{op: "vanishes"},
		{"stat", "refused", hufu.KindPermission},
		{"remove", "refused", hufu.KindPermission},
		{op: "remove", kind: hufu.KindNotFound},
		{op: "remove", kind: hufu.KindUnavailable},
		{op: "stat", kind: hufu.KindUnavailable},
	} {
		w, src := newWorld(), newNear(t)
		src.write("f/in", []byte("in"))
		w.set("t/f", []byte("old"), someTime, "")
		renamed := false
		w.fault = func(op string, p hufu.Path, after bool) error {
			switch {
			case op == "rename" && after:
				renamed = true
				if c.op == "vanishes" {
					w.mu.Lock()
					delete(w.things, "t/f.hufu-old")
					w.mu.Unlock()
				}
			case renamed && op == c.op && !after && p.Base() == "f.hufu-old":
				return failed(c.kind, "refused")
			}
			return nil
		}
		r, err := put(t.Context(), w, mirror(true, -1), src.whole("t"))
		if r.codes() != c.want || Stops(err) != (c.kind == hufu.KindUnavailable) || c.kind != hufu.KindUnavailable && err != nil {
			t.Errorf("%+v: %v %s %s", c, err, r.codes(), told(r))
		}
		if told := slices.ContainsFunc(r, func(x Report) bool {
			var as string
			if e, ok := errors.AsType[*hufu.Error](x.Err); ok {
				as = e.Path + e.Args["as"]
			}
			return strings.HasSuffix(as, "f.hufu-old")
		}); told != (c.want != "" || c.op == "stat") {
			t.Errorf("%+v: told where it is: %v", c, told)
		}
		if c.op == "vanishes" && w.things["t/f/in"] == nil {
			t.Error("the folder has not arrived")
		}
	}
}
