//go:build e2e && linux

package stories

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hufu/test/built"
)

// onTerminal runs hufu with its standard output and error on a terminal, types
// answer once the question and a bar have come, and returns all that was shown.
func onTerminal(t *testing.T, p built.Person, question, answer string, args ...string) (shown string, code int) {
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
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := p.Command(ctx, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = program, program, program
	cmd.Env = append(cmd.Env, "TERM=xterm")
	must(cmd.Start())
	must(program.Close())
	var all bytes.Buffer
	answered := question == ""
	buf := make([]byte, 4096)
	for {
		n, err := user.Read(buf)
		all.Write(buf[:n])
		if !answered && strings.Contains(all.String(), question) && strings.Contains(all.String(), "[---") {
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
		shown, got := onTerminal(t, alice, question, answer, args...)
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
}
