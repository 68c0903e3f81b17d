//go:build e2e && linux

// Package built runs the programs as they are built, for the end-to-end tests:
// servers that are started, killed and started again, and people with homes of
// their own. It knows nothing of hufu but its command lines.
package built

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"hufu/internal/testenv/port"
)

// patience is how long a program gets for what it does in milliseconds.
const patience = 30 * time.Second

// Password is the password of everybody.
const Password = "correct horse battery staple"

// Main is TestMain of the packages that run the programs: it sets bin to their folder and exits
// with the status of m. Each of starts is called first, and its stop after m.
func Main(m interface{ Run() int }, bin *string, starts ...func() (stop func(), err error)) {
	os.Exit(func() int {
		fail := func(err error) int {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		dir, remove, err := Build()
		if err != nil {
			return fail(err)
		}
		defer remove()
		*bin = dir
		for _, start := range starts {
			stop, err := start()
			if err != nil {
				return fail(err)
			}
			defer stop()
		}
		return m.Run()
	}())
}

// Build makes both programs as `make build` does and returns their folder;
// HUFU_BIN names one that has them already. remove takes away what was made.
func Build() (dir string, remove func(), err error) {
	if dir = os.Getenv("HUFU_BIN"); dir != "" {
		dir, err = filepath.Abs(dir)
		for _, name := range []string{"hufu", "hufud"} {
			if _, statErr := os.Stat(filepath.Join(dir, name)); statErr != nil {
				err = errors.Join(err, statErr)
			}
		}
		return dir, func() {}, err
	}
	if dir, err = os.MkdirTemp("", "hufu-bin-"); err != nil {
		return "", nil, err
	}
	remove = func() { _ = os.RemoveAll(dir) }
	if err := build(dir); err != nil {
		remove()
		return "", nil, err
	}
	return dir, remove, nil
}

// BuildVersion makes both programs in dir, as those of another version.
func BuildVersion(dir, version string) error {
	return build(dir, "-ldflags", "-X hufu.Version="+version)
}

func build(dir string, flags ...string) error {
	args := append([]string{"build", "-trimpath", "-buildvcs=false", "-o", dir}, flags...)
	cmd := exec.Command("go", append(args, "hufu/cmd/hufu", "hufu/cmd/hufud")...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
}

// Result is what became of a program.
type Result struct {
	Code     int // exit status; minus the signal's number if one killed it
	Out, Err string
}

func (r Result) String() string {
	return fmt.Sprintf("exit status %d\n%s%s", r.Code, r.Out, r.Err)
}

// Lines are the objects that a program wrote with --json.
func (r Result) Lines() ([]map[string]any, error) {
	var all []map[string]any
	for line := range strings.Lines(r.Out) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			return nil, fmt.Errorf("%q: %w", line, err)
		}
		all = append(all, m)
	}
	return all, nil
}

// Summary is the last line of put --json and get --json.
type Summary struct {
	Transferred int64   `json:"transferred"`
	Same        int64   `json:"same"`
	Skipped     int64   `json:"skipped"`
	Failed      int64   `json:"failed"`
	Sent        int64   `json:"bytes_sent"`
	Resumed     int64   `json:"bytes_resumed"`
	Seconds     float64 `json:"seconds"`
}

// Summary reads it.
func (r Result) Summary() (Summary, error) {
	lines := strings.Split(strings.TrimSpace(r.Out), "\n")
	var s Summary
	err := json.Unmarshal([]byte(lines[len(lines)-1]), &s)
	if err != nil || !strings.Contains(lines[len(lines)-1], `"summary"`) {
		return s, fmt.Errorf("no summary: %w\n%s", err, r)
	}
	return s, nil
}

// Code is the exit status that the error of a command stands for.
func Code(cmd *exec.Cmd, err error) (int, error) {
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		return 0, err
	}
	if s, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && s.Signaled() {
		return -int(s.Signal()), nil
	}
	return cmd.ProcessState.ExitCode(), nil
}

// Environ is the environment of a program: a home and nothing of ours.
func Environ(home string, more ...string) []string {
	return append([]string{"HOME=" + home, "PATH=" + os.Getenv("PATH"), "TMPDIR=" + os.TempDir()}, more...)
}

// Run runs a program to its end.
func Run(cmd *exec.Cmd) (Result, error) {
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	code, err := Code(cmd, cmd.Run())
	return Result{code, out.String(), errs.String()}, err
}

// Server is a hufud with its data folder.
type Server struct {
	Data    string
	Address string // where it listens; the port is the test's until its end
	LogFile string
	bin     string
	flags   []string
	cmd     *exec.Cmd
}

// Upgrade has the server run the programs in bin from its next start on.
func (s *Server) Upgrade(bin string) { s.bin = bin }

// NewServer makes a data folder.
func NewServer(bin, data string, flags ...string) (*Server, error) {
	return NewServerWith(nil, bin, data, flags...)
}

// NewServerWith is NewServer with more flags of "hufud init".
func NewServerWith(init []string, bin, data string, flags ...string) (*Server, error) {
	address, _, err := port.Hold() // given back when the test's process ends
	if err != nil {
		return nil, err
	}
	s := &Server{Data: data, Address: address, bin: bin, flags: flags, LogFile: data + ".log"}
	r, err := s.Admin(append([]string{"init", "--name", "localhost,127.0.0.1,::1", "--no-passphrase"}, init...)...)
	if err == nil && r.Code != 0 {
		err = fmt.Errorf("hufud init: %s", r)
	}
	return s, err
}

// Join makes the data folder of another server of the same installation, as on a second computer: of
// the first one's folder it gets the CA without its root key, and the configuration.
func (s *Server) Join(data string, flags ...string) (*Server, error) {
	address, _, err := port.Hold()
	if err != nil {
		return nil, err
	}
	config, err := os.ReadFile(filepath.Join(s.Data, "hufud.toml"))
	if err := errors.Join(err, os.MkdirAll(filepath.Join(data, "ca"), 0o700), os.WriteFile(filepath.Join(data, "hufud.toml"), config, 0o600)); err != nil {
		return nil, err
	}
	files, err := os.ReadDir(filepath.Join(s.Data, "ca"))
	for _, f := range files {
		if f.Name() == "root.key" {
			continue
		}
		content, readErr := os.ReadFile(filepath.Join(s.Data, "ca", f.Name()))
		err = errors.Join(err, readErr, os.WriteFile(filepath.Join(data, "ca", f.Name()), content, 0o600))
	}
	return &Server{Data: data, Address: address, bin: s.bin, flags: flags, LogFile: data + ".log"}, err
}

// Serve sets the flags that the server starts with from now on.
func (s *Server) Serve(flags ...string) { s.flags = flags }

// Admin runs hufud on the server's data folder.
func (s *Server) Admin(args ...string) (Result, error) {
	cmd := exec.Command(filepath.Join(s.bin, "hufud"), append([]string{"--data", s.Data}, args...)...)
	cmd.Env = Environ(filepath.Dir(s.Data))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return Run(cmd)
}

var listening = regexp.MustCompile(`msg=listening address=(\S+)`)

// Start runs the server until Kill or Stop and waits until it listens at
// Address.
func (s *Server) Start() error {
	log, err := os.OpenFile(s.LogFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	before, err := log.Seek(0, 2)
	if err != nil {
		return err
	}
	s.cmd = exec.Command(filepath.Join(s.bin, "hufud"), append([]string{"--data", s.Data, "serve", "--listen", s.Address}, s.flags...)...)
	s.cmd.Env = Environ(filepath.Dir(s.Data))
	s.cmd.Stderr = log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		return err
	}
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if m := listening.FindStringSubmatch(s.Log()[before:]); m != nil {
			s.Address = m[1]
			return nil
		}
		if Gone(s.Pid()) {
			break
		}
	}
	_ = s.Kill()
	return fmt.Errorf("the server does not listen:\n%s", s.Log()[before:])
}

// Pid is the server's process.
func (s *Server) Pid() int { return s.cmd.Process.Pid }

// Log is what all its runs have logged.
func (s *Server) Log() string {
	data, _ := os.ReadFile(s.LogFile)
	return string(data)
}

// Kill ends the server with SIGKILL. A server that has ended already is no error.
func (s *Server) Kill() error {
	if s.cmd == nil {
		return nil
	}
	_ = s.cmd.Process.Kill()
	_, err := Code(s.cmd, s.cmd.Wait())
	s.cmd = nil
	return err
}

// Stop asks the server to end and returns its exit status.
func (s *Server) Stop() (int, error) {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	code, err := Code(s.cmd, s.cmd.Wait())
	s.cmd = nil
	return code, err
}

// Invite returns an invitation code; address is where the client finds the
// server, "" the server's own.
func (s *Server) Invite(user, address string) (string, error) {
	args := []string{"invite", user}
	if address != "" {
		args = append(args, "--address", address)
	}
	r, err := s.Admin(args...)
	if err == nil && r.Code != 0 {
		err = fmt.Errorf("hufud invite: %s", r)
	}
	return strings.TrimSpace(r.Out), err
}

// Person is somebody with a home.
type Person struct {
	Home string
	bin  string
}

// Enroll makes a person of the server's, enrolled and logged in.
func (s *Server) Enroll(home, user, address string) (Person, error) {
	p := Person{home, s.bin}
	code, err := s.Invite(user, address)
	if err != nil {
		return p, err
	}
	if err := os.MkdirAll(home, 0o700); err != nil {
		return p, err
	}
	password := filepath.Join(home, "password")
	if err := os.WriteFile(password, []byte(Password+"\n"), 0o600); err != nil {
		return p, err
	}
	r, err := p.Run("enroll", code, "--password-file", password)
	if err == nil && r.Code != 0 {
		err = fmt.Errorf("hufu enroll: %s", r)
	}
	return p, err
}

// Command prepares a run of hufu in the person's home.
func (p Person) Command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(p.bin, "hufu"), args...)
	cmd.Dir, cmd.Env = p.Home, Environ(p.Home)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// Run runs hufu to its end.
func (p Person) Run(args ...string) (Result, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	return Run(p.Command(ctx, args...))
}
