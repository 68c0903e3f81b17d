package transfer

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"hufu"
)

func TestSameTime(t *testing.T) {
	t.Parallel()
	base := time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, c := range []struct {
		a, b time.Duration // after base
		want bool
	}{
		{0, 0, true},
		{0, 999_999_999, true}, // one side keeps whole seconds
		{0, time.Second, false},
		{123_456_789, 123_456_789, true},
		{123_456_789, 123_456_788, false},
		{123_456_000, 123_456_789, true}, // microseconds
		{123_456_000, 123_457_789, false},
		{123_456_700, 123_456_789, true}, // 100 ns
		{123_456_700, 123_456_801, false},
		{123_456_789, 123_457_789, false},
		{time.Hour, 0, false},
	} {
		a, b := base.Add(c.a), base.Add(c.b)
		if sameTime(a, b) != c.want || sameTime(b, a) != c.want {
			t.Errorf("%v and %v: want %v", a, b, c.want)
		}
	}
}

func TestFreeName(t *testing.T) {
	t.Parallel()
	taken := func(names ...string) func(string) bool {
		return func(s string) bool {
			return slices.Contains(names, s)
		}
	}
	for _, c := range []struct {
		name  string
		taken []string
		want  string
	}{
		{"report.txt", nil, "report (2).txt"},
		{"report.txt", []string{"report (2).txt", "report (3).txt"}, "report (4).txt"},
		{"README", nil, "README (2)"},
		{".bashrc", nil, ".bashrc (2)"},
		{"a.tar.gz", nil, "a.tar (2).gz"},
		{"报告.pdf", nil, "报告 (2).pdf"},
	} {
		if got := FreeName(c.name, taken(c.taken...)); got != c.want {
			t.Errorf("%q becomes %q, want %q", c.name, got, c.want)
		}
	}
	for _, name := range []string{strings.Repeat("x", 255), strings.Repeat("x", 251) + ".txt", strings.Repeat("报", 85), strings.Repeat("报", 83) + ".pdf"} {
		got := FreeName(name, taken())
		if err := hufu.CheckName(got); err != nil || !utf8.ValidString(got) || got == name {
			t.Errorf("%q: %v", got, err)
		}
	}
}

// TestRenameLeavesOthersTheirNames: the free name is not that of another
// source.
func TestRenameLeavesOthersTheirNames(t *testing.T) {
	t.Parallel()
	w, src, dst := newWorld(), newNear(t), newNear(t)
	src.write("x", []byte("one"))
	src.write("x (2)", []byte("two"))
	w.set("x", []byte("there"), someTime, "")
	told, err := put(t.Context(), w, Options{Conflict: Rename}, src.all())
	if err != nil || told.codes() != "" {
		t.Fatal(err, told.codes())
	}
	for name, want := range map[string]string{"x": "there", "x (2)": "two", "x (3)": "one"} {
		if got, _ := w.content(name); string(got) != want {
			t.Errorf("%s holds %q", name, got)
		}
	}
	w = newWorld()
	w.set("x", []byte("one"), someTime, "")
	w.set("x (2)", []byte("two"), someTime, "")
	dst.write("x", []byte("there"))
	if told, err = get(t.Context(), w, Options{Conflict: Rename}, dst.all()); err != nil || told.codes() != "" {
		t.Fatal(err, told.codes())
	}
	for name, want := range map[string]string{"x": "there", "x (2)": "two", "x (3)": "one"} {
		if got := dst.content(name); string(got) != want {
			t.Errorf("%s holds %q", name, got)
		}
	}
}

// TestComparingMakesAnotherVersion: asking the far side for a digest makes
// another version of the file there, which is then the one to get or replace.
func TestComparingMakesAnotherVersion(t *testing.T) {
	t.Parallel()
	for _, size := range []int{3, 2 * hufu.ChunkSize} {
		w, n := newWorld(), newNear(t)
		theirs, mine := noise(size, 1), noise(size, 2)
		unknown := func() {
			w.set("f", theirs, someTime, "")
			w.things["f"].Digest = hufu.Digest{}
		}
		unknown()
		n.write("f", mine)
		told, err := put(t.Context(), w, Options{Conflict: Replace, Checksum: true}, n.all())
		if got, _ := w.content("f"); err != nil || told.codes() != "" || string(got) != string(mine) {
			t.Errorf("put of %d: %v %s", size, err, told.codes())
		}
		unknown()
		told, err = get(t.Context(), w, Options{Conflict: Replace, Checksum: true}, n.all())
		if err != nil || told.codes() != "" || string(n.content("f")) != string(theirs) {
			t.Errorf("get of %d: %v %s", size, err, told.codes())
		}
	}
}

// TestOthersFolder: adding to somebody else's folder succeeds, and leaves its
// mode and time to him.
func TestOthersFolder(t *testing.T) {
	t.Parallel()
	w, src := newWorld(), newNear(t)
	w.set("theirs/old", []byte("x"), someTime, "bob")
	src.write("theirs/new", []byte("y"))
	w.fault = func(op string, _ hufu.Path, after bool) error {
		if op == "setmeta" && !after {
			return failed(hufu.KindPermission, "not_yours")
		}
		return nil
	}
	told, err := put(t.Context(), w, Options{}, []Source{src.one("theirs", "theirs")})
	if err != nil || told.codes() != "" {
		t.Fatal(err, told.codes())
	}
	if got, _ := w.content("theirs/new"); string(got) != "y" {
		t.Errorf("the new file holds %q", got)
	}
	src.write("made/new", []byte("y")) // one's own is one's own
	if told, err = put(t.Context(), w, Options{}, []Source{src.one("made", "made")}); err != nil || told.codes() != "not_yours" {
		t.Error(err, told.codes())
	}
}

// TestKindsInTheWay: a folder, a link or a special file where something else
// should go.
func TestKindsInTheWay(t *testing.T) {
	t.Parallel()
	for _, policy := range []Policy{Refuse, Replace, Newer, Rename} {
		w, src, dst := newWorld(), newNear(t), newNear(t)
		src.write("f", []byte("f"))
		src.write("d/x", []byte("x"))
		w.set("f/below", []byte("stays"), someTime, "")
		w.set("d", []byte("stays"), someTime, "")
		told, err := put(t.Context(), w, Options{Conflict: policy}, src.all())
		below, _ := w.content("f/below")
		d, _ := w.content("d")
		if err != nil || len(told) < 2 || string(below) != "stays" || string(d) != "stays" {
			t.Errorf("put %s: %v %s %q %q", policy, err, told.codes(), below, d)
		}
		w = newWorld()
		w.set("f", []byte("f"), someTime, "")
		w.set("d/x", []byte("x"), someTime, "")
		dst.write("f/below", []byte("stays"))
		dst.write("d", []byte("stays"))
		told, err = get(t.Context(), w, Options{Conflict: policy}, dst.all())
		if err != nil || string(dst.content("f/below")) != "stays" || string(dst.content("d")) != "stays" {
			t.Errorf("get %s: %v %s", policy, err, told.codes())
		}
		if i, err := os.Lstat(filepath.Join(dst.dir, "d")); err != nil || !i.Mode().IsRegular() {
			t.Errorf("d has become %v", i)
		}
	}
}
