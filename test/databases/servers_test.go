//go:build e2e && linux

// Package databases runs the meaning of package meta, and its faults, on real
// servers of PostgreSQL and MariaDB. The tests start them, as a user without
// rights, on a port and in a folder of their own.
package databases

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"database/sql"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"

	"hufu/internal/meta/metatest"
	"hufu/internal/testenv/port"
	"hufu/test/built"
)

const patience = 2 * time.Minute

func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "4"); err != nil { // most of them wait, some for half a minute
		panic(err)
	}
	code := metatest.Main(m)
	for _, s := range started {
		s.stop()
	}
	if stopService != nil {
		stopService()
	}
	if remove != nil {
		remove()
	}
	os.Exit(code)
}

// bin is the folder of the programs, built once.
var (
	remove func()
	bin    = sync.OnceValues(func() (dir string, err error) {
		dir, remove, err = built.Build()
		return dir, err
	})
)

// engine is one server of databases.
type engine struct {
	name     string // the scheme of its URLs
	dir      string
	password string
	address  string // on the loopback
	release  func() // of the port
	cmd      *exec.Cmd
	over     chan error
	raw      *sql.DB // of the administrator
	end      syscall.Signal
}

var (
	starting sync.Mutex // guards started
	started  []*engine
	count    atomic.Int64

	postgres = sync.OnceValues(func() (*engine, error) { return start("postgres", (*engine).postgres) })
	mariadb  = sync.OnceValues(func() (*engine, error) { return start("mysql", (*engine).mariadb) })
)

// each runs a test on both engines.
func each(t *testing.T, test func(t *testing.T, e *engine)) {
	t.Parallel()
	for name, get := range map[string]func() (*engine, error){"postgres": postgres, "mariadb": mariadb} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, err := get()
			if err != nil {
				t.Fatal(err)
			}
			test(t, e)
		})
	}
}

// fresh makes a database and returns its URL.
func (e *engine) fresh(t *testing.T) string {
	t.Helper()
	return e.at(e.address, e.create(t))
}

func (e *engine) create(t *testing.T) string {
	t.Helper()
	name := fmt.Sprintf("hufu_%d", count.Add(1))
	if _, err := e.raw.ExecContext(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	return name
}

func (e *engine) at(address, name string) string {
	return (&url.URL{Scheme: e.name, User: url.UserPassword("hufu", e.password), Host: address, Path: name}).String()
}

// in opens one database as it is, without meta.
func (e *engine) in(t *testing.T, name string) *sql.DB {
	t.Helper()
	db, err := e.open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func (e *engine) open(name string) (*sql.DB, error) {
	if e.name == "postgres" {
		return sql.Open("pgx", e.at(e.address, name)+"?sslmode=disable")
	}
	c := mysql.NewConfig()
	c.User, c.Passwd, c.Net, c.Addr, c.DBName, c.Logger = "hufu", e.password, "tcp", e.address, name, &mysql.NopLogger{}
	to, err := mysql.NewConnector(c)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(to), nil
}

// start makes the folder of an engine and starts it.
func start(name string, run func(*engine) error) (*engine, error) {
	dir, err := os.MkdirTemp("", "hufu-"+name)
	if err != nil {
		return nil, err
	}
	e := &engine{name: name, dir: dir, password: "p/@:%?# " + rand.Text(), over: make(chan error, 1), end: syscall.SIGTERM}
	starting.Lock()
	started = append(started, e)
	starting.Unlock()
	if e.address, e.release, err = port.Hold(); err != nil {
		return nil, err
	}
	if err := errors.Join(certificates(dir), run(e)); err != nil {
		return nil, err
	}
	deadline := time.Now().Add(patience)
	for {
		if err = e.raw.Ping(); err == nil {
			return e, nil
		}
		select {
		case died := <-e.over:
			return nil, fmt.Errorf("%s has ended: %w: %s", name, died, e.log())
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("%s does not answer: %w: %s", name, err, e.log())
		}
	}
}

func (e *engine) log() string {
	data, _ := os.ReadFile(filepath.Join(e.dir, "log"))
	return string(data)
}

// unprivileged is who runs the servers: both refuse to be root.
func unprivileged() *syscall.Credential {
	if os.Getuid() != 0 {
		return nil
	}
	const nobody = 65534
	return &syscall.Credential{Uid: nobody, Gid: nobody}
}

// own gives the folder to the user of the server.
func (e *engine) own() error {
	c := unprivileged()
	if c == nil {
		return nil
	}
	return filepath.WalkDir(e.dir, func(path string, _ os.DirEntry, err error) error {
		return errors.Join(err, os.Chown(path, int(c.Uid), int(c.Gid)))
	})
}

func (e *engine) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = e.dir
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "HOME=" + e.dir, "TMPDIR=" + e.dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: unprivileged(), Pdeathsig: e.end}
	return cmd
}

// once runs a program that makes something.
func (e *engine) once(name string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out, err := e.command(ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, out)
	}
	return nil
}

// serve runs a server until it is stopped.
func (e *engine) serve(name string, args ...string) error {
	log, err := os.OpenFile(filepath.Join(e.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	e.cmd = e.command(context.Background(), name, args...)
	e.cmd.Stdout, e.cmd.Stderr = log, log
	ready := make(chan error)
	go func() {
		// The server is told of the end of this thread. Unlocked again, the thread never ends: it may
		// have started other servers before, which are to outlive this one.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := e.cmd.Start()
		ready <- err
		if err == nil {
			e.over <- e.cmd.Wait()
		}
		_ = log.Close()
	}()
	return <-ready
}

// halt ends the server, once.
func (e *engine) halt() {
	if e.raw != nil {
		_ = e.raw.Close()
	}
	if e.cmd != nil && e.cmd.Process != nil {
		_ = e.cmd.Process.Signal(e.end)
		select {
		case <-e.over:
		case <-time.After(patience):
			_ = e.cmd.Process.Kill()
		}
	}
	e.cmd = nil
}

func (e *engine) stop() {
	e.halt()
	if e.release != nil {
		e.release()
	}
	e.release = nil
	_ = os.RemoveAll(e.dir)
}

func (e *engine) postgres() (err error) {
	bin, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil || len(bin) == 0 {
		return errors.New("PostgreSQL is not installed")
	}
	at := bin[len(bin)-1]
	e.end = syscall.SIGINT // end now, in order
	data, secret := filepath.Join(e.dir, "data"), filepath.Join(e.dir, "secret")
	if err := errors.Join(os.WriteFile(secret, []byte(e.password), 0o600), e.own()); err != nil {
		return err
	}
	err = e.once(filepath.Join(at, "initdb"), "-D", data, "-U", "hufu", "--auth=scram-sha-256", "--pwfile="+secret, "--no-sync", "-E", "UTF8", "--locale=C.UTF-8")
	if err != nil {
		return err
	}
	if e.raw, err = e.open("postgres"); err != nil {
		return err
	}
	_, p, _ := net.SplitHostPort(e.address)
	return e.serve(filepath.Join(at, "postgres"), "-D", data, "-p", p, "-h", "127.0.0.1", "-k", e.dir, "-c", "fsync=off", "-c", "max_connections=400",
		"-c", "shared_buffers=32MB", "-c", "ssl=on", "-c", "ssl_cert_file="+filepath.Join(e.dir, "server.crt"), "-c", "ssl_key_file="+filepath.Join(e.dir, "server.key"))
}

// mariadb has settings that hufu must not depend on.
func (e *engine) mariadb() (err error) {
	data, first := filepath.Join(e.dir, "data"), filepath.Join(e.dir, "first.sql")
	sql := "CREATE USER hufu@'%' IDENTIFIED BY '" + e.password + "';\nGRANT ALL ON *.* TO hufu@'%' WITH GRANT OPTION;\n"
	if err := errors.Join(os.WriteFile(first, []byte(sql), 0o600), e.own()); err != nil {
		return err
	}
	if err := e.once("mariadb-install-db", "--no-defaults", "--datadir="+data, "--auth-root-authentication-method=normal", "--skip-test-db"); err != nil {
		return err
	}
	if e.raw, err = e.open(""); err != nil {
		return err
	}
	_, p, _ := net.SplitHostPort(e.address)
	return e.serve("mariadbd", "--no-defaults", "--datadir="+data, "--port="+p, "--bind-address=127.0.0.1", "--socket="+filepath.Join(e.dir, "s"),
		"--init-file="+first, "--skip-name-resolve", "--max-connections=400", "--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=64M",
		"--sql-mode=ANSI_QUOTES,PAD_CHAR_TO_FULL_LENGTH", "--character-set-server=latin1", "--collation-server=latin1_swedish_ci",
		"--ssl-cert="+filepath.Join(e.dir, "server.crt"), "--ssl-key="+filepath.Join(e.dir, "server.key"))
}

// certificates makes a CA, ca.crt, and the certificate of a server on the
// loopback.
func certificates(dir string) error {
	make1 := func(name string, template, parent *x509.Certificate, key, by *ecdsa.PrivateKey) error {
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
		template.SerialNumber = big.NewInt(time.Now().UnixNano())
		der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), by)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644)
	}
	root, err1 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	leaf, err2 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	ca := &x509.Certificate{Subject: pkix.Name{CommonName: "test"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	server := &x509.Certificate{Subject: pkix.Name{CommonName: "db"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.MarshalECPrivateKey(leaf)
	return errors.Join(err, make1("ca.crt", ca, ca, root, root), make1("server.crt", server, ca, leaf, root),
		os.WriteFile(filepath.Join(dir, "server.key"), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), 0o600))
}

// link is a way to an engine that can be cut.
type link struct {
	address string

	mu    sync.Mutex // guards what follows
	cut   bool
	conns []net.Conn
	at    string // cut here
	lose  bool
	when  string // call before at the first request with this word
	call  func()
	over  <-chan struct{} // the connection hangs until it is closed
	slow  time.Duration   // of each request
}

func (e *engine) link(t *testing.T) *link {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &link{address: ln.Addr().String()}
	var wg sync.WaitGroup
	t.Cleanup(func() {
		_ = ln.Close()
		l.sever()
		wg.Wait()
	})
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			s, err := net.Dial("tcp", e.address)
			l.mu.Lock()
			if err != nil || l.cut {
				_ = c.Close()
				l.mu.Unlock()
				continue
			}
			l.conns = append(l.conns, c, s)
			l.mu.Unlock()
			wg.Go(func() { _, _ = io.Copy(c, s); l.await(); _ = c.Close() })
			wg.Go(func() { l.pass(s, c); _ = s.Close() })
		}
	})
	return l
}

// pass hands on what the client says. Where it was asked to, it cuts the client
// off, before that has reached the server or after.
func (l *link) pass(to, from net.Conn) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		l.mu.Lock()
		cut := l.at != "" && bytes.Contains(bytes.ToUpper(buf[:n]), []byte(l.at))
		lose := cut && l.lose
		var call func()
		if l.when != "" && bytes.Contains(bytes.ToUpper(buf[:n]), []byte(strings.ToUpper(l.when))) {
			call, l.when = l.call, ""
		}
		slow := l.slow
		l.mu.Unlock()
		if call != nil {
			call()
		}
		time.Sleep(slow)
		if cut {
			_ = from.Close()
		}
		if lose {
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// breakAt cuts each connection at the first request with this word; the request
// is lost, or does reach the server.
func (l *link) breakAt(word string, lose bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at, l.lose = word, lose
}

// hangAt makes nothing arrive any more, in either direction, from a word of the client on,
// until over is closed. Neither end hears that the connection is gone.
func (l *link) hangAt(word string, over <-chan struct{}) {
	l.before(word, func() {
		l.mu.Lock()
		l.over = over
		l.mu.Unlock()
		<-over
	})
}

// delay makes each request take this much longer.
func (l *link) delay(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.slow = d
}

func (l *link) await() {
	l.mu.Lock()
	over := l.over
	l.mu.Unlock()
	if over != nil {
		<-over
	}
}

// before calls f once, before a request with this word reaches the server.
func (l *link) before(word string, f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.when, l.call = word, f
}

func (l *link) sever() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = true
	for _, c := range l.conns {
		_ = c.Close()
	}
	l.conns = nil
}

func (l *link) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = false
}
