//go:build e2e

package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestDesktopStarts: desktop-file-validate finds nothing wrong in an entry, and the library that desktops
// use starts the program with each word as it is.
func TestDesktopStarts(t *testing.T) {
	t.Parallel()
	home := filepath.Join(t.TempDir(), `it's 100% "home" $x \ `+"`y`")
	words := []string{filepath.Join(home, "hu fu"), "gui", "--profile", `a'b "c" $d %f \e` + "`"}
	told := filepath.Join(filepath.Dir(home), "told")
	err := errors.Join(os.MkdirAll(home, 0o755), os.WriteFile(words[0], []byte("#!/bin/sh\nprintf '%s\\n' \"$@\" >'"+told+"'\n"), 0o755))
	if err == nil {
		err = exec.CommandContext(t.Context(), "mkfifo", told).Run()
	}
	var out strings.Builder
	e := desktopEntry(words, menuPlace{home: home})
	if err == nil {
		err = menuApp(&out).installMenu(t.Context(), e)
	}
	if err != nil {
		t.Fatal(err)
	}
	if said, err := exec.CommandContext(t.Context(), "desktop-file-validate", e.path).CombinedOutput(); err != nil || len(said) > 0 {
		t.Errorf("desktop-file-validate: %v\n%s\n%s", err, said, e.files[0].text)
	}
	launch := exec.CommandContext(t.Context(), "gio", "launch", e.path)
	launch.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "DBUS_SESSION") })
	launch.Stderr = os.Stderr // no pipe: the program that it starts would have it open
	if err := launch.Run(); err != nil {
		t.Fatal("gio launch: ", err)
	}
	if said, err := os.ReadFile(told); err != nil || string(said) != strings.Join(words[1:], "\n")+"\n" {
		t.Errorf("%v %q", err, said)
	}
}
