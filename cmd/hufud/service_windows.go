package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/svc"
	"golang.org/x/sys/windows/svc/mgr"

	"hufu"
)

const serviceName = "hufud"

// stopLimit is how long a command waits for the service to stop.
const stopLimit = time.Minute

// service returns the service of this computer, which runs as LocalSystem.
func (a *app) service() (*service, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, &hufu.Error{Op: "service", Kind: hufu.KindUnsupported, Code: "service_manager", Err: err}
	}
	args := []string{"--data", a.data, "serve", "--log-file", filepath.Join(a.data, "hufud.log")} // a service has no standard error
	s := &service{data: a.data, text: windows.ComposeCommandLine(append([]string{exe}, args...))}
	s.there = func() bool { return true }
	s.occupied = func() bool { return false }
	with := func(do func(*mgr.Mgr) error) func(context.Context) error {
		return func(context.Context) error {
			m, err := mgr.Connect()
			if err != nil {
				return err //nolint:wrapcheck // the caller names the command
			}
			return errors.Join(do(m), m.Disconnect())
		}
	}
	s.pid = func(ctx context.Context) int {
		pid := 0
		_ = with(func(m *mgr.Mgr) error {
			h, err := m.OpenService(serviceName)
			if err != nil {
				return err //nolint:wrapcheck // no service, no process
			}
			now, err := h.Query()
			pid = int(now.ProcessId)
			return errors.Join(err, h.Close())
		})(ctx)
		return pid
	}
	s.install = []command{
		{"create " + serviceName, with(func(m *mgr.Mgr) error { return create(m, exe, args, s.text) })},
		{"start " + serviceName, with(start)},
	}
	s.uninstall = []command{{"delete " + serviceName, with(remove)}}
	return s, nil
}

// create makes the service, or changes the one that is there.
func create(m *mgr.Mgr, exe string, args []string, line string) error {
	h, err := m.OpenService(serviceName)
	if err == nil {
		halt(h) // it is started again afterwards
		c, err := h.Config()
		if err == nil {
			c.BinaryPathName, c.StartType = line, mgr.StartAutomatic
			err = errors.Join(h.UpdateConfig(c), recovers(h))
		}
		return errors.Join(err, h.Close())
	}
	h, err = m.CreateService(serviceName, exe, mgr.Config{StartType: mgr.StartAutomatic, DisplayName: "hufu", Description: "hufu file transfer server"}, args...)
	if err != nil {
		return err //nolint:wrapcheck // the caller names the command
	}
	return errors.Join(recovers(h), h.Close())
}

// recovers has the service started again if the program ends with an error.
func recovers(h *mgr.Service) error {
	again := []mgr.RecoveryAction{{Type: mgr.ServiceRestart, Delay: 2 * time.Second}}
	return errors.Join(h.SetRecoveryActions(again, uint32((24*time.Hour).Seconds())), h.SetRecoveryActionsOnNonCrashFailures(true))
}

// halt stops the service, if it runs.
func halt(h *mgr.Service) {
	if _, err := h.Control(svc.Stop); err != nil {
		return
	}
	for end := time.Now().Add(stopLimit); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if now, err := h.Query(); err != nil || now.State == svc.Stopped {
			return
		}
	}
}

func start(m *mgr.Mgr) error {
	h, err := m.OpenService(serviceName)
	if err != nil {
		return err //nolint:wrapcheck // the caller names the command
	}
	return errors.Join(h.Start(), h.Close())
}

func remove(m *mgr.Mgr) error {
	h, err := m.OpenService(serviceName)
	if err != nil {
		return err //nolint:wrapcheck // the caller names the command
	}
	halt(h)
	return errors.Join(h.Delete(), h.Close())
}

// asService runs the program, and tells the service manager of it if that has started the program.
func asService(run func(stop <-chan struct{}) int) int {
	if is, err := svc.IsWindowsService(); err != nil || !is {
		return run(nil)
	}
	h := &handler{run: run}
	if err := svc.Run(serviceName, h); err != nil {
		return hufu.KindInternal.Exit()
	}
	return h.code
}

// handler is the program as a service.
type handler struct {
	run  func(stop <-chan struct{}) int
	code int
}

// Execute implements svc.Handler.
func (h *handler) Execute(_ []string, requests <-chan svc.ChangeRequest, status chan<- svc.Status) (specific bool, code uint32) {
	stop, ended := make(chan struct{}), make(chan int, 1)
	end := sync.OnceFunc(func() { close(stop) })
	go func() { ended <- h.run(stop) }()
	status <- svc.Status{State: svc.Running, Accepts: svc.AcceptStop | svc.AcceptShutdown}
	for {
		select {
		case h.code = <-ended:
			return h.code != 0, uint32(h.code) //nolint:gosec // an exit status
		case r := <-requests:
			switch r.Cmd {
			case svc.Interrogate:
				status <- r.CurrentStatus
			case svc.Stop, svc.Shutdown:
				status <- svc.Status{State: svc.StopPending}
				end()
			}
		}
	}
}
