package main

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hufu"
	"hufu/internal/autostart"
	"hufu/internal/cli"
	"hufu/internal/gui"
	"hufu/internal/profile"
	"hufu/internal/text"
)

// browserTime is how long a browser gets to read the file that leads it to the
// page.
const browserTime = 5 * time.Second

func newGui(a *app) *cobra.Command {
	cmd := a.Command("gui", "hufu.gui", "hufu gui", "hufu gui --listen 127.0.0.1:8080 --no-open", "hufu gui --install", "hufu gui --stop")
	var listen string
	var noOpen, atLogin bool
	var menu menuFlags
	cmd.Flags().StringVar(&listen, "listen", anyPort, a.Cat.T("hufu.flag.gui_listen"))
	cmd.Flags().BoolVar(&noOpen, "no-open", false, a.Cat.T("hufu.flag.no_open"))
	cmd.Flags().BoolVar(&atLogin, loginFlag[2:], false, a.Cat.T("hufu.flag.gui_at_login"))
	cmd.Flags().BoolVar(&menu.stop, "stop", false, a.Cat.T("hufu.flag.gui_stop"))
	cmd.Flags().BoolVar(&menu.install, "install", false, a.Cat.T("hufu.flag.gui_install"))
	cmd.Flags().BoolVar(&menu.uninstall, "uninstall", false, a.Cat.T("hufu.flag.gui_uninstall"))
	cmd.Flags().BoolVar(&menu.print, "print", false, a.Cat.T("hufu.flag.gui_print"))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if a.plaintext {
			return cli.Usage("plaintext_only_wire")
		}
		if menu.given() {
			for flag, given := range map[string]bool{"--no-open": noOpen, loginFlag: atLogin} {
				if given {
					return cli.Usage("flags_contradict", "one", flag, "other", menu.first())
				}
			}
			if !cmd.Flag("listen").Changed {
				listen = ""
			}
			return menu.run(cmd.Context(), a, listen)
		}
		return a.gui(cmd.Context(), listen, noOpen, atLogin)
	}
	return cmd
}

// anyPort is where the page listens if nothing else is said.
const anyPort = "127.0.0.1:0"

// loginFlag is in the command that a desktop runs at login. Nobody reads what that prints, and it may
// be kept: no start token is made.
const loginFlag = "--at-login"

func (a *app) gui(ctx context.Context, listen string, noOpen, atLogin bool) error {
	dirs, err := a.dirs()
	if err != nil {
		return err
	}
	ln, err := gui.Listen(ctx, listen)
	if err != nil {
		return err
	}
	defer func() { _ = ln.Close() }()
	home, _ := os.UserHomeDir() // without one the page begins at the root
	var entry autostart.Entry
	if exe, err := os.Executable(); err == nil && home != "" {
		// At login transfers resume, and a window opens only when somebody asks for one.
		entry = autostart.New(append(a.pageCommand(exe, strings.TrimPrefix(listen, anyPort)), loginFlag), home, a.Getenv)
	}
	s, err := gui.Open(gui.Options{
		Dirs: dirs, Disk: localDisk{}, Profile: a.profileName(), Lang: text.Lang(a.Lang, a.Getenv), Home: home, Autostart: entry, Log: slog.New(slog.NewTextHandler(a.Err, &slog.HandlerOptions{Level: slog.LevelWarn, ReplaceAttr: hufu.PrintableAttr})),
	})
	if hufu.CodeOf(err) == "queue_in_use" && atLogin {
		return nil // it runs already
	}
	if hufu.CodeOf(err) == "queue_in_use" {
		// A second window of the page that is running already.
		start, err := gui.Ask(ctx, dirs)
		if err != nil {
			return err
		}
		a.Hint(a.Cat.T("hufu.gui.running"))
		remove, err := a.show(dirs, start, noOpen)
		if err == nil && !noOpen {
			select { // until the browser has read where to go
			case <-time.After(browserTime):
			case <-ctx.Done():
			}
		}
		remove()
		return err
	}
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	var shown error
	remove := func() {}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ready := func(start string) {
		if remove, shown = a.show(dirs, start, noOpen); shown != nil {
			cancel()
			return
		}
		a.Hint(a.Cat.T("hufu.gui.stop"))
	}
	if atLogin {
		ready = nil
	}
	err = s.Serve(ctx, ln, ready)
	remove()
	if err == nil {
		err = shown
	}
	return err
}

// stopPage ends the page of this user that is running.
func (a *app) stopPage(ctx context.Context) error {
	dirs, err := a.dirs()
	if err == nil {
		err = gui.Stop(ctx, dirs)
	}
	if err != nil {
		return err
	}
	return a.Printf("%s", a.Cat.T("hufu.gui.stopped"))
}

// show prints the address, which works once, and opens a window on it. If no
// browser opens, that is reported but is no error: the address has been
// printed.
func (a *app) show(dirs profile.Dirs, start string, noOpen bool) (remove func(), err error) {
	remove = func() {}
	if err := a.Printf("%s", start); err != nil || noOpen {
		return remove, err
	}
	gone, err := gui.OpenBrowser(dirs, start)
	if err != nil {
		a.told(err)
		return remove, nil
	}
	return gone, nil
}
