package cli

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
)

// helpCommand is the command "help", for commands and for topics. The texts of a topic are under
// topic.NAME.
func (a *App) helpCommand(root *cobra.Command, topics []string) *cobra.Command {
	cmd := a.Command("help [COMMAND…|TOPIC]", "cli.help_command")
	Between(cmd, 0, -1)
	cmd.ValidArgsFunction = func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		names := available(root)
		if len(args) == 0 {
			names = append(names, topics...)
		} else if sub, rest, err := root.Find(args); err == nil && len(rest) == 0 {
			names = available(sub)
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		if len(args) == 1 && slices.Contains(topics, args[0]) {
			return a.Printf("%s", a.Cat.T("topic."+args[0]+".long"))
		}
		found := root
		for _, name := range args {
			sub := child(found, name)
			if sub == nil {
				names := available(found)
				if found == root {
					names = append(names, topics...)
				}
				return Usage("help_unknown", "name", name, "help", found.CommandPath()+" --help", "meant", cmp.Or(calledSo(name, found), Meant(name, names)))
			}
			found = sub
		}
		if _, err := fmt.Fprint(a.Out, a.Help(found)); err != nil {
			return a.out.failure()
		}
		if found != root || len(topics) == 0 {
			return nil
		}
		if err := a.Printf("\n%s", a.Cat.T("cli.help.topics")); err != nil {
			return err
		}
		width := 0
		for _, name := range topics {
			width = max(width, len(name))
		}
		for _, name := range topics {
			if err := a.Printf("  %-*s %s", width, name, a.Cat.T("topic."+name+".short")); err != nil {
				return err
			}
		}
		return nil
	}
	return cmd
}

// Listed reports whether a command is listed in the help of the one above it. Of its help command
// cobra itself says that it is not available.
func Listed(cmd *cobra.Command) bool {
	return cmd.IsAvailableCommand() || cmd.Name() == "help" && !cmd.Hidden
}

// available returns the names of the commands of cmd that its help lists.
func available(cmd *cobra.Command) (names []string) {
	for _, sub := range cmd.Commands() {
		if Listed(sub) {
			names = append(names, sub.Name())
		}
	}
	return names
}

func child(cmd *cobra.Command, name string) *cobra.Command {
	for _, sub := range cmd.Commands() {
		if sub.Name() == name && Listed(sub) {
			return sub
		}
	}
	return nil
}
