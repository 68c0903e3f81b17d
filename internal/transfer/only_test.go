//go:build unix

package transfer

import (
	"slices"
	"strings"
	"testing"

	"hufu"
)

// TestOnlyListed: what is listed is transferred, with the folders above it, and a listed name that the
// source does not have fails. The names are those that rsync -a --files-from transfers.
func TestOnlyListed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		list      string
		null, all bool
		want      string
		failed    int
	}{
		{list: "a\nd/b\n", want: "a d d/b"},
		{list: "a\r\n\r\n./d//b\r\n", want: "a d d/b"},
		{list: "\ufeff/d/e/c", want: "d d/e d/e/c"},
		{list: "d\n", want: "d"},
		{list: "d/\n", want: "d d/b d/e"},
		{list: "d/.\n", want: "d d/b d/e"},
		{list: "./\n", want: "#h a d g"},
		{list: "d\n", all: true, want: "d d/b d/e d/e/c d/e/f d/e/f/x"},
		{list: ".\n", all: true, want: "#h a d d/b d/e d/e/c d/e/f d/e/f/x g g/k"},
		{list: "d/e\nd/e/c\n", want: "d d/e d/e/c"},
		{list: "d/\nd/e/f/x\n", want: "d d/b d/e d/e/f d/e/f/x"},
		{list: "#h\n;i\n"},
		{list: "#h\x00d/b\x00", null: true, want: "#h d d/b"},
		{list: "none\nd/none/x\na/b\na\n", want: "a d", failed: 3},
		{list: "d\nd/none\n", all: true, want: "d d/b d/e d/e/c d/e/f d/e/f/x", failed: 1},
		{list: "a/b\n", failed: 1}, // a is a file
		{list: "a/b\ng/\ng/k/x\n", want: "g g/k", failed: 2},
		{list: "d/../g/k\n", want: "g g/k"},
		{list: ""},
	} {
		fill := func(write func(string, []byte)) {
			for _, name := range []string{"a", "d/b", "d/e/c", "d/e/f/x", "g/k", "#h"} {
				write(name, []byte(name))
			}
		}
		for _, down := range []bool{false, true} {
			w, here := newWorld(), newNear(t)
			only := &Only{Recursive: c.all}
			if err := only.AddLines(c.list, c.null); err != nil {
				t.Fatalf("%q: %v", c.list, err)
			}
			o := Options{Only: only}
			run := put
			if down {
				run = get
				fill(func(name string, data []byte) { w.set("t/"+name, data, someTime, "") })
			} else {
				fill(here.write)
			}
			r, err := run(t.Context(), w, o, []Source{{Side: Side{Store: here.store, Local: here.dir}, Far: must(hufu.ParsePath("t")), Contents: true, Fresh: true}})
			if err != nil || len(r.of(Failed)) != c.failed {
				t.Errorf("%q, down %v: %v %s", c.list, down, err, told(r))
			}
			got := here.names()
			if !down {
				got = nil
				for name := range w.things {
					if name, below := strings.CutPrefix(name, "t/"); below {
						got = append(got, name)
					}
				}
				slices.Sort(got)
			}
			if s := strings.Join(got, " "); s != c.want {
				t.Errorf("%q, down %v: %q, not %q", c.list, down, s, c.want)
			}
		}
	}
	for list, want := range map[string]string{
		"a\n../x\n": "files_from_name", "a/../../x": "files_from_name", "..": "files_from_name", "/..": "files_from_name",
		"a\x00b\n": "files_from_null", strings.Repeat("x", 256): "files_from_name",
	} {
		if err := new(Only).AddLines(list, false); hufu.CodeOf(err) != want {
			t.Errorf("%q: %v", list, err)
		}
	}
}
