package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"hufu/internal/cli"
)

// failing is a listener that fails once, as one does without a free descriptor.
type failing struct {
	net.Listener
	failed bool // used by one goroutine
}

func (f *failing) Accept() (net.Conn, error) {
	if !f.failed {
		f.failed = true
		return nil, &net.OpError{Op: "accept", Net: "unix", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	}
	return f.Listener.Accept()
}

// TestSocketGoesOn: a server whose descriptors were used up for a moment answers afterwards.
func TestSocketGoesOn(t *testing.T) {
	t.Parallel()
	a := &app{App: cli.New(program, nil, nil, io.Discard, io.Discard, func(string) string { return "" }), data: t.TempDir()}
	l, err := listenControl(a.data)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	var log strings.Builder
	go func() {
		defer close(done)
		serveControl(ctx, &failing{Listener: l}, slog.New(slog.NewTextHandler(&log, nil)), func(context.Context) error { return nil }, func() any { return 1 })
	}()
	if got, err := a.askServer(t.Context(), "reload"); err != nil || got != "ok" {
		t.Errorf("%q, %v", got, err)
	}
	cancel()
	<-done
	if !strings.Contains(log.String(), "accept") {
		t.Errorf("the log is %q", log.String())
	}
	if _, err := os.Stat(filepath.Join(a.data, controlSocket)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket: %v", err)
	}
}

// TestNotGuessed: a server runs if it holds the control socket, and only then. What cannot
// be known is not called a server that has gone.
func TestNotGuessed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	dial := func(err error) error { return &net.OpError{Op: "dial", Net: "unix", Err: err} }
	for _, c := range []struct {
		err        error
		none, runs bool
	}{
		{dial(os.NewSyscallError("connect", syscall.ENOENT)), true, false},
		{dial(os.NewSyscallError("connect", syscall.ECONNREFUSED)), true, false},
		{pathTooLong(dir), true, false}, // no server could have a socket there
		{dial(os.NewSyscallError("connect", syscall.EAGAIN)), false, true},
		{dial(context.DeadlineExceeded), false, true},
		{dial(os.NewSyscallError("connect", syscall.EACCES)), runtime.GOOS == "windows", false},
	} {
		err := notDialed(c.err)
		if errors.Is(err, errNoServer) != c.none || errors.Is(err, errSilent) != c.runs {
			t.Errorf("%v: no server %v, a server %v", c.err, errors.Is(err, errNoServer), errors.Is(err, errSilent))
		}
	}

	// A server that does not answer is there, and a change is reported with a hint.
	l, err := listenControl(dir)
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan struct{})
	go func() {
		defer close(accepted)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
		}
	}()
	var hint strings.Builder
	a := &app{App: cli.New(program, nil, nil, io.Discard, &hint, func(string) string { return "" }), data: dir}
	var line statusLine
	a.ask(t.Context(), &line)
	a.poke(t.Context())
	if !line.Running || !strings.Contains(hint.String(), "did not confirm") {
		t.Errorf("with a server that does not answer: running %v, %q", line.Running, hint.String())
	}
	_ = l.Close()
	<-accepted
	hint.Reset()
	a.ask(t.Context(), &line)
	a.poke(t.Context())
	if line.Running || hint.String() != "" {
		t.Errorf("without a server: running %v, %q", line.Running, hint.String())
	}
}
