package main

import (
	"context"
	"errors"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/gofrs/flock"
	"github.com/spf13/cobra"

	"hufu"
	"hufu/internal/blob/disk"
	"hufu/internal/blob/mem"
	"hufu/internal/cli"
	"hufu/internal/files"
	"hufu/internal/server"
)

// lockFile is held by the server of a data folder, or by "hufud db copy".
const lockFile = "lock"

// teachPort is where the teaching listener is unless the port is taken.
const teachPort = 9998

// maxPort is the last port there is.
const maxPort = 65535

// objectIntake is the limit in bytes for requests that were not carried out yet, on a server whose
// files are objects: such a server shares its memory with what is on its way to and from the store.
const objectIntake = 64 << 20

// objectChunks is how many chunks of answers the connections of one user hold on such a server. The store
// is far, so more of them at once wait for it longer than two lanes would.
const objectChunks = 32

// expireEvery is how often expired uploads are looked for.
const expireEvery = time.Hour

// serving holds the settings of a server.
type serving struct {
	listen     string
	advertise  string // what clients are told, if it is another
	logFile    string
	drain      time.Duration
	teach      int // port of the teaching listener, 0: none
	commonName bool
	adminOnly  bool // only the administrator invites devices
	trial      bool // started by "hufud run": a port in use is reported as run_cannot_listen, and SIGHUP stops the server
	// ready is called when connections are accepted, with the addresses.
	ready func(address, teach string)
}

func newServe(a *app) *cobra.Command {
	cmd := a.Command("serve", "hufud.serve",
		"hufud serve",
		"hufud serve --listen 0.0.0.0:9999 --log-file /var/log/hufud.log")
	var o serving
	cmd.Flags().StringVar(&o.listen, "listen", defaultAddress, a.Cat.T("hufud.serve.flag.listen"))
	cmd.Flags().StringVar(&o.logFile, "log-file", "", a.Cat.T("hufud.serve.flag.log_file"))
	o.drain = 5 * time.Second
	cmd.Flags().Var(cli.Span{For: &o.drain}, "drain", a.Cat.T("hufud.serve.flag.drain"))
	cmd.Flags().BoolVar(&o.commonName, "accept-common-name", false, a.Cat.T("hufud.serve.flag.common_name"))
	a.teachFlag(cmd, &o.teach, 0)
	cmd.Flags().StringVar(&o.advertise, "advertise", "", a.Cat.T("hufud.serve.flag.advertise"))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := a.configured(cmd, &o); err != nil {
			return err
		}
		if err := o.check(); err != nil {
			return err
		}
		unlock, err := a.lock(cmd.Context())
		if err != nil {
			return err
		}
		defer unlock()
		ln, err := o.open(cmd.Context())
		if err != nil {
			return err
		}
		err = a.serve(cmd.Context(), ln, o)
		if err == nil && cmd.Context().Err() != nil {
			return nil // stopped as asked, everything closed
		}
		return err
	}
	return cmd
}

// configured sets the address that the configuration names, unless a flag does.
func (a *app) configured(cmd *cobra.Command, o *serving) error {
	c, _, err := a.config()
	if err != nil {
		return err
	}
	if !cmd.Flags().Changed("listen") {
		o.listen = c.Listen
	}
	o.adminOnly = c.Invitations == invitesAdmin
	if _, _, err := net.SplitHostPort(o.advertise); o.advertise != "" && err != nil {
		return cli.Usage("admin_address_form", "address", o.advertise)
	}
	return nil
}

func (a *app) teachFlag(cmd *cobra.Command, port *int, preset int) {
	cmd.Flags().IntVar(port, "teach-plaintext", preset, a.Cat.T("hufud.serve.flag.teach"))
	cmd.Flags().Lookup("teach-plaintext").NoOptDefVal = strconv.Itoa(teachPort)
}

// check validates the flags before anything is opened. Otherwise a port used twice would be
// reported as taken by another program.
func (o serving) check() error {
	if o.drain < 0 {
		return cli.Usage("admin_flag_duration", "flag", "--drain", "value", o.drain.String(), "example", "5s")
	}
	if o.teach < 0 || o.teach > maxPort {
		return cli.FlagRange("teach-plaintext", o.teach, 0, maxPort, strconv.Itoa(teachPort))
	}
	_, port, err := net.SplitHostPort(o.listen)
	if err != nil {
		return cli.Usage("serve_address_form", "address", o.listen)
	}
	n, err := strconv.Atoi(port)
	switch {
	case errors.Is(err, strconv.ErrRange), err == nil && (n < 0 || n > maxPort):
		return cli.Usage("serve_port_range", "address", o.listen)
	case err != nil:
		return cli.Usage("serve_address_form", "address", o.listen)
	case n == o.teach && n != 0:
		return cli.Usage("serve_teach_port", "port", port)
	}
	return nil
}

// lock takes the lock of the data folder, which one server or "hufud db copy" holds.
func (a *app) lock(ctx context.Context) (unlock func(), err error) {
	if err := a.ready(); err != nil {
		return nil, err
	}
	lock := flock.New(filepath.Join(a.data, lockFile), flock.SetPermissions(0o600))
	locked, err := lock.TryLock()
	if err != nil {
		return nil, a.notLocked(err)
	}
	if !locked {
		return nil, a.isRunning(context.WithoutCancel(ctx))
	}
	return func() { _ = lock.Unlock() }, nil // what holds it ends in any case
}

// isRunning is the error of a data folder that a server runs on.
func (a *app) isRunning(ctx context.Context) error {
	args := []string{"data", a.data}
	if s := a.askStatus(ctx); s != nil && s.PID != 0 {
		args = append(args, "pid", strconv.Itoa(s.PID), "address", s.Address)
	}
	return cli.Usage("serve_running", args...)
}

// notLocked says why a lock in the data folder could not be taken.
func (a *app) notLocked(err error) error {
	switch {
	case errors.Is(err, os.ErrPermission), errors.Is(err, os.ErrNotExist):
		return a.noData(err)
	case errors.Is(err, syscall.EROFS):
		return &hufu.Error{Op: "lock data folder", Path: a.data, Kind: hufu.KindUnreadable, Code: "data_folder_read_only", Err: err}
	}
	return &hufu.Error{Op: "lock data folder", Path: a.data, Kind: hufu.KindUsage, Err: err}
}

// stopTime is the longest time that a server takes to stop after its time for
// draining: its connections, and then everything that is open.
const stopTime = server.StopTime + 2*time.Second

// serve runs the server on ln, which it closes, until ctx ends. The caller holds
// the data folder's lock. It returns within o.drain and stopTime after the end
// of ctx even if a disk does not answer: the process is to end then.
func (a *app) serve(ctx context.Context, ln net.Listener, o serving) error {
	return within(ctx, o.drain+stopTime, func() error { return a.serveAndClose(ctx, ln, o) })
}

// within runs f, and leaves it behind if it has not returned after limit since
// the end of ctx.
func within(ctx context.Context, limit time.Duration, f func() error) error {
	over := make(chan error, 1)
	go func() { over <- f() }()
	select {
	case err := <-over:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-over:
		return err
	case <-time.After(limit):
		return &hufu.Error{Op: "stop server", Kind: hufu.KindUnreadable, Code: "serve_not_closed"}
	}
}

func (a *app) serveAndClose(ctx context.Context, ln net.Listener, o serving) (err error) {
	defer func() { _ = ln.Close() }() // closed already unless something fails
	hangUps := make(chan os.Signal, 1)
	signal.Notify(hangUps, syscall.SIGHUP)
	defer signal.Stop(hangUps)
	log, file, err := a.logger(o.logFile)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()

	s, err := a.openLogged(ctx, true, log.Logger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	trees, clean, err := a.trees(ctx, s.db, log.Logger)
	if err != nil {
		return err
	}
	fs := files.New(trees, log.Logger)
	defer func() { err = errors.Join(err, fs.Close()) }()

	so := server.Options{Account: s.acc, Authority: s.ca, Files: fs, Log: log, CommonName: o.commonName, AdminInvites: o.adminOnly}
	if _, onDisk := trees.(*disk.Trees); !onDisk {
		so.Intake, so.Chunks = objectIntake, objectChunks
	}
	teachAddress := ""
	if o.teach != 0 {
		world := mem.NewTrees(mem.Options{Room: mem.NewRoom(server.MaxTaught + server.MaxTaught/8)})
		t, err := server.OpenTeach(world, net.JoinHostPort("127.0.0.1", strconv.Itoa(o.teach)), log.Logger)
		if err != nil {
			return err
		}
		defer func() { _ = t.Close() }()
		so.Teach, teachAddress = t, t.Address()
	}
	srv, err := server.New(so)
	if err != nil {
		return err
	}
	control, err := listenControl(a.data)
	if err != nil {
		return err
	}
	address := ln.Addr().String()
	if err := a.join(ctx, s, address, o.advertise, log.Logger); err != nil {
		return errors.Join(err, control.Close())
	}
	if err := a.noteListen(address, o.advertise); err != nil { // not before join: a start that is refused changes nothing
		s.acc.Leave(context.WithoutCancel(ctx))
		return errors.Join(err, control.Close())
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	judging, served := context.WithCancel(context.WithoutCancel(ctx)) // connections outlive ctx by the time of draining
	defer served()
	var wg sync.WaitGroup
	wg.Go(func() {
		serveControl(judging, control, log.Logger, s.acc.Reload, func() any { return running{srv.Status(), os.Getpid(), address} })
	})
	wg.Go(func() {
		if err := s.acc.Run(judging); err != nil && judging.Err() == nil {
			cancel(err)
			_ = s.acc.Run(judging) // connections are judged until they are drained
		}
	})
	wg.Go(func() { expire(ctx, fs) })
	wg.Go(func() { clean(ctx) })
	wg.Go(func() {
		for {
			select {
			case s := <-hangUps:
				if o.trial {
					cancel(cli.Stopped{Signal: s})
					return
				}
				reopen(log, file)
			case <-ctx.Done():
				return
			}
		}
	})
	if so.Teach != nil {
		wg.Go(func() { _ = srv.ServeTeach(ctx, o.drain) })
		log.Warn("teaching listener without TLS", "address", teachAddress)
	}
	log.Info("listening", "address", address, "version", hufu.Version)
	if o.ready != nil {
		o.ready(address, teachAddress)
	}
	err = srv.Serve(ctx, ln, o.drain)
	served()
	log.Info("stopped")
	cause := context.Cause(ctx)
	cancel(nil)
	wg.Wait()
	if _, signalled := errors.AsType[cli.Stopped](cause); err == nil && cause != nil && !signalled && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

// open listens where the server is to be reached.
func (o serving) open(ctx context.Context) (net.Listener, error) {
	address := o.listen
	lc := net.ListenConfig{}
	lc.SetMultipathTCP(false)
	ln, err := lc.Listen(ctx, "tcp", address)
	if err == nil {
		return ln, nil
	}
	host, port, _ := net.SplitHostPort(address) // checked already
	code := ""
	if _, unknown := errors.AsType[*net.DNSError](err); unknown {
		code = "serve_host_unknown"
	} else if errors.Is(err, syscall.EADDRNOTAVAIL) {
		code = "serve_host_elsewhere"
	} else if errors.Is(err, os.ErrPermission) {
		code = "serve_port_denied"
	}
	if code != "" {
		return nil, errors.Join(cli.Usage(code, "address", address), err)
	}
	other := net.JoinHostPort(host, "0")
	if n, convErr := strconv.Atoi(port); convErr == nil && n < maxPort {
		other = net.JoinHostPort(host, strconv.Itoa(n+1))
	}
	code = "serve_cannot_listen"
	if o.trial {
		code = "run_cannot_listen"
	}
	return nil, errors.Join(cli.Usage(code, "address", address, "other", other, "by", portOwner(port)), err)
}

func expire(ctx context.Context, fs *files.Service) {
	tick := time.NewTicker(expireEvery)
	defer tick.Stop()
	for {
		fs.Expire(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// logger writes lines to standard error or to a file that is appended to; file
// is nil for standard error.
func (a *app) logger(path string) (log *server.Log, file *logFile, err error) {
	if path == "" {
		return server.NewLog(a.Err), nil, nil
	}
	file = &logFile{path: path}
	if err := file.Reopen(); err != nil {
		return nil, nil, err
	}
	return server.NewLog(file), file, nil
}

// reopen handles SIGHUP: a log rotation has renamed the file.
func reopen(log *server.Log, file *logFile) {
	if file == nil {
		log.Info("hangup: the log is standard error and stays open")
		return
	}
	if err := file.Reopen(); err != nil {
		log.Warn("log was not opened again, the old file goes on", "error", err)
		return
	}
	log.Info("log opened again")
}

// logFile is a file that lines are appended to and that can be opened again
// under its name. A nil one does nothing.
type logFile struct {
	path string

	mu sync.Mutex // guards f
	f  *os.File
}

func (l *logFile) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.f.Write(p)
}

// Reopen opens the file of this name, creating it if needed, and closes the
// previous one. After an error the previous one stays in use.
func (l *logFile) Reopen() error {
	f, err := os.OpenFile(l.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return cli.ToFile(l.path, hufu.KindUsage, "serve_log_file", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.f != nil {
		_ = l.f.Close() // each line was written at once
	}
	l.f = f
	return nil
}

func (l *logFile) Close() error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.f.Close()
}
