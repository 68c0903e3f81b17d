package transfer

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"hufu"
)

// TestRenameAgain: the same command with --conflict rename makes no second copy
// of what it has put beside another file, in both directions; what only stands
// there under such a name does not count as one.
func TestRenameAgain(t *testing.T) {
	t.Parallel()
	w, src, dst := newWorld(), newNear(t), newNear(t)
	for name, data := range map[string]string{"a": "mine", "b": "mine", "b (2)": "another", "c": "mine"} {
		src.write(name, []byte(data))
	}
	for name, data := range map[string]string{"a": "theirs", "b": "theirs", "c": "theirs", "c (2)": "them"} {
		dst.write(name, []byte(data))
	}
	old := time.Unix(1_700_000_000, 0) // of the same size, and of another time
	if err := os.Chtimes(filepath.Join(dst.dir, "c (2)"), old, old); err != nil {
		t.Fatal(err)
	}
	if _, err := put(t.Context(), w, Options{}, dst.all()); err != nil {
		t.Fatal(err)
	}
	for try, want := range []struct{ sent, same []string }{
		{[]string{"a (2)", "b (2)", "b (3)", "c (3)"}, nil},
		{nil, []string{"a (2)", "b (2)", "b (3)", "c (3)"}},
	} {
		told, err := put(t.Context(), w, Options{Conflict: Rename}, src.all())
		if err != nil || !slices.Equal(told.of(Transferred), want.sent) || !slices.Equal(told.of(Same), want.same) {
			t.Errorf("put, try %d: %v, sent %q, same %q", try, err, told.of(Transferred), told.of(Same))
		}
		told, err = put(t.Context(), w, Options{Conflict: Rename}, []Source{src.one("a", "a")})
		if err != nil || !slices.Equal(told.of(Same), []string{"a (2)"}) {
			t.Errorf("put of one, try %d: %v, %+v", try, err, told)
		}
	}
	here := newNear(t)
	here.write("a", []byte("something else"))
	for try, want := range []Outcome{Transferred, Same} {
		told, err := get(t.Context(), w, Options{Conflict: Rename}, []Source{here.one("a", "a")})
		if err != nil || len(told.of(want)) != 1 || len(here.names()) != 2 {
			t.Errorf("get, try %d: %v, %+v, %q", try, err, told, here.names())
		}
	}
}

// TestRenameBesideAnotherSource: the free name is not one that another source of the same
// command has, whether it has arrived yet or not.
func TestRenameBesideAnotherSource(t *testing.T) {
	t.Parallel()
	w, src := newWorld(), newNear(t)
	src.write("x/a (2).txt", []byte("of x"))
	src.write("y/a.txt", []byte("of y"))
	w.set("d/a.txt", []byte("there"), someTime, "")
	var told reports
	e := New(w, Options{Conflict: Rename, Owner: "test", Report: told.add})
	w.fault = func(op string, _ hufu.Path, after bool) error {
		if op == "put" && !after {
			<-e.planned
		}
		return nil
	}
	err := e.Put(t.Context(), []Source{src.one("x/a (2).txt", "d/a (2).txt"), src.one("y/a.txt", "d/a.txt")})
	if err != nil || told.codes() != "" {
		t.Error(err, told.codes())
	}
	for name, want := range map[string]string{"d/a.txt": "there", "d/a (2).txt": "of x", "d/a (3).txt": "of y"} {
		if got, _ := w.content(name); string(got) != want {
			t.Errorf("%s holds %q", name, got)
		}
	}
}
