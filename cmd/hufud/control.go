package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"hufu"
	"hufu/internal/cli"
	"hufu/internal/server"
)

// The control socket is how a command reaches the server that runs on the same
// data folder: one line asks, one line answers. Access to it is
// controlled by its mode, 0600, and by that of the folder.
//
//	reload   read accounts again and judge every connection again; answers ok
//	status   answers one line of JSON
const (
	controlSocket  = "server.sock"
	controlTimeout = 5 * time.Second
	controlPause   = 50 * time.Millisecond // after an Accept that failed
	maxControlLine = 4096                  // bytes
)

// maxSocketPath is the length in bytes that a unix socket address can hold on
// every system.
const maxSocketPath = 100

// socketPath returns the address of the control socket. A folder whose path is too
// long for a socket address gets a shorter name until done is called.
func socketPath(data string) (path string, done func(), err error) {
	path = filepath.Join(data, controlSocket)
	if len(path) <= maxSocketPath {
		return path, func() {}, nil
	}
	short, done, err := shortFolder(data)
	if err != nil {
		return "", nil, err
	}
	return filepath.Join(short, controlSocket), done, nil
}

// checkSocketPath refuses a folder, which need not be there yet, that could have
// no control socket.
func checkSocketPath(data string) error {
	if path := filepath.Join(data, controlSocket); len(path) > maxSocketPath && !longFolders {
		return pathTooLong(data)
	}
	return nil
}

func pathTooLong(data string) error {
	most := maxSocketPath - len(controlSocket) - 1
	return cli.Usage("admin_data_folder_long", "data", data, "most", strconv.Itoa(most))
}

// control is the control socket of a running server.
type control struct {
	net.Listener
	done func()
}

// Close also removes the socket.
func (c control) Close() error {
	defer c.done()
	return c.Listener.Close()
}

// listenControl opens the control socket of a data folder. The caller holds the
// folder's lock, so a socket that is there already is a dead server's.
func listenControl(data string) (net.Listener, error) {
	failed := func(err error) error {
		path := filepath.Join(data, controlSocket)
		return &hufu.Error{Op: "open control socket", Path: path, Kind: hufu.KindUnreadable, Code: "admin_control_socket", Err: err}
	}
	path, done, err := socketPath(data)
	if err != nil {
		return nil, err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		done()
		return nil, failed(err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		done()
		return nil, failed(err)
	}
	c := control{l, done}
	if err := os.Chmod(path, 0o600); err != nil { // the folder is 0700, so there was no gap
		return nil, failed(errors.Join(err, c.Close()))
	}
	return c, nil
}

// serveControl answers on the control socket until ctx ends or l is closed.
func serveControl(ctx context.Context, l net.Listener, log *slog.Logger, reload func(context.Context) error, status func() any) {
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	for {
		c, err := l.Accept()
		if err == nil {
			go answerControl(ctx, c, reload, status) // ends by the deadline at the latest
			continue
		}
		if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
			return
		}
		log.Warn("accept on control socket", "error", err) // out of descriptors, for example
		select {
		case <-time.After(controlPause):
		case <-ctx.Done():
		}
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

// running is the running server's description of itself.
type running struct {
	server.Status
	PID     int    `json:"pid"`
	Address string `json:"address"`
}

// askStatus returns the running server's description of itself, or nil.
func (a *app) askStatus(ctx context.Context) *running {
	line, err := a.askServer(ctx, "status")
	var s running
	if err != nil || json.Unmarshal([]byte(line), &s) != nil {
		return nil
	}
	return &s
}

var (
	// errNoServer means that no server runs on the data folder.
	errNoServer = errors.New("no server runs on this data folder")
	// errSilent means that a server runs on the data folder but has not answered.
	errSilent = errors.New("the server has not answered")
)

// notDialed returns why the control socket could not be reached. A socket that nobody holds
// refuses a connection; one whose queue is full, or that takes too long, has a server.
func notDialed(err error) error {
	timeout, isNet := errors.AsType[net.Error](err)
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED), hufu.CodeOf(err) == "admin_data_folder_long":
		err = errors.Join(errNoServer, err)
	case errors.Is(err, syscall.EAGAIN), isNet && timeout.Timeout():
		err = errors.Join(errSilent, err)
	case runtime.GOOS == "windows": // which has several errors for a socket that nobody holds
		err = errors.Join(errNoServer, err)
	}
	return fmt.Errorf("ask server: %w", err)
}

// askServer sends one line to the running server and returns its answer. The error is errNoServer
// if no server runs, and errSilent if one does not answer.
func (a *app) askServer(ctx context.Context, line string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, controlTimeout)
	defer cancel()
	path, done, err := socketPath(a.data)
	if err != nil {
		return "", notDialed(err)
	}
	defer done()
	c, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if err != nil {
		return "", notDialed(err)
	}
	defer func() { _ = c.Close() }()
	deadline, _ := ctx.Deadline()
	if err := c.SetDeadline(deadline); err != nil {
		return "", fmt.Errorf("%w: %w", errSilent, err)
	}
	if _, err := fmt.Fprintln(c, line); err != nil {
		return "", fmt.Errorf("%w: %w", errSilent, err)
	}
	answer, err := bufio.NewReader(io.LimitReader(c, 1<<20)).ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("%w: %w", errSilent, err)
	}
	return strings.TrimSuffix(answer, "\n"), nil
}

// poke tells the running server to apply a change now. The change is already
// durable, and the server looks for changes every account.PollInterval, so a
// failed poke gives only a hint.
func (a *app) poke(ctx context.Context) {
	answer, err := a.askServer(context.WithoutCancel(ctx), "reload")
	if errors.Is(err, errNoServer) || err == nil && answer == "ok" {
		return
	}
	a.Hint(a.Cat.T("hufud.poke.failed"))
}
