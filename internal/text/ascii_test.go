package text

import (
	"strings"
	"testing"
	"unicode"
)

func notASCII(r rune) bool { return r > unicode.MaxASCII }

// TestLocales: what a terminal cannot show is not sent to it.
func TestLocales(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		choice string
		env    map[string]string
		lang   string
		ascii  bool
	}{
		{"", nil, English, false},
		{"", map[string]string{"LANG": "zh_CN.UTF-8"}, Chinese, false},
		{"", map[string]string{"LANG": "zh_CN.utf8"}, Chinese, false},
		{"", map[string]string{"LANG": "zh_CN.UTF-8@radical"}, Chinese, false},
		{"", map[string]string{"LANG": "zh_CN.GBK"}, English, true},
		{"", map[string]string{"LANG": "zh_CN.GB18030"}, English, true},
		{"", map[string]string{"LANG": "zh_CN"}, English, true},
		{"", map[string]string{"LANG": "zh_TW.Big5@x"}, English, true},
		{"", map[string]string{"LANG": "de_DE.ISO-8859-1"}, English, true},
		{"", map[string]string{"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, English, true},
		{"", map[string]string{"LANG": "zh_CN.GBK", "LC_CTYPE": "C.UTF-8"}, Chinese, false},
		{"", map[string]string{"LC_ALL": "POSIX"}, English, true},
		{"en", map[string]string{"LANG": "zh_CN.GBK"}, English, true},
		{"zh-CN", map[string]string{"LANG": "zh_CN.GBK"}, Chinese, false},
		{"zh-CN", map[string]string{"LC_ALL": "C"}, Chinese, false},
	} {
		got := Shown(c.choice, func(name string) string { return c.env[name] })
		if got.Lang() != c.lang || got.ASCII() != c.ascii {
			t.Errorf("%q %v: %s, ASCII %v", c.choice, c.env, got.Lang(), got.ASCII())
		}
	}
	c := Shown("", func(string) string { return "C" })
	for k, text := range c.texts {
		if strings.ContainsFunc(text, notASCII) && !strings.Contains(k, "language") {
			t.Errorf("%s: %s", k, text)
		}
	}
	if s := c.Plain("ls [:/PATH…]"); s != "ls [:/PATH...]" {
		t.Error(s)
	}
	if s := For(English).Plain("…"); s != "…" {
		t.Error(s)
	}
}
