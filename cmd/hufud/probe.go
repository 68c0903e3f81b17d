package main

import (
	"os"
	"time"

	"github.com/spf13/cobra"

	"hufu"
	"hufu/internal/blob/object"
	"hufu/internal/cli"
)

// probedLine is one check in --json.
type probedLine struct {
	Check string `json:"check"`
	OK    bool   `json:"ok"`
	Ms    int64  `json:"ms"`
	*cli.Failure
}

func newStore(a *app) *cobra.Command { return a.Group("store", "hufud.store", newStoreProbe(a)) }

func newStoreProbe(a *app) *cobra.Command {
	cmd := a.Command("probe", "hufud.store.probe", "hufud store probe", "hufud store probe --json")
	cmd.Flags().BoolVar(&a.json, "json", false, a.Cat.T("hufud.flag.json"))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if _, err := os.Stat(a.data); err == nil {
			if err := a.private(); err != nil {
				return err
			}
		}
		c, _, err := a.config()
		if err != nil {
			return err
		}
		if c.onDisk() {
			return cli.Usage("probe_disk")
		}
		b, err := a.bucket(c)
		if err != nil {
			return err
		}
		defer b.Close()
		var worst error
		bad := 0
		err = b.Probe(cmd.Context(), func(p object.Probed) error {
			if p.Err != nil {
				if bad++; worst == nil || hufu.KindOf(p.Err) == hufu.KindIntegrity {
					worst = p.Err
				}
			}
			return a.probed(p)
		})
		switch {
		case err != nil:
			return err
		case bad > 0:
			return cli.Reported(hufu.KindOf(worst))
		}
		if !a.json {
			a.Hint(a.Cat.T("hufud.store.probe.fits"))
		}
		return nil
	}
	return cmd
}

// probed shows one check.
func (a *app) probed(p object.Probed) error {
	if a.json {
		l := probedLine{Check: p.Check, OK: p.Err == nil, Ms: p.Took.Milliseconds()}
		if p.Err != nil {
			l.Failure = a.Failure(p.Err)
		}
		return a.JSON(l)
	}
	name := a.Cat.T("hufud.store.probe." + p.Check)
	if p.Err == nil {
		return a.Printf("%s", a.Cat.T("hufud.store.probe.ok", "check", name, "time", p.Took.Round(time.Millisecond)))
	}
	what, fix := a.Cat.Error(p.Err)
	err := a.Printf("%s", a.Cat.T("hufud.store.probe.bad", "check", name, "what", what))
	if err == nil && fix != "" {
		err = a.Printf("  %s", fix)
	}
	return err
}
