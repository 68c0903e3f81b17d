//go:build unix

package main

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"hufu"
)

// service returns the service of this user; that of root is one of the whole computer, and runs as
// the owner of the data folder.
func (a *app) service() (*service, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, &hufu.Error{Op: "service", Kind: hufu.KindUnsupported, Code: "service_manager", Err: err}
	}
	p := place{root: os.Geteuid() == 0, uid: os.Geteuid(), home: a.Getenv("HOME"), config: a.Getenv("XDG_CONFIG_HOME")}
	if i, err := os.Stat(a.data); err == nil && p.root {
		if s, ok := i.Sys().(*syscall.Stat_t); ok && s.Uid != 0 {
			p.owner, p.group = strconv.FormatUint(uint64(s.Uid), 10), strconv.FormatUint(uint64(s.Gid), 10)
			if u, err := user.LookupId(p.owner); err == nil {
				p.owner, p.group = u.Username, ""
			} else if runtime.GOOS == "darwin" { // where a service needs the name
				return nil, &hufu.Error{Op: "service", Path: a.data, Kind: hufu.KindUnsupported, Code: "service_owner", Args: map[string]string{"uid": p.owner}, Err: err}
			}
		}
	}
	if runtime.GOOS == "darwin" {
		return launchd(exe, a.data, p), nil
	}
	return systemd(exe, a.data, p), nil
}

// place is for whom a service is installed.
type place struct {
	root         bool
	uid          int
	owner        string // of the data folder, if it is not root: the name, or the number if it has none
	group        string // of an owner without a name
	home, config string // of the user
}

// systemd returns the unit of a service.
func systemd(exe, data string, p place) *service {
	s := &service{data: data, file: "/etc/systemd/system/hufud.service", mark: "# Written by \"hufud service install\"."}
	systemctl := []string{"systemctl"}
	target := "multi-user.target"
	var b strings.Builder
	b.WriteString(s.mark + "\n[Unit]\nDescription=hufu file transfer server\n")
	if p.root {
		b.WriteString("After=network-online.target\nWants=network-online.target\n")
	} else {
		config := p.config
		if !filepath.IsAbs(config) {
			config = filepath.Join(p.home, ".config")
		}
		s.file = filepath.Join(config, "systemd", "user", "hufud.service")
		systemctl, target = append(systemctl, "--user"), "default.target"
	}
	b.WriteString("\n[Service]\n")
	if p.owner != "" {
		b.WriteString("User=" + p.owner + "\n")
	}
	if p.group != "" {
		b.WriteString("Group=" + p.group + "\n")
	}
	fmt.Fprintf(&b, "ExecStart=%s --data %s serve\n", unitWord(exe), unitWord(data))
	b.WriteString(`ExecReload=/bin/kill -HUP $MAINPID
KillSignal=SIGTERM
TimeoutStopSec=60
Restart=on-failure
RestartSec=2
LimitNOFILE=65536
UMask=0077
NoNewPrivileges=yes
`)
	b.WriteString("\n[Install]\nWantedBy=" + target + "\n")
	s.text = b.String()
	ctl := func(args ...string) command { return calls(append(append([]string{}, systemctl...), args...)...) }
	s.install = []command{ctl("daemon-reload"), ctl("enable", "hufud.service"), ctl("restart", "hufud.service")}
	s.uninstall = []command{ctl("disable", "--now", "hufud.service"), removal(s.file), ctl("daemon-reload")}
	s.there = func() bool { i, err := os.Stat("/run/systemd/system"); return err == nil && i.IsDir() }
	s.pid = func(ctx context.Context) int {
		return number(said(ctx, append(append([]string{}, systemctl...), "show", "--property=MainPID", "--value", "hufud.service")...))
	}
	s.occupied = func() bool {
		for _, dir := range []string{"/usr/lib/systemd/system", "/lib/systemd/system"} {
			if _, err := os.Stat(filepath.Join(dir, "hufud.service")); err == nil && p.root {
				return true
			}
		}
		return false
	}
	return s
}

// unitWord quotes a word for a unit.
func unitWord(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, `%`, `%%`, `$`, `$$`, "\n", `\n`, "\t", `\t`, "\r", `\r`).Replace(s) + `"`
}

// launchd returns the property list of a service.
func launchd(exe, data string, p place) *service {
	s := &service{data: data, file: "/Library/LaunchDaemons/hufud.plist", mark: "<!-- Written by \"hufud service install\". -->"}
	domain := "system"
	if !p.root {
		s.file, domain = filepath.Join(p.home, "Library", "LaunchAgents", "hufud.plist"), fmt.Sprintf("gui/%d", p.uid)
	}
	var b strings.Builder
	word := func(key, s string) {
		if key != "" {
			b.WriteString("\t<key>" + key + "</key>\n")
		}
		b.WriteString("\t<string>")
		_ = xml.EscapeText(&b, []byte(s))
		b.WriteString("</string>\n")
	}
	b.WriteString(`<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
` + s.mark + `
<plist version="1.0">
<dict>
`)
	word("Label", "hufud")
	if p.owner != "" {
		word("UserName", p.owner)
	}
	b.WriteString("\t<key>ProgramArguments</key>\n\t<array>\n")
	for _, arg := range []string{exe, "--data", data, "serve", "--log-file", filepath.Join(data, "hufud.log")} { // launchd discards standard error
		word("", arg)
	}
	b.WriteString("\t</array>\n\t<key>RunAtLoad</key>\n\t<true/>\n\t<key>KeepAlive</key>\n\t<dict>\n\t<key>SuccessfulExit</key>\n\t<false/>\n\t</dict>\n\t<key>Umask</key>\n\t<integer>63</integer>\n</dict>\n</plist>\n")
	s.text = b.String()
	s.install = []command{{"launchctl bootout", func(ctx context.Context) error {
		_ = exec.CommandContext(ctx, "launchctl", "bootout", domain+"/hufud").Run() // an older one, if there is one
		for range 100 {                                                             // it ends in the background
			if exec.CommandContext(ctx, "launchctl", "print", domain+"/hufud").Run() != nil {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		return nil
	}}, calls("launchctl", "bootstrap", domain, s.file)}
	s.uninstall = []command{calls("launchctl", "bootout", domain+"/hufud"), removal(s.file)}
	s.there = func() bool { _, err := exec.LookPath("launchctl"); return err == nil }
	s.pid = func(ctx context.Context) int { return launchdPID(said(ctx, "launchctl", "print", domain+"/hufud")) }
	s.occupied = func() bool { return false }
	return s
}

// calls is a command that runs a program. What that says belongs to the error.
func calls(args ...string) command {
	return command{strings.Join(args, " "), func(ctx context.Context) error {
		out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput() //nolint:gosec // the programs are named above
		if said := strings.TrimSpace(string(out)); err != nil && said != "" {
			return errors.New(said)
		}
		return err //nolint:wrapcheck // the caller names the command
	}}
}

// said returns what a program writes, "" if it fails.
func said(ctx context.Context, args ...string) string {
	out, err := exec.CommandContext(ctx, args[0], args[1:]...).Output() //nolint:gosec // the programs are named above
	if err != nil {
		return ""
	}
	return string(out)
}

// number reads a process number, 0 if there is none.
func number(s string) int {
	n, _ := strconv.Atoi(strings.TrimSpace(s))
	return n
}

// launchdPID returns the process in the description of a service by "launchctl print".
func launchdPID(description string) int {
	for line := range strings.Lines(description) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), "pid = "); ok {
			return number(value)
		}
	}
	return 0
}

func removal(file string) command {
	return command{"rm " + file, func(context.Context) error {
		return os.Remove(file) //nolint:wrapcheck // the caller names the command
	}}
}

// asService runs the program. The service managers of Unix need no more.
func asService(run func(stop <-chan struct{}) int) int { return run(nil) }
