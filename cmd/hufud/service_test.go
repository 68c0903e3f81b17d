//go:build unix

package main

import (
	"context"
	"encoding/xml"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"hufu"
	"hufu/internal/cli"
)

func serviceApp(out io.Writer) *app {
	return &app{App: cli.New(program, nil, nil, out, out, func(string) string { return "" }), data: "/srv/data"}
}

// TestUnits: a unit is what systemd accepts, whatever the folders are called, and a property list is
// XML.
func TestUnits(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	exe := filepath.Join(dir, `hu fu`, "hufud")
	if err := errors.Join(os.MkdirAll(filepath.Dir(exe), 0o755), os.WriteFile(exe, nil, 0o755)); err != nil {
		t.Fatal(err)
	}
	data := `/srv/100%/"quoted" \ $HOME` + "\n<data>"
	for _, p := range []place{{root: true, owner: "daemon"}, {root: true, owner: "70000", group: "70001"}, {root: true}, {uid: 1000, home: "/home/me"}, {uid: 1000, home: "/home/me", config: "/conf"}} {
		s := systemd(exe, data, p)
		want := "/etc/systemd/system/hufud.service"
		switch {
		case p.config != "":
			want = "/conf/systemd/user/hufud.service"
		case !p.root:
			want = "/home/me/.config/systemd/user/hufud.service"
		}
		if s.file != want || strings.Contains(s.text, "User=") != (p.owner != "") || !strings.Contains(s.text, `--data "/srv/100%%/\"quoted\" \\ $$HOME\n<data>" serve`) {
			t.Errorf("%+v: %s\n%s", p, s.file, s.text)
		}
		if verify, err := exec.LookPath("systemd-analyze"); err == nil {
			file := filepath.Join(t.TempDir(), "hufud.service")
			if err := os.WriteFile(file, []byte(s.text), 0o600); err != nil {
				t.Fatal(err)
			}
			args := []string{"verify", "--man=no", file}
			if !p.root {
				args = append([]string{"--user"}, args...)
			}
			cmd := exec.CommandContext(t.Context(), verify, args...)
			cmd.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+t.TempDir())
			if out, err := cmd.CombinedOutput(); err != nil || strings.Contains(string(out), "hufud.service:") {
				t.Errorf("systemd-analyze %q: %v\n%s", args, err, out)
			}
		}
		if got := launchdPID("system/hufud = {\n\tstate = running\n\tpid = 4711\n\timmediate reason = x\n}\n"); got != 4711 {
			t.Errorf("process %d", got)
		}
		l := launchd(exe, data, p)
		var list struct {
			Words []string `xml:"dict>array>string"`
		}
		if err := xml.Unmarshal([]byte(l.text), &list); err != nil || strings.Join(list.Words, "|") != exe+"|--data|"+data+"|serve|--log-file|"+data+"/hufud.log" {
			t.Errorf("%v %q\n%s", err, list.Words, l.text)
		}
	}
}

// TestServiceSteps: the file is written before the service manager is called and removed after it has
// stopped the service; what the manager says is in the error; without one nothing is written.
func TestServiceSteps(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "deep", "hufud.service")
	var did []string
	step := func(name string, err error) command {
		return command{name, func(context.Context) error {
			_, there := os.Lstat(file)
			did = append(did, name)
			if there != nil {
				did = append(did, "without file")
			}
			return err
		}}
	}
	yes, no := func() bool { return true }, func() bool { return false }
	s := &service{
		data: "/srv/data", file: file, text: "text", there: yes, occupied: no,
		install: []command{step("reload", nil), step("start", nil)}, uninstall: []command{step("stop", nil), removal(file), step("reload", nil)},
	}
	var out strings.Builder
	a := serviceApp(&out)
	if err := a.uninstallService(t.Context(), s); hufu.CodeOf(err) != "service_missing" {
		t.Error(err)
	}
	s.there = no
	if err := a.installService(t.Context(), s); hufu.CodeOf(err) != "service_manager" {
		t.Error(err)
	}
	s.there, s.occupied = yes, yes
	if err := a.installService(t.Context(), s); hufu.CodeOf(err) != "service_packaged" {
		t.Error(err)
	}
	if _, err := os.Lstat(file); err == nil || len(did) > 0 {
		t.Errorf("written, or done: %q", did)
	}
	s.occupied = no
	for range 2 { // the second time it is replaced
		if err := a.installService(t.Context(), s); err != nil {
			t.Error(err)
		}
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "text" {
		t.Errorf("%v %q", err, text)
	}
	if err := a.uninstallService(t.Context(), s); err != nil {
		t.Error(err)
	}
	if got := strings.Join(did, ", "); got != "reload, start, reload, start, stop, reload, without file" {
		t.Error(got)
	}
	// A server that somebody has started stays, and the service is not installed beside it.
	hand := serviceApp(&out)
	hand.data = t.TempDir()
	ln, err := listenControl(hand.data)
	if err != nil {
		t.Fatal(err)
	}
	go serveControl(t.Context(), ln, slog.New(slog.DiscardHandler), nil, func() any { return running{PID: 4711, Address: "[::1]:9999"} })
	s.pid = func(context.Context) int { return 0 }
	err = hand.installService(t.Context(), s)
	if what, _ := hand.Cat.Error(err); hufu.CodeOf(err) != "service_by_hand" || !strings.Contains(what, "4711") {
		t.Errorf("%v: %s", err, what)
	}
	if _, err := os.Lstat(file); err == nil {
		t.Error("a service was installed beside a server")
	}
	s.pid = func(context.Context) int { return 4711 } // it is the service
	if err := errors.Join(hand.installService(t.Context(), s), hand.uninstallService(t.Context(), s)); err != nil {
		t.Error(err)
	}
	// A unit of somebody else is neither replaced nor removed.
	s.mark = "# mark"
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte("[Unit]"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := a.installService(t.Context(), s); hufu.CodeOf(err) != "service_foreign" {
		t.Error(err)
	}
	if err := a.uninstallService(t.Context(), s); hufu.CodeOf(err) != "service_foreign" {
		t.Error(err)
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "[Unit]" {
		t.Errorf("%v %q", err, text)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	// One that cannot be started does not stay to be started some day.
	s.install[1] = calls("sh", "-c", "echo no bus >&2; exit 3")
	err = a.installService(t.Context(), s)
	if what, _ := a.Cat.Error(err); hufu.CodeOf(err) != "service_failed" || !strings.Contains(what, "no bus") {
		t.Errorf("%v: %s", err, what)
	}
	if _, err := os.Lstat(file); err == nil {
		t.Error("a unit that could not be started stays")
	}
	s.install, s.await = nil, func(context.Context) error { return errors.New("not running") }
	if err := a.installService(t.Context(), s); err == nil {
		t.Error("a service that does not run is reported to run")
	}
}
