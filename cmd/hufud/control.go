package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"hufu"
)

// The control socket is how a command reaches the server that runs on the same
// data folder: one line asks, one line answers. Who may open it is decided by
// its mode, 0600, and by that of the folder.
//
//	reload   read accounts again and judge every connection anew; answers ok
//	status   answers one line of JSON
const (
	controlSocket  = "server.sock"
	controlTimeout = 5 * time.Second
	maxControlLine = 4096 // bytes
)

// maxSocketPath is what every system's unix socket address can hold, in bytes.
const maxSocketPath = 100

// socketPath is the address of the control socket. A path too long for a socket
// address is taken by way of the working directory's shorter name for it.
func socketPath(data string) string {
	path := filepath.Join(data, controlSocket)
	if len(path) <= maxSocketPath {
		return path
	}
	if wd, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(wd, path); err == nil && len(rel) < len(path) {
			return rel
		}
	}
	return path
}

// listenControl opens the control socket of a data folder. The caller holds the
// folder's lock, so a socket that is there already is a dead server's.
func listenControl(data string) (net.Listener, error) {
	path := socketPath(data)
	failed := func(err error) error {
		return &hufu.Error{Op: "open control socket", Path: path, Kind: hufu.KindUnreadable, Code: "admin_control_socket", Err: err}
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, failed(err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, failed(err)
	}
	if err := os.Chmod(path, 0o600); err != nil { // the folder is 0700, so there was no gap
		return nil, failed(errors.Join(err, l.Close()))
	}
	return l, nil
}

// serveControl answers on the control socket until ctx ends or l is closed.
func serveControl(ctx context.Context, l net.Listener, reload func(context.Context) error, status func() any) {
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go answerControl(ctx, c, reload, status) // ends by the deadline at the latest
	}
}

func answerControl(ctx context.Context, c net.Conn, reload func(context.Context) error, status func() any) {
	defer func() { _ = c.Close() }()
	ctx, cancel := context.WithTimeout(ctx, controlTimeout)
	defer cancel()
	_ = c.SetDeadline(time.Now().Add(controlTimeout))
	line, err := bufio.NewReader(io.LimitReader(c, maxControlLine)).ReadString('\n')
	if err != nil {
		return
	}
	switch strings.TrimSuffix(line, "\n") {
	case "reload":
		if err := reload(ctx); err != nil {
			_, _ = fmt.Fprintln(c, "error")
			return
		}
		_, _ = fmt.Fprintln(c, "ok")
	case "status":
		_ = json.NewEncoder(c).Encode(status())
	default:
		_, _ = fmt.Fprintln(c, "unknown")
	}
}

// errNoServer says that no server runs on the data folder.
var errNoServer = errors.New("no server runs on this data folder")

// askServer sends one line to the running server and returns its answer.
func (a *app) askServer(ctx context.Context, line string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, controlTimeout)
	defer cancel()
	c, err := (&net.Dialer{}).DialContext(ctx, "unix", socketPath(a.data))
	if err != nil {
		return "", fmt.Errorf("%w: %w", errNoServer, err)
	}
	defer func() { _ = c.Close() }()
	deadline, _ := ctx.Deadline()
	if err := c.SetDeadline(deadline); err != nil {
		return "", fmt.Errorf("ask server: %w", err)
	}
	if _, err := fmt.Fprintln(c, line); err != nil {
		return "", fmt.Errorf("ask server: %w", err)
	}
	answer, err := bufio.NewReader(io.LimitReader(c, 1<<20)).ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("ask server: %w", err)
	}
	return strings.TrimSuffix(answer, "\n"), nil
}

// poke has a running server take over a change now. The change is durable
// already and the server looks by itself four times a second, so a poke that
// fails is worth a hint and no more.
func (a *app) poke(ctx context.Context) {
	answer, err := a.askServer(context.WithoutCancel(ctx), "reload")
	if errors.Is(err, errNoServer) || err == nil && answer == "ok" {
		return
	}
	a.Hint(a.Cat.T("hufud.poke.failed"))
}
