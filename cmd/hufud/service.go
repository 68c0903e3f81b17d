package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hufu"
	"hufu/internal/atomicfile"
	"hufu/internal/cli"
)

// service is how the server is started by the service manager of the computer.
type service struct {
	data      string
	file      string // that the service manager reads, "" if it keeps a database of its own
	text      string // of the file, or what is entered there
	mark      string // a line of text by which a file of ours is known
	install   []command
	uninstall []command
	// there reports whether the service manager runs, and occupied that a package has installed the
	// service already.
	there, occupied func() bool
	// pid returns the process of the service, 0 if it does not run.
	pid   func(context.Context) int
	await func(context.Context) error // returns once the server answers; nil in tests
}

// command is run by install or uninstall.
type command struct {
	name string
	run  func(context.Context) error
}

func newService(a *app) *cobra.Command {
	return a.Group("service", "hufud.service", newServiceInstall(a), newServiceUninstall(a))
}

func newServiceInstall(a *app) *cobra.Command {
	cmd := a.Command("install", "hufud.service.install", "hufud service install", "hufud --data /srv/hufu service install --print")
	var show bool
	cmd.Flags().BoolVar(&show, "print", false, a.Cat.T("hufud.service.flag.print"))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := a.ready(); err != nil {
			return err
		}
		s, err := a.service()
		if err != nil {
			return err
		}
		s.await = a.awaitServer
		if show {
			if s.file != "" {
				a.Hint(a.Cat.T("hufud.service.would", "path", s.file))
			}
			return a.Printf("%s", s.text)
		}
		return a.installService(cmd.Context(), s)
	}
	return cmd
}

func newServiceUninstall(a *app) *cobra.Command {
	cmd := a.Command("uninstall", "hufud.service.uninstall", "hufud service uninstall")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		s, err := a.service()
		if err != nil {
			return err
		}
		return a.uninstallService(cmd.Context(), s)
	}
	return cmd
}

// noManager is the error of a computer without a service manager that runs.
func noManager() error {
	return &hufu.Error{Op: "service", Kind: hufu.KindUnsupported, Code: "service_manager"}
}

func (a *app) installService(ctx context.Context, s *service) error {
	switch {
	case !s.there():
		return noManager()
	case s.occupied():
		return cli.Usage("service_packaged")
	}
	if r := a.askStatus(ctx); r != nil && r.PID != s.pid(ctx) {
		return cli.Usage("service_by_hand", "data", s.data, "pid", strconv.Itoa(r.PID), "address", r.Address)
	}
	made, err := s.written()
	if err != nil {
		return err
	}
	if s.file != "" {
		err := atomicfile.MkdirAll(filepath.Dir(s.file), 0o755)
		if err == nil {
			err = atomicfile.Write(s.file, []byte(s.text), 0o644)
		}
		if err != nil {
			return &hufu.Error{Op: "service", Path: s.file, Kind: hufu.KindUnreadable, Code: "cannot_write", Err: err}
		}
	}
	if err := runAll(ctx, s.install); err != nil {
		if s.file != "" && !made {
			_ = os.Remove(s.file) // or the service manager would start it some day
		}
		return err
	}
	if s.await != nil {
		if err := s.await(ctx); err != nil {
			return err
		}
	}
	return a.Printf("%s", a.Cat.T("hufud.service.installed", "data", s.data))
}

// written reports whether the file is there. It is an error if somebody else has written it.
func (s *service) written() (bool, error) {
	if s.file == "" {
		return false, nil
	}
	old, err := os.ReadFile(s.file)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return false, nil
	case err != nil:
		return false, &hufu.Error{Op: "service", Path: s.file, Kind: hufu.KindUnreadable, Code: "cannot_read", Err: err}
	case !strings.Contains(string(old), s.mark):
		return true, cli.Usage("service_foreign", "path", s.file)
	}
	return true, nil
}

// serviceStart is how long a server may take to start.
const serviceStart = 30 * time.Second

// awaitServer waits until a server answers on the data folder.
func (a *app) awaitServer(ctx context.Context) error {
	for end := time.Now().Add(serviceStart); ; {
		if a.askStatus(ctx) != nil {
			return nil
		}
		if time.Now().After(end) {
			return &hufu.Error{Op: "service", Kind: hufu.KindUnavailable, Code: "service_not_running", Args: map[string]string{"data": a.data}}
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return &hufu.Error{Op: "service", Kind: hufu.KindCanceled, Err: context.Cause(ctx)}
		}
	}
}

func (a *app) uninstallService(ctx context.Context, s *service) error {
	if made, err := s.written(); err != nil || !made && s.file != "" {
		if err == nil {
			err = &hufu.Error{Op: "service", Path: s.file, Kind: hufu.KindNotFound, Code: "service_missing"}
		}
		return err
	}
	if !s.there() {
		return noManager()
	}
	if err := runAll(ctx, s.uninstall); err != nil {
		return err
	}
	return a.Printf("%s", a.Cat.T("hufud.service.uninstalled", "data", s.data))
}

func runAll(ctx context.Context, commands []command) error {
	for _, c := range commands {
		if err := c.run(ctx); err != nil {
			return &hufu.Error{Op: "service", Kind: hufu.KindUnavailable, Code: "service_failed", Args: map[string]string{"command": c.name}, Err: err}
		}
	}
	return nil
}
