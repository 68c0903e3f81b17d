//go:build e2e && linux

package stories

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// elsewhere are the verbs that no story runs to their success: they serve until they are ended, and
// need a service manager, a teaching listener, an S3 service or openssl. Other tests run them.
var elsewhere = map[string]bool{
	"hufud serve": true, "hufud run": true, "hufud service install": true, "hufud service uninstall": true,
	"hufu wire": true, "hufud store probe": true, "hufud db copy": true, "hufud cert add": true,
}

// TestEachVerbInBothLanguages: each verb that the programs know, as their own help lists them, succeeds
// in some story in English and in some story in Chinese, and fails in one of each.
func TestEachVerbInBothLanguages(t *testing.T) {
	t.Parallel()
	told := map[string][]string{} // by program and language: what the stories run
	scripts, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(scripts) == 0 {
		t.Fatal(scripts, err)
	}
	run, chosen := regexp.MustCompile(`^(?:\[\S+\] )*(exec|exits \d+) (?:.*?[ '])?(hufud?) (.*)`), regexp.MustCompile(`--lang[ =]\S+`)
	for _, path := range scripts {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		script, _, _ := strings.Cut(string(data), "\n-- ")
		lang := "en"
		for line := range strings.Lines(script) {
			if value, ok := strings.CutPrefix(line, "env LANG="); ok {
				lang = "en"
				if strings.HasPrefix(value, "zh") {
					lang = "zh-CN"
				}
			}
			m := run.FindStringSubmatch(line)
			if m == nil {
				continue
			}
			in := lang
			if c := chosen.FindString(m[3]); c != "" {
				in = c[len("--lang "):]
			}
			if words := chosen.ReplaceAllString(m[3], ""); !strings.Contains(words, "--help") {
				k := m[2] + " " + in
				if m[1] == "exec" {
					k += " done"
				}
				told[k] = append(told[k], " "+words+" ")
			}
		}
	}
	for _, program := range []string{"hufu", "hufud"} {
		all := verbs(t, program)
		if len(all) < 20 {
			t.Errorf("%s lists %d verbs only", program, len(all))
		}
		for _, verb := range all {
			// Flags and what they take may stand before it, or within it.
			is := regexp.MustCompile(`^(?: +-\S+(?: [^ -]\S*)?)*? +` + strings.Join(strings.Fields(regexp.QuoteMeta(verb)), `(?: +-\S+(?: [^ -]\S*)?)*? +`) + ` `)
			for _, lang := range []string{"en", "zh-CN"} {
				if !slices.ContainsFunc(told[program+" "+lang], is.MatchString) {
					t.Errorf("no story has %q fail in %s", program+" "+verb, lang)
				}
				if !elsewhere[program+" "+verb] && !slices.ContainsFunc(told[program+" "+lang+" done"], is.MatchString) {
					t.Errorf("no story has %q succeed in %s", program+" "+verb, lang)
				}
			}
		}
	}
}

// verbs are the commands of a program that do something themselves, as the help of each names those
// below it.
func verbs(t *testing.T, program string, below ...string) []string {
	t.Helper()
	cmd := exec.Command(filepath.Join(bin, program), append(slices.Clone(below), "--help", "--lang", "en")...)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v", cmd.Args, err)
	}
	_, list, found := strings.Cut(string(out), "\nCommands:\n")
	if !found {
		return []string{strings.Join(below, " ")}
	}
	var all []string
	for line := range strings.Lines(list) {
		if line == "\n" {
			break
		}
		if name := strings.Fields(line)[0]; strings.HasPrefix(line, "  "+name) {
			all = append(all, verbs(t, program, append(slices.Clone(below), name)...)...)
		}
	}
	return all
}
