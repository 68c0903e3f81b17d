package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"hufu"
	"hufu/internal/cli"
	"hufu/internal/client"
	"hufu/internal/profile"
)

func newEnroll(a *app) *cobra.Command {
	cmd := a.Command("enroll [CODE | --certificate FILE --key-file FILE --ca FILE --server HOST:PORT]", "hufu.enroll",
		"hufu enroll",
		"hufu enroll --profile work",
		"printf '%s\\n' \"$CODE\" | hufu enroll - --password-file password.txt",
		"hufu enroll --certificate client.crt --key-file client.key --ca ca.crt --server files.example.org:9999")
	cli.Between(cmd, 0, -1) // a code that was wrapped comes in several
	var file string
	var own ownFiles
	own.flags(a, cmd)
	cmd.Flags().StringVar(&file, "password-file", "", a.Cat.T("hufu.flag.password_file"))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if a.plaintext {
			return cli.Usage("plaintext_needs_tls")
		}
		if own.given() {
			return own.enroll(cmd, a, args, file)
		}
		inv, err := a.invitation(cmd.Context(), args)
		if err != nil {
			return err
		}
		dirs, err := a.dirs()
		if err != nil {
			return err
		}
		replaces, err := profile.Replaces(cmd.Context(), dirs, a.profileName(), inv)
		if err != nil {
			return err // before asking for a password that would be of no use
		}
		if replaces {
			a.Hint(a.Cat.T("hufu.enroll.replaces", "profile", a.profileName()))
		}
		password, err := a.NewPassword(cmd.Context(), file, a.Cat.T("hufu.enroll.ask.password"))
		if err != nil {
			return err
		}
		p, err := profile.Enroll(cmd.Context(), dirs, a.profileName(), inv, password)
		if err != nil {
			return wrongIn(file, err)
		}
		return a.enrolled(p)
	}
	return cmd
}

// invitation takes the code from the arguments, from standard input or from the
// answer to a question. One that was wrapped has several lines.
func (a *app) invitation(ctx context.Context, args []string) (hufu.Invitation, error) {
	switch {
	case len(args) == 0 && !a.Interactive():
		return hufu.Invitation{}, cli.Usage("enroll_code_missing")
	case len(args) > 1 || len(args) == 1 && args[0] != "-":
		return hufu.ParseInvitation(strings.Join(args, " "))
	}
	var code string
	var err error
	if len(args) == 0 {
		code, err = a.Ask(ctx, a.Cat.T("hufu.ask.code"))
	} else {
		code, err = a.Line(ctx)
	}
	for err == nil && hufu.UnfinishedInvitation(code) {
		var more string
		if more, err = a.Line(ctx); more == "" { // or the input has ended
			break
		}
		code += "\n" + more
	}
	if err != nil && hufu.CodeOf(err) != "input_ended" || code == "" {
		return hufu.Invitation{}, err
	}
	return hufu.ParseInvitation(code)
}

// ownFiles are the flags of enroll for a certificate that was made elsewhere.
type ownFiles struct {
	certificate, key, ca, server, serverName string
	commonName                               bool
}

func (o *ownFiles) flags(a *app, cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.certificate, "certificate", "", a.Cat.T("hufu.enroll.flag.certificate"))
	cmd.Flags().StringVar(&o.key, "key-file", "", a.Cat.T("hufu.enroll.flag.key"))
	cmd.Flags().StringVar(&o.ca, "ca", "", a.Cat.T("hufu.enroll.flag.ca"))
	cmd.Flags().StringVar(&o.server, "server", "", a.Cat.T("hufu.enroll.flag.server"))
	cmd.Flags().StringVar(&o.serverName, "server-name", "", a.Cat.T("hufu.enroll.flag.server_name"))
	cmd.Flags().BoolVar(&o.commonName, "accept-common-name", false, a.Cat.T("hufu.enroll.flag.common_name"))
}

func (o *ownFiles) given() bool { return *o != ownFiles{} }

func (o *ownFiles) enroll(cmd *cobra.Command, a *app, args []string, passwordFile string) error {
	if len(args) > 0 || o.certificate == "" || o.key == "" || o.ca == "" || o.server == "" {
		return cli.Usage("enroll_own_what")
	}
	f := profile.OwnFiles{Address: o.server, Host: o.serverName, CommonName: o.commonName}
	var err error
	if f.Certificate, err = certificates(o.certificate); err != nil {
		return err
	}
	if f.CA, err = certificates(o.ca); err != nil {
		return err
	}
	if f.Key, err = cli.ReadLimited(o.key, maxCertFile); err != nil {
		return err
	}
	dirs, err := a.dirs()
	if err != nil {
		return err
	}
	if err := f.Check(); err != nil { // before asking for a password that would be of no use
		return cli.InFile(o.key, err)
	}
	replaces, err := profile.ReplacesOwn(cmd.Context(), dirs, a.profileName(), f)
	if err != nil {
		return err
	}
	if replaces {
		a.Hint(a.Cat.T("hufu.enroll.replaces", "profile", a.profileName()))
	}
	password, err := a.Password(cmd.Context(), passwordFile)
	if err != nil {
		return err
	}
	p, err := profile.EnrollOwn(cmd.Context(), dirs, a.profileName(), f, password)
	if err != nil {
		return wrongIn(passwordFile, err)
	}
	return a.enrolled(p)
}

func (a *app) enrolled(p *profile.Profile) error {
	if a.json {
		return a.JSON(map[string]string{"profile": p.Name, "user": p.User, "device": p.Device, "address": p.Address})
	}
	return a.Printf("%s", a.Cat.T("hufu.enrolled", "user", p.User, "device", p.Device, "address", p.Address))
}

func newLogin(a *app) *cobra.Command {
	cmd := a.Command("login", "hufu.login", "hufu login", "hufu login --profile work --password-file password.txt",
		"hufu --plaintext login --user pupil")
	var file, user string
	cmd.Flags().StringVar(&user, "user", "", a.Cat.T("hufu.flag.user"))
	cmd.Flags().StringVar(&file, "password-file", "", a.Cat.T("hufu.flag.password_file"))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		r, err := a.remote(cmd.Context(), a.profileName(), client.Options{})
		if err != nil {
			return err
		}
		defer func() { _ = r.Close() }()
		if user == "" {
			user = r.Profile().User
		}
		if user == "" {
			return cli.Usage("teach_user_missing")
		}
		if _, err := r.Connect(cmd.Context()); err != nil {
			return err // before asking for a password that would be of no use
		}
		password, err := a.Password(cmd.Context(), file)
		if err != nil {
			return err
		}
		if err := r.Login(cmd.Context(), user, password); err != nil {
			return wrongIn(file, err)
		}
		if a.json {
			return a.JSON(map[string]string{"profile": r.Profile().Name, "user": user})
		}
		return a.Printf("%s", a.Cat.T("hufu.logged_in", "user", user, "address", r.Profile().Address))
	}
	return cmd
}

// wrongIn adds to the error of a wrong password the file that holds it, if it was read from one.
func wrongIn(file string, err error) error {
	if hufu.CodeOf(err) != "wrong_password" {
		return err
	}
	return cli.InFile(file, err)
}

func newLogout(a *app) *cobra.Command {
	cmd := a.Command("logout", "hufu.logout", "hufu logout")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		r, err := a.remote(cmd.Context(), a.profileName(), client.Options{})
		if err != nil {
			return err
		}
		defer func() { _ = r.Close() }()
		if err := r.Logout(cmd.Context()); err != nil {
			return err
		}
		if a.json {
			return a.JSON(map[string]string{"profile": r.Profile().Name})
		}
		return a.Printf("%s", a.Cat.T("hufu.logged_out", "user", r.Profile().User, "address", r.Profile().Address))
	}
	return cmd
}

func newWhoami(a *app) *cobra.Command {
	cmd := a.Command("whoami", "hufu.whoami", "hufu whoami", "hufu whoami --json")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		r, err := a.remote(cmd.Context(), a.profileName(), client.Options{})
		if err != nil {
			return err
		}
		defer func() { _ = r.Close() }()
		w, err := r.Whoami(cmd.Context())
		if err != nil {
			return err
		}
		if a.json {
			return a.JSON(map[string]any{
				"profile": r.Profile().Name, "user": w.User, "device": w.Device, "address": r.Profile().Address, "server": w.Server,
				"logged_in": w.LoggedIn == nil, "serial": w.Serial, "not_after": jsonTime(w.NotAfter),
			})
		}
		key := "hufu.whoami.logged_out"
		switch {
		case a.plaintext && w.LoggedIn == nil:
			return a.Printf("%s", a.Cat.T("hufu.whoami.teach.logged_in", "user", w.User, "address", r.Profile().Address))
		case a.plaintext:
			return a.Printf("%s", a.Cat.T("hufu.whoami.teach.logged_out", "address", r.Profile().Address))
		case w.LoggedIn == nil:
			key = "hufu.whoami.logged_in"
		}
		return a.Printf("%s", a.Cat.T(key, "user", w.User, "device", w.Device, "address", r.Profile().Address, "serial", w.Serial, "until", w.NotAfter))
	}
	return cmd
}
