package cli

import (
	"io"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"hufu"
)

// shells are the shells that completion writes a script for.
var shells = map[string]func(*cobra.Command, io.Writer) error{
	"bash":       func(root *cobra.Command, w io.Writer) error { return root.GenBashCompletionV2(w, true) },
	"zsh":        func(root *cobra.Command, w io.Writer) error { return root.GenZshCompletion(w) },
	"fish":       func(root *cobra.Command, w io.Writer) error { return root.GenFishCompletion(w, true) },
	"powershell": func(root *cobra.Command, w io.Writer) error { return root.GenPowerShellCompletionWithDesc(w) },
}

// completion is the command that writes the script with which a shell completes command lines.
func (a *App) completion(root *cobra.Command) *cobra.Command {
	cmd := a.Command("completion bash|zsh|fish|powershell", "cli.completion",
		a.Program+" completion bash >~/.local/share/bash-completion/completions/"+a.Program,
		a.Program+" completion zsh >~/.zfunc/_"+a.Program,
		a.Program+" completion fish >~/.config/fish/completions/"+a.Program+".fish",
		a.Program+" completion powershell >>$PROFILE")
	Exactly(cmd, 1)
	names := []string{"bash", "fish", "powershell", "zsh"}
	cmd.ValidArgsFunction = Words(names...)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		write := shells[args[0]]
		if write == nil {
			return Usage("completion_shell", "shell", args[0], "meant", Meant(args[0], names))
		}
		if err := write(root, a.Out); err != nil {
			if a.out.failure() != nil {
				return a.out.failure()
			}
			return &hufu.Error{Op: "write completion", Kind: hufu.KindInternal, Err: err}
		}
		return nil
	}
	return cmd
}

// Words completes one argument by words that are known.
func Words(words ...string) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return words, cobra.ShellCompDirectiveNoFileComp
	}
}

// Values completes the value of a flag by words that are known.
func Values(cmd *cobra.Command, flag string, words ...string) {
	f := func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return words, cobra.ShellCompDirectiveNoFileComp
	}
	if err := cmd.RegisterFlagCompletionFunc(flag, f); err != nil {
		panic(err) // no such flag, or twice: a mistake in the program
	}
}

// completed keeps the shell from offering files where none are expected: as an argument of a
// command that has none, or takes other things, and as the value of a flag that names no file.
func completed(cmd *cobra.Command) {
	if cmd.ValidArgsFunction == nil && !cmd.HasSubCommands() {
		cmd.ValidArgsFunction = cobra.NoFileCompletions
	}
	known := []string{"bool", "moment", "pattern", "int", "duration", "bytes"}
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if _, has := cmd.GetFlagCompletionFunc(f.Name); !has && slices.Contains(known, f.Value.Type()) && f.Name != "exclude-from" {
			_ = cmd.RegisterFlagCompletionFunc(f.Name, cobra.NoFileCompletions) // it has none
		}
	})
}
