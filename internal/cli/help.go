package cli

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"hufu"
)

// Command makes a command whose words all come from the catalogue: key.short
// and, where there is more to say, key.long. Examples are the same in every
// language.
func (a *App) Command(use, key string, examples ...string) *cobra.Command {
	cmd := &cobra.Command{
		Use:                   a.Cat.Plain(use),
		Short:                 a.Cat.T(key + ".short"),
		SilenceErrors:         true,
		SilenceUsage:          true,
		DisableFlagsInUseLine: true,
		DisableSuggestions:    true,
	}
	if a.Cat.Has(key + ".long") {
		cmd.Long = a.Cat.T(key + ".long")
	}
	cmd.Example = strings.Join(examples, "\n")
	Exactly(cmd, 0)
	return cmd
}

// Group makes a command that only holds others.
func (a *App) Group(use, key string, subs ...*cobra.Command) *cobra.Command {
	cmd := a.Command(use, key)
	cmd.AddCommand(subs...)
	return cmd
}

// Exactly sets how many arguments a command takes.
func Exactly(cmd *cobra.Command, n int) { Between(cmd, n, n) }

// Between sets the least and the most arguments of a command; most below 0 is
// no limit.
func Between(cmd *cobra.Command, least, most int) {
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return Usage("admin_argument_missing", "use", cmd.UseLine())
		case most < 0 || len(args) <= most:
			return nil
		case cmd.HasSubCommands():
			return Usage("admin_command_unknown", "command", args[0], "help", cmd.CommandPath()+" --help", "meant", cmp.Or(calledSo(args[0], cmd), Meant(args[0], available(cmd))))
		}
		if f := optional(cmd); f != nil {
			return Usage("admin_argument_flag_value", "argument", args[most], "flag", "--"+f.Name)
		}
		return Usage("admin_argument_extra", "argument", args[most], "use", cmd.UseLine())
	}
}

// noneEmpty refuses an argument that is empty before judge sees any.
func noneEmpty(judge cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if slices.Contains(args, "") {
			return Usage("admin_argument_empty", "use", cmd.UseLine())
		}
		return judge(cmd, args)
	}
}

// filled is the value of a flag that must not be empty, nor hold an empty
// element. The shell makes such a value of a variable that is not set: a flag
// that narrows a command would be taken as not given, and lock all devices of a
// user in the place of one.
type filled struct{ pflag.Value }

var (
	errEmpty = errors.New("empty value")
	errValue = errors.New("invalid value") // flagValue says what is expected
)

func (v filled) Set(s string) error {
	if s == "" {
		return errEmpty
	}
	if err := v.Value.Set(s); err != nil {
		return fmt.Errorf("set flag: %w", err)
	}
	if list, ok := v.Value.(pflag.SliceValue); ok && slices.Contains(list.GetSlice(), "") {
		return errEmpty
	}
	return nil
}

// optional returns a flag that was given without the value it may have: an argument
// too many was meant to be that.
func optional(cmd *cobra.Command) (found *pflag.Flag) {
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if f.NoOptDefVal != "" && f.Value.Type() != "bool" && f.Value.String() == f.NoOptDefVal {
			found = f
		}
	})
	return found
}

// Usage is an error in how a program was called; args are pairs that fill the
// text of code.
func Usage(code string, args ...string) error {
	m := make(map[string]string, len(args)/2)
	for i := 0; i+1 < len(args); i += 2 {
		m[args[i]] = args[i+1]
	}
	return &hufu.Error{Op: "read command line", Kind: hufu.KindUsage, Code: code, Args: m}
}

// Dress gives the tree below root our words where cobra has its own, and adds the commands that
// both programs have. topics are what "help" explains besides the commands.
func (a *App) Dress(root *cobra.Command, topics ...string) {
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetOut(a.Out)
	root.SetErr(a.Err)
	help := a.helpCommand(root, topics)
	root.SetHelpCommand(help)
	root.AddCommand(help, a.completion(root), a.manual(root, topics))
	root.SetFlagErrorFunc(flagError)
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) { _, _ = fmt.Fprint(cmd.OutOrStdout(), a.Help(cmd)) })
	root.SetUsageFunc(func(cmd *cobra.Command) error {
		_, err := fmt.Fprint(cmd.OutOrStderr(), a.Help(cmd))
		return err
	})
	var each func(*cobra.Command)
	each = func(cmd *cobra.Command) {
		cmd.InitDefaultHelpFlag()
		cmd.Flags().Lookup("help").Usage = a.Cat.T("cli.flag.help")
		if cmd == root {
			cmd.InitDefaultVersionFlag()
			cmd.Flags().Lookup("version").Usage = a.Cat.T("cli.flag.version")
		}
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if _, done := f.Value.(filled); !done {
				f.Value = filled{f.Value}
			}
		})
		cmd.Args = noneEmpty(cmd.Args)
		completed(cmd)
		if cmd.RunE == nil && cmd.HasSubCommands() {
			cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		}
		for _, sub := range cmd.Commands() {
			each(sub)
		}
	}
	each(root)
}

// Help returns the help of a command, laid out for a terminal of any language.
func (a *App) Help(cmd *cobra.Command) string {
	var b strings.Builder
	section := func(title string) { fmt.Fprintf(&b, "\n%s\n", title) }
	about := cmd.Long
	if about == "" {
		about = cmd.Short
	}
	fmt.Fprintln(&b, about)
	section(a.Cat.T("cli.help.usage"))
	fmt.Fprintln(&b, "  "+useLine(cmd))
	if cmd.Example != "" {
		section(a.Cat.T("cli.help.examples"))
		for line := range strings.SplitSeq(cmd.Example, "\n") {
			fmt.Fprintln(&b, "  "+line)
		}
	}
	if cmd.HasAvailableSubCommands() {
		section(a.Cat.T("cli.help.commands"))
		for _, sub := range cmd.Commands() {
			if Listed(sub) {
				fmt.Fprintf(&b, "  %-10s %s\n", sub.Name(), sub.Short)
			}
		}
	}
	if cmd.HasAvailableLocalFlags() {
		section(a.Cat.T("cli.help.flags"))
		flagHelp(&b, cmd.LocalFlags())
	}
	if cmd.HasAvailableInheritedFlags() {
		section(a.Cat.T("cli.help.global"))
		flagHelp(&b, cmd.InheritedFlags())
	}
	return b.String()
}

// useLine returns how a command is called.
func useLine(cmd *cobra.Command) string {
	use := cmd.UseLine()
	if cmd.HasAvailableSubCommands() {
		if strings.Contains(cmd.Use, " ") { // it does something by itself, too
			use += " |"
		}
		use += " COMMAND"
	}
	return use
}

// flagHelp lists flags without the English words that pflag adds.
func flagHelp(b *strings.Builder, flags *pflag.FlagSet) {
	flags.VisitAll(func(f *pflag.Flag) {
		name, about := flagLine(f)
		fmt.Fprintf(b, "  %s\n      %s\n", name, about)
	})
}

// flagLine returns how a flag is written, and what it is for.
func flagLine(f *pflag.Flag) (name, about string) {
	value, about := pflag.UnquoteUsage(f)
	name = "--" + f.Name
	if f.Shorthand != "" {
		name = "-" + f.Shorthand + ", " + name
	}
	switch {
	case value != "" && f.NoOptDefVal != "" && f.Value.Type() != "bool":
		name += "[=" + value + "]"
	case value != "":
		name += " " + value
	}
	return name, about
}

// FlagRange is the error of a number that a flag cannot have.
func FlagRange(flag string, value, least, most int, example string) error {
	return Usage("admin_flag_range", "flag", "--"+flag, "value", strconv.Itoa(value),
		"least", strconv.Itoa(least), "most", strconv.Itoa(most), "example", example)
}

// flagValue returns an error that describes the values of a flag, with an
// example.
func flagValue(f *pflag.Flag, value string) error {
	code, example := "admin_flag_value", ""
	switch f.Value.Type() {
	case "duration":
		code, example = "admin_flag_duration", "2h"
		if d, err := time.ParseDuration(f.DefValue); err == nil && d > 0 && d < time.Minute {
			example = d.String()
		}
	case "int":
		code, example = "admin_flag_number", cmp.Or(f.NoOptDefVal, "4")
	case "bool":
		code, example = "admin_flag_switch", "false"
	case "moment":
		code, example = "admin_flag_moment", "2026-10-31"
	}
	return Usage(code, "flag", "--"+f.Name, "value", value, "example", example)
}

// flagError says in our words what pflag found wrong.
func flagError(cmd *cobra.Command, err error) error {
	if e, ok := errors.AsType[*pflag.NotExistError](err); ok {
		name := e.GetSpecifiedName()
		if letters := e.GetSpecifiedShortnames(); letters != "" {
			meant := ""
			if len(letters) > 1 { // one dash for two, as in find
				meant = meantFlag(letters, cmd)
			}
			return Usage("admin_flag_unknown", "flag", "-"+name, "meant", meant)
		}
		return Usage("admin_flag_unknown", "flag", "--"+name, "meant", meantFlag(name, cmd))
	}
	if e, ok := errors.AsType[*pflag.ValueRequiredError](err); ok {
		return Usage("admin_flag_without_value", "flag", "--"+e.GetFlag().Name)
	}
	if e, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		if ours, ok := errors.AsType[*hufu.Error](err); ok { // it says what is wrong
			return ours
		}
		if errors.Is(err, errEmpty) {
			return Usage("admin_flag_empty", "flag", "--"+e.GetFlag().Name)
		}
		return flagValue(e.GetFlag(), e.GetValue())
	}
	return &hufu.Error{Op: "read command line", Kind: hufu.KindUsage, Err: err}
}
