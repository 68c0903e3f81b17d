package main

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"rsc.io/qr"

	"hufu"
	"hufu/internal/account"
	"hufu/internal/ca"
	"hufu/internal/cli"
	"hufu/internal/identity"
)

const (
	// listenFile holds the address that the server listens on, in one line.
	listenFile     = "listen"
	defaultAddress = "127.0.0.1:9999"
)

func newInvite(a *app) *cobra.Command {
	cmd := a.Command("invite USER", "hufud.invite",
		"hufud invite alice",
		"hufud invite bob --address files.example.org:9999 --ttl 2h --qr")
	cli.Exactly(cmd, 1)
	var (
		address    string
		ttl        time.Duration
		code, role bool
	)
	cmd.Flags().StringVar(&address, "address", "", a.Cat.T("hufud.invite.flag.address"))
	cmd.Flags().DurationVar(&ttl, "ttl", account.InvitationLife, a.Cat.T("hufud.invite.flag.ttl"))
	cmd.Flags().BoolVar(&code, "qr", false, a.Cat.T("hufud.invite.flag.qr"))
	cmd.Flags().BoolVar(&role, "admin", false, a.Cat.T("hufud.invite.flag.admin"))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
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
		made, err := s.acc.InviteAs(cmd.Context(), args[0], role, ttl)
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
		if code {
			return a.printQR(v.String())
		}
		return nil
	}
	return cmd
}

// invitationTo is an invitation without its secret: where the server is and how
// to know it.
func (a *app) invitationTo(authority *ca.Authority, address string) (hufu.Invitation, error) {
	given := address != ""
	if !given {
		address = a.listening()
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

// listening is the address at which this data folder's server listens, or did
// the last time.
func (a *app) listening() string {
	data, err := os.ReadFile(filepath.Join(a.data, listenFile))
	if err != nil {
		return defaultAddress
	}
	line, _, _ := strings.Cut(string(data), "\n")
	return strings.TrimSpace(line)
}

// printQR draws the code with half blocks, dark on light whatever the colours
// of the terminal.
func (a *app) printQR(s string) error {
	c, err := qr.Encode(s, qr.M)
	if err != nil {
		return &hufu.Error{Op: "draw code", Kind: hufu.KindInternal, Err: err}
	}
	const quiet = 2
	var b strings.Builder
	for y := -quiet; y < c.Size+quiet; y += 2 {
		b.WriteString("\x1b[30;47m")
		for x := -quiet; x < c.Size+quiet; x++ {
			b.WriteString([]string{" ", "▀", "▄", "█"}[bit(c.Black(x, y))+2*bit(c.Black(x, y+1))])
		}
		b.WriteString("\x1b[0m\n")
	}
	a.Hint(strings.TrimSuffix(b.String(), "\n"))
	return nil
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}
