package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"

	"hufu"
	"hufu/internal/cli"
	"hufu/internal/cli/clitest"
	"hufu/internal/meta"
	"hufu/internal/server"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"hufud": main})
}

// TestScripts runs the stories in testdata/script. Beside the usual commands
// they have
//
//	exit N CMD…      run CMD, which must end with exit status N
//	request FILE     make an RSA key and a signing request, in FILE
//	field NAME FIELD take FIELD of the last line of JSON on stdout into $NAME
//	invitation HOST PORT   the last stdout is one code for this address
//	[mounts]         file systems can be mounted
//	server DIR       answer on the control socket of DIR; what was asked goes to DIR/asked
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("LANG", "C.UTF-8")
			e.Setenv("TZ", "UTC")
			e.Setenv("XDG_DATA_HOME", "")
			e.Setenv("HOME", filepath.Join(e.WorkDir, "home"))
			return nil
		},
		Condition: func(name string) (bool, error) {
			if name != "mounts" {
				return false, fmt.Errorf("there is no condition %s", name)
			}
			return exec.Command("unshare", "-rm", "true").Run() == nil, nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exit": exitCommand, "request": requestCommand, "field": fieldCommand,
			"invitation": invitationCommand, "server": serverCommand,
		},
	})
}

func exitCommand(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if e, ok := errors.AsType[interface {
		error
		ExitCode() int
	}](err); ok {
		got = e.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit status is %d, not %d", got, want)
	}
}

func requestCommand(ts *testscript.TestScript, _ bool, args []string) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	ts.Check(err)
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{"evil.example"}}, key)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), 0o600))
}

func fieldCommand(ts *testscript.TestScript, _ bool, args []string) {
	lines := strings.Split(strings.TrimSpace(ts.ReadFile("stdout")), "\n")
	var v map[string]any
	ts.Check(json.Unmarshal([]byte(lines[len(lines)-1]), &v))
	s, ok := v[args[1]].(string)
	if !ok {
		ts.Fatalf("no field %s in %s", args[1], lines[len(lines)-1])
	}
	ts.Setenv(args[0], s)
}

func invitationCommand(ts *testscript.TestScript, _ bool, args []string) {
	out := ts.ReadFile("stdout")
	v, err := hufu.ParseInvitation(strings.TrimSuffix(out, "\n"))
	ts.Check(err)
	if out != v.String()+"\n" {
		ts.Fatalf("stdout is not the code alone: %q", out)
	}
	if v.Host != args[0] || strconv.Itoa(v.Port) != args[1] {
		ts.Fatalf("the code is for %s %d", v.Host, v.Port)
	}
}

func serverCommand(ts *testscript.TestScript, _ bool, args []string) {
	dir := ts.MkAbs(args[0])
	l, err := listenControl(dir)
	ts.Check(err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	note := func(s string) {
		f, err := os.OpenFile(filepath.Join(dir, "asked"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err == nil {
			_, err = f.WriteString(s + "\n")
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			ts.Logf("%v", err)
		}
	}
	go func() {
		defer close(done)
		serveControl(ctx, l, slog.New(slog.DiscardHandler), func(context.Context) error { note("reload"); return nil },
			func() any {
				note("status")
				return server.Status{
					Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Version: "test", Open: 3, Connections: 70, Refused: 5,
					Puts: 4, BytesIn: 2 << 20, Gets: 9, Users: []string{"alice", "bob"}, Fresh: true,
				}
			})
	}()
	ts.Defer(func() { cancel(); <-done })
}

func TestHT25NoSecretIsAnArgument(t *testing.T) {
	t.Parallel()
	clitest.Secrets(t, newRoot(&app{App: cli.New(program, nil, nil, io.Discard, io.Discard, func(string) string { return "" })}))
}

func TestHelpInBothLanguages(t *testing.T) {
	t.Parallel()
	clitest.Help(t, func(lang string) (*cli.App, *cobra.Command) {
		a := &app{App: cli.New(program, []string{"--lang", lang}, nil, io.Discard, io.Discard, func(string) string { return "" })}
		return a.App, newRoot(a)
	})
}

func TestPagesAndCompletionAgreeWithFlags(t *testing.T) {
	t.Parallel()
	clitest.Agree(t, func(lang string, out io.Writer) (*cli.App, *cobra.Command) {
		a := &app{App: cli.New(program, []string{"--lang", lang}, nil, out, io.Discard, func(string) string { return t.TempDir() })}
		return a.App, newRoot(a)
	})
}

func TestNothingEmptyIsTaken(t *testing.T) {
	t.Parallel()
	clitest.Empty(t, func() *cobra.Command {
		return newRoot(&app{App: cli.New(program, nil, nil, io.Discard, io.Discard, func(string) string { return "" })})
	})
}

// TestCopyLeavesNoFileBehind: a database with names of files is not copied without them.
func TestCopyLeavesNoFileBehind(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "d")
	hufud := func(args ...string) (code int, said string) {
		t.Helper()
		var out strings.Builder
		code = run(append([]string{"--data", dir}, args...), nil, &out, &out, func(string) string { return "" })
		return code, out.String()
	}
	if code, said := hufud("init", "--name", "localhost", "--no-passphrase"); code != 0 {
		t.Fatal(said)
	}
	ctx := t.Context()
	db, err := meta.Open(ctx, meta.File(filepath.Join(dir, "hufu.db")))
	if err != nil {
		t.Fatal(err)
	}
	names, err := db.Names()
	if err == nil {
		err = names.Change(ctx, func(q meta.NameQueries) error {
			return q.AddTree(ctx, "users/alice", meta.Folder{ID: meta.NewID(), Mode: 0o755})
		})
		err = errors.Join(err, names.Close())
	}
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	code, said := hufud("db", "copy", "--to", "sqlite:other.db")
	if code != 2 || !strings.Contains(said, "also holds the names of files") {
		t.Errorf("%d %s", code, said)
	}
	if _, err := os.Stat(filepath.Join(dir, "other.db")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the other database: %v", err)
	}
}

// TestCopyNoticesChange: what is revoked in the source while it is copied is not valid in a copy that
// the command calls good.
func TestCopyNoticesChange(t *testing.T) {
	t.Parallel()
	ctx, dir := t.Context(), t.TempDir()
	a := &app{App: cli.New(program, nil, nil, io.Discard, io.Discard, func(string) string { return "" }), data: dir}
	source, target := meta.File(filepath.Join(dir, "old.db")), meta.File(filepath.Join(dir, "new.db"))
	db, err := meta.Open(ctx, source)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	err = errors.Join(
		db.PutUser(ctx, meta.User{Name: "alice", Created: time.UnixMilli(1)}),
		db.AddCertificate(ctx, meta.Certificate{Serial: "0a", Use: meta.UseServer, Issued: time.UnixMilli(1)}),
		db.AddCertificate(ctx, meta.Certificate{Serial: "0b", Fingerprint: [32]byte{1}, Use: meta.UseClient, User: "alice", Device: "laptop", Issued: time.UnixMilli(1)}),
		db.AddInvitation(ctx, meta.Invitation{SecretHash: [32]byte{1}, User: "alice"}))
	if err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func() error{
		"nothing":       func() error { return nil },
		"a certificate": func() error { _, err := db.Revoke(ctx, "0b", "stolen", time.UnixMilli(2)); return err },
		"an invitation": func() error { return db.DropInvitation(ctx, [32]byte{1}) },
	} {
		rows, err := a.rowsOf(ctx, source)
		if err == nil {
			err = change()
		}
		if err != nil {
			t.Fatal(err)
		}
		_, err = a.fill(ctx, source, target, rows, true)
		if what == "nothing" && err != nil || what != "nothing" && hufu.CodeOf(err) != "db_copy_changed" {
			t.Errorf("%s is changed: %v", what, err)
		}
	}
}

func TestControlSocket(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a := &app{App: &cli.App{Getenv: os.Getenv}, data: dir}
	if _, err := a.askServer(t.Context(), "status"); !errors.Is(err, errNoServer) {
		t.Errorf("without a server: %v", err)
	}
	if longFolders {
		dir = filepath.Join(dir, strings.Repeat("x", 120))
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		a.data = dir
	}
	for range 2 { // the second one finds what a dead server left
		l, err := listenControl(dir)
		if err != nil {
			t.Fatal(err)
		}
		if fi, err := os.Stat(filepath.Join(dir, controlSocket)); err != nil || fi.Mode().Perm() != 0o600 {
			t.Errorf("socket is %v, %v", fi, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		fail := errors.New("no")
		go func() {
			defer close(done)
			serveControl(ctx, l, slog.New(slog.DiscardHandler), func(context.Context) error { return fail }, func() any { return 1 })
		}()
		for line, want := range map[string]string{"reload": "error", "status": "1", "nonsense": "unknown"} {
			if got, err := a.askServer(t.Context(), line); err != nil || got != want {
				t.Errorf("%s: %q, %v", line, got, err)
			}
		}
		cancel()
		<-done
		if err := os.WriteFile(filepath.Join(dir, controlSocket), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// A data folder whose server runs is refused before anything in it changes, as
// is an address that is taken before there is a folder.
func TestRunRefusesBeforeItChangesAnything(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	t.Setenv("XDG_CONFIG_HOME", "")
	dir := filepath.Join(t.TempDir(), "data")
	hufud := func(args ...string) (status int, said string) {
		var out strings.Builder
		status = run(append([]string{"--data", dir}, args...), nil, io.Discard, &out, func(string) string { return "" })
		return status, out.String()
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	if status, said := hufud("run", "--open=false", "--listen", taken.Addr().String()); status != 2 {
		t.Errorf("with a port that is taken: %d, %s", status, said)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a data folder was made: %v", err)
	}
	if status, said := hufud("init", "--name", "localhost", "--no-passphrase"); status != 0 {
		t.Fatal(said)
	}
	a := &app{App: &cli.App{Getenv: os.Getenv}, data: dir}
	unlock, err := a.lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	before, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if status, said := hufud("run", "--open=false", "--listen", "127.0.0.1:0"); status != 2 || !strings.Contains(said, "is in use by a server") {
		t.Errorf("with a server: %d, %s", status, said)
	}
	after, err := os.ReadDir(dir)
	if err != nil || len(after) != len(before) {
		t.Errorf("the data folder holds %v, not %v, %v", after, before, err)
	}
	s, err := a.open(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.close() }()
	if users, err := s.acc.Users(t.Context()); err != nil || len(users) != 0 {
		t.Errorf("users %v, %v", users, err)
	}
}

// SIGHUP has the log opened anew under its name; the server goes on.
func TestHangupOpensTheLogAnew(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("there is no SIGHUP")
	}
	dir := t.TempDir()
	data, log := filepath.Join(dir, "data"), filepath.Join(dir, "log")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	hufud := func(args ...string) *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), self)
		cmd.Args = append([]string{"hufud", "--data", data}, args...)
		cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME=", "XDG_STATE_HOME=", "XDG_CACHE_HOME=", "LANG=C", "DISPLAY=", "WAYLAND_DISPLAY=")
		return cmd
	}
	if out, err := hufud("init", "--name", "localhost", "--no-passphrase").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	// until waits for a line in the log, for as long as the test may take.
	until := func(what string) {
		t.Helper()
		for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
			if text, err := os.ReadFile(log); err == nil && strings.Contains(string(text), what) {
				return
			} else if time.Now().After(end) {
				t.Fatalf("the log does not say %q, but %q, %v", what, text, err)
			}
		}
	}
	serve := hufud("serve", "--listen", "127.0.0.1:0", "--log-file", log)
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	ended := sync.OnceValue(serve.Wait)
	t.Cleanup(func() { _ = serve.Process.Kill(); _ = ended() })
	until("msg=listening")
	if err := os.Rename(log, log+".1"); err != nil {
		t.Fatal(err)
	}
	if err := serve.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	until("log opened again")
	if err := serve.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	until("msg=stopped")
	if err := ended(); err != nil {
		t.Error(err)
	}

	// "hufud run" ends with its terminal, in good order.
	log = filepath.Join(data, "hufud.log")
	trial := hufud("run", "--open=false", "--listen", "127.0.0.1:0", "--teach-plaintext=0")
	if err := trial.Start(); err != nil {
		t.Fatal(err)
	}
	trialEnded := sync.OnceValue(trial.Wait)
	t.Cleanup(func() { _ = trial.Process.Kill(); _ = trialEnded() })
	until("msg=listening")
	if err := trial.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	until("msg=stopped")
	_ = trialEnded() // enrolling may have been cut
}

// TestCommandsToTry: what run prints is to be typed as it is, from any folder.
func TestCommandsToTry(t *testing.T) {
	t.Parallel()
	a := &app{App: cli.New(program, nil, nil, io.Discard, io.Discard, func(string) string { return "" }), data: "/it's my data"}
	lines := strings.Join(a.toTry("local", "default"), "\n")
	for _, want := range []string{" put README.md local:/demo/\n", " gui --profile local\n", ` --data '/it'\''s my data' invite alice`} {
		if !strings.Contains(lines, want) {
			t.Errorf("%q is not in\n%s", want, lines)
		}
	}
	if lines := strings.Join(a.toTry("work", "work"), "\n"); !strings.Contains(lines, " ls :/demo\n") || !strings.HasPrefix(lines, "/") {
		t.Error(lines)
	}
}

func TestDefaultData(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		env  map[string]string
		want string
	}{
		{map[string]string{"XDG_DATA_HOME": "/x", "HOME": "/h"}, "/x/hufud"},
		{map[string]string{"XDG_DATA_HOME": "relative", "HOME": "/h"}, "/h/.local/share/hufud"},
		{map[string]string{"HOME": "/h"}, "/h/.local/share/hufud"},
	} {
		if got, err := defaultData(func(k string) string { return c.env[k] }); err != nil || got != c.want {
			t.Errorf("%v: %q, %v", c.env, got, err)
		}
	}
	if _, err := defaultData(func(string) string { return "" }); hufu.CodeOf(err) != "admin_home_unknown" {
		t.Error(err)
	}
}

// TestServerEndsInItsTime: a server is asked to end, and something of it does not.
func TestServerEndsInItsTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const limit = 10 * time.Second
		ctx, stop := context.WithCancel(t.Context())
		stuck := make(chan struct{})
		time.AfterFunc(time.Hour, stop)
		start := time.Now()
		err := within(ctx, limit, func() error { <-stuck; return nil })
		if took := time.Since(start); hufu.CodeOf(err) != "serve_not_closed" || took != time.Hour+limit {
			t.Errorf("after %v: %v", took, err)
		}
		close(stuck)
		lost := errors.New("lost")
		for _, ctx := range []context.Context{t.Context(), ctx} {
			if err := within(ctx, limit, func() error { time.Sleep(limit / 2); return lost }); !errors.Is(err, lost) {
				t.Errorf("instead of its own error: %v", err)
			}
		}
	})
}
