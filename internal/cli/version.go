package cli

import (
	"runtime"

	"github.com/spf13/cobra"

	"hufu"
)

// versionLine is what a program says of itself in --json.
type versionLine struct {
	Program  string `json:"program"`
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// SetVersion gives the program --version and returns its command version, which prints the same, or
// an object if *json is set.
func (a *App) SetVersion(root *cobra.Command, key string, json *bool) *cobra.Command {
	v := versionLine{a.Program, hufu.Version, hufu.Commit, runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
	form := "cli.version.commit"
	if v.Commit == "" {
		form = "cli.version.go"
	}
	line := a.Cat.T(form, "version", a.Cat.T("cli.version", "program", v.Program, "version", v.Version), "commit", v.Commit, "go", v.Go, "platform", v.Platform)
	root.Version = v.Version
	root.SetVersionTemplate(line + "\n")
	cmd := a.Command("version", key)
	cmd.RunE = func(*cobra.Command, []string) error {
		if *json {
			return a.JSON(v)
		}
		return a.Printf("%s", line)
	}
	return cmd
}
