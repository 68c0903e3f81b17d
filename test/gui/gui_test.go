//go:build e2e && linux

// Package gui drives the page in a real Chromium, against real programs.
package gui

import (
	"os"
	"path/filepath"
	"testing"

	"hufu/test/built"
)

var (
	bin     string
	browser *chromium
)

func TestMain(m *testing.M) {
	built.Main(m, &bin, func() (stop func(), err error) {
		if browser, err = startChromium(); err != nil {
			return nil, err
		}
		return browser.stop, nil
	})
}

// world is a server that people can enroll with.
type world struct {
	*built.Server
}

// newWorld is called by tests that run beside each other: each has a server, people and windows of
// its own.
func newWorld(t *testing.T, flags ...string) *world {
	t.Helper()
	t.Parallel()
	return aloneInWorld(t, flags...)
}

func aloneInWorld(t *testing.T, flags ...string) *world {
	t.Helper()
	s, err := built.NewServer(bin, filepath.Join(t.TempDir(), "data"), flags...)
	if err == nil {
		err = s.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Kill() })
	return &world{Server: s}
}

// join enrolls alice by the command line.
func (w *world) join(t *testing.T, address string) built.Person {
	t.Helper()
	p, err := w.Enroll(filepath.Join(t.TempDir(), "alice"), "alice", address)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// enter opens the page and logs in.
func enter(t *testing.T, d *desk) *window {
	t.Helper()
	w := browser.open(t)
	w.goTo(d.start)
	w.click("=Continue")
	w.until("document.querySelector('main.files')")
	return w
}

func TestLoginListUploadDownload(t *testing.T) {
	w := newWorld(t)
	alice := w.join(t, "")
	write(t, filepath.Join(alice.Home, "hello.txt"), []byte("hello, hufu\n"))
	d := sit(t, alice)
	p := browser.open(t)
	p.goTo(d.start)
	p.sees("Verified identities")
	p.click("=Continue")
	p.pick("local", "hello.txt")
	p.click("=Upload")
	p.until(row("remote", "hello.txt"))
	p.pick("remote", "hello.txt")
	if err := os.Remove(filepath.Join(alice.Home, "hello.txt")); err != nil {
		t.Fatal(err)
	}
	p.until("!" + row("local", "hello.txt"))
	p.click("=Download")
	p.until(row("local", "hello.txt"))
	if data, _ := os.ReadFile(filepath.Join(alice.Home, "hello.txt")); string(data) != "hello, hufu\n" {
		t.Errorf("came back as %q", data)
	}
	p.keep()
}
