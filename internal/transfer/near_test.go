package transfer

import (
	"path/filepath"
	"testing"
)

// TestInside: a name in a folder is written as Join writes it, however the user has
// written the folder.
func TestInside(t *testing.T) {
	t.Parallel()
	for _, local := range []string{"", ".", "/", "a", "./a", "a/", "a//b", "../a/../b", "/a/b/", string(filepath.Separator) + "a"} {
		s := Side{Local: local}
		for _, name := range []string{"x", "xx", "name.txt", "..."} {
			want, err := s.Join(name)
			if got := s.inside() + name; err != nil || got != want.Local {
				t.Errorf("%q in %q: %q, not %q (%v)", name, local, got, want.Local, err)
			}
		}
	}
}
