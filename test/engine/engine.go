//go:build e2e && linux

// Package engine runs servers of databases, PostgreSQL and MariaDB, as a user without rights, on a
// port and in a folder of their own. They do not wait for their disk.
package engine

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"database/sql"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver pgx

	"hufu/internal/testenv/port"
)

const patience = 2 * time.Minute

// Server is one running server of databases.
type Server struct {
	Scheme   string // of its URLs
	Dir      string
	Password string // of the user hufu, who may do everything
	Address  string // on the loopback
	Raw      *sql.DB

	release func() // of the port
	program []string
	cmd     *exec.Cmd
	over    chan error
	end     syscall.Signal
}

// PostgreSQL starts one.
func PostgreSQL() (*Server, error) { return start("postgres", (*Server).postgres) }

// MariaDB starts one.
func MariaDB() (*Server, error) { return start("mysql", (*Server).mariadb) }

// URL leads to a database through an address, which may be that of a proxy.
func (s *Server) URL(address, database string) string {
	return (&url.URL{Scheme: s.Scheme, User: url.UserPassword("hufu", s.Password), Host: address, Path: database}).String()
}

// Create makes an empty database.
func (s *Server) Create(ctx context.Context, database string) error {
	_, err := s.Raw.ExecContext(ctx, "CREATE DATABASE "+database)
	return err
}

// Open opens a database as it is.
func (s *Server) Open(name string) (*sql.DB, error) {
	if s.Scheme == "postgres" {
		return sql.Open("pgx", s.URL(s.Address, name)+"?sslmode=disable")
	}
	c := mysql.NewConfig()
	c.User, c.Passwd, c.Net, c.Addr, c.DBName, c.Logger = "hufu", s.Password, "tcp", s.Address, name, &mysql.NopLogger{}
	to, err := mysql.NewConnector(c)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(to), nil
}

// start makes the folder of an engine and starts it.
func start(name string, run func(*Server) error) (_ *Server, err error) {
	dir, err := os.MkdirTemp("", "hufu-"+name)
	if err != nil {
		return nil, err
	}
	s := &Server{Scheme: name, Dir: dir, Password: "p/@:%?# " + rand.Text(), over: make(chan error, 1), end: syscall.SIGTERM}
	defer func() {
		if err != nil {
			s.Stop()
		}
	}()
	if s.Address, s.release, err = port.Hold(); err != nil {
		return nil, err
	}
	if err := errors.Join(certificates(dir), run(s)); err != nil {
		return nil, err
	}
	return s, s.answers()
}

// answers waits until the server answers.
func (s *Server) answers() (err error) {
	deadline := time.Now().Add(patience)
	for {
		if err = s.Raw.Ping(); err == nil {
			return nil
		}
		select {
		case died := <-s.over:
			s.over <- died
			return fmt.Errorf("%s has ended: %w: %s", s.Scheme, died, s.Log())
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s does not answer: %w: %s", s.Scheme, err, s.Log())
		}
	}
}

// Log is what the server has logged.
func (s *Server) Log() string {
	data, _ := os.ReadFile(filepath.Join(s.Dir, "log"))
	return string(data)
}

// Unprivileged is who runs the servers: both refuse to be root.
func Unprivileged() *syscall.Credential {
	if os.Getuid() != 0 {
		return nil
	}
	const nobody = 65534
	return &syscall.Credential{Uid: nobody, Gid: nobody}
}

// own gives the folder to the user of the server.
func (s *Server) own() error {
	c := Unprivileged()
	if c == nil {
		return nil
	}
	return filepath.WalkDir(s.Dir, func(path string, _ os.DirEntry, err error) error {
		return errors.Join(err, os.Chown(path, int(c.Uid), int(c.Gid)))
	})
}

// Command is a program that the user of the server runs in its folder.
func (s *Server) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = s.Dir
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "HOME=" + s.Dir, "TMPDIR=" + s.Dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: Unprivileged(), Pdeathsig: s.end}
	return cmd
}

// once runs a program that makes something.
func (s *Server) once(name string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out, err := s.Command(ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, out)
	}
	return nil
}

// serve runs a server until it is stopped.
func (s *Server) serve(program ...string) error {
	s.program = program
	log, err := os.OpenFile(filepath.Join(s.Dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	cmd := s.Command(context.Background(), program[0], program[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	s.cmd = cmd
	ready := make(chan error)
	go func() {
		// Pdeathsig signals the server when the thread that started it ends. The goroutine is
		// therefore locked to its thread while the server runs. It unlocks at the end, so that Go
		// keeps the thread: other servers may have been started on it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		ready <- err
		if err == nil {
			s.over <- cmd.Wait()
		}
		_ = log.Close()
	}()
	return <-ready
}

// Crash ends a PostgreSQL at once. It is asked to, as its processes would outlive one that is killed
// for a moment; nothing is written then that a kill would not leave.
func (s *Server) Crash() error {
	err := s.cmd.Process.Signal(syscall.SIGQUIT)
	<-s.over
	s.cmd = nil
	return err
}

// Again starts the server after Crash.
func (s *Server) Again() error { return errors.Join(s.serve(s.program...), s.answers()) }

// Signal sends a signal to all processes of the server.
func (s *Server) Signal(signal syscall.Signal) error {
	pid := s.cmd.Process.Pid
	if err := syscall.Kill(pid, signal); err != nil { // the one that makes others first
		return err
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	for child := range strings.FieldsSeq(string(text)) {
		n, _ := strconv.Atoi(child)
		_ = syscall.Kill(n, signal) // it may have ended
	}
	return err
}

// Halt ends the server, once.
func (s *Server) Halt() {
	if s.Raw != nil {
		_ = s.Raw.Close()
	}
	if s.cmd != nil && s.cmd.Process != nil {
		_ = s.cmd.Process.Signal(s.end)
		select {
		case <-s.over:
		case <-time.After(patience):
			_ = s.cmd.Process.Kill()
		}
	}
	s.cmd = nil
}

// Stop ends the server and removes its folder.
func (s *Server) Stop() {
	s.Halt()
	if s.release != nil {
		s.release()
	}
	s.release = nil
	_ = os.RemoveAll(s.Dir)
}

func (s *Server) postgres() (err error) {
	bin, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil || len(bin) == 0 {
		return errors.New("PostgreSQL is not installed (on Debian or Ubuntu: sudo apt-get install postgresql)")
	}
	at := bin[len(bin)-1]
	s.end = syscall.SIGINT // end now, in order
	data, secret := filepath.Join(s.Dir, "data"), filepath.Join(s.Dir, "secret")
	if err := errors.Join(os.WriteFile(secret, []byte(s.Password), 0o600), s.own()); err != nil {
		return err
	}
	err = s.once(filepath.Join(at, "initdb"), "-D", data, "-U", "hufu", "--auth=scram-sha-256", "--pwfile="+secret, "--no-sync", "-E", "UTF8", "--locale=C.UTF-8")
	if err != nil {
		return err
	}
	if s.Raw, err = s.Open("postgres"); err != nil {
		return err
	}
	_, p, _ := net.SplitHostPort(s.Address)
	return s.serve(filepath.Join(at, "postgres"), "-D", data, "-p", p, "-h", "127.0.0.1", "-k", s.Dir, "-c", "fsync=off", "-c", "max_connections=400",
		"-c", "shared_buffers=32MB", "-c", "ssl=on", "-c", "ssl_cert_file="+filepath.Join(s.Dir, "server.crt"), "-c", "ssl_key_file="+filepath.Join(s.Dir, "server.key"))
}

// mariadb has settings that hufu must not depend on.
func (s *Server) mariadb() (err error) {
	data, first := filepath.Join(s.Dir, "data"), filepath.Join(s.Dir, "first.sql")
	sql := "CREATE USER hufu@'%' IDENTIFIED BY '" + s.Password + "';\nGRANT ALL ON *.* TO hufu@'%' WITH GRANT OPTION;\n"
	if err := errors.Join(os.WriteFile(first, []byte(sql), 0o600), s.own()); err != nil {
		return err
	}
	if err := s.once("mariadb-install-db", "--no-defaults", "--datadir="+data, "--auth-root-authentication-method=normal", "--skip-test-db"); err != nil {
		return err
	}
	if s.Raw, err = s.Open(""); err != nil {
		return err
	}
	_, p, _ := net.SplitHostPort(s.Address)
	return s.serve("mariadbd", "--no-defaults", "--datadir="+data, "--port="+p, "--bind-address=127.0.0.1", "--socket="+filepath.Join(s.Dir, "s"),
		"--init-file="+first, "--skip-name-resolve", "--max-connections=400", "--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=64M",
		"--sql-mode=ANSI_QUOTES,PAD_CHAR_TO_FULL_LENGTH", "--character-set-server=latin1", "--collation-server=latin1_swedish_ci",
		"--ssl-cert="+filepath.Join(s.Dir, "server.crt"), "--ssl-key="+filepath.Join(s.Dir, "server.key"))
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
