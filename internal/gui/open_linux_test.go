package gui

import (
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFindBrowser(t *testing.T) {
	t.Setenv("DISPLAY", ":0")
	t.Setenv("WAYLAND_DISPLAY", "")
	there := func(names ...string) func(string) (string, error) {
		return func(name string) (string, error) {
			for _, n := range names {
				if n == name {
					return "/usr/bin/" + n, nil
				}
			}
			return "", os.ErrNotExist
		}
	}
	for want, look := range map[string]func(string) (string, error){
		"/usr/bin/chromium --app=": there("xdg-open", "microsoft-edge", "chromium"), "/usr/bin/microsoft-edge --app=": there("xdg-open", "microsoft-edge"),
		"/usr/bin/xdg-open ": there("xdg-open"), "": there(),
	} {
		if got := strings.Join(findBrowser(look), " "); got != want {
			t.Errorf("found %q, want %q", got, want)
		}
	}
	t.Setenv("DISPLAY", "")
	if got := findBrowser(there("chromium")); got != nil {
		t.Errorf("without a display: %v", got)
	}
}

// TestOpenedBrowserSeesNoToken: other people of this computer can read the
// arguments of a program. The browser here is this test, see TestMain.
func TestOpenedBrowserSeesNoToken(t *testing.T) {
	home := t.TempDir()
	dirs := testDirs(home)
	bin := filepath.Join(home, "bin")
	for _, dir := range []string{bin, dirs.State} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(bin, "chromium")); err != nil {
		t.Fatal(err)
	}
	ln, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	for k, v := range map[string]string{"PATH": bin, "HOME": home, "DISPLAY": ":0", AsBrowser: ln.Addr().String()} {
		t.Setenv(k, v)
	}
	start := "http://127.0.0.1:4711/start?token=ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	remove, err := OpenBrowser(dirs, start)
	if err != nil {
		t.Fatal(err)
	}
	c, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	var seen struct{ Args, Env []string }
	if err := json.NewDecoder(c).Decode(&seen); err != nil {
		t.Fatal(err)
	}
	for _, s := range append(seen.Args, seen.Env...) {
		if strings.Contains(s, "token=") || strings.Contains(s, "ABCDEFGH") {
			t.Errorf("the browser was told %s", s)
		}
	}
	file, ok := strings.CutPrefix(seen.Args[len(seen.Args)-1], "--app=file://")
	if !ok {
		t.Fatalf("the browser was called with %q", seen.Args)
	}
	private(t, file)
	if data, err := os.ReadFile(file); err != nil || strings.Count(string(data), start) != 2 {
		t.Errorf("it leads elsewhere: %s %v", data, err)
	}
	remove()
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("left behind: %v", err)
	}
}
