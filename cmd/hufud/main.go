// Command hufud is the server and the administration of its data folder: the certificate authority,
// invitations, users and certificates. Each group of commands has a file. After a change a command
// notifies the server on the same data folder; other servers on the database notice the change by
// polling.
package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"github.com/spf13/cobra"

	"hufu"
	"hufu/internal/account"
	"hufu/internal/ca"
	"hufu/internal/cli"
	"hufu/internal/meta"
)

const program = "hufud"

func main() {
	os.Exit(asService(func(stop <-chan struct{}) int {
		return runUntil(stop, os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Getenv)
	}))
}

// app holds what every command shares.
type app struct {
	*cli.App
	data string // --data
	json bool   // --json, for the commands that have it
}

func run(args []string, in *os.File, out, stderr io.Writer, getenv func(string) string) int {
	return runUntil(nil, args, in, out, stderr, getenv)
}

// runUntil is run until stop is closed, as by SIGTERM.
func runUntil(stop <-chan struct{}, args []string, in *os.File, out, stderr io.Writer, getenv func(string) string) int {
	defer tuneHeap()()
	a := &app{App: cli.New(program, args, in, out, stderr, getenv)}
	a.Stop = stop
	return a.Run(newRoot(a), args)
}

func newRoot(a *app) *cobra.Command {
	root := a.Command("hufud", "hufud",
		"hufud init --name files.example.org --no-passphrase",
		"hufud serve --listen 0.0.0.0:9999",
		"hufud invite alice")
	root.PersistentFlags().StringVar(&a.data, "data", "", a.Cat.T("hufud.flag.data"))
	root.PersistentFlags().StringVar(&a.Lang, "lang", "", a.Cat.T("hufu.flag.lang"))
	root.PersistentPreRunE = func(*cobra.Command, []string) error { return a.settle() }
	root.AddCommand(newInit(a), newServe(a), newRun(a), newInvite(a), newUser(a), newCert(a), newCA(a), newStatus(a), newConfig(a), newDB(a), newFsck(a), newStore(a), newService(a), newVersion(a, root))
	a.Dress(root, "settings", "exit")
	return root
}

func newVersion(a *app, root *cobra.Command) *cobra.Command {
	cmd := a.SetVersion(root, "hufud.version", &a.json)
	cmd.Flags().BoolVar(&a.json, "json", false, a.Cat.T("hufud.flag.json"))
	return cmd
}

// settle checks the flags that all commands share.
func (a *app) settle() error {
	if err := a.CheckLang(); err != nil {
		return err
	}
	if a.data == "" {
		dir, err := defaultData(a.Getenv)
		if err != nil {
			return err
		}
		a.data = dir
	}
	abs, err := filepath.Abs(a.data)
	if err != nil {
		return &hufu.Error{Op: "find data folder", Path: a.data, Kind: hufu.KindUsage, Err: err}
	}
	a.data = abs
	a.Cat = a.Cat.Calling(a.calling()...)
	return nil
}

// calling returns how the user calls this program on this data folder, once it is
// installed.
func (a *app) calling() []string {
	words := []string{program}
	if data, err := defaultData(a.Getenv); err != nil || data != a.data {
		words = append(words, "--data", a.data)
	}
	return words
}

// beside returns the command for this program, or for one in the same folder, from any working
// folder.
func (a *app) beside(name string) string {
	self, err := os.Executable()
	if err != nil {
		return name
	}
	path := self
	if name != program {
		path = filepath.Join(filepath.Dir(self), name)
	}
	if found, err := exec.LookPath(name); err == nil && sameFile(found, path) {
		return name
	}
	return path
}

func sameFile(a, b string) bool {
	one, err := os.Stat(a)
	if err != nil {
		return false
	}
	two, err := os.Stat(b)
	return err == nil && os.SameFile(one, two)
}

// defaultData returns the folder hufud below the XDG data folder, or below the system's
// equivalent.
func defaultData(getenv func(string) string) (string, error) {
	if dir := getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, program), nil
	}
	if runtime.GOOS == "windows" {
		if dir := getenv("LocalAppData"); dir != "" {
			return filepath.Join(dir, program), nil
		}
	} else if home := getenv("HOME"); home != "" {
		return filepath.Join(home, ".local", "share", program), nil
	}
	return "", &hufu.Error{Op: "find data folder", Kind: hufu.KindUsage, Code: "admin_home_unknown"}
}

// site is an open data folder.
type site struct {
	db  *meta.DB
	acc *account.Service
	ca  *ca.Authority
}

func (s *site) close() error { return s.db.Close() }

// addUser makes a user, with a password unless that is empty.
func (s *site) addUser(ctx context.Context, name string, admin bool, password string) error {
	if password == "" {
		return s.acc.AddUser(ctx, name, admin)
	}
	return s.acc.AddUserWithPassword(ctx, name, admin, password)
}

// open opens the accounts of the data folder, and its CA too if a command needs
// it. So users can be managed while the CA is broken.
func (a *app) open(ctx context.Context, authority bool) (*site, error) {
	return a.openLogged(ctx, authority, nil)
}

// openLogged is open with a log, for a long run.
func (a *app) openLogged(ctx context.Context, authority bool, log *slog.Logger) (*site, error) {
	return a.openWith(ctx, authority, log, meta.Open)
}

// look is open for a command that changes nothing: it works on a file system
// that is read-only as well.
func (a *app) look(ctx context.Context, authority bool) (*site, error) {
	s, err := a.open(ctx, authority)
	if hufu.CodeOf(err) == "data_folder_read_only" {
		a.Hint(a.Cat.T("hufud.read_only", "path", a.data))
		return a.openWith(ctx, authority, nil, meta.OpenReadOnly)
	}
	return s, err
}

func (a *app) openWith(ctx context.Context, authority bool, log *slog.Logger, open func(context.Context, meta.Source) (*meta.DB, error)) (*site, error) {
	if err := a.ready(); err != nil {
		return nil, err
	}
	src, err := a.database()
	if err != nil {
		return nil, err
	}
	db, err := open(ctx, src)
	if err != nil {
		return nil, err
	}
	s := &site{db: db}
	if s.acc, err = account.Open(ctx, db, account.Options{Judges: log != nil, Log: log}); err == nil && authority {
		o := ca.Options{Log: log}
		if log != nil && src.Shared() { // a server
			if o.Names, err = a.serverNames(); err != nil {
				return nil, errors.Join(err, db.Close())
			}
		}
		s.ca, err = ca.Open(ctx, a.data, db, s.acc, o)
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

// ready refuses a data folder that is not there or not private.
func (a *app) ready() error {
	sign, err := a.sign()
	if err != nil {
		return err
	}
	if _, err := os.Stat(sign); err != nil {
		return a.noData(err)
	}
	return a.private()
}

// noData returns the reason why the data folder cannot be used: that of another
// user must not be taken for a missing one.
func (a *app) noData(err error) error {
	e := &hufu.Error{Op: "open data folder", Path: a.data, Kind: hufu.KindUsage, Code: "admin_data_folder_missing", Err: err}
	if errors.Is(err, os.ErrPermission) {
		e.Kind, e.Code = hufu.KindPermission, "admin_data_folder_closed"
	}
	return e
}

// change opens the accounts, makes a change and notifies a running server. say reports it.
func (a *app) change(ctx context.Context, f func(*site) error, say func() error) error {
	return a.alter(ctx, f, func(*site) error { return say() })
}

// withdraw is change for what takes trust away. On a shared database it waits until every live
// server acts on the change, or returns an error that names those that do not. On SQLite only the
// server of this data folder is told. say reports the change, which is made in any case.
func (a *app) withdraw(ctx context.Context, f func(*site) error, say func() error) error {
	return a.alter(ctx, f, func(s *site) error {
		late, err := s.acc.Await(ctx, confirmLimit)
		if len(late) > 0 {
			err = &hufu.Error{Op: "wait for servers", Kind: hufu.KindUnavailable, Code: "nodes_unconfirmed", Args: map[string]string{
				"servers": nodeNames(late), "seconds": seconds(confirmLimit), "life": seconds(account.NodeLife),
			}}
		}
		return errors.Join(say(), err)
	})
}

// alter makes a change, notifies a running server, and calls then.
func (a *app) alter(ctx context.Context, f, then func(*site) error) (err error) {
	s, err := a.open(ctx, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := f(s); err != nil {
		return err
	}
	a.poke(ctx)
	return then(s)
}
