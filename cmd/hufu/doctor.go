package main

import (
	"context"
	"net"
	"os"
	"time"

	"github.com/spf13/cobra"

	"hufu"
	"hufu/internal/atomicfile"
	"hufu/internal/cli"
	"hufu/internal/client"
	"hufu/internal/demo"
	"hufu/internal/identity"
	"hufu/internal/profile"
	"hufu/internal/session"
)

// What doctor warns of: a certificate that ends within certificateSoon, clocks that are clockOff
// apart, and less than roomHere free bytes on this computer or roomThere on the server. It waits
// doctorTime for each answer.
const (
	certificateSoon = 14 * 24 * time.Hour
	clockOff        = time.Minute
	roomHere        = 100 << 20
	roomThere       = 1 << 30
	doctorTime      = 20 * time.Second
)

func newDoctor(a *app) *cobra.Command {
	cmd := a.Command("doctor", "hufu.doctor", "hufu doctor", "hufu doctor --profile work --json")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if a.plaintext {
			return cli.Usage("plaintext_needs_tls")
		}
		dirs, err := a.dirs()
		if err != nil {
			return err
		}
		d := &doctor{a: a, dirs: dirs}
		d.examine(cmd.Context(), a.profileName())
		switch {
		case d.lost != nil:
			return d.lost
		case cmd.Context().Err() != nil:
			return &hufu.Error{Op: "doctor", Kind: hufu.KindCanceled, Err: context.Cause(cmd.Context())}
		case d.failed != 0:
			return cli.Reported(d.failed)
		}
		return nil
	}
	return cmd
}

// doctor looks for what keeps a profile from working.
type doctor struct {
	a      *app
	dirs   profile.Dirs
	failed hufu.Kind // of the first check that failed
	lost   error     // of standard output
}

// jsonFinding is one line of doctor --json.
type jsonFinding struct {
	Check   string `json:"check"`
	State   string `json:"state"`
	Code    string `json:"code,omitempty"`
	Message string `json:"message"`
	Fix     string `json:"fix,omitempty"`
}

// tell shows a finding.
func (d *doctor) tell(f jsonFinding) {
	err := d.lost
	switch {
	case err != nil:
	case d.a.json:
		err = d.a.JSON(f)
	default:
		mark := map[string]string{"ok": "✓", "warning": "!", "failed": "✗"}[f.State]
		if err = d.a.Printf("%s %s", d.a.Cat.Plain(mark), f.Message); err == nil && f.Fix != "" {
			err = d.a.Printf("  %s", f.Fix)
		}
	}
	d.lost = err
}

func (d *doctor) ok(check, message string) {
	d.tell(jsonFinding{Check: check, State: "ok", Message: message})
}

func (d *doctor) warn(check, message, fix string) {
	d.tell(jsonFinding{Check: check, State: "warning", Message: message, Fix: fix})
}

// fail shows an error and reports whether there is one.
func (d *doctor) fail(check string, err error) bool {
	if err == nil {
		return false
	}
	what, fix := d.a.Cat.Error(err)
	d.failure(hufu.KindOf(err), jsonFinding{Check: check, State: "failed", Code: hufu.CodeOf(err), Message: what, Fix: fix})
	return true
}

func (d *doctor) failure(kind hufu.Kind, f jsonFinding) {
	if d.failed == 0 {
		d.failed = kind
	}
	d.tell(f)
}

// examine makes all checks, from this computer outwards, and stops at the first that the others
// build on.
func (d *doctor) examine(ctx context.Context, name string) {
	p, err := lookAt(d.dirs, name)
	if d.fail("profile", d.a.forProfile(name, err)) {
		return
	}
	cat := d.a.Cat
	d.ok("profile", cat.T("hufu.doctor.profile", "profile", name, "user", p.User, "device", p.Device, "address", p.Address))
	d.here(ctx, name)
	d.certificate(p, time.Now())
	if !d.reach(ctx, p.Address) || !d.chain(ctx, p.Profile) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, doctorTime)
	defer cancel()
	r, err := client.New(p.Profile, client.Options{NoRenew: true})
	if d.fail("server", err) {
		return
	}
	defer func() { _ = r.Close() }()
	d.server(ctx, r, name)
}

// here checks the folders of this computer.
func (d *doctor) here(ctx context.Context, name string) {
	for _, dir := range []string{d.dirs.Profile(name), d.dirs.State} {
		if err := writable(dir); d.fail("folder", err) {
			continue
		}
		d.ok("folder", d.a.Cat.T("hufu.doctor.folder", "folder", dir))
	}
	work, err := os.Getwd()
	if err != nil {
		return
	}
	f, err := localDisk{}.Open(work, "")
	if err != nil {
		return // a folder that cannot be read is no place to download to, and get says so
	}
	defer func() { _ = f.Close() }()
	if free, total, err := f.Space(ctx); err == nil && total > 0 {
		d.room("disk", free, roomHere, "hufu.doctor.disk", work)
	}
}

// writable returns an error unless files can be created in dir.
func writable(dir string) error {
	fail := func(err error) error {
		return &hufu.Error{Op: "doctor", Path: dir, Kind: hufu.KindUnreadable, Code: "cannot_write", Err: err}
	}
	if err := atomicfile.MkdirAll(dir, 0o700); err != nil {
		return fail(err)
	}
	f, err := os.CreateTemp(dir, ".doctor-")
	if err != nil {
		return fail(err)
	}
	_, err = f.WriteString("hufu\n")
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if removeErr := os.Remove(f.Name()); err == nil {
		err = removeErr
	}
	if err != nil {
		return fail(err)
	}
	return nil
}

func (d *doctor) room(check string, free, least int64, key, place string) {
	cat := d.a.Cat
	message := cat.T(key, "free", cat.Size(free), "folder", place)
	if free < least {
		d.warn(check, message, cat.T(key+".fix"))
		return
	}
	d.ok(check, message)
}

// certificate checks how long the certificate of this computer is valid.
func (d *doctor) certificate(p about, now time.Time) {
	cat, left := d.a.Cat, p.leaf.NotAfter.Sub(now)
	message := cat.T("hufu.doctor.certificate", "serial", identity.Serial(p.leaf), "until", p.leaf.NotAfter, "left", left)
	fix := cat.T("hufu.doctor.certificate.fix")
	if p.Own {
		fix = cat.T("hufu.doctor.certificate.own.fix")
	}
	switch {
	case left <= 0:
		d.warn("certificate", cat.T("hufu.doctor.certificate.expired", "serial", identity.Serial(p.leaf), "until", p.leaf.NotAfter), fix) // the server decides, by its clock
	case left < certificateSoon && (p.Own || left < p.leaf.NotAfter.Sub(p.leaf.NotBefore)/4):
		d.warn("certificate", message, fix)
	default:
		d.ok("certificate", message)
	}
}

// reach checks that the name of the server can be resolved and its port reached.
func (d *doctor) reach(ctx context.Context, address string) bool {
	ctx, cancel := context.WithTimeout(ctx, doctorTime)
	defer cancel()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return !d.fail("name", &hufu.Error{Op: "doctor", Path: address, Kind: hufu.KindUsage, Code: "bad_address", Err: err})
	}
	if net.ParseIP(host) == nil && !d.dirs.Proxy.For(address) {
		found, err := net.DefaultResolver.LookupHost(ctx, host)
		if err != nil {
			return !d.fail("name", &hufu.Error{Op: "doctor", Path: host, Kind: hufu.KindNetwork, Code: "name_not_found", Err: err})
		}
		d.ok("name", d.a.Cat.T("hufu.doctor.name", "name", host, "addresses", found))
	}
	conn, err := session.Dial(ctx, d.dirs.Proxy, address)
	if d.fail("port", err) {
		return false
	}
	_ = conn.Close()
	d.ok("port", d.a.Cat.T("hufu.doctor.port", "port", port, "address", address))
	return true
}

// chain checks the identities of both sides, as "hufu explain" does.
func (d *doctor) chain(ctx context.Context, p *profile.Profile) bool {
	e, err := demo.Explain(ctx, d.dirs, p, "")
	if d.fail("identity", err) {
		return false
	}
	if e.Verdict() == 0 {
		d.ok("identity", d.a.Cat.T("hufu.doctor.identity"))
		return true
	}
	for _, s := range e.Steps {
		if !s.OK {
			d.failure(e.Verdict(), jsonFinding{
				Check: "identity", State: "failed", Code: s.Why, Message: d.a.step(s, s.Why), Fix: d.a.step(s, s.Fix),
			})
		}
	}
	return false
}

// server asks the server what it knows.
func (d *doctor) server(ctx context.Context, r *client.Remote, name string) {
	overdue := func(err error) error {
		if err != nil && ctx.Err() == context.DeadlineExceeded {
			err = &hufu.Error{Op: "doctor", Kind: hufu.KindNetwork, Code: "connection_stalled", Err: err}
		}
		return d.a.forProfile(name, err)
	}
	before := time.Now()
	w, err := r.Whoami(ctx)
	if d.fail("server", overdue(err)) {
		return
	}
	cat := d.a.Cat
	d.ok("server", cat.T("hufu.doctor.server", "server", w.Server, "version", program+" "+hufu.Version))
	d.clock(w.Clock, before, time.Now())
	if d.fail("login", overdue(w.LoggedIn)) {
		return
	}
	d.ok("login", cat.T("hufu.doctor.login", "user", w.User))
	if _, err := r.Stat(ctx, hufu.Path{}); d.fail("rights", overdue(err)) {
		return
	}
	d.ok("rights", cat.T("hufu.doctor.rights"))
	free, total, err := r.Space(ctx, hufu.Path{})
	if !d.fail("room", overdue(err)) && total > 0 {
		d.room("room", free, roomThere, "hufu.doctor.room", hufu.Path{}.Remote())
	}
	d.others(r.Examine(ctx))
}

// clock compares the clock of the server with that of this computer, which showed before and after
// while the server told its own.
func (d *doctor) clock(server, before, after time.Time) {
	cat, off := d.a.Cat, time.Duration(0)
	switch {
	case server.Before(before):
		off = before.Sub(server)
	case server.After(after):
		off = server.Sub(after)
	}
	if off < clockOff {
		d.ok("clock", cat.T("hufu.doctor.clock"))
		return
	}
	ahead := cat.T("hufu.doctor.clock.ahead", "off", off)
	if server.After(after) {
		ahead = cat.T("hufu.doctor.clock.behind", "off", off)
	}
	d.warn("clock", ahead, cat.T("hufu.doctor.clock.fix", "here", after, "there", server))
}
