package text

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The words for a user who is "he", which people with names may have, and words that
// plain English does not need.
const (
	persons = `he|his|him|himself`
	stilted = `whoever|whomever|anew`
)

var (
	unplain        = regexp.MustCompile(`(?i)\b(` + persons + `|` + stilted + `)\b`)
	unplainOfNamed = regexp.MustCompile(`(?i)\b(` + stilted + `)\b`)
)

// riddle finds what makes a reader read a sentence twice: a user who is "he", and
// a clause in the place of a noun. It is a cheap scan with few false alarms, not a
// judge of style.
var riddle = regexp.MustCompile(unplain.String() +
	`|\bwhatever (was|were|is there|stands|stood)\b` +
	`|\bwhat (was|were) (put|moved|made|taken|replaced|there)\b` +
	`|\b(put there|says whether|says who|tells who|one who|he who)\b`)

// TestCommentsAreReadOnce: no comment of the code that is shipped, nor of the tests
// of a store, and no document holds a riddle.
func TestCommentsAreReadOnce(t *testing.T) {
	t.Parallel()
	set := token.NewFileSet()
	comments := 0
	err := filepath.WalkDir(module, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		path, err := filepath.Rel(module, name)
		if err != nil {
			return err
		}
		path = filepath.ToSlash(path)
		switch {
		case d.IsDir() && (strings.HasPrefix(d.Name(), ".") && path != "." || slices.Contains([]string{"testdata", "bin", "vendor", "test", "tools", "bench"}, path)):
			return filepath.SkipDir
		case !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(set, name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, group := range file.Comments {
			comments++
			if found := riddle.FindString(strings.Join(strings.Fields(group.Text()), " ")); found != "" {
				t.Errorf("%s: a comment says %q: write a noun, and \"the user\" or \"they\"", set.Position(group.Pos()), found)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if comments < 1000 {
		t.Errorf("found %d comments only: the scan is broken", comments)
	}
	for name, text := range documents(t) {
		words := unplain
		if strings.Contains(name, "how-it-works") { // Anna, Bert and Carl have names
			words = unplainOfNamed
		}
		for line := range strings.Lines(text) {
			if found := words.FindString(line); found != "" {
				t.Errorf("%s says %q: write a noun, and \"the user\" or \"they\": %.80s", name, found, line)
			}
		}
	}
}

// The scan is itself code that may go blind.
func TestRiddlesAreSeen(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"Nobody gets what he may not.", "Whoever holds one waits.", "whatever was done to it", "what was put is gone",
		"the user who put there the entry", "A says whether b.", "it begins anew", "in his language",
	} {
		if !riddle.MatchString(s) {
			t.Errorf("not seen: %s", s)
		}
	}
	for _, s := range []string{"The user gets an error.", "This is the history of a cache.", "whatever the umask", "what is left", "the other side"} {
		if riddle.MatchString(s) {
			t.Errorf("a false alarm: %s", s)
		}
	}
}
