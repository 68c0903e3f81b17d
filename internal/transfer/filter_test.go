package transfer

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"hufu"
)

// TestFilterIsThatOfRsync: the rules of rsync's manual. A folder is written with a slash at its
// end.
func TestFilterIsThatOfRsync(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ rules, out, in string }{
		{"- *.o", "a.o src/a.o x.o/", "a.c o a.o.c"},
		{"- /foo", "foo foo/", "a/foo foobar"},
		{"- foo/", "foo/ a/foo/", "foo a/foo"},
		{"- /foo/*", "foo/a foo/b/", "foo/ foo/b/c a/foo/x"},
		{"- foo/bar", "foo/bar a/foo/bar", "bar foo/bar/x xfoo/bar"},
		{"- /foo/*/bar", "foo/x/bar", "foo/bar foo/x/y/bar a/foo/x/bar"},
		{"- /foo/**/bar", "foo/x/bar foo/x/y/bar", "foo/bar"},
		{"- **bar", "bar foo/bar foo/xbar", "bars"},
		{"- foo/**", "foo/a foo/a/b x/foo/a", "foo/ foo"},
		{"- foo/***", "foo/ foo/a foo/a/b x/foo/", "foo foobar"},
		{"+ */|+ *.c|- *", "a.o Makefile x/y.h", "a.c x/ x/a.c"},
		{"+ foo/|+ foo/bar.c|- *", "bar.c foo/a x/", "foo/ foo/bar.c"},
		{"- a?c", "abc x/aéc", "ac abbc a/c"},
		{"- [a-c]x", "ax cx", "dx -x"},
		{"- [!a-c]x", "dx -x", "ax cx /x"},
		{"- [^a]x", "bx", "ax"},
		{"- []]x", "]x", "x"},
		{"- [a-]x", "ax -x", "bx"},
		{"- [[:digit:]]x", "1x", "ax"},
		{`- \*`, "*", "a"},
		{`- a\[b`, "a[b", "ab"},
		{"- [.-9]", ". 0", "a"}, // the slash lies between
		{"- a.b", "a.b", "axb"},
		{"- (x|y)+$", "(x|y)+$", "x"},
		{"# comment|; another||- a", "a", "b"},
		{"a", "a", "b"},
		{"- a|!|- b", "b", "a"},
		{"+ a|- a", "", "a"},
		{"- a|+ a", "a", ""},
		{`- back\slash`, `back\slash`, "backslash"}, // literal without a wildcard
		{`- \#h`, `\#h`, "#h"},
		{`- \#*`, "#h", `\#h`},
		{"- **/a", "a x/a x/y/a", "b xa"},
		{"- **/a/b", "a/b x/a/b", "a b"},
		{"- /**/a", "x/a", "a"},
		{"- *.TXT", "a.TXT", "a.txt"},
		{"- a b ", "a&b&", "a&b"},
		{"- /foo/***", "foo/ foo/a foo/a/b", "x/foo/ x/foo/a"},
		{"- x*", "x x\xff\xfe x\n", "y"},
		{"- ?", "\xff é", "ab"},
	} {
		var f Filter
		if err := f.AddLines("\ufeff" + strings.ReplaceAll(c.rules, "|", "\r\n")); c.rules == "- (x|y)+$" {
			f = Filter{}
			err = f.Add(false, "(x|y)+$")
			if err != nil {
				t.Error(err)
			}
		} else if err != nil {
			t.Errorf("%q: %v", c.rules, err)
			continue
		}
		check := func(names string, want bool) {
			for name := range strings.SplitSeq(names, " ") {
				path, folder := strings.CutSuffix(strings.ReplaceAll(name, "&", " "), "/")
				if name != "" && f.Excludes(path, folder) != want {
					t.Errorf("%q: %q is left out: %v", c.rules, name, !want)
				}
			}
		}
		check(c.out, true)
		check(c.in, false)
	}
	if (&Filter{}).Excludes("a", false) || (*Filter)(nil).Excludes("a", false) {
		t.Error("no rule leaves out something")
	}
}

// TestClassesHaveNoSlash: a POSIX class means what it means in Go, but never the slash, which
// separates names.
func TestClassesHaveNoSlash(t *testing.T) {
	t.Parallel()
	for name := range classes {
		var f Filter
		if err := f.Add(false, "/a[[:"+name+":]]b"); err != nil {
			t.Error(err)
		}
		class := regexp.MustCompile("[[:" + name + ":]]")
		for c := range rune(utf8.RuneSelf) {
			want := c != '/' && class.MatchString(string(c))
			if got := f.Excludes("a"+string(c)+"b", false); got != want {
				t.Errorf("[:%s:] has %q: %v", name, c, got)
			}
		}
	}
}

func TestFilterRefusesWrongPatterns(t *testing.T) {
	t.Parallel()
	for _, pattern := range []string{"", "/", "[", "[a", "a[", "[]", "[!]", "[z-a]", `*a\`, `[a\`, "[[:nonsense:]]", "a\xff", "[/]", "/***"} {
		var f Filter
		err := f.Add(false, pattern)
		if hufu.CodeOf(err) != "pattern_form" || hufu.KindOf(err) != hufu.KindUsage {
			t.Errorf("%q: %v", pattern, err)
		}
		if !f.Empty() {
			t.Errorf("%q was added", pattern)
		}
	}
}

// FuzzFilter: any pattern is refused or can be used on any name.
func FuzzFilter(f *testing.F) {
	f.Add("a*[b-d]?**/x", "a/b")
	f.Add(`[\]-a]`, "\xff")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		var x Filter
		if x.Add(false, pattern) == nil {
			x.Excludes(name, true)
			var y Filter
			if err := y.Add(true, pattern); err != nil || y.Excludes(name, true) {
				t.Errorf("%q includes, and leaves out %q: %v", pattern, name, err)
			}
		}
		if !strings.ContainsAny(name, "/*?[\\!#;+-") && name != "" {
			var z Filter
			if z.Add(false, name) == nil && !z.Excludes(name, false) {
				t.Errorf("%q does not match itself", name)
			}
		}
	})
}
