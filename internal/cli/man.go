package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"hufu"
)

// manual is the hidden command that writes the manual pages: the same texts as --help, one page
// for each command and topic.
func (a *App) manual(root *cobra.Command, topics []string) *cobra.Command {
	cmd := a.Command("man FOLDER", "cli.man")
	cmd.Hidden = true
	Exactly(cmd, 1)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		if err := os.MkdirAll(args[0], 0o755); err != nil {
			return ToFile(args[0], hufu.KindUnreadable, "cannot_write", err)
		}
		write := func(name, page string) error {
			file := filepath.Join(args[0], name)
			if err := os.WriteFile(file, []byte(page), 0o644); err != nil {
				return ToFile(file, hufu.KindUnreadable, "cannot_write", err)
			}
			return nil
		}
		var each func(*cobra.Command) error
		each = func(cmd *cobra.Command) error {
			if err := write(pageName(cmd)+".1", a.Page(cmd)); err != nil {
				return err
			}
			for _, sub := range cmd.Commands() {
				if Listed(sub) {
					if err := each(sub); err != nil {
						return err
					}
				}
			}
			return nil
		}
		if err := each(root); err != nil {
			return err
		}
		for _, topic := range topics {
			p := a.page(a.Program+"-"+topic, "7", a.Cat.T("topic."+topic+".short"))
			p.section("man.description")
			p.text(a.Cat.T("topic." + topic + ".long"))
			if err := write(a.Program+"-"+topic+".7", p.String()); err != nil {
				return err
			}
		}
		return nil
	}
	return cmd
}

// pageName returns the name of the manual page of a command: hufu-profile-list.
func pageName(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

// page is a manual page in the language of man.
type page struct {
	strings.Builder
	a *App
}

func (a *App) page(name, chapter, short string) *page {
	p := &page{a: a}
	fmt.Fprintf(p, ".TH %s %s \"\" \"%s\" \"%s\"\n", roff(strings.ToUpper(name)), chapter, roff(a.Cat.T("cli.version", "program", a.Program, "version", hufu.Version)), roff(a.Cat.T("man.title")))
	p.section("man.name")
	fmt.Fprintf(p, "%s \\- %s\n", roff(name), roff(short))
	return p
}

func (p *page) section(key string) { fmt.Fprintf(p, ".SH \"%s\"\n", roff(p.a.Cat.T(key))) }

// text writes paragraphs. A line that begins with a blank keeps its layout.
func (p *page) text(s string) {
	for i, line := range strings.Split(s, "\n") {
		switch {
		case line == "":
			p.WriteString(".sp\n")
		case line[0] == ' ':
			fmt.Fprintf(p, ".br\n%s\n", roff(line))
		default:
			if i > 0 {
				p.WriteString(".PP\n")
			}
			p.WriteString(roff(line) + "\n")
		}
	}
}

// Page returns the manual page of a command.
func (a *App) Page(cmd *cobra.Command) string {
	p := a.page(pageName(cmd), "1", cmd.Short)
	p.section("man.synopsis")
	fmt.Fprintf(p, "\\fB%s\\fR\n", roff(useLine(cmd)))
	p.section("man.description")
	about := cmd.Long
	if about == "" {
		about = cmd.Short
	}
	p.text(about)
	if cmd.HasAvailableSubCommands() {
		p.section("man.commands")
		for _, name := range available(cmd) {
			fmt.Fprintf(p, ".TP\n\\fB%s\\fR\n%s\n", roff(name), roff(child(cmd, name).Short))
		}
	}
	p.flags("man.flags", cmd.LocalFlags())
	p.flags("man.global", cmd.InheritedFlags())
	if cmd.Example != "" {
		p.section("man.examples")
		for line := range strings.SplitSeq(cmd.Example, "\n") {
			fmt.Fprintf(p, ".RS 4\n.nf\n%s\n.fi\n.RE\n", roff(line))
		}
	}
	return p.String()
}

func (p *page) flags(key string, flags *pflag.FlagSet) {
	if !flags.HasAvailableFlags() {
		return
	}
	p.section(key)
	flags.VisitAll(func(f *pflag.Flag) {
		name, about := flagLine(f)
		fmt.Fprintf(p, ".TP\n\\fB%s\\fR\n%s\n", roff(name), roff(about))
	})
}

// roff escapes a line of text for man.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, `"`, `\(dq`, "'", `\(aq`, "^", `\(ha`, "~", `\(ti`, "`", `\(ga`).Replace(s)
	if strings.HasPrefix(s, ".") {
		return `\&` + s
	}
	return s
}
