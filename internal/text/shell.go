package text

import (
	"runtime"
	"strings"
	"unicode"

	"hufu"
)

// Shell quotes a word of a command that is printed to be typed, so that the
// shell of this system reads the word back. A placeholder {name:shell} is filled
// by it.
func Shell(word string) string { return shellOf(runtime.GOOS, word) }

func shellOf(system, word string) string {
	marks := "_@%+=:,./-"
	if system == "windows" {
		marks = `_@+=:./-\`
	}
	plain := word != "" && !strings.ContainsFunc(word, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune(marks, r)
	}) && hufu.Printable(word) == word
	switch {
	case plain:
		return word
	case system == "windows": // for cmd and PowerShell; no name there holds a quotation mark
		return `"` + hufu.Printable(word) + `"`
	case hufu.Printable(word) == word:
		return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	}
	// What acts on a terminal is escaped as bash, zsh and ksh read it.
	escaped := strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(word)
	return "$'" + hufu.Printable(escaped) + "'"
}
