package text

import (
	"os/exec"
	"strings"
	"testing"

	"hufu"
)

// The shell reads back every word, and the terminal is not written to by it.
func TestShell(t *testing.T) {
	t.Parallel()
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Fatal(err)
	}
	for word, want := range map[string]string{
		"": "''", "/srv/hufu": "/srv/hufu", "用户": "用户", "my data": "'my data'", "it's": `'it'\''s'`, "$HOME": "'$HOME'", "a\"b": `'a"b'`, "`id`": "'`id`'",
		"a\\b": `'a\b'`, "*": "'*'", "~root": "'~root'", "a;b": "'a;b'", "!x": "'!x'", "#x": "'#x'", "é x": "'é x'", "a=b": "a=b", "&": "'&'",
		"\x1b[2J": `$'\x1b[2J'`, "a\nb": `$'a\x0ab'`, "it's\x7f\\": `$'it\'s\x7f\\'`, "\xff": `$'\xff'`, "\u202e": `$'\u202e'`,
	} {
		got := shellOf("linux", word)
		if got != want || hufu.Printable(got) != got {
			t.Errorf("%q: %s, not %s", word, got, want)
		}
		cmd := exec.CommandContext(t.Context(), bash, "-c", "printf %s "+got)
		cmd.Env = []string{"LC_ALL=C.UTF-8"}
		if out, err := cmd.CombinedOutput(); string(out) != word || err != nil {
			t.Errorf("%q: the shell reads %s as %q, %v", word, got, out, err)
		}
	}
	for word, want := range map[string]string{`C:\hufu`: `C:\hufu`, `C:\my data`: `"C:\my data"`, "50%": `"50%"`, "a,b": `"a,b"`, "it's": `"it's"`} {
		if got := shellOf("windows", word); got != want {
			t.Errorf("%q: %s, not %s", word, got, want)
		}
	}
	c := For(English)
	got := c.Calling("hufud", "--data", "/my data").T("hufud.init.next_listen", "listen", "[::1]:9999")
	if !strings.Contains(got, `"hufud --data '/my data' serve --listen '[::1]:9999'"`) {
		t.Error(got)
	}
	_, fix := c.Error(&hufu.Error{Kind: hufu.KindUsage, Code: "profile_exists", Args: map[string]string{"profile": "a b"}})
	if !strings.Contains(fix, "hufu profile rm 'a b'") {
		t.Error(fix)
	}
}
