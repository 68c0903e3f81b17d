package transfer

import (
	"slices"
	"testing"
)

// TestRenameAgain: the same command with --conflict rename makes no second copy
// of what it has put beside another file, in both directions; what only stands
// there under such a name does not count as one.
func TestRenameAgain(t *testing.T) {
	t.Parallel()
	w, src, dst := newWorld(), newNear(t), newNear(t)
	for name, data := range map[string]string{"a": "mine", "b": "mine", "b (2)": "another"} {
		src.write(name, []byte(data))
	}
	for name, data := range map[string]string{"a": "theirs", "b": "theirs"} {
		dst.write(name, []byte(data))
	}
	if _, err := put(t.Context(), w, Options{}, []Source{dst.one("a", "a"), dst.one("b", "b")}); err != nil {
		t.Fatal(err)
	}
	for try, want := range []struct{ sent, same []string }{
		{[]string{"a (2)", "b (2)", "b (3)"}, nil},
		{nil, []string{"a (2)", "b (2)", "b (3)"}},
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
