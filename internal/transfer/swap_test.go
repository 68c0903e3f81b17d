//go:build unix

package transfer

import (
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
	} {
		for _, down := range []bool{false, true} {
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
			far2near := down && strings.Contains(name, "remove") || down && name == "ended later" // the fault is not of this side
			if !far2near && err == nil && r.codes() == "" {
				t.Errorf("%s %v: nothing has failed", name, down)
			}
			for file, data := range map[string]string{"small/old": "1", "large/old": "2", "folder": "4"} {
				if !far2near && !holds(file, data) {
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
