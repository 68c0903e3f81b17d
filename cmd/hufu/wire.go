package main

import (
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"hufu"
	"hufu/internal/cli"
	"hufu/internal/demo"
	"hufu/internal/profile"
	"hufu/internal/report"
)

// wireFolder gets the captures unless --out names another.
const wireFolder = "hufu-wire"

func newWire(a *app) *cobra.Command {
	cmd := a.Command("wire [FILE]", "hufu.wire",
		"hufu wire --out captures",
		"hufu wire --out captures --secrets --mitm report.pdf",
		"wireshark captures/plain.pcapng")
	cli.Between(cmd, 0, 1)
	o := demo.WireOptions{Disk: localDisk{}, Lang: a.Cat.Lang(), T: a.Cat.T, Error: a.Cat.Error}
	var password string
	cmd.Flags().StringVar(&o.Dir, "out", wireFolder, a.Cat.T("hufu.wire.flag.out"))
	cmd.Flags().StringVar(&password, "password-file", "", a.Cat.T("hufu.wire.flag.password_file"))
	cmd.Flags().BoolVar(&o.Secrets, "secrets", false, a.Cat.T("hufu.wire.flag.secrets"))
	cmd.Flags().BoolVar(&o.MITM, "mitm", false, a.Cat.T("hufu.wire.flag.mitm"))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if a.plaintext {
			return cli.Usage("plaintext_needs_tls")
		}
		if len(args) == 1 {
			if err := noInput(args[0]); err != nil {
				return err
			}
			o.File = args[0]
		}
		dirs, err := a.dirs()
		if err != nil {
			return err
		}
		p, err := profile.Load(dirs, a.profileName())
		if err != nil {
			return a.forProfile(a.profileName(), err)
		}
		if password != "" {
			if o.Password, err = a.Password(cmd.Context(), password); err != nil {
				return err
			}
			a.Hint(a.red(a.Cat.T("hufu.wire.password_warning", "file", password, "dir", o.Dir)))
		}
		w, err := demo.Wire(cmd.Context(), p, o)
		if err != nil {
			return err
		}
		if err := a.wired(w); err != nil {
			return err
		}
		if !w.Proven() {
			return cli.Reported(hufu.KindInternal)
		}
		return nil
	}
	return cmd
}

// jsonWire is the output of wire --json.
type jsonWire struct {
	Proven   bool                    `json:"proven"`
	Dir      string                  `json:"dir"`
	Files    []string                `json:"files"`
	User     string                  `json:"user"`
	Captures map[string]*jsonCapture `json:"captures"` // by file
}

type jsonCapture struct {
	Packets int            `json:"packets"`
	Bytes   int64          `json:"bytes"`
	Found   map[string]int `json:"found"` // role to the first packet, 0: none
	Filter  string         `json:"filter"`
	Exit    *int           `json:"exit,omitempty"` // of the man in the middle's victim
}

func (a *app) wired(w *demo.Wired) error {
	if !a.json {
		var report strings.Builder
		if err := w.Text(&report); err != nil {
			return err
		}
		if _, err := io.WriteString(a.Out, a.Cat.Plain(report.String())); err != nil {
			return err
		}
		a.Hint("")
		a.Hint(a.Cat.T("hufu.wire.done", "dir", w.Dir, "files", w.Files))
		return nil
	}
	j := jsonWire{Proven: w.Proven(), Dir: w.Dir, Files: w.Files, User: w.User, Captures: map[string]*jsonCapture{}}
	if abs, err := filepath.Abs(w.Dir); err == nil {
		j.Dir = abs
	}
	add := func(c report.Capture) *jsonCapture {
		k := &jsonCapture{Packets: c.Findings.Packets, Bytes: c.Findings.Bytes, Filter: c.Findings.Filter(), Found: map[string]int{}}
		for _, r := range c.Findings.Results {
			k.Found[string(r.Needle.Role)] = 0
			if len(r.Hits) > 0 {
				k.Found[string(r.Needle.Role)] = r.Hits[0].Packet
			}
		}
		j.Captures[c.File] = k
		return k
	}
	add(w.Plain)
	add(w.TLS)
	if w.MITM != nil {
		add(w.MITM.Capture).Exit = &w.MITM.Exit
	}
	return a.JSON(j)
}

// red marks a warning on a terminal that shows colors.
func (a *app) red(s string) string {
	if a.ErrTerminal() == nil || a.Getenv("NO_COLOR") != "" || a.Getenv("TERM") == "dumb" {
		return s
	}
	return "\x1b[1;97;41m " + s + " \x1b[0m"
}
