// Package testenv is a whole hufu in one process, for tests: a server on
// loopback with its own CA, database and files, and any number of enrolled
// users, each with folders of their own. Everything is real but the number of
// processes.
package testenv

import (
	"bytes"
	"context"
	"net"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"hufu"
	"hufu/internal/account"
	"hufu/internal/blob/disk"
	"hufu/internal/blob/mem"
	"hufu/internal/ca"
	"hufu/internal/client"
	"hufu/internal/files"
	"hufu/internal/identity"
	"hufu/internal/meta"
	"hufu/internal/profile"
	"hufu/internal/server"
	"hufu/internal/testenv/port"
)

// Options change what New makes.
type Options struct {
	Teach bool // with a teaching world
	// AdminInvites is that of the server.
	AdminInvites bool
	// Trees keep the files, below the data folder if nil. The server closes them.
	Trees files.Stores
	// Now is the time by which certificates and logins are judged; time.Now if nil.
	Now func() time.Time
}

// Env is a running server and its parts.
type Env struct {
	T         testing.TB
	Data      string // its data folder
	Address   string
	DB        *meta.DB
	Account   *account.Service
	Authority *ca.Authority
	Server    *server.Server
	Teach     *server.Teach
	Log       *Log

	ctx  context.Context
	stop func()
}

// Log collects the server's log.
type Log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// String is everything logged so far.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// New starts a server; it stops with the test.
func New(t testing.TB, o Options) *Env {
	t.Helper()
	e := &Env{T: t, Data: filepath.Join(t.TempDir(), "data"), Address: port.Keep(t), Log: &Log{}}
	check(t, ca.Init(t.Context(), e.Data, ca.InitOptions{Names: []string{"localhost", "127.0.0.1"}, Common: true}))
	e.Start(o)
	return e
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Start starts the server, each time at the same address.
func (e *Env) Start(o Options) {
	t := e.T
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	log := server.NewLog(e.Log)
	var err error
	e.DB, err = meta.Open(ctx, meta.File(filepath.Join(e.Data, ca.Database)))
	check(t, err)
	e.Account, err = account.Open(ctx, e.DB, account.Options{Judges: true, Log: log.Logger, Now: o.Now})
	check(t, err)
	e.Authority, err = ca.Open(ctx, e.Data, e.DB, e.Account, ca.Options{Log: log.Logger})
	check(t, err)
	trees := o.Trees
	if trees == nil {
		trees, err = disk.OpenTrees(filepath.Join(e.Data, "files"), filepath.Join(e.Data, "uploads"), disk.UploadRoom, log.Logger)
		check(t, err)
	}
	fs := files.New(trees, log.Logger)
	so := server.Options{Account: e.Account, Authority: e.Authority, Files: fs, Log: log, AdminInvites: o.AdminInvites}
	if o.Teach {
		e.Teach, err = server.OpenTeach(mem.NewTrees(mem.Options{Room: mem.NewRoom(server.MaxTaught + server.MaxTaught/8)}), "127.0.0.1:0", log.Logger)
		check(t, err)
		so.Teach = e.Teach
	}
	e.Server, err = server.New(so)
	check(t, err)
	ln, err := net.Listen("tcp", e.Address)
	check(t, err)
	var wg sync.WaitGroup
	wg.Go(func() { _ = e.Server.Serve(ctx, ln, 0) })
	wg.Go(func() { _ = e.Account.Run(ctx) })
	if o.Teach {
		wg.Go(func() { _ = e.Server.ServeTeach(ctx, 0) })
	}
	e.ctx = ctx
	e.stop = sync.OnceFunc(func() {
		cancel()
		wg.Wait()
		if e.Teach != nil {
			_ = e.Teach.Close()
		}
		if err := fs.Close(); err != nil {
			t.Errorf("close files: %v", err)
		}
		if err := e.DB.Close(); err != nil {
			t.Errorf("close database: %v", err)
		}
	})
	t.Cleanup(e.stop)
}

// Stop stops the server; Start may follow.
func (e *Env) Stop() { e.stop() }

// Invite makes an invitation, and the user if need be.
func (e *Env) Invite(user string) hufu.Invitation {
	e.T.Helper()
	made, err := e.Account.Invite(e.ctx, user, time.Hour)
	check(e.T, err)
	check(e.T, e.Account.Reload(e.ctx))
	host, port, err := net.SplitHostPort(e.Address)
	check(e.T, err)
	n, err := strconv.Atoi(port)
	check(e.T, err)
	sum := identity.Fingerprint(e.Authority.Root())
	return hufu.Invitation{Host: host, Port: n, Fingerprint: sum[:hufu.InvitationFingerprint], Secret: made.Secret}
}

// Person is an enrolled user.
type Person struct {
	Name     string
	Password string
	Home     string // everything of this person on this computer
	Dirs     profile.Dirs
	Profile  *profile.Profile
	t        testing.TB
}

// Person enrolls a person on a device of its own and logs in.
func (e *Env) Person(name string) *Person {
	e.T.Helper()
	home := e.T.TempDir()
	p := &Person{
		Name: name, Password: "password of " + name, Home: home, t: e.T,
		Dirs: profile.Dirs{Config: filepath.Join(home, "config"), State: filepath.Join(home, "state")},
	}
	var err error
	p.Profile, err = profile.Enroll(e.T.Context(), p.Dirs, profile.Default, e.Invite(name), p.Password)
	check(e.T, err)
	check(e.T, e.Account.Reload(e.ctx))
	return p
}

// Remote returns the server as this person sees it; it is closed with the test.
func (p *Person) Remote(o client.Options) *client.Remote {
	p.t.Helper()
	o.Disk = Disk{}
	r, err := client.New(p.Profile, o)
	check(p.t, err)
	p.t.Cleanup(func() { _ = r.Close() })
	return r
}

// Local returns a path below the person's home.
func (p *Person) Local(name string) string { return filepath.Join(p.Home, name) }

// Disk is the file system of this computer, as hufu hands it to the client.
type Disk struct{}

// Open is of client.Disk.
func (Disk) Open(dir, journals string) (client.Folder, error) {
	s, err := disk.Open(dir, disk.Options{Uploads: journals})
	if err != nil {
		return nil, err // without a store in the interface
	}
	return s, nil
}

// RenameNew is of client.Disk.
func (Disk) RenameNew(from, to string) error { return disk.RenameNew(from, to) }
