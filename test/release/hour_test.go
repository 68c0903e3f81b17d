//go:build e2e && linux

package release

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A block is the commands of one code block of a document, or of one person's part of it.
type block struct {
	person, how string
	text        string
	says        []string // lines of the output, "…" is anything
}

var (
	fence = regexp.MustCompile("(?ms)^```(\\w+)([^\\n]*)\\n(.*?)^```$")
	table = regexp.MustCompile("(?m)^\\| Debian.*\\| `(.*)` \\|$")
	cron  = regexp.MustCompile(`^(?:[0-9*]+ ){5}([^%\n]*)\n$`)
)

// blocks returns the commands of a document, who types them, and their output there. The word after
// the language of a code block is the person, or several; a last word says that the command stays until
// Ctrl-C, succeeds soon, or fails.
func blocks(t *testing.T, document string) (all []block) {
	t.Helper()
	if m := table.FindStringSubmatch(document); m != nil { // the README has the installation in a table
		all = append(all, block{person: "server", how: "once", text: m[1] + "\n"})
	}
	for _, m := range fence.FindAllStringSubmatch(document, -1) {
		language, words, text := m[1], strings.Fields(m[2]), m[3]
		how := "once"
		if n := len(words); n > 0 && slices.Contains([]string{"stays", "soon", "fails"}, words[n-1]) {
			how, words = words[n-1], words[:n-1]
		}
		switch {
		case language == "text" && len(all) > 0:
			all[len(all)-1].says = strings.Split(strings.TrimSuffix(text, "\n"), "\n")
			continue
		case language == "crontab":
			line := cron.FindStringSubmatch(text)
			if line == nil {
				t.Fatalf("not a line for cron: %q", text)
			}
			how, text = "cron", line[1]
		case language == "ini" && len(words) == 2: // a unit of systemd for its user
			text = "printf %b '" + strings.ReplaceAll(text, "\n", `\n`) + "' >~/.config/systemd/user/" + words[1] + "\n"
			words = words[:1]
		case language != "sh":
			t.Fatalf("a block of %s", language)
		}
		if len(words) == 0 {
			t.Fatalf("nobody types %q", text)
		}
		for _, person := range words {
			all = append(all, block{person: person, how: how, text: text})
		}
	}
	return all
}

// documents types each command of the README, and of the page that it leads to, in both languages, and
// compares the output with that in the document.
func documents(t *testing.T, deb string) {
	said := map[int][]string{} // what is typed in both languages of a part
	for i, d := range []struct{ name, from, to, lang string }{
		{"README.md", "\n## Install\n", "\n## ", "en_US.UTF-8"},
		{"README.zh-CN.md", "\n## 安装\n", "\n## ", "zh_CN.UTF-8"},
		{"README.md", "\n### Two computers\n", "\n## ", "en_US.UTF-8"},
		{"README.zh-CN.md", "\n### 两台计算机\n", "\n## ", "zh_CN.UTF-8"},
		{"docs/first-hour.md", "\n## 1", "", "en_US.UTF-8"},
		{"docs/first-hour.zh-CN.md", "\n## 1", "", "zh_CN.UTF-8"},
	} {
		data, err := os.ReadFile(filepath.Join(root, d.name))
		if err != nil {
			t.Error(err)
			continue
		}
		_, part, found := strings.Cut(string(data), d.from)
		if d.to != "" {
			part, _, _ = strings.Cut(part, d.to)
		}
		all := blocks(t, part)
		if !found || len(all) < 2 {
			t.Errorf("%s: %d blocks", d.name, len(all))
			continue
		}
		for _, b := range all { // comments and what is written into files are in the language of the document
			said[i/2] = append(said[i/2], b.person+" "+b.how+"\n"+regexp.MustCompile(`(?m) +#.*$|"[^"$\n]*"`).ReplaceAllString(b.text, ""))
		}
		t.Run(strings.ReplaceAll(d.name, "/", "-"), func(t *testing.T) { follow(t, deb, d.lang, all) })
	}
	for i, both := range said {
		if n := len(both) / 2; !slices.Equal(both[:n], both[n:]) {
			t.Errorf("part %d: the two languages have different commands:\n%s\n\n%s", i, strings.Join(both[:n], ""), strings.Join(both[n:], ""))
		}
	}
}

// follow types the blocks in a copy of this system, line by line.
func follow(t *testing.T, deb, lang string, all []block) {
	t.Parallel()
	dir := t.TempDir()
	files := map[string]string{"hufu_1.0.0_linux_amd64.deb": deb} // the documents' name of it
	var marks [][]string                                          // of the lines of each block
	for _, b := range all {
		var names []string
		for line := range strings.Lines(b.text) {
			name := fmt.Sprintf("%03d-%s-%s", len(files), b.person, b.how)
			if err := os.WriteFile(filepath.Join(dir, name), []byte(line), 0o600); err != nil {
				t.Fatal(err)
			}
			files["blocks/"+name] = filepath.Join(dir, name)
			names = append(names, "== "+name+"\n")
		}
		marks = append(marks, names)
	}
	out := inCopy(t, "hour.sh", files, lang)
	for i, b := range all {
		var shown strings.Builder
		for _, mark := range marks[i] {
			_, part, found := strings.Cut(out, mark)
			part, _, ended := strings.Cut(part, "== end\n")
			if !found || !ended {
				t.Errorf("%q was not typed", b.text)
			}
			shown.WriteString(part)
		}
		if b.how == "cron" && shown.String() != "" {
			t.Errorf("cron would send a mail: %s", shown.String())
		}
		rest := strings.Split(shown.String(), "\n")
		for _, want := range b.says {
			form := regexp.MustCompile(strings.ReplaceAll(regexp.QuoteMeta(want), "…", ".*") + `$`)
			at := slices.IndexFunc(rest, form.MatchString)
			if at < 0 {
				t.Errorf("%q shows no %q, but\n%s", b.text, want, shown.String())
				break
			}
			rest = rest[at+1:]
		}
	}
	if t.Failed() {
		t.Logf("%s", out)
	}
}
