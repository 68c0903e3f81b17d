// Command hufu is the client: it enrolls this computer with a server, logs in,
// and moves files both ways. Each file holds one command; what they do is in
// package client.
package main

import (
	"cmp"
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hufu"
	"hufu/internal/cli"
	"hufu/internal/client"
	"hufu/internal/demo"
	"hufu/internal/profile"
	"hufu/internal/session"
)

const program = "hufu"

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Getenv))
}

// app holds what every command shares.
type app struct {
	*cli.App
	profile   string // --profile
	json      bool   // --json
	plaintext bool   // --plaintext
	standard  string // the profile that ":" means without --profile
	patience  patience
	proxy     string // --proxy
}

func run(args []string, in *os.File, out, stderr io.Writer, getenv func(string) string) int {
	a := &app{App: cli.New(program, args, in, out, stderr, getenv)}
	a.HangUp = true
	return a.Run(newRoot(a), args)
}

func newRoot(a *app) *cobra.Command {
	root := a.Command("hufu", "hufu",
		"hufu enroll",
		"hufu put report.pdf photos :/2026/",
		"hufu ls :/",
		"hufu get :/2026 .")
	root.PersistentFlags().StringVar(&a.profile, "profile", "", a.Cat.T("hufu.flag.profile"))
	root.PersistentFlags().StringVar(&a.Lang, "lang", "", a.Cat.T("hufu.flag.lang"))
	root.PersistentFlags().BoolVar(&a.json, "json", false, a.Cat.T("hufu.flag.json"))
	root.PersistentFlags().BoolVar(&a.plaintext, "plaintext", false, a.Cat.T("hufu.flag.plaintext"))
	root.PersistentFlags().StringVar(&a.proxy, "proxy", "", a.Cat.T("hufu.flag.proxy"))
	choose := newProfile(a)
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		if dirs, err := profile.UserDirs(); err == nil {
			name, err := dirs.Default()
			if err != nil && a.profile == "" && cmd.Parent() != choose { // which mends it
				return err
			}
			a.standard = name
		}
		if a.profile != "" && !profile.Valid(a.profile) {
			return &hufu.Error{Op: "read flags", Path: a.profile, Kind: hufu.KindUsage, Code: "profile_name"}
		}
		return a.CheckLang()
	}
	verbs := []*cobra.Command{
		newLogin(a), newLogout(a), newWhoami(a), newPut(a), newGet(a), newSync(a), newCp(a), newCat(a), newLs(a), newTree(a), newFind(a),
		newStat(a), newDu(a), newDf(a), newMkdir(a), newMv(a), newRm(a), newTouch(a), newVerify(a),
	}
	a.patient(verbs...)
	root.AddCommand(verbs...)
	root.AddCommand(newEnroll(a), choose, newDevice(a), newConfig(a), newWire(a), newExplain(a), newDoctor(a), newGui(a), a.SetVersion(root, "hufu.version", &a.json))
	cli.Suggest(root, otherWords)
	cli.Suggest(choose, map[string]string{"list": "ls", "rm": "del delete remove", "show": "info view", "default": "set switch use"})
	cli.SuggestFlags(root, map[string]string{"bwlimit": "limit limit-rate rate", "conflict": "overwrite update", "jobs": "parallel threads transfers", "time": "date"})
	a.completes(root)
	a.Dress(root, "paths", "filters", "units", "exit", "environment")
	return root
}

// otherWords are what other programs call the commands.
var otherWords = map[string]string{
	"config": "configuration settings",
	"cp":     "copy duplicate",
	"cat":    "less more print type",
	"doctor": "check-config diagnose ping test",
	"device": "devices",
	"df":     "quota space",
	"enroll": "init join register setup",
	"find":   "locate search",
	"get":    "download fetch pull receive recv",
	"gui":    "browser ui web",
	"login":  "auth logon sign-in signin",
	"logout": "logoff sign-out signout",
	"ls":     "dir list ll",
	"mkdir":  "md",
	"mv":     "move ren rename",
	"put":    "push scp send upload",
	"rm":     "del delete erase remove rmdir unlink",
	"stat":   "info",
	"sync":   "mirror rsync",
	"verify": "b3sum check md5sum sha256sum",
	"whoami": "id who",
}

// profileName returns the profile a location without a name means.
func (a *app) profileName() string {
	return cmp.Or(a.profile, a.standard, profile.Default)
}

// dirs returns the folders of the user, with the proxy of --proxy or ALL_PROXY. HTTPS_PROXY is not
// read: it would reroute connections that are direct today.
func (a *app) dirs() (profile.Dirs, error) {
	dirs, err := profile.UserDirs()
	if err != nil {
		return dirs, err
	}
	url := cmp.Or(a.proxy, a.Getenv("ALL_PROXY"), a.Getenv("all_proxy"))
	dirs.Proxy, err = session.ParseProxy(url, cmp.Or(a.Getenv("NO_PROXY"), a.Getenv("no_proxy")))
	return dirs, err
}

// remote prepares the server of a profile. A connection is made only when it is
// needed.
func (a *app) remote(ctx context.Context, name string, o client.Options) (*client.Remote, error) {
	dirs, err := a.dirs()
	if err != nil {
		return nil, err
	}
	var p *profile.Profile
	if a.plaintext {
		if p, o, err = demo.Plaintext(ctx, dirs, name); err != nil {
			return nil, err
		}
		a.Hint(a.red(a.Cat.T("hufu.plaintext.banner", "address", p.Address)))
	} else if p, err = profile.Load(dirs, name); err != nil {
		if hufu.CodeOf(err) != "not_enrolled" {
			return nil, a.forProfile(name, err)
		}
		names, _ := profile.List(dirs) // none can be suggested if they cannot be listed
		meant := cli.Meant(name, names)
		if name != a.profile && strings.Contains(name, ".") {
			return nil, cli.Usage("location_host", "profile", name, "meant", meant)
		}
		return nil, withArg(a.forProfile(name, err), "meant", meant)
	}
	o.Disk = localDisk{}
	o.Notify, o.Patience = a.notify, a.patience.options()
	return client.New(p, o)
}

// open connects to the server of a profile, once, and requires a login.
// foresee, if not nil, tells the server in advance what will be requested.
func (a *app) open(ctx context.Context, name string, foresee func(*client.Remote)) (*client.Remote, error) {
	r, err := a.remote(ctx, name, client.Options{})
	if err != nil {
		return nil, err
	}
	if foresee != nil {
		foresee(r)
	}
	if err := r.LoggedIn(ctx); err != nil {
		_ = r.Close()
		return nil, a.forProfile(name, err)
	}
	return r, nil
}

// forProfile adds the profile to an error, so that its advice names it.
func (a *app) forProfile(name string, err error) error {
	if name == cmp.Or(a.standard, profile.Default) {
		return err
	}
	return withArg(err, "other", name)
}

// withArg adds an argument to an error, for its advice.
func withArg(err error, key, value string) error {
	e, ok := errors.AsType[*hufu.Error](err)
	if !ok {
		return err
	}
	c := *e
	c.Args = map[string]string{key: value}
	maps.Copy(c.Args, e.Args)
	return &c
}

// with runs f on the open server of a location; see open for foresee.
func (a *app) with(ctx context.Context, loc location, foresee func(*client.Remote), f func(*client.Remote) error) error {
	r, err := a.open(ctx, loc.profile, foresee)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	return a.forProfile(loc.profile, a.meantPath(ctx, r, f(r)))
}

// jsonTime returns a time in the form of all JSON output.
func jsonTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}
