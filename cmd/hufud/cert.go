package main

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hufu"
	"hufu/internal/account"
	"hufu/internal/ca"
	"hufu/internal/cli"
	"hufu/internal/identity"
	"hufu/internal/meta"
)

// How large a file with a signing request and one with certificates may be, in
// bytes.
const (
	maxRequestFile = 64 << 10
	maxCertFile    = 1 << 20
)

func newCert(a *app) *cobra.Command {
	return a.Group("cert", "hufud.cert", newCertList(a), newCertShow(a), newCertRevoke(a), newCertSign(a), newCertAdd(a))
}

// certLine is a certificate in --json. The first six fields are for scripts and
// do not change.
type certLine struct {
	Serial      string     `json:"serial"`
	User        string     `json:"user"`
	Device      string     `json:"device"`
	Use         string     `json:"use"`
	NotAfter    time.Time  `json:"not_after"`
	State       string     `json:"state"`
	NotBefore   time.Time  `json:"not_before"`
	Fingerprint string     `json:"fingerprint"`
	Revoked     *time.Time `json:"revoked"`
	Reason      string     `json:"reason"`
}

func certLineOf(c account.Certificate) certLine {
	l := certLine{
		Serial: c.Serial, User: c.User, Device: c.Device, Use: c.Use, NotAfter: c.NotAfter, State: string(c.State),
		NotBefore: c.NotBefore, Fingerprint: hexOf(c.Fingerprint), Reason: c.Reason,
	}
	if !c.Revoked.IsZero() {
		l.Revoked = &c.Revoked
	}
	return l
}

func newCertList(a *app) *cobra.Command {
	var user string
	cmd := listing[account.Certificate]{
		key: "hufud.cert.list",
		find: func(cmd *cobra.Command, s *site) ([]account.Certificate, error) {
			all, err := s.acc.Certificates(cmd.Context())
			if cmd.Flags().Changed("user") {
				all = slices.DeleteFunc(all, func(c account.Certificate) bool { return c.User != user })
				if err == nil && len(all) == 0 {
					err = s.known(cmd.Context(), user)
				}
			}
			return all, err
		},
		object:  func(c account.Certificate) any { return certLineOf(c) },
		columns: []string{"serial", "user", "device", "use", "not_after", "state"},
		row: func(c account.Certificate) []string {
			return []string{c.Serial, c.User, c.Device, a.use(c), a.Cat.Time(c.NotAfter), a.certState(c)}
		},
	}.command(a)
	cmd.Flags().StringVar(&user, "user", "", a.Cat.T("hufud.cert.list.flag.user"))
	return cmd
}

// known returns an error if there is no such user.
func (s *site) known(ctx context.Context, user string) error {
	users, err := s.acc.Users(ctx)
	if err != nil || slices.ContainsFunc(users, func(u account.User) bool { return u.Name == user }) {
		return err
	}
	return &hufu.Error{Op: "list certificates", Kind: hufu.KindNotFound, Code: "user_unknown", Args: map[string]string{"name": user}}
}

func (a *app) use(c account.Certificate) string {
	if c.Use == meta.UseServer {
		return a.Cat.T("hufud.use.server")
	}
	return a.Cat.T("hufud.use.client")
}

func (a *app) certState(c account.Certificate) string {
	switch c.State {
	case account.CertRevoked:
		return a.Cat.T("hufud.state.revoked")
	case account.CertExpired:
		return a.Cat.T("hufud.state.expired")
	case account.CertEarly:
		return a.Cat.T("hufud.state.not_yet_valid")
	case account.CertLocked:
		return a.Cat.T("hufud.state.locked")
	case account.CertActive:
	}
	return a.Cat.T("hufud.state.active")
}

func newCertShow(a *app) *cobra.Command {
	cmd := a.Command("show SERIAL", "hufud.cert.show")
	cli.Exactly(cmd, 1)
	cmd.Flags().BoolVar(&a.json, "json", false, a.Cat.T("hufud.flag.json"))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s, err := a.look(cmd.Context(), false)
		if err != nil {
			return err
		}
		defer func() { _ = s.close() }()
		c, err := s.acc.Certificate(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		if a.json {
			return a.JSON(certLineOf(c))
		}
		state := a.certState(c)
		if c.State == account.CertRevoked {
			state = a.Cat.T("hufud.cert.show.revoked", "when", c.Revoked, "reason", orDash(c.Reason))
		}
		sum := c.Fingerprint
		err = a.Table([][]string{
			{a.Cat.T("hufud.column.serial"), c.Serial},
			{a.Cat.T("hufud.column.user"), orDash(c.User)},
			{a.Cat.T("hufud.column.device"), orDash(c.Device)},
			{a.Cat.T("hufud.column.use"), a.use(c)},
			{a.Cat.T("hufud.column.not_before"), a.Cat.Time(c.NotBefore)},
			{a.Cat.T("hufud.column.not_after"), a.Cat.Time(c.NotAfter)},
			{a.Cat.T("hufud.column.state"), state},
			{a.Cat.T("hufud.column.fingerprint"), hexOf(sum)},
			{"", identity.FingerprintWords(sum[:])},
		})
		if err != nil {
			return err
		}
		return a.Printf("%s", strings.TrimSuffix(string(ca.PEM(c.DER)), "\n"))
	}
	return cmd
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func newCertRevoke(a *app) *cobra.Command {
	cmd := a.Command("revoke SERIAL | --user USER [--device DEVICE]", "hufud.cert.revoke")
	var user, device, reason string
	cmd.Flags().StringVar(&user, "user", "", a.Cat.T("hufud.cert.revoke.flag.user"))
	cmd.Flags().StringVar(&device, "device", "", a.Cat.T("hufud.cert.revoke.flag.device"))
	cmd.Flags().StringVar(&reason, "reason", "", a.Cat.T("hufud.cert.revoke.flag.reason"))
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) > 1:
			return cli.Usage("admin_argument_extra", "argument", args[1], "use", cmd.UseLine())
		case (len(args) == 1) == cmd.Flags().Changed("user"), cmd.Flags().Changed("device") && !cmd.Flags().Changed("user"):
			return cli.Usage("admin_revoke_what")
		}
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx := cmd.Context()
		var (
			n    int
			open *site // until withdraw returns
		)
		return a.withdraw(ctx, func(s *site) (err error) {
			open = s
			// One that is given and empty is no device, and not all of them.
			switch {
			case cmd.Flags().Changed("device"):
				n, err = s.acc.RevokeDevice(ctx, user, device, reason)
			case cmd.Flags().Changed("user"):
				n, err = s.acc.RevokeUser(ctx, user, reason)
			default:
				n, err = 1, s.acc.Revoke(ctx, args[0], reason)
			}
			return err
		}, func() error {
			var others int
			var err error
			if len(args) == 1 {
				user, others, err = sisters(cmd, open, args[0])
			}
			if user != "" {
				a.Hint(a.Cat.T("hufud.cert.revoke.invitations", "user", user))
			}
			if others > 0 {
				a.Hint(a.Cat.N("hufud.cert.revoke.others", others))
			}
			return errors.Join(a.Printf("%s", a.Cat.N("hufud.cert.revoke.done", n)), err)
		})
	}
	return cmd
}

// sisters returns the user of a certificate, "" for a server, and counts what else its device still
// gets in with.
func sisters(cmd *cobra.Command, s *site, serial string) (user string, n int, err error) {
	all, err := s.acc.Certificates(cmd.Context())
	if err != nil {
		return "", 0, err
	}
	var own account.Certificate
	for _, c := range all {
		if c.Serial == account.NormalSerial(serial) {
			own = c
		}
	}
	for _, c := range all {
		if c.Use == meta.UseClient && c.User == own.User && c.Device == own.Device && c.State == account.CertActive {
			n++
		}
	}
	return own.User, n, nil
}

func newCertSign(a *app) *cobra.Command {
	cmd := a.Command("sign FILE --user USER --device DEVICE | --server [--name HOST[,HOST…]]", "hufud.cert.sign",
		"hufud cert sign laptop.csr --user alice --device laptop",
		"hufud cert sign node2.csr --server --name node2.example.org")
	cli.Exactly(cmd, 1)
	var (
		user, device, out string
		server            bool
		names             []string
	)
	cmd.Flags().StringVar(&user, "user", "", a.Cat.T("hufud.cert.sign.flag.user"))
	cmd.Flags().StringVar(&device, "device", "", a.Cat.T("hufud.cert.sign.flag.device"))
	cmd.Flags().BoolVar(&server, "server", false, a.Cat.T("hufud.cert.sign.flag.server"))
	cmd.Flags().StringSliceVar(&names, "name", nil, a.Cat.T("hufud.cert.sign.flag.name"))
	cmd.Flags().StringVar(&out, "out", "", a.Cat.T("hufud.cert.sign.flag.out"))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		o := ca.SignOptions{Use: meta.UseClient, User: user, Device: device, Names: names}
		switch {
		case server && user == "" && device == "":
			o.Use = meta.UseServer
		case server, user == "", device == "", len(names) > 0:
			return cli.Usage("sign_use")
		}
		request, err := cli.ReadLimited(args[0], maxRequestFile)
		if err != nil {
			return err
		}
		s, err := a.open(cmd.Context(), true)
		if err != nil {
			return err
		}
		defer func() { _ = s.close() }()
		// Opened before anything is signed, and left as it is until then.
		var to *os.File
		_, before := os.Lstat(out)
		if out != "" {
			if to, err = os.OpenFile(out, os.O_WRONLY|os.O_CREATE, 0o644); err != nil {
				return cli.ToFile(out, hufu.KindUnreadable, "cannot_write", err)
			}
			defer func() { _ = to.Close() }() // closed already unless something fails
		}
		pem, err := s.ca.Sign(cmd.Context(), request, o)
		if err != nil {
			if to != nil && errors.Is(before, os.ErrNotExist) {
				_ = os.Remove(out)
			}
			return cli.InFile(args[0], err)
		}
		a.poke(cmd.Context())
		if out == "" {
			return a.Printf("%s", strings.TrimSuffix(string(pem), "\n"))
		}
		_ = to.Truncate(0) // a device or a pipe has no length
		if _, err := to.Write(pem); err != nil {
			return notWritten(out, err)
		}
		if err := to.Close(); err != nil {
			return notWritten(out, err)
		}
		return nil
	}
	return cmd
}

func notWritten(path string, err error) error {
	return &hufu.Error{Op: "write certificate", Path: path, Kind: hufu.KindUnreadable, Code: "cannot_write", Err: err}
}

func newCertAdd(a *app) *cobra.Command {
	cmd := a.Command("add CERTFILE --user USER --device DEVICE", "hufud.cert.add",
		"hufud cert add client.crt --user alice --device laptop")
	cli.Exactly(cmd, 1)
	var user, device string
	cmd.Flags().StringVar(&user, "user", "", a.Cat.T("hufud.cert.sign.flag.user"))
	cmd.Flags().StringVar(&device, "device", "", a.Cat.T("hufud.cert.add.flag.device"))
	cmd.Flags().BoolVar(&a.json, "json", false, a.Cat.T("hufud.flag.json"))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if user == "" || device == "" {
			return cli.Usage("admin_cert_whose")
		}
		data, err := cli.ReadLimited(args[0], maxCertFile)
		if err != nil {
			return err
		}
		s, err := a.open(cmd.Context(), true)
		if err != nil {
			return err
		}
		defer func() { _ = s.close() }()
		c, err := s.ca.Add(cmd.Context(), data, user, device)
		if e, ok := errors.AsType[*hufu.Error](err); ok && e.Code == "cert_not_good" {
			e.Args["why"], _ = a.Cat.Error(e.Err)
		}
		if err != nil {
			return cli.InFile(args[0], err)
		}
		a.poke(cmd.Context())
		if c.CommonName {
			a.Hint(a.Cat.T("hufud.cert.add.common_name"))
		}
		if c.Poses {
			a.Hint(a.Cat.T("hufud.cert.add.poses"))
		}
		if a.json {
			return a.JSON(map[string]any{"serial": c.Serial, "user": user, "device": device, "not_after": c.NotAfter, "common_name": c.CommonName})
		}
		return a.Printf("%s", a.Cat.T("hufud.cert.add.done", "serial", c.Serial, "user", user, "device", device, "until", c.NotAfter))
	}
	return cmd
}
