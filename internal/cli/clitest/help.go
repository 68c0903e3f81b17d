// Package clitest holds what the command lines of both programs promise.
package clitest

import (
	"bytes"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"hufu"
	"hufu/internal/cli"
	"hufu/internal/text"
)

// Help checks that every command and every flag below root says in both
// languages what it is for, and that no English of cobra's shows through in
// Chinese.
func Help(t *testing.T, root func(lang string) (*cli.App, *cobra.Command)) {
	t.Helper()
	english := regexp.MustCompile(`(?i)\b(usage|flags|commands|default|help for|strings?|duration|available)\b`)
	examples := regexp.MustCompile(`(?m)^  hufu.*$|default`)
	for _, lang := range text.Languages() {
		a, cmd := root(lang)
		var each func(*cobra.Command)
		each = func(cmd *cobra.Command) {
			if cmd.Hidden {
				return
			}
			help := a.Help(cmd)
			words := examples.ReplaceAllString(help, "")
			if lang == text.Chinese && english.MatchString(words) {
				t.Errorf("%s: %q shows through", cmd.CommandPath(), english.FindString(words))
			}
			cmd.Flags().VisitAll(func(f *pflag.Flag) {
				if f.Usage == "" || !strings.Contains(help, "--"+f.Name) {
					t.Errorf("%s: --%s is not explained", cmd.CommandPath(), f.Name)
				}
			})
			for _, sub := range cmd.Commands() {
				each(sub)
			}
		}
		each(cmd)
	}
}

// Secrets checks that no flag of any command takes a secret itself, which the
// list of processes would show to everybody on the computer (HT-25): a secret
// comes from a file, from standard input or from a question.
func Secrets(t *testing.T, root *cobra.Command) {
	t.Helper()
	secret := regexp.MustCompile(`(?i)pass|secret|token|key|code|pin`)
	harmless := []string{"key-type", "secrets", "no-passphrase"} // a choice, and two switches
	seen := 0
	var each func(*cobra.Command)
	each = func(cmd *cobra.Command) {
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			seen++
			if secret.MatchString(f.Name) && !strings.HasSuffix(f.Name, "-file") && !slices.Contains(harmless, f.Name) {
				t.Errorf("%s: --%s takes a secret", cmd.CommandPath(), f.Name)
			}
		})
		for _, sub := range cmd.Commands() {
			each(sub)
		}
	}
	each(root)
	if seen < 5 {
		t.Errorf("%d flags were looked at: the scan is broken", seen)
	}
}

// Empty checks that every command refuses an empty value of every flag, and an
// empty argument, before it does anything: the shell makes one of a variable
// that is not set.
func Empty(t *testing.T, root func() *cobra.Command) {
	t.Helper()
	refused := func(code string, args ...string) {
		cmd := root()
		cmd.SetArgs(args)
		if err := cmd.ExecuteContext(t.Context()); hufu.CodeOf(err) != code {
			t.Errorf("%q: %v, not %s", args, err, code)
		}
	}
	seen := 0
	var each func(*cobra.Command, []string)
	each = func(cmd *cobra.Command, path []string) {
		if cmd.Hidden {
			return
		}
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			seen++
			refused("admin_flag_empty", slices.Concat(path, []string{"--" + f.Name + "="})...)
			if f.NoOptDefVal == "" {
				refused("admin_flag_empty", slices.Concat(path, []string{"--" + f.Name, ""})...)
			}
			if strings.HasSuffix(f.Value.Type(), "Slice") {
				refused("admin_flag_empty", slices.Concat(path, []string{"--" + f.Name, "one,,two"})...)
			}
		})
		refused("admin_argument_empty", slices.Concat(path, []string{""})...)
		for _, sub := range cmd.Commands() {
			each(sub, slices.Concat(path, []string{sub.Name()}))
		}
	}
	each(root(), nil)
	if seen < 20 {
		t.Errorf("%d flags were looked at: the scan is broken", seen)
	}
}

// Agree checks that the manual page and the completion of every command name exactly what is
// parsed: each flag and each command, in both languages.
func Agree(t *testing.T, root func(lang string, out io.Writer) (*cli.App, *cobra.Command)) {
	t.Helper()
	seen := 0
	for _, lang := range text.Languages() {
		a, cmd := root(lang, io.Discard)
		var each func(*cobra.Command, []string)
		each = func(cmd *cobra.Command, path []string) {
			page := a.Page(cmd)
			var flags, subs []string
			name := func(f *pflag.Flag) {
				seen++
				flags = append(flags, "--"+f.Name)
				if !strings.Contains(page, `\-\-`+strings.ReplaceAll(f.Name, "-", `\-`)) {
					t.Errorf("%s: the page of %s has no --%s", lang, cmd.CommandPath(), f.Name)
				}
			}
			cmd.LocalFlags().VisitAll(name)
			cmd.InheritedFlags().VisitAll(name)
			for _, sub := range cmd.Commands() {
				if cli.Listed(sub) {
					subs = append(subs, sub.Name())
					if !strings.Contains(page, "\n\\fB"+sub.Name()+"\\fR\n") {
						t.Errorf("%s: the page of %s has no %s", lang, cmd.CommandPath(), sub.Name())
					}
					each(sub, slices.Concat(path, []string{sub.Name()}))
				}
			}
			for begun, want := range map[string][]string{"--": flags, "": subs} {
				if begun == "" && len(subs) == 0 {
					continue
				}
				var out bytes.Buffer
				_, fresh := root(lang, &out)
				fresh.SetArgs(slices.Concat([]string{"__complete"}, path, []string{begun}))
				if err := fresh.ExecuteContext(t.Context()); err != nil {
					t.Fatal(err)
				}
				var got []string
				for line := range strings.Lines(out.String()) {
					word, _, _ := strings.Cut(strings.TrimSpace(line), "\t")
					if !strings.HasPrefix(word, ":") && !strings.HasPrefix(word, "Completion ended") {
						got = append(got, strings.TrimSuffix(word, "="))
					}
				}
				slices.Sort(got)
				slices.Sort(want)
				if got, want = slices.Compact(got), slices.Compact(want); !slices.Equal(got, want) {
					t.Errorf("%s: %q is completed to %q, not %q", lang, slices.Concat(path, []string{begun}), got, want)
				}
			}
		}
		each(cmd, nil)
	}
	if seen < 50 {
		t.Errorf("%d flags were looked at: the scan is broken", seen)
	}
}
