package disk

import (
	"strconv"
	"strings"
	"testing"

	"hufu"
	"hufu/internal/blob/disk/sys"
)

// Every name that Windows would take for something else than itself is refused.
func TestWindowsNames(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{
		`..\..\x.bat`, `\x`, `a\b`, "C:", "C:x", "x:stream", "x::$DATA", "a*", "a?", `a"`, "a<", "a>", "a|", "a\n", "a\x1f", "\x00",
		"x.", "x ", "x. .", "...", " ", ".. ", "..", ".", "", "CON", "con", "nul", "NUL.txt", "nul .txt", "Aux.tar.gz", "PRN", "COM1", "com9.log", "COM0", "COM²",
		"lpt1", "LPT³.x", "CONIN$", "conout$", "CLOCK$", "\xff", "a\xc3",
	} {
		if sys.WindowsName(bad) {
			t.Errorf("%q is allowed", bad)
		}
	}
	for _, good := range []string{"a", ".a", "a.b", " a", "CONSOLE", "COM", "COM10", "COMx", "LPT", "nullable", "x.nul", "résumé", "文件.txt", "a~1", "-", "$DATA", "com1x.txt", "COM 1.txt", "COM1 2", "lpt2 3.log", "console.log"} {
		if !sys.WindowsName(good) {
			t.Errorf("%q is refused", good)
		}
	}
}

func TestNamesOfOtherSystems(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		n    sys.Naming
		path string
		code string
	}{
		{sys.Naming{}, `a/..\x/.HUFU-x`, ""},
		{sys.Naming{}, "a/.hufu-x", "name_reserved"},
		{sys.Naming{Folds: true}, "a/.HuFu-x/b", "name_reserved"},
		{sys.Naming{Folds: true}, "a/.HuFu", ""},
		{sys.Naming{Windows: true, Folds: true}, `a/..\..\x/b`, "name_not_possible_here"},
		{sys.Naming{Windows: true, Folds: true}, "a/.HUFU-x", "name_reserved"},
		{sys.Naming{Windows: true, Folds: true}, "a/b", ""},
	} {
		p, err := hufu.ParsePath(c.path)
		if err != nil {
			t.Fatal(err)
		}
		err = c.n.Check("put", p)
		switch {
		case c.code == "":
			if err != nil {
				t.Errorf("%+v %s: %v", c.n, c.path, err)
			}
		case hufu.CodeOf(err) != c.code || !strings.Contains(err.Error(), strconv.Quote(c.path)):
			t.Errorf("%+v %s: %v", c.n, c.path, err)
		}
	}
}
