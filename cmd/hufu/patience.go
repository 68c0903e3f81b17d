package main

import (
	"time"

	"github.com/spf13/cobra"

	"hufu/internal/cli"
	"hufu/internal/client"
)

// maxRetries bounds --retries. The help names it.
const maxRetries = 1_000_000

// patience is what --timeout and --retries say: how long, and how often, a command tries to reach a
// server that is away.
type patience struct {
	timeout time.Duration
	retries int
	cmd     *cobra.Command // the one whose flags they are, once it runs
}

// patient gives the commands that talk to the server the flags --timeout and --retries.
func (a *app) patient(cmds ...*cobra.Command) {
	for _, cmd := range cmds {
		cmd.Flags().Var(cli.Span{For: &a.patience.timeout}, "timeout", a.Cat.T("hufu.flag.timeout"))
		cmd.Flags().IntVar(&a.patience.retries, "retries", 0, a.Cat.T("hufu.flag.retries"))
		run := cmd.RunE
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			a.patience.cmd = cmd
			if err := a.patience.check(); err != nil {
				return err
			}
			return run(cmd, args)
		}
	}
}

func (p *patience) given(flag string) bool { return p.cmd != nil && p.cmd.Flag(flag).Changed }

func (p *patience) check() error {
	switch {
	case p.timeout < 0:
		return cli.Usage("admin_flag_duration", "flag", "--timeout", "value", p.timeout.String(), "example", "30s")
	case p.retries < 0 || p.retries > maxRetries:
		return cli.FlagRange("retries", p.retries, 0, maxRetries, "5")
	}
	return nil
}

// options returns them for a client.
func (p *patience) options() *client.Patience {
	if !p.given("timeout") && !p.given("retries") {
		return nil
	}
	c := &client.Patience{For: client.RetryFor, Tries: -1}
	if p.given("timeout") {
		c.For = p.timeout
	}
	if p.given("retries") {
		c.Tries = p.retries
	}
	return c
}

// notify tells the user that the server is away and how long it is waited for, and that it is back.
func (a *app) notify(err error) {
	if err == nil {
		a.Hint(a.Cat.T("hufu.reconnected"))
		return
	}
	what, _ := a.Cat.Error(err)
	p := a.patience.options()
	switch {
	case p == nil:
		a.Hint(a.Cat.T("hufu.reconnect", "time", client.RetryFor, "why", what))
	case p.Tries < 0:
		a.Hint(a.Cat.T("hufu.reconnect", "time", p.For, "why", what))
	default:
		a.Hint(a.Cat.N("hufu.reconnect.tries", p.Tries, "time", p.For, "why", what))
	}
}
