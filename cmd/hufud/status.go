package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net"
	"time"

	"github.com/spf13/cobra"

	"hufu"
	"hufu/internal/account"
	"hufu/internal/ca"
	"hufu/internal/identity"
	"hufu/internal/meta"
	"hufu/internal/server"
)

func hexOf(sum [32]byte) string { return hex.EncodeToString(sum[:]) }

// statusLine is the status in --json. Server is the running server's
// description of itself, null if there is none.
type statusLine struct {
	Data         string          `json:"data"`
	Database     string          `json:"database"` // URL without its password
	Running      bool            `json:"running"`
	Address      string          `json:"address"`
	Fingerprint  string          `json:"fingerprint"`
	RootUntil    time.Time       `json:"root_not_after"`
	IssuingUntil time.Time       `json:"issuing_not_after"`
	ServerUntil  time.Time       `json:"server_not_after"`
	Names        []string        `json:"names"`
	Users        int             `json:"users"`
	Locked       int             `json:"locked_users"`
	Certificates int             `json:"active_client_certificates"`
	Server       json.RawMessage `json:"server"`
	Nodes        []nodeLine      `json:"nodes"` // that share the database
}

func newStatus(a *app) *cobra.Command {
	cmd := a.Command("status", "hufud.status")
	cmd.Flags().BoolVar(&a.json, "json", false, a.Cat.T("hufud.flag.json"))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		s, err := a.look(cmd.Context(), true)
		if hufu.KindOf(err) == hufu.KindUnavailable && !a.json { // the server may run all the same
			return errors.Join(err, a.printServer(cmd.Context()))
		}
		if err != nil {
			return err
		}
		defer func() { _ = s.close() }()
		l, err := a.status(cmd, s)
		if err != nil {
			return err
		}
		if a.json {
			return a.JSON(l)
		}
		return a.printStatus(l, s.ca)
	}
	return cmd
}

func (a *app) status(cmd *cobra.Command, s *site) (statusLine, error) {
	own, err := s.ca.ServerCertificate()
	if err != nil {
		return statusLine{}, err
	}
	names, err := s.ca.Names()
	if err != nil {
		return statusLine{}, err
	}
	src, err := a.database()
	if err != nil {
		return statusLine{}, err
	}
	l := statusLine{
		Data: a.data, Database: src.String(), Address: a.listening(), Names: names, Fingerprint: identity.FingerprintHex(s.ca.Root()),
		RootUntil: s.ca.Root().NotAfter, IssuingUntil: s.ca.Issuing().NotAfter, ServerUntil: own.Leaf.NotAfter,
	}
	users, err := s.acc.Users(cmd.Context())
	if err != nil {
		return statusLine{}, err
	}
	certs, err := s.acc.Certificates(cmd.Context())
	if err != nil {
		return statusLine{}, err
	}
	if l.Nodes, err = nodes(cmd.Context(), s.db); err != nil {
		return statusLine{}, err
	}
	l.Users = len(users)
	for _, u := range users {
		if !u.Locked.IsZero() {
			l.Locked++
		}
	}
	for _, c := range certs {
		if c.Use == meta.UseClient && c.State == account.CertActive {
			l.Certificates++
		}
	}
	a.ask(cmd.Context(), &l)
	return l, nil
}

// ask puts in what the running server says of itself.
func (a *app) ask(ctx context.Context, l *statusLine) {
	answer, err := a.askServer(ctx, "status")
	l.Running = err == nil || errors.Is(err, errSilent)
	if err == nil && json.Valid([]byte(answer)) {
		l.Server = json.RawMessage(answer)
	}
}

// printServer shows what can be known without the database.
func (a *app) printServer(ctx context.Context) error {
	src, err := a.database()
	if err != nil {
		return err
	}
	l := statusLine{Data: a.data, Database: src.String(), Address: a.listening()}
	a.ask(ctx, &l)
	return a.Table(a.serverRows(l))
}

// doing returns the running server's description of itself, or nil.
func (l statusLine) doing() *server.Status {
	var s server.Status
	if l.Server == nil || json.Unmarshal(l.Server, &s) != nil {
		return nil
	}
	return &s
}

// serverRows are the rows of the status about the data folder and the running server.
func (a *app) serverRows(l statusLine) [][]string {
	running := a.Cat.T("hufud.status.stopped")
	if l.Running {
		running = a.Cat.T("hufud.status.running", "address", l.Address)
		if host, _, err := net.SplitHostPort(l.Address); err == nil && hufu.Loopback(host) {
			running = a.Cat.T("hufud.status.running_here", "address", l.Address)
		}
	}
	rows := [][]string{
		{a.Cat.T("hufud.status.data"), l.Data},
		{a.Cat.T("hufud.status.database"), l.Database},
		{a.Cat.T("hufud.status.server"), running},
	}
	if d := l.doing(); d != nil {
		rows = append(rows,
			[]string{a.Cat.T("hufud.status.since"), a.Cat.T("hufud.status.since_when", "when", d.Started, "version", d.Version)},
			[]string{a.Cat.T("hufud.status.connections"), a.Cat.T("hufud.status.connections_count", "open", d.Open, "all", d.Connections, "refused", d.Refused)},
			[]string{a.Cat.T("hufud.status.connected"), orDash(a.Cat.List(d.Users))},
			[]string{a.Cat.T("hufud.status.in"), a.Cat.N("hufud.status.moved", int(d.Puts), "size", a.Cat.Size(d.BytesIn))},
			[]string{a.Cat.T("hufud.status.out"), a.Cat.N("hufud.status.moved", int(d.Gets), "size", a.Cat.Size(d.BytesOut))})
		if !d.Fresh {
			a.Hint(a.Cat.T("hufud.status.stale"))
		}
	}
	return rows
}

func (a *app) printStatus(l statusLine, authority *ca.Authority) error {
	sum := identity.Fingerprint(authority.Root())
	rows := append(a.serverRows(l), [][]string{
		{a.Cat.T("hufud.status.names"), a.Cat.List(l.Names)},
		{a.Cat.T("hufud.status.root"), a.Cat.Time(l.RootUntil)},
		{a.Cat.T("hufud.status.issuing"), a.Cat.Time(l.IssuingUntil)},
		{a.Cat.T("hufud.status.certificate"), a.Cat.Time(l.ServerUntil)},
		{a.Cat.T("hufud.column.fingerprint"), l.Fingerprint},
		{"", identity.FingerprintWords(sum[:])},
		{a.Cat.T("hufud.status.users"), a.Cat.T("hufud.status.count", "n", l.Users, "locked", l.Locked)},
		{a.Cat.T("hufud.status.certificates"), a.Cat.T("hufud.status.active", "n", l.Certificates)},
	}...)
	rows = append(rows, a.nodeRows(l.Nodes)...)
	if err := a.Table(rows); err != nil {
		return err
	}
	if time.Until(l.IssuingUntil) < ca.IssuingWarning {
		a.Hint(a.Cat.T("hufud.status.issuing_ends", "when", l.IssuingUntil))
	}
	return nil
}
