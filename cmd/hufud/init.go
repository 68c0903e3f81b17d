package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"hufu"
	"hufu/internal/ca"
	"hufu/internal/cli"
	"hufu/internal/identity"
	"hufu/internal/meta"
)

func newInit(a *app) *cobra.Command {
	cmd := a.Command("init --name HOST[,HOST…] --no-passphrase | --passphrase-file FILE", "hufud.init",
		"hufud init --name files.example.org,192.0.2.7 --no-passphrase",
		"hufud init --name files.example.org --passphrase-file secret.txt --subject '/C=CN/ST=GD/L=SZ/O=COM/OU=NSP/CN=CA'")
	var (
		names                        []string
		subject, keyType, passphrase string
		file, database               string
		noPassphrase, noCommon       bool
	)
	cmd.Flags().StringSliceVar(&names, "name", nil, a.Cat.T("hufud.init.flag.name"))
	cmd.Flags().StringVar(&file, "config", "", a.Cat.T("hufud.init.flag.config"))
	cmd.Flags().StringVar(&database, "database", "", a.Cat.T("hufud.init.flag.database"))
	cmd.Flags().StringVar(&subject, "subject", "", a.Cat.T("hufud.init.flag.subject"))
	cmd.Flags().StringVar(&keyType, "key-type", string(identity.ECDSA), a.Cat.T("hufud.init.flag.key_type"))
	cmd.Flags().StringVar(&passphrase, "passphrase-file", "", a.Cat.T("hufud.init.flag.passphrase_file"))
	cmd.Flags().BoolVar(&noPassphrase, "no-passphrase", false, a.Cat.T("hufud.init.flag.no_passphrase"))
	cmd.Flags().BoolVar(&noCommon, "no-common", false, a.Cat.T("hufud.init.flag.no_common"))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		kind, err := identity.ParseKeyType(keyType)
		if err != nil {
			return err
		}
		p, err := a.plan(file, database, names)
		if err != nil {
			return err
		}
		if len(p.names) == 0 {
			return cli.Usage("admin_init_without_name")
		}
		src, err := meta.Parse(p.database, a.data)
		if err != nil {
			return err
		}
		if err := checkSocketPath(a.data); err != nil {
			return err
		}
		secret, err := a.passphrase(cmd.Context(), passphrase, noPassphrase)
		if err != nil {
			return err
		}
		o := a.initOptions(p, src, !noCommon)
		o.Subject, o.KeyType, o.Passphrase = subject, kind, []byte(secret)
		if err := ca.Init(cmd.Context(), a.data, o); err != nil {
			return err
		}
		return a.made(cmd, noPassphrase)
	}
	return cmd
}

// initOptions returns what a new data folder is made from, with a folder that all users share if
// common, where the configuration has its files.
func (a *app) initOptions(p planned, src meta.Source, common bool) ca.InitOptions {
	return ca.InitOptions{Names: p.names, Common: common && p.config.onDisk(), Config: p.text, Database: src, Files: a.claim(p.config, common)}
}

// passphrase is that of the root key. To have none must be said.
func (a *app) passphrase(ctx context.Context, file string, none bool) (string, error) {
	switch {
	case none && file != "":
		return "", cli.Usage("admin_passphrase_twice")
	case none:
		return "", nil
	case file != "":
		secret, err := cli.FirstLine(file)
		if err == nil && secret == "" {
			err = cli.Usage("admin_passphrase_empty", "file", file)
		}
		return secret, err
	}
	if a.In == nil {
		return "", cli.Usage("admin_passphrase_unsaid")
	}
	secret, err := a.Secret(ctx, a.Cat.T("hufud.ask.passphrase"), a.Cat.T("hufud.ask.passphrase_again"), cli.Usage("passphrase_without_terminal"))
	switch {
	case hufu.KindOf(err) == hufu.KindCanceled:
		return "", err
	case err != nil:
		return "", errors.Join(cli.Usage("admin_passphrase_unsaid"), err)
	case secret == "":
		return "", cli.Usage("admin_passphrase_unsaid")
	}
	return secret, nil
}

// made reports the result of init and what to do next.
func (a *app) made(cmd *cobra.Command, unprotected bool) error {
	s, err := a.open(cmd.Context(), true)
	if err != nil {
		return err
	}
	names, err := s.ca.Names()
	if err := errors.Join(err, s.close()); err != nil {
		return err
	}
	sum := identity.Fingerprint(s.ca.Root())
	next := a.Cat.T("hufud.init.next")
	_, from, err := a.config()
	if err != nil {
		return err
	}
	if reachable(names) != "" && from["listen"] == "default" {
		next = a.Cat.T("hufud.init.next_listen", "listen", everywhere)
	}
	for _, line := range []string{
		a.Cat.T("hufud.init.done", "path", a.data),
		a.Cat.T("hufud.init.names", "names", names),
		a.Cat.T("hufud.init.fingerprint", "hex", identity.FingerprintHex(s.ca.Root()), "words", identity.FingerprintWords(sum[:])),
		next,
	} {
		if err := a.Printf("%s", line); err != nil {
			return err
		}
	}
	if unprotected {
		a.Hint(a.Cat.T("hufud.init.unprotected"))
	}
	return nil
}
