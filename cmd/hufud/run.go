package main

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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
	"hufu/internal/meta"
	"hufu/internal/profile"
	"hufu/internal/text"
)

// firstUser is the account that run makes.
const firstUser = "admin"

// passwordFile keeps the password that run made up, so that it can be looked
// up again.
const passwordFile = "admin-password"

// newRun returns the command behind "make run", which sets up everything to try
// hufu.
func newRun(a *app) *cobra.Command {
	cmd := a.Command("run", "hufud.run", "hufud run", "hufud run --listen 127.0.0.1:9997")
	o := serving{drain: 2 * time.Second, trial: true}
	var open bool
	cmd.Flags().StringVar(&o.listen, "listen", defaultAddress, a.Cat.T("hufud.serve.flag.listen"))
	a.teachFlag(cmd, &o.teach, teachPort)
	cmd.Flags().BoolVar(&open, "open", true, a.Cat.T("hufud.run.flag.open"))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		ctx := cmd.Context()
		if err := a.configured(cmd, &o); err != nil {
			return err
		}
		if _, port, err := net.SplitHostPort(o.listen); err == nil && port == strconv.Itoa(o.teach) && !cmd.Flags().Changed("teach-plaintext") {
			o.teach-- // the user has not requested this one
		}
		if err := o.check(); err != nil {
			return err // before anything is made
		}
		dirs, err := profile.UserDirs()
		if err != nil {
			return err
		}
		// What may refuse comes before what makes something. A server that runs on
		// the folder already has the port, too: the folder is looked at first.
		unlock := func() {}
		made := a.hasData()
		if made {
			if unlock, err = a.lock(ctx); err != nil {
				return err
			}
		}
		defer func() { unlock() }()
		ln, err := o.open(ctx)
		if err != nil {
			return err
		}
		defer func() { _ = ln.Close() }() // closed already unless something fails
		if !made {
			if err := a.makeData(ctx, dirs); err != nil {
				return err
			}
			if unlock, err = a.lock(ctx); err != nil {
				return err
			}
		}
		password, fresh, err := a.prepare(ctx, dirs)
		if err != nil {
			return err
		}
		if o.logFile == "" {
			o.logFile = filepath.Join(a.data, "hufud.log")
		}
		failed := make(chan error, 1)
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		o.ready = func(address, teach string) {
			go func() {
				if err := a.welcome(ctx, dirs, welcome{address: address, teach: teach, password: password, fresh: fresh, log: o.logFile, open: open}); err != nil {
					failed <- err
					cancel(err)
				}
			}()
		}
		err = a.serve(ctx, ln, o)
		select {
		case first := <-failed:
			return first
		default:
		}
		return err
	}
	return cmd
}

// hasData reports whether there is a data folder, or something that cannot be
// looked at.
func (a *app) hasData() bool {
	sign, err := a.sign()
	if err == nil {
		_, err = os.Stat(sign)
	}
	return !errors.Is(err, os.ErrNotExist)
}

// makeData makes the data folder.
func (a *app) makeData(ctx context.Context, dirs profile.Dirs) error {
	if _, _, err := profileFor(dirs, nil); err != nil {
		return err
	}
	if err := checkSocketPath(a.data); err != nil {
		return err
	}
	p, err := a.plan("", "", []string{"localhost", "127.0.0.1"})
	if err != nil {
		return err
	}
	src, err := meta.Parse(p.database, a.data)
	if err != nil {
		return err
	}
	return ca.Init(ctx, a.data, a.initOptions(p, src, true))
}

// prepare creates the first user unless they exist. fresh reports whether the user was created now.
// password is "" if the user exists and the password file is gone. The caller holds the data
// folder's lock.
func (a *app) prepare(ctx context.Context, dirs profile.Dirs) (password string, fresh bool, err error) {
	path := filepath.Join(a.data, passwordFile)
	if data, err := os.ReadFile(path); err == nil {
		password = strings.TrimSpace(string(data))
	}
	s, err := a.open(ctx, true)
	if err != nil {
		return "", false, err
	}
	defer func() { _ = s.close() }()
	_, enrolled, err := profileFor(dirs, s.ca.Root())
	if err != nil {
		return "", false, err
	}
	users, err := s.acc.Users(ctx)
	if err != nil {
		return "", false, err
	}
	for _, u := range users {
		if u.Name != firstUser {
			continue
		}
		if password == "" && !enrolled {
			return "", false, cli.Usage("run_password_lost", "file", path, "user", firstUser)
		}
		return password, false, nil
	}
	if password != "" { // from an earlier start that ended before the user was made
		return password, true, s.addUser(ctx, firstUser, true, password)
	}
	// Written to disk before it is set: a crash in between leaves a known
	// password, not an unknown one.
	password = strings.ToLower(rand.Text())
	if err := atomicfile.Write(path, []byte(password+"\n"), 0o600); err != nil {
		return "", false, &hufu.Error{Op: "keep password", Path: path, Kind: hufu.KindUnreadable, Err: err}
	}
	return password, true, s.addUser(ctx, firstUser, true, password)
}

// profileFor returns the profile in which this computer is enrolled at the server with
// this root; else the first one that is free.
func profileFor(dirs profile.Dirs, root *identity.Certificate) (name string, enrolled bool, err error) {
	free := ""
	for _, name := range []string{profile.Default, "local", "local2", "local3"} {
		p, err := profile.Load(dirs, name)
		if err != nil {
			if free == "" && hufu.CodeOf(err) == "not_enrolled" {
				free = name
			}
			continue
		}
		if roots, err := p.Roots(); root != nil && err == nil && len(roots) == 1 && roots[0].Equal(root) {
			return name, true, nil
		}
	}
	if free == "" {
		return "", false, profile.Exists(profile.Default)
	}
	return free, false, nil
}

// welcome is the output of run.
type welcome struct {
	address, teach string // where it listens
	password       string
	fresh          bool // the password was just made: it is shown, once
	log            string
	open           bool // the GUI, too
}

// welcome enrolls this computer once the server listens, and says what to try.
func (a *app) welcome(ctx context.Context, dirs profile.Dirs, w welcome) error {
	name, err := a.enrollHere(ctx, dirs, w.address, w.password)
	if err != nil {
		return err
	}
	usual, err := dirs.Default()
	if err != nil {
		return err
	}
	say := func(key string, args ...any) error { return a.Printf("%s", a.Cat.T(key, args...)) }
	err = say("hufud.run.listening", "address", w.address, "data", a.data, "log", w.log)
	if host, _, splitErr := net.SplitHostPort(w.address); splitErr == nil && hufu.Loopback(host) {
		err = errors.Join(err, say("hufud.run.here"))
	}
	kept := filepath.Join(a.data, passwordFile)
	switch {
	case w.fresh:
		err = errors.Join(err, say("hufud.run.user", "user", firstUser, "password", w.password, "file", kept))
	case w.password != "":
		err = errors.Join(err, say("hufud.run.user_again", "user", firstUser, "file", kept))
	}
	if w.teach != "" {
		err = errors.Join(err, say("hufud.run.teach", "address", w.teach))
	}
	err = errors.Join(err, say("hufud.run.try"), a.Printf("\n%s\n", strings.Join(a.toTry(name, usual), "\n")), say("hufud.run.stop"))
	if err != nil || !w.open {
		return err
	}
	a.openGUI(ctx, name)
	return nil
}

// toTry are commands that can be typed as they are, with a profile.
func (a *app) toTry(profile, usual string) []string {
	there, here, place := []string{a.beside("hufu")}, append([]string{a.beside(program)}, a.calling()[1:]...), ":"
	var chosen []string
	if profile != usual {
		place, chosen = profile+":", []string{"--profile", profile}
	}
	var lines []string
	for _, words := range [][]string{
		slices.Concat(there, []string{"put", "README.md", place + "/demo/"}),
		slices.Concat(there, []string{"ls", place + "/demo"}),
		slices.Concat(there, []string{"get", place + "/demo/README.md", "back/"}),
		slices.Concat(there, []string{"gui"}, chosen),
		slices.Concat(there, []string{"wire", "--out", "proof"}, chosen),
		slices.Concat(here, []string{"invite", "alice"}),
	} {
		for i, w := range words {
			words[i] = text.Shell(w)
		}
		lines = append(lines, strings.Join(words, " "))
	}
	return lines
}

// enrollHere enrolls this computer as the first user, in the default profile if
// that is free, else in one of its own; a profile of this server is used again.
func (a *app) enrollHere(ctx context.Context, dirs profile.Dirs, address, password string) (string, error) {
	s, err := a.open(ctx, true)
	if err != nil {
		return "", err
	}
	defer func() { _ = s.close() }()
	name, enrolled, err := profileFor(dirs, s.ca.Root())
	if err != nil {
		return "", err
	}
	if enrolled {
		p, err := profile.Load(dirs, name)
		if err != nil {
			return "", err
		}
		return name, p.MoveTo(address)
	}
	v, err := a.invitationTo(s.ca, address)
	if err != nil {
		return "", err
	}
	made, err := s.acc.InviteAs(ctx, firstUser, true, account.InvitationLife)
	if err != nil {
		return "", err
	}
	a.poke(ctx)
	v.Secret = made.Secret
	_, err = profile.Enroll(ctx, dirs, name, v, password)
	return name, err
}

// openGUI starts the GUI together with the server, if this is a desktop; it
// ends with ctx.
func (a *app) openGUI(ctx context.Context, profile string) {
	if !a.desktop() {
		return
	}
	self, err := os.Executable()
	if err != nil {
		return
	}
	cmd := exec.CommandContext(ctx, filepath.Join(filepath.Dir(self), "hufu"), "gui", "--profile", profile) //nolint:gosec // our own program, in the same folder
	cmd.Stderr = a.Err
	if cmd.Start() == nil {
		_ = cmd.Wait() // it reports its own errors
	}
}

// desktop reports whether a window can be opened.
func (a *app) desktop() bool {
	return a.Getenv("DISPLAY") != "" || a.Getenv("WAYLAND_DISPLAY") != "" || hasDesktop
}
