//go:build e2e && linux

package gui

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// fox is a window of Firefox, driven by WebDriver BiDi.
type fox struct {
	*testing.T
	ctx    context.Context
	c      *websocket.Conn
	window string
	last   int
}

// quietFox keeps Firefox from calling its makers.
const quietFox = `user_pref("app.normandy.enabled", false);
user_pref("app.update.disabledForTesting", true);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("extensions.update.enabled", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("services.settings.server", "data:,");
user_pref("toolkit.telemetry.enabled", false);
`

func startFox(t *testing.T) *fox {
	t.Helper()
	home := t.TempDir()
	dir := filepath.Join(home, "profile")
	write(t, filepath.Join(dir, "user.js"), []byte(quietFox))
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, "firefox-esr", "--headless", "--no-remote", "--remote-debugging-port", "0", "--profile", dir, "about:blank")
	cmd.Env = append(os.Environ(), "HOME="+home, "MOZ_CRASHREPORTER_DISABLE=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // with its content processes
	said, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // killed
	})
	address := make(chan string, 1)
	go func() { // ends with Firefox
		for lines := bufio.NewScanner(said); lines.Scan(); {
			if _, at, ok := strings.Cut(lines.Text(), "BiDi listening on "); ok {
				address <- strings.TrimSpace(at)
			}
		}
	}()
	f := &fox{T: t, ctx: ctx}
	select {
	case at := <-address:
		if f.c, _, err = websocket.Dial(ctx, at+"/session", nil); err != nil { //nolint:bodyclose // it has none
			t.Fatal(err)
		}
	case <-ctx.Done():
		t.Fatal("Firefox says no address")
	}
	t.Cleanup(func() { _ = f.c.CloseNow() })
	f.c.SetReadLimit(8 << 20)
	f.ask("session.new", map[string]any{"capabilities": map[string]any{}}, nil)
	var tree struct {
		Contexts []struct {
			Context string `json:"context"`
		} `json:"contexts"`
	}
	f.ask("browsingContext.getTree", map[string]any{}, &tree)
	f.window = tree.Contexts[0].Context
	return f
}

// ask sends a command and waits for its answer.
func (f *fox) ask(method string, params map[string]any, into any) {
	f.Helper()
	f.last++
	data, err := json.Marshal(map[string]any{"id": f.last, "method": method, "params": params})
	if err != nil {
		f.Fatal(err)
	}
	if err := f.c.Write(f.ctx, websocket.MessageText, data); err != nil {
		f.Fatal(err)
	}
	for {
		_, data, err := f.c.Read(f.ctx)
		if err != nil {
			f.Fatalf("%s: %v", method, err)
		}
		var a struct {
			ID      int             `json:"id"`
			Type    string          `json:"type"`
			Message string          `json:"message"`
			Result  json.RawMessage `json:"result"`
		}
		if err := json.Unmarshal(data, &a); err != nil {
			f.Fatal(err)
		}
		if a.ID != f.last {
			continue // an event
		}
		if a.Type == "error" {
			f.Fatalf("%s: %s", method, a.Message)
		}
		if into == nil {
			return
		}
		if err := json.Unmarshal(a.Result, into); err != nil {
			f.Fatal(err)
		}
		return
	}
}

// value is what an expression is in the page: a string, or the id of an element.
func (f *fox) value(expression string) string {
	f.Helper()
	var a struct {
		Type   string `json:"type"`
		Result struct {
			Value    json.RawMessage `json:"value"`
			SharedID string          `json:"sharedId"`
		} `json:"result"`
		Details struct {
			Text string `json:"text"`
		} `json:"exceptionDetails"`
	}
	f.ask("script.evaluate", map[string]any{
		"expression": expression, "awaitPromise": true, "target": map[string]any{"context": f.window}, "userActivation": true,
	}, &a)
	if a.Type == "exception" {
		f.Fatalf("%s: %s", expression, a.Details.Text)
	}
	if a.Result.SharedID != "" {
		return a.Result.SharedID
	}
	return strings.Trim(string(a.Result.Value), `"`)
}

func (f *fox) until(expression string) {
	f.Helper()
	for end := time.Now().Add(patience); f.value("!!("+expression+")") != "true"; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			f.Fatalf("waited in vain for %s\n%s", expression, f.value("document.body.innerText"))
		}
	}
}

// press presses what find finds, once it can be pressed.
func (f *fox) press(what string) {
	f.Helper()
	f.until(find(what) + " && !" + find(what) + ".disabled && " + find(what) + ".ariaDisabled !== 'true'")
	f.value("(" + find(what) + ".click(), '')")
}

// TestFirefox is a smoke run: log in, list, upload and download.
func TestFirefox(t *testing.T) {
	w := newWorld(t)
	alice := w.join(t, "")
	write(t, w.served("there.txt"), []byte("there"))
	elsewhere := filepath.Join(t.TempDir(), "up 上.bin")
	data := random(3 << 20)
	write(t, elsewhere, data)
	d := sit(t, alice)
	f := startFox(t)
	f.ask("browsingContext.navigate", map[string]any{"context": f.window, "url": d.start, "wait": "complete"}, nil)
	f.press("=Continue")
	f.until(row("remote", "there.txt"))
	f.ask("input.setFiles", map[string]any{
		"context": f.window, "element": map[string]any{"sharedId": f.value("document.querySelector('#choose-files')")}, "files": []string{elsewhere},
	}, nil)
	f.until(row("remote", "up 上.bin"))
	same(t, w.served("up 上.bin"), data)
	for _, name := range []string{"there.txt", "up 上.bin"} {
		f.value("(" + row("remote", name) + ".click(), '')")
		f.until(row("remote", name) + ".getAttribute('aria-selected') === 'true'")
		f.press("=Download")
		f.until(row("local", name))
	}
	same(t, filepath.Join(alice.Home, "there.txt"), []byte("there"))
	same(t, filepath.Join(alice.Home, "up 上.bin"), data)
	f.press("nav a[href='#/devices']")
	f.until("document.querySelectorAll('.device').length === 1")
	if agent := f.value("navigator.userAgent"); !strings.Contains(agent, "Firefox/") {
		t.Error(fmt.Sprint("this is ", agent))
	}
}
