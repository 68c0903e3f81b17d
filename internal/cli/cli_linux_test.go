package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"hufu"
)

// terminal returns both ends of a new one.
func terminal(t *testing.T) (user, program *os.File) {
	t.Helper()
	user, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = user.Close() })
	if err := unix.IoctlSetPointerInt(int(user.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(user.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = program.Close() })
	return user, program
}

func echoes(t *testing.T, f *os.File) bool {
	t.Helper()
	s, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return s.Lflag&unix.ECHO != 0
}

func app(in *os.File) *App {
	return New("hufu", nil, in, new(bytes.Buffer), new(bytes.Buffer), func(string) string { return "" })
}

// TestQuestionsEnd: who is asked for something can stop the program, and then
// sees again what is typed.
func TestQuestionsEnd(t *testing.T) {
	t.Parallel()
	for name, ask := range map[string]func(context.Context, *App) (string, error){
		"secret": func(ctx context.Context, a *App) (string, error) {
			return a.Secret(ctx, "Password:", "", nil)
		},
		"line": func(ctx context.Context, a *App) (string, error) { return a.Ask(ctx, "Code:") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for after := range 10 { // before it asks, while it begins to, and while it waits
				user, program := terminal(t)
				ctx, stop := context.WithCancel(t.Context())
				if after == 0 {
					stop()
				}
				answered := make(chan error, 1)
				go func() {
					_, err := ask(ctx, app(program))
					answered <- err
				}()
				time.Sleep(time.Duration(after*after) * 50 * time.Microsecond)
				for after == 9 && name == "secret" && echoes(t, program) {
					time.Sleep(time.Millisecond)
				}
				stop()
				if err := <-answered; hufu.KindOf(err) != hufu.KindCanceled {
					t.Error(err)
				}
				if !echoes(t, program) {
					t.Errorf("after %d: what is typed is not shown any more", after)
				}
				_, _ = user.WriteString("\n") // lets the reader go that was left behind
			}
		})
	}
}

// TestAnswers: what is typed, and the end of the input.
func TestAnswers(t *testing.T) {
	t.Parallel()
	user, program := terminal(t)
	a := app(program)
	if _, err := user.WriteString("one\n"); err != nil {
		t.Fatal(err)
	}
	if s, err := a.Ask(t.Context(), "Code:"); s != "one" || err != nil {
		t.Errorf("%q %v", s, err)
	}
	if _, err := user.WriteString("\x04"); err != nil { // Ctrl-D
		t.Fatal(err)
	}
	if _, err := a.Ask(t.Context(), "Code:"); hufu.CodeOf(err) != "input_ended" {
		t.Error(err)
	}
	for typed, want := range map[string]string{"\x04": "", "word\n": "word", "wo\x04rd\n": "word"} {
		type answer struct {
			s   string
			err error
		}
		answered := make(chan answer, 1)
		go func() {
			s, err := a.Secret(t.Context(), "Password:", "", errors.New("not a terminal"))
			answered <- answer{s, err}
		}()
		for echoes(t, program) { // what is typed before is not lost, but would be shown
			runtime.Gosched()
		}
		if _, err := user.WriteString(typed); err != nil {
			t.Fatal(err)
		}
		select {
		case got := <-answered:
			if got.s != want || (got.err == nil) != (want != "") || got.err != nil && hufu.CodeOf(got.err) != "input_ended" {
				t.Errorf("%q: %q %v", typed, got.s, got.err)
			}
		case <-time.After(time.Minute):
			t.Fatalf("%q does not end the prompt", typed)
		}
		if !echoes(t, program) {
			t.Errorf("after %q what is typed is not shown any more", typed)
		}
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

// TestLostOutput: what could not be written is no success, whoever ignored it.
func TestLostOutput(t *testing.T) {
	t.Parallel()
	for name, run := range map[string]func(*App) error{
		"told":    func(a *App) error { return a.Printf("a line") },
		"ignored": func(a *App) error { _ = a.JSON(1); return nil },
		"direct":  func(a *App) error { _, err := io.WriteString(a.Out, "a line\n"); return err },
	} {
		var told bytes.Buffer
		a := New("hufu", nil, nil, full{}, &told, func(string) string { return "" })
		cmd := &cobra.Command{SilenceErrors: true, SilenceUsage: true, RunE: func(*cobra.Command, []string) error { return run(a) }}
		if code := a.Run(cmd, nil); code != 1 || strings.Count(told.String(), "hufu: ") != 1 || !strings.Contains(told.String(), "Standard output could not be written") {
			t.Errorf("%s: %d %s", name, code, &told)
		}
	}
	for want, err := range map[int]error{1: nil, 8: &hufu.Error{Kind: hufu.KindIntegrity}} { // another failure keeps its status
		var told bytes.Buffer
		a := New("hufu", nil, nil, full{}, &told, func(string) string { return "" })
		cmd := &cobra.Command{SilenceErrors: true, SilenceUsage: true, RunE: func(*cobra.Command, []string) error { _ = a.JSON(1); return err }}
		if code := a.Run(cmd, nil); code != want || !strings.Contains(told.String(), "no space left") {
			t.Errorf("%v: %d %s", err, code, &told)
		}
	}
	if err := app(nil).Printf("%v", errors.New("fine")); err != nil {
		t.Error(err)
	}
}

// TestNobodyReads: a program whose reader has gone away ends as soon as it
// writes, and says nothing.
func TestNobodyReads(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Close()
	defer func() { _ = w.Close() }()
	var told bytes.Buffer
	a := New("hufu", nil, nil, w, &told, func(string) string { return "" })
	cmd := &cobra.Command{SilenceErrors: true, SilenceUsage: true, RunE: func(cmd *cobra.Command, _ []string) error {
		_ = a.JSON(1)
		<-cmd.Context().Done()
		a.Hint("0 transferred")
		return &hufu.Error{Op: "put", Kind: hufu.KindCanceled, Err: cmd.Context().Err()}
	}}
	if code := a.Run(cmd, nil); code != 141 || told.Len() > 0 {
		t.Errorf("%d %q", code, &told)
	}
}

// TestStoppingIsTold: a command that does not stop at once after Ctrl-C says that another one ends
// it. Not parallel: the signal is for the whole process.
func TestStoppingIsTold(t *testing.T) {
	user, program := terminal(t)
	a := New("hufu", nil, nil, new(bytes.Buffer), program, func(string) string { return "" })
	release, stopped := make(chan struct{}), make(chan struct{})
	root := &cobra.Command{Use: "hufu", RunE: func(cmd *cobra.Command, _ []string) error {
		if err := syscall.Kill(os.Getpid(), syscall.SIGINT); err != nil {
			return err
		}
		<-cmd.Context().Done()
		close(stopped)
		<-release
		return context.Cause(cmd.Context())
	}}
	status := make(chan int, 1)
	go func() { status <- a.Run(root, nil) }()
	<-stopped
	defer time.AfterFunc(time.Minute, func() { _ = user.Close() }).Stop()
	told := make([]byte, 200)
	n, err := user.Read(told)
	if err != nil || !strings.Contains(string(told[:n]), "Press Ctrl-C again to end at once.") {
		t.Errorf("%q, %v", told[:n], err)
	}
	close(release)
	<-status
}

// TestHangUpTwice: a terminal that is closed hangs up twice, and the program ends in order.
func TestHangUpTwice(t *testing.T) { //nolint:paralleltest // a signal is the whole program's
	heard := make(chan os.Signal, 1)
	signal.Notify(heard, syscall.SIGHUP) // now it counts as not ignored, also under nohup
	signal.Stop(heard)
	defer signal.Reset(syscall.SIGHUP)
	a := app(nil)
	a.HangUp = true
	cmd := &cobra.Command{Use: "hufu", SilenceUsage: true, SilenceErrors: true, RunE: func(cmd *cobra.Command, _ []string) error {
		for range 2 {
			if err := unix.Kill(unix.Getpid(), unix.SIGHUP); err != nil {
				return err
			}
			<-cmd.Context().Done()
		}
		return &hufu.Error{Op: "test", Kind: hufu.KindCanceled, Err: cmd.Context().Err()}
	}}
	if status := a.Run(cmd, nil); status != exitHungUp {
		t.Error(status)
	}
}
