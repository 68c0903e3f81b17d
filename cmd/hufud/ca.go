package main

import (
	"context"
	"path/filepath"

	"github.com/gofrs/flock"
	"github.com/spf13/cobra"

	"hufu"
	"hufu/internal/ca"
	"hufu/internal/cli"
)

// caLock is held by the one command that renews the issuing CA.
const caLock = "ca/lock"

func newCA(a *app) *cobra.Command {
	return a.Group("ca", "hufud.ca", newCARenew(a))
}

func newCARenew(a *app) *cobra.Command {
	cmd := a.Command("renew", "hufud.ca.renew",
		"hufud ca renew",
		"hufud ca renew --root-key-file /media/stick/hufu-root.key --passphrase-file secret.txt")
	var root, file string
	cmd.Flags().StringVar(&root, "root-key-file", "", a.Cat.T("hufud.ca.renew.flag.root_key"))
	cmd.Flags().StringVar(&file, "passphrase-file", "", a.Cat.T("hufud.init.flag.passphrase_file"))
	cmd.Flags().BoolVar(&a.json, "json", false, a.Cat.T("hufud.flag.json"))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := a.private(); err != nil {
			return err
		}
		lock := flock.New(filepath.Join(a.data, filepath.FromSlash(caLock)), flock.SetPermissions(0o600))
		locked, err := lock.TryLock()
		if err != nil {
			return a.notLocked(err)
		}
		if !locked {
			return cli.Usage("admin_ca_busy")
		}
		defer func() { _ = lock.Unlock() }() // what holds it ends in any case
		c, err := ca.RenewIssuing(cmd.Context(), a.data, ca.RenewIssuingOptions{
			RootKey: root,
			Passphrase: func(ctx context.Context) ([]byte, error) {
				var secret string
				var err error
				if file != "" {
					secret, err = cli.FirstLine(file)
				} else {
					secret, err = a.Secret(ctx, a.Cat.T("hufud.ask.passphrase"), "", cli.Usage("passphrase_without_terminal"))
				}
				return []byte(secret), err
			},
		})
		if err != nil {
			return err
		}
		if a.json {
			return a.JSON(map[string]any{"issuing_not_after": c.NotAfter, "name": c.Subject.CommonName})
		}
		a.Hint(a.Cat.T("hufud.ca.renew.hint"))
		return a.Printf("%s", a.Cat.T("hufud.ca.renew.done", "name", hufu.Printable(c.Subject.CommonName), "until", c.NotAfter))
	}
	return cmd
}
