package main

import (
	"io"
	"testing"

	"github.com/spf13/cobra"

	"hufu"
	"hufu/internal/cli"
	"hufu/internal/cli/clitest"
)

func newApp(lang string) *app {
	return &app{App: cli.New(program, []string{"--lang", lang}, nil, io.Discard, io.Discard, func(string) string { return "" })}
}

func TestHT25NoSecretIsAnArgument(t *testing.T) {
	t.Parallel()
	clitest.Secrets(t, newRoot(newApp("en")))
}

func TestHelpInBothLanguages(t *testing.T) {
	t.Parallel()
	clitest.Help(t, func(lang string) (*cli.App, *cobra.Command) {
		a := newApp(lang)
		return a.App, newRoot(a)
	})
}

func TestPagesAndCompletionAgreeWithFlags(t *testing.T) {
	t.Parallel()
	clitest.Agree(t, func(lang string, out io.Writer) (*cli.App, *cobra.Command) {
		a := &app{App: cli.New(program, []string{"--lang", lang}, nil, out, io.Discard, func(string) string { return "" })}
		return a.App, newRoot(a)
	})
}

func TestNothingEmptyIsTaken(t *testing.T) {
	t.Parallel()
	clitest.Empty(t, func() *cobra.Command { return newRoot(newApp("en")) })
}

func TestLocations(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in      string
		profile string // "" for a local one
		path    string
		slash   bool
		bad     string
	}{
		{in: ":/", profile: "default", path: "/", slash: true},
		{in: ":", profile: "default", path: "/", slash: true},
		{in: ":/a/b", profile: "default", path: "/a/b"},
		{in: ":/a/b/", profile: "default", path: "/a/b", slash: true},
		{in: "://a///b//", profile: "default", path: "/a/b", slash: true},
		{in: "work:/x", profile: "work", path: "/x"},
		{in: "C:/x"},
		{in: `C:\x`},
		{in: "./x:/y"},
		{in: "a/b:/c"},
		{in: "plain"},
		{in: "dir/", slash: true},
		{in: "work:x", bad: "location_form"},
		{in: ":x", bad: "location_form"},
		{in: ":/../x", bad: "path_segment"},
		{in: ":/a/./b", bad: "path_segment"},
	} {
		l, err := newApp("en").parseLocation(c.in)
		if c.bad != "" {
			if hufu.CodeOf(err) != c.bad {
				t.Errorf("%q: %v, want %s", c.in, err, c.bad)
			}
			continue
		}
		if err != nil || l.remote != (c.profile != "") || l.profile != c.profile || l.slash != c.slash {
			t.Errorf("%q: %+v, %v", c.in, l, err)
		}
		if l.remote && l.path.Virtual() != c.path {
			t.Errorf("%q: path %s", c.in, l.path.Virtual())
		}
		if !l.remote && l.local != c.in {
			t.Errorf("%q: local %q", c.in, l.local)
		}
	}
}
