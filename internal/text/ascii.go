package text

import "strings"

// Shown returns the catalogue for a terminal: in the language that Lang picks
// where its characters are UTF-8, and in ASCII English where they are not,
// because anything else would be unreadable there. A language that the user has
// chosen (--lang) is always shown.
func Shown(choice string, getenv func(string) string) *Catalogue {
	if utf8Locale(getenv) {
		return For(Lang(choice, getenv))
	}
	c := For(Lang(choice, func(string) string { return "" }))
	if c.lang == English {
		c.ascii = true
		for k, t := range c.texts {
			c.texts[k] = c.Plain(t)
		}
	}
	return c
}

// utf8Locale reports whether the environment's locale has UTF-8, or there is none.
func utf8Locale(getenv func(string) string) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if locale := getenv(name); locale != "" {
			_, set, _ := strings.Cut(locale, ".") // without one it is an old set, or ASCII
			set, _, _ = strings.Cut(strings.ToLower(set), "@")
			return set == "utf-8" || set == "utf8"
		}
	}
	return true
}

// ASCII reports whether only ASCII can be shown. What is data, such as the name of
// a file, is shown all the same.
func (c *Catalogue) ASCII() bool { return c.ascii }

// Plain replaces the marks that texts of the program hold where only ASCII can be
// shown.
func (c *Catalogue) Plain(s string) string {
	if !c.ascii {
		return s
	}
	return strings.NewReplacer("…", "...", "→", "->", "–", "-", "×", "x", "·", "|", "═", "=", "─", "-", "✓", "+", "✗", "x").Replace(s)
}
