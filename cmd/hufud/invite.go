package main

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hufu"
	"hufu/internal/account"
	"hufu/internal/atomicfile"
	"hufu/internal/ca"
	"hufu/internal/cli"
	"hufu/internal/identity"
)

const (
	// listenFile holds the address that the server listens on, and in a second
	// line the one that clients are told, if serve was given that.
	listenFile     = "listen"
	defaultAddress = "127.0.0.1:9999"
	everywhere     = "0.0.0.0:9999"
)

func newInvite(a *app) *cobra.Command {
	cmd := a.Command("invite USER", "hufud.invite",
		"hufud invite alice",
		"hufud invite bob --address files.example.org:9999 --ttl 2h --qr",
		"hufud invite list")
	cmd.AddCommand(newInviteList(a), newInviteRevoke(a))
	var (
		address, named string
		ttl            time.Duration
		code, role     bool
	)
	cmd.Flags().StringVar(&address, "address", "", a.Cat.T("hufud.invite.flag.address"))
	ttl = account.InvitationLife
	cmd.Flags().Var(cli.Span{For: &ttl}, "ttl", a.Cat.T("hufud.invite.flag.ttl"))
	cmd.Flags().BoolVar(&code, "qr", false, a.Cat.T("hufud.invite.flag.qr"))
	cmd.Flags().BoolVar(&role, "admin", false, a.Cat.T("hufud.invite.flag.admin"))
	cmd.Flags().StringVar(&named, "user", "", a.Cat.T("hufud.invite.flag.user"))
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		most := 1
		if cmd.Flags().Changed("user") {
			most = 0
		}
		switch {
		case len(args) > most:
			return cli.Usage("admin_argument_extra", "argument", args[most], "use", cmd.UseLine())
		case len(args) < most:
			return cli.Usage("admin_argument_missing", "use", cmd.UseLine())
		}
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		user := named
		if len(args) == 1 {
			user = args[0]
		}
		if ttl <= 0 { // the zero value would mean the default
			return &hufu.Error{Op: "invite", Kind: hufu.KindInvalid, Code: "invitation_life"}
		}
		s, err := a.open(cmd.Context(), true)
		if err != nil {
			return err
		}
		defer func() { _ = s.close() }()
		v, err := a.invitationTo(s.ca, address)
		if err != nil {
			return err
		}
		if err := a.askForNew(cmd.Context(), s, user); err != nil {
			return err
		}
		made, err := s.acc.InviteAs(cmd.Context(), user, role, ttl)
		if err != nil {
			return err
		}
		a.poke(cmd.Context())
		v.Secret = made.Secret
		if err := a.Printf("%s", v); err != nil {
			return err
		}
		if made.NewUser {
			a.Hint(a.Cat.T("hufud.invite.new_user", "user", made.User))
		}
		a.Hint(a.Cat.T("hufud.invite.hint", "user", made.User, "until", made.Expires))
		if address == "" {
			if err := a.warnOfLoopback(s.ca, v, user); err != nil {
				return err
			}
		}
		if code {
			return a.QR(v.String())
		}
		return nil
	}
	return cmd
}

// askForNew asks, where there is a terminal, before a user is made: the name may
// be mistyped.
func (a *app) askForNew(ctx context.Context, s *site, user string) error {
	if hufu.CheckUserName(user) != nil || !a.Interactive() {
		return nil
	}
	users, err := s.acc.Users(ctx)
	if err != nil {
		return err
	}
	for _, u := range users {
		if u.Name == user {
			return nil
		}
	}
	answer, err := a.Ask(ctx, a.Cat.T("hufud.invite.ask", "user", user))
	if err != nil {
		return err
	}
	if yes := strings.ToLower(strings.TrimSpace(answer)); yes != "y" && yes != "yes" && yes != "是" {
		return &hufu.Error{Op: "invite", Kind: hufu.KindUsage, Code: "invite_not_made", Args: map[string]string{"user": user}}
	}
	return nil
}

// warnOfLoopback warns of a code that leads to the computer on which it is
// used, and shows how to make one for another computer.
func (a *app) warnOfLoopback(authority *ca.Authority, v hufu.Invitation, user string) error {
	names, err := authority.Names()
	if err != nil || !hufu.Loopback(v.Host) {
		return err
	}
	port := strconv.Itoa(v.Port)
	name := reachable(names)
	if name == "" {
		a.Hint(a.Cat.T("hufud.invite.nameless", "host", v.Host, "user", user, "program", a.beside(program), "port", port))
		return nil
	}
	a.Hint(a.Cat.T("hufud.invite.loopback", "host", v.Host, "user", user, "address", net.JoinHostPort(name, port), "port", port))
	return nil
}

// reachable returns the first name that leads other computers to the server, empty if
// there is none.
func reachable(names []string) string {
	for _, name := range names {
		if !hufu.Loopback(name) {
			return name
		}
	}
	return ""
}

// sentLine is an invitation in --json.
type sentLine struct {
	ID      string     `json:"id"`
	User    string     `json:"user"`
	Admin   bool       `json:"admin"`
	State   string     `json:"state"`
	Created time.Time  `json:"created"`
	Expires time.Time  `json:"expires"`
	Used    *time.Time `json:"used"`
}

func sentLineOf(v account.Sent) sentLine {
	l := sentLine{ID: v.ID, User: v.User, Admin: v.Admin, State: "open", Created: v.Created, Expires: v.Expires}
	switch {
	case !v.Used.IsZero():
		l.State, l.Used = "used", &v.Used
	case !v.Open(time.Now()):
		l.State = "expired"
	}
	return l
}

func newInviteList(a *app) *cobra.Command {
	states := map[string]string{
		"open": a.Cat.T("hufud.state.open"), "used": a.Cat.T("hufud.state.used"), "expired": a.Cat.T("hufud.state.expired"),
	}
	return listing[account.Sent]{
		key:     "hufud.invite.list",
		find:    func(cmd *cobra.Command, s *site) ([]account.Sent, error) { return s.acc.Invitations(cmd.Context()) },
		object:  func(v account.Sent) any { return sentLineOf(v) },
		columns: []string{"id", "user", "created", "not_after", "state"},
		row: func(v account.Sent) []string {
			return []string{v.ID, v.User, a.Cat.Time(v.Created), a.Cat.Time(v.Expires), states[sentLineOf(v).State]}
		},
	}.command(a)
}

func newInviteRevoke(a *app) *cobra.Command {
	cmd := a.Command("revoke ID | --user USER", "hufud.invite.revoke")
	var user string
	cmd.Flags().StringVar(&user, "user", "", a.Cat.T("hufud.invite.revoke.flag.user"))
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) > 1:
			return cli.Usage("admin_argument_extra", "argument", args[1], "use", cmd.UseLine())
		case (len(args) == 1) == cmd.Flags().Changed("user"):
			return cli.Usage("admin_argument_missing", "use", cmd.UseLine())
		}
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		n := 1
		return a.change(cmd.Context(), func(s *site) (err error) {
			if len(args) == 1 {
				err = s.acc.RevokeInvitation(cmd.Context(), args[0])
			} else {
				n, err = s.acc.RevokeInvitations(cmd.Context(), user)
			}
			return err
		}, func() error { return a.Printf("%s", a.Cat.N("hufud.invite.revoke.done", n)) })
	}
	return cmd
}

// invitationTo returns an invitation without its secret: where the server is and how
// to know it.
func (a *app) invitationTo(authority *ca.Authority, address string) (hufu.Invitation, error) {
	given := address != ""
	if !given {
		var err error
		if address, err = a.advertised(); err != nil {
			return hufu.Invitation{}, err
		}
		if given = address != ""; !given {
			address = a.listening()
		}
	}
	host, digits, err := net.SplitHostPort(address)
	port, bad := strconv.ParseUint(digits, 10, 16)
	if err != nil || bad != nil || port == 0 {
		return hufu.Invitation{}, cli.Usage("admin_address_form", "address", address)
	}
	if ip, err := netip.ParseAddr(host); (err == nil && ip.IsUnspecified() || host == "") && !given {
		names, err := authority.Names()
		if err != nil {
			return hufu.Invitation{}, err
		}
		host = names[0]
	} else if err == nil {
		host = ip.WithZone("").String()
	}
	if !hufu.ValidHost(host) {
		return hufu.Invitation{}, cli.Usage("admin_address_form", "address", address)
	}
	if provable, err := authority.Invitable(); err != nil {
		return hufu.Invitation{}, err
	} else if !provable {
		return hufu.Invitation{}, cli.Usage("admin_invite_own_certificate")
	}
	good, err := authority.HasName(host)
	if err != nil {
		return hufu.Invitation{}, err
	}
	if !good {
		names, err := authority.Names()
		return hufu.Invitation{}, errors.Join(cli.Usage("admin_address_not_certified", "host", host, "names", strings.Join(names, ", ")), err)
	}
	sum := identity.Fingerprint(authority.Root())
	return hufu.Invitation{Host: host, Port: int(port), Fingerprint: sum[:hufu.InvitationFingerprint]}, nil
}

// listening returns the address at which this data folder's server listens, or did
// the last time.
func (a *app) listening() string {
	line, _ := a.listenLines()
	if line == "" {
		if c, _, err := a.config(); err == nil {
			return c.Listen
		}
		return defaultAddress
	}
	return line
}

// noteListen writes where the server listens and what it was given as --advertise, for invitations.
func (a *app) noteListen(address, advertise string) error {
	lines := address + "\n"
	if advertise != "" {
		lines += advertise + "\n"
	}
	path := filepath.Join(a.data, listenFile)
	if err := atomicfile.Write(path, []byte(lines), 0o600); err != nil {
		return &hufu.Error{Op: "write file", Path: path, Kind: hufu.KindUnreadable, Err: err}
	}
	return nil
}

// listenLines returns what the server has noted of its addresses.
func (a *app) listenLines() (listening, advertised string) {
	data, err := os.ReadFile(filepath.Join(a.data, listenFile))
	if err != nil {
		return "", ""
	}
	listening, rest, _ := strings.Cut(string(data), "\n")
	advertised, _, _ = strings.Cut(rest, "\n")
	return strings.TrimSpace(listening), strings.TrimSpace(advertised)
}
