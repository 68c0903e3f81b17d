package main

import (
	"time"

	"github.com/spf13/cobra"

	"hufu"
	"hufu/internal/cli"
	"hufu/internal/client"
)

func newVerify(a *app) *cobra.Command {
	cmd := a.Command("verify [SRC] :/PATH", "hufu.verify", "hufu verify :/2026", "hufu verify photos :/2026/photos", "hufu verify --exclude '*.tmp' src :/src")
	cli.Between(cmd, 1, 2)
	var f copyFlags
	a.filterFlags(cmd, &f)
	cmd.Flags().BoolVarP(&f.quiet, "quiet", "q", false, a.Cat.T("hufu.flag.quiet"))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := f.readRules(cmd.Context()); err != nil {
			return err
		}
		locs, err := a.remoteOnly(args[len(args)-1:])
		if err != nil {
			return err
		}
		local := ""
		if len(args) == 2 {
			if err := noInput(args[0]); err != nil {
				return err
			}
			l, err := a.parseLocation(args[0])
			if err != nil {
				return err
			}
			if l.remote {
				return cli.Usage("put_source_remote", "source", args[0])
			}
			local = l.local
		}
		return a.with(cmd.Context(), locs[0], nil, func(r *client.Remote) error {
			locs, err := expand(cmd.Context(), r, locs)
			if err != nil {
				return err
			}
			if local != "" && len(locs) > 1 {
				return cli.Usage("verify_one")
			}
			n, bad, damaged, began := 0, 0, false, time.Now()
			for _, l := range locs {
				files, err := r.Verify(cmd.Context(), l.path, local, &f.filter, func(v client.Verified) {
					if v.Err != nil {
						bad++
						damaged = damaged || hufu.KindOf(v.Err) == hufu.KindIntegrity
					}
					if v.Err != nil || !f.quiet {
						a.verified(v, bad)
					}
				})
				if n += files; err != nil {
					return err
				}
			}
			if !a.json && !f.quiet {
				a.Hint(a.Cat.N("hufu.verify.summary", n, "bad", bad, "time", time.Since(began)))
			}
			if n+bad == 0 && !f.filter.Empty() {
				a.Hint(a.Cat.T("hufu.verify.nothing"))
			}
			switch {
			case damaged:
				return cli.Reported(hufu.KindIntegrity)
			case bad > 0:
				return cli.Reported(hufu.KindExists) // something is on one side only, or of another kind
			}
			return nil
		})
	}
	return cmd
}

// jsonVerified is one line of verify --json.
type jsonVerified struct {
	Path   string `json:"path"`
	OK     bool   `json:"ok"`
	Digest string `json:"digest,omitempty"` // bytes that the server has read
	*cli.Failure
}

func (a *app) verified(v client.Verified, bad int) {
	if a.json {
		j := jsonVerified{Path: v.Path.Virtual(), OK: v.Err == nil}
		if !v.Digest.IsZero() {
			j.Digest = v.Digest.String()
		}
		if v.Err != nil {
			j.Failure = a.Failure(v.Err)
		}
		_ = a.JSON(j)
		return
	}
	if v.Err != nil {
		what, fix := a.Cat.Error(v.Err)
		a.Hint(a.Cat.T("hufu.verify.bad", "path", v.Path.Remote(), "what", what))
		if fix != "" && bad <= fixes {
			a.Hint("  " + fix)
		}
		return
	}
	_ = a.Printf("%s  %s", v.Digest, hufu.Printable(v.Path.Remote()))
}
