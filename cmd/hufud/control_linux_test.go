package main

import (
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"hufu/internal/cli"
)

// TestFullQueueIsAServer: a server that accepts nothing any more, until its queue is full, is not
// taken for none.
func TestFullQueueIsAServer(t *testing.T) {
	t.Parallel()
	var hint strings.Builder
	a := &app{App: cli.New(program, nil, nil, io.Discard, &hint, func(string) string { return "" }), data: t.TempDir()}
	path := filepath.Join(a.data, controlSocket)
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Close(fd) }()
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}), syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	for range 10 { // the queue is shorter
		c, err := (&net.Dialer{}).DialContext(t.Context(), "unix", path)
		if err != nil {
			break
		}
		defer func() { _ = c.Close() }()
	}
	var line statusLine
	a.ask(t.Context(), &line)
	a.poke(t.Context())
	if !line.Running || !strings.Contains(hint.String(), "did not confirm") {
		t.Errorf("running %v, %q", line.Running, hint.String())
	}
}
