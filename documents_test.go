package hufu_test

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestEveryPromiseHasATest holds the threat model to the tests: each case it
// promises must be the beginning of a test's name, or be named in a test file.
func TestEveryPromiseHasATest(t *testing.T) {
	t.Parallel()
	model, err := os.ReadFile("docs/threat-model.md")
	if err != nil {
		t.Fatal(err)
	}
	promised := make(map[string]string)
	for line := range strings.Lines(string(model)) {
		if !strings.HasPrefix(line, "|") {
			continue
		}
		for _, m := range regexp.MustCompile(`HT-(\d\d)`).FindAllStringSubmatch(line, -1) {
			promised[m[1]], _, _ = strings.Cut(strings.TrimPrefix(line, "| "), " |")
		}
	}
	if len(promised) < 30 {
		t.Fatalf("found %d promises only: the scan is broken", len(promised))
	}
	_, all := sources(t)
	var tests strings.Builder
	for _, s := range all {
		if !s.test || s.pkg == "" && s.name == "documents_test.go" {
			continue
		}
		data, err := os.ReadFile(s.name)
		if err != nil {
			t.Fatal(err)
		}
		tests.Write(data)
	}
	for _, n := range slices.Sorted(maps.Keys(promised)) {
		named := regexp.MustCompile(fmt.Sprintf(`\b(Test|Fuzz)\w*HT%s|"[^"\n]*\bHT-?%s\b`, n, n))
		if !named.MatchString(tests.String()) {
			t.Errorf("no test is named after HT-%s: %s", n, promised[n])
		}
	}
}

var (
	link    = regexp.MustCompile(`\]\(([^)#\s]*)(?:#([^)\s]*))?\)`)
	heading = regexp.MustCompile(`(?m)^#+ +(.+)$`)
	notInID = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// TestLinksLeadSomewhere follows the links between the documents, to the
// heading.
func TestLinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	root := os.DirFS(".")
	var documents []string
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md"} {
		some, err := fs.Glob(root, pattern)
		if err != nil {
			t.Fatal(err)
		}
		documents = append(documents, some...)
	}
	headings := make(map[string][]string)
	texts := make(map[string]string)
	for _, name := range documents {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		texts[name] = string(data)
		for _, m := range heading.FindAllStringSubmatch(texts[name], -1) {
			id := notInID.ReplaceAllString(strings.ToLower(m[1]), "")
			headings[name] = append(headings[name], strings.ReplaceAll(id, " ", "-"))
		}
	}
	for _, name := range documents {
		for _, m := range link.FindAllStringSubmatch(texts[name], -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			to := name
			if m[1] != "" {
				to = path.Join(path.Dir(name), m[1])
			}
			if _, err := os.Stat(to); err != nil {
				t.Errorf("%s: %s leads nowhere", name, m[1])
			} else if m[2] != "" && !slices.Contains(headings[to], m[2]) {
				t.Errorf("%s: there is no heading %s in %s", name, m[2], to)
			}
		}
	}
}
