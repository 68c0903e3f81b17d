package main

import (
	"net"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"hufu"
	"hufu/internal/cli"
	"hufu/internal/demo"
	"hufu/internal/identity"
	"hufu/internal/profile"
)

const (
	// defaultPort is the port of a server if none is given.
	defaultPort = 9999
	// maxCertFile bounds a file with certificates or a key.
	maxCertFile = 1 << 20
)

func newExplain(a *app) *cobra.Command {
	cmd := a.Command("explain [SERVER|PROFILE:]", "hufu.explain",
		"hufu explain",
		"hufu explain work: --json",
		"hufu explain hufu.example.org:9999",
		"hufu explain --cert server.crt --ca root.crt --name hufu.example.org")
	cli.Between(cmd, 0, 1)
	var cert, ca, name string
	cmd.Flags().StringVar(&cert, "cert", "", a.Cat.T("hufu.explain.flag.cert"))
	cmd.Flags().StringVar(&ca, "ca", "", a.Cat.T("hufu.explain.flag.ca"))
	cmd.Flags().StringVar(&name, "name", "", a.Cat.T("hufu.explain.flag.name"))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		switch {
		case a.plaintext:
			return cli.Usage("plaintext_needs_tls")
		case cert != "" && ca != "" && len(args) == 0:
			e, err := a.explainFiles(cert, ca, name)
			if err != nil {
				return err
			}
			return a.explained(e, a.Cat.T("hufu.explain.title.files", "file", cert))
		case cert != "" || ca != "" || name != "":
			return cli.Usage("explain_files")
		}
		dirs, err := a.dirs()
		if err != nil {
			return err
		}
		p, address, err := a.explainWhom(dirs, args)
		if err != nil {
			return err
		}
		e, err := demo.Explain(cmd.Context(), dirs, p, address)
		if err != nil {
			return err
		}
		return a.explained(e, a.Cat.T("hufu.explain.title", "address", e.Address))
	}
	return cmd
}

func (a *app) explainFiles(cert, ca, name string) (*demo.Explained, error) {
	certs, err := certificates(cert)
	if err != nil {
		return nil, err
	}
	cas, err := certificates(ca)
	if err != nil {
		return nil, err
	}
	return demo.ExplainFiles(certs, cas, name)
}

// certificates reads a file that must hold some.
func certificates(file string) ([]byte, error) {
	data, err := cli.ReadLimited(file, maxCertFile)
	if err != nil {
		return nil, err
	}
	_, err = identity.ParseCerts(data)
	return data, cli.InFile(file, err)
}

// explainWhom reads the argument: nothing or "PROFILE:" is a profile's server,
// anything else an address, met with the certificates of the profile if there
// is one.
func (a *app) explainWhom(dirs profile.Dirs, args []string) (*profile.Profile, string, error) {
	name, address := a.profileName(), ""
	if len(args) == 1 {
		if n, ok := strings.CutSuffix(args[0], ":"); ok && net.ParseIP(args[0]) == nil {
			if n != "" {
				name = n
			}
		} else {
			address = withPort(args[0])
		}
	}
	p, err := profile.Load(dirs, name)
	if address != "" && a.profile == "" && hufu.CodeOf(err) == "not_enrolled" {
		return nil, address, nil
	}
	return p, address, a.forProfile(name, err)
}

// withPort adds the default port to a host without one.
func withPort(s string) string {
	if _, _, err := net.SplitHostPort(s); err == nil {
		return s
	}
	return net.JoinHostPort(strings.Trim(s, "[]"), strconv.Itoa(defaultPort))
}

// jsonStep is a line of explain --json. Code is the same in every language.
type jsonStep struct {
	Side string `json:"side"`
	Step int    `json:"step"`
	OK   bool   `json:"ok"`
	What string `json:"what"`
	Why  string `json:"why"`
	Fix  string `json:"fix"`
	Code string `json:"code"`
}

// explained shows the steps; its error carries the exit status.
func (a *app) explained(e *demo.Explained, title string) error {
	verdict := e.Verdict()
	side := ""
	if !a.json {
		if err := a.Printf("%s", title); err != nil {
			return err
		}
	}
	for _, s := range e.Steps {
		if a.json {
			j := jsonStep{Side: s.Side, Step: s.Step, OK: s.OK, Code: s.Why, What: a.step(s, s.What), Why: a.step(s, s.Why), Fix: a.step(s, s.Fix)}
			if err := a.JSON(j); err != nil {
				return err
			}
			continue
		}
		if s.Side != side {
			side = s.Side
			if err := a.Printf("\n%s", a.Cat.T("explain.side."+side)); err != nil {
				return err
			}
		}
		mark := "✓"
		if !s.OK {
			mark = "✗"
		}
		if err := a.Printf("%s %2d  %s\n      %s", a.Cat.Plain(mark), s.Step, a.step(s, s.What), a.step(s, s.Why)); err != nil {
			return err
		}
		if fix := a.step(s, s.Fix); fix != "" {
			if err := a.Printf("      %s", a.Cat.T("hufu.explain.fix", "fix", fix)); err != nil {
				return err
			}
		}
	}
	if !a.json {
		key := map[hufu.Kind]string{0: "hufu.explain.verdict.ok", hufu.KindUnproven: "hufu.explain.verdict.server", hufu.KindRefused: "hufu.explain.verdict.client"}[verdict]
		if verdict != 0 && e.Address == "" {
			key += ".files"
		}
		if err := a.Printf("\n%s", a.Cat.T(key)); err != nil {
			return err
		}
	}
	if verdict != 0 {
		return cli.Reported(verdict)
	}
	return nil
}

// step returns a text of a step; "" if there is none.
func (a *app) step(s identity.Step, key string) string {
	if !a.Cat.Has(key) {
		return ""
	}
	args := make([]any, 0, 2*len(s.Args))
	for name, value := range s.Args {
		args = append(args, name, value)
	}
	return a.Cat.T(key, args...)
}
