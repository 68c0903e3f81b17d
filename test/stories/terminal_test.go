//go:build e2e && linux

package stories

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hufu/test/built"
)

// onTerminal runs a program on a terminal, types answer once all of questions have
// come, and returns all that was shown.
func onTerminal(t *testing.T, cmd *exec.Cmd, questions []string, answer string) (shown string, code int) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	user, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	must(err)
	defer func() { _ = user.Close() }()
	must(unix.IoctlSetPointerInt(int(user.Fd()), unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(int(user.Fd()), unix.TIOCGPTN)
	must(err)
	must(unix.IoctlSetWinsize(int(user.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 200}))
	program, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	must(err)
	patience := time.AfterFunc(time.Minute, func() { _ = program.Close(); _ = cmd.Process.Kill() })
	defer patience.Stop()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = program, program, program
	cmd.Env = append(cmd.Env, "TERM=xterm")
	must(cmd.Start())
	must(program.Close())
	var all bytes.Buffer
	answered := len(questions) == 0
	buf := make([]byte, 4096)
	for {
		n, err := user.Read(buf)
		all.Write(buf[:n])
		if !answered && !slices.ContainsFunc(questions, func(q string) bool { return !strings.Contains(all.String(), q) }) {
			answered = true
			if _, err := io.WriteString(user, answer); err != nil {
				t.Fatal(err)
			}
		}
		if err != nil {
			break // the program has ended, and with it the last who had the terminal open
		}
	}
	code, err = built.Code(cmd, cmd.Wait())
	must(err)
	return all.String(), code
}

// TestTransfersOnATerminal: a user at a terminal sees the progress, what failed and
// why, what was skipped, the name that was chosen, and the question.
func TestTransfersOnATerminal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := built.NewServer(bin, filepath.Join(dir, "data"))
	if err == nil {
		err = s.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Kill() })
	home := filepath.Join(dir, "home")
	if err := os.MkdirAll(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	alice, err := s.Enroll(home, "alice", s.Address)
	if err != nil {
		t.Fatal(err)
	}
	file, folder := filepath.Join(dir, "report"), filepath.Join(dir, "folder")
	write := func(path, data string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(code int, question, answer string, said []string, args ...string) {
		t.Helper()
		var questions []string
		if question != "" {
			questions = []string{question, "[---"} // a bar
		}
		shown, got := onTerminal(t, alice.Command(t.Context(), args...), questions, answer)
		if got != code {
			t.Errorf("%q: exit status %d, not %d: %q", args, got, code, shown)
		}
		for _, text := range said {
			if !strings.Contains(shown, text) {
				t.Errorf("%q shows no %q: %q", args, text, shown)
			}
		}
	}
	write(file, "first")
	if err := unix.Mkfifo(filepath.Join(folder, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	run(0, "", "", []string{"1 transferred"}, "put", file, ":/")
	write(file, "second, longer")
	run(0, "[r]eplace", "r\n", []string{"already exists", "1 transferred"}, "put", file, ":/")
	write(file, "third, and longer still")
	run(0, "", "", []string{"the existing one is kept"}, "put", "--conflict", "rename", file, ":/")
	run(1, "", "", []string{"is a pipe", "1 failed"}, "put", filepath.Join(folder, "pipe"), file, ":/new/")
	run(0, "", "", []string{"pipe: skipped."}, "put", folder, ":/")
	run(0, "", "", []string{"1 transferred"}, "get", ":/report", filepath.Join(dir, "back"))
	run(0, "", "", nil, "put", file, ":/other")
	// The server copies: there are no bars.
	shown, code := onTerminal(t, alice.Command(t.Context(), "cp", ":/report", ":/other"), []string{"[k]eep both"}, "k\n")
	if code != 0 || !strings.Contains(shown, "the existing one is kept") {
		t.Errorf("cp within the server: %d, %q", code, shown)
	}
}

// TestQuestionsOnATerminal: a question that is answered with no ends the command
// with the status of a wrong command, not with that of a signal; a new password is
// asked for as one.
func TestQuestionsOnATerminal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := built.NewServer(bin, filepath.Join(dir, "data"))
	if err == nil {
		err = s.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Kill() })
	code, err := s.Invite("alice", s.Address)
	if err != nil {
		t.Fatal(err)
	}
	command := func(program string, args ...string) *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), filepath.Join(bin, program), args...)
		cmd.Env = built.Environ(dir)
		return cmd
	}
	for _, c := range []struct {
		cmd      *exec.Cmd
		question string
		answer   string
		code     int
		shown    string
	}{
		{command("hufud", "--data", s.Data, "invite", "alcie"), "alcie", "n\n", 2, "none was created"},
		{command("hufud", "--data", s.Data, "invite", "alcie"), "alcie", "\x04", 2, "The input ended"},
		{command("hufud", "--data", s.Data, "invite", "alcie"), "alcie", "y\n", 0, "hufu1_"},
		{command("hufud", "--data", s.Data, "user", "passwd", "alice"), "New password (at least 8 characters):", "one\nother\n", 2, "The two entries do not match"},
		{command("hufu", "enroll", code), "New password (at least 8 characters), or your password if you have enrolled before:", "one\nother\n", 2, "The two entries do not match"},
	} {
		shown, code := onTerminal(t, c.cmd, []string{c.question}, c.answer)
		if code != c.code || !strings.Contains(shown, c.shown) {
			t.Errorf("%q answered with %q: exit status %d, not %d: %q", c.cmd.Args, c.answer, code, c.code, shown)
		}
	}
}

// TestSecondInterruptEndsAtOnce: a command that cannot stop, because nobody reads what it writes,
// is ended by the second Ctrl-C.
func TestSecondInterruptEndsAtOnce(t *testing.T) {
	t.Parallel()
	heard := make(chan os.Signal, 1)
	signal.Notify(heard, os.Interrupt) // so a program that is started does not ignore it, whatever has started this one
	t.Cleanup(func() { signal.Stop(heard) })
	for how, want := range map[string]int{"trap - INT": -int(unix.SIGINT), "trap '' INT": 128 + int(unix.SIGINT)} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			secondInterrupt(t, how, want)
		})
	}
}

// secondInterrupt interrupts a command until it ends. how is what a shell says of interrupts before it
// starts the command: a script ignores them for what it runs in the background.
func secondInterrupt(t *testing.T, how string, want int) {
	t.Helper()
	dir := t.TempDir()
	s, err := built.NewServer(bin, filepath.Join(dir, "data"))
	if err == nil {
		err = s.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Kill() })
	alice, err := s.Enroll(filepath.Join(dir, "home"), "alice", s.Address)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "large")
	if err := os.WriteFile(file, make([]byte, 3<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if r, err := alice.Run("put", file, ":/"); err != nil || r.Code != 0 {
		t.Fatal(r, err)
	}
	unread, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unread.Close() }()
	cmd := alice.Command(t.Context(), "cat", ":/large")
	cmd.Path, cmd.Args = "/bin/sh", []string{"sh", "-c", how + `; exec "$0" "$@"`, cmd.Path, "cat", ":/large"}
	cmd.Stdout = out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = out.Close()
	if _, err := unread.Read(make([]byte, 1)); err != nil { // it writes
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for end := time.Now().Add(time.Minute); ; { // until the first was received and the second had its effect
		if err := cmd.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Fatal(err)
		}
		select {
		case err := <-ended:
			if code, err := built.Code(cmd, err); err != nil || code != want {
				t.Errorf("it ended with %d, %v", code, err)
			}
			return
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(end) {
			_ = cmd.Process.Kill()
			t.Fatal("it does not end")
		}
	}
}
