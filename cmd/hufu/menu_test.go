package main

import (
	"context"
	"encoding/xml"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"hufu"
	"hufu/internal/autostart"
	"hufu/internal/cli"
	"hufu/internal/text"
)

func menuApp(out io.Writer) *app {
	return &app{App: cli.New(program, nil, nil, out, out, func(string) string { return "" })}
}

// TestDesktopEntry: the entry is where the desktop looks for it, and has each text in both languages.
func TestDesktopEntry(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		place menuPlace
		want  string
	}{
		{menuPlace{home: "/home/me"}, "/home/me/.local/share/applications/hufu.desktop"},
		{menuPlace{home: "/home/me", data: "relative"}, "/home/me/.local/share/applications/hufu.desktop"},
		{menuPlace{home: "/home/me", data: "/data"}, "/data/applications/hufu.desktop"},
	} {
		e := desktopEntry([]string{`/o d/100%"$x\` + "`\n/hufu", "gui"}, c.place)
		if filepath.ToSlash(e.path) != c.want && runtime.GOOS != "windows" {
			t.Errorf("%+v: %s", c.place, e.path)
		}
		for _, line := range []string{
			`TryExec=/o d/100%"$x\\` + "`" + `\n/hufu`,
			`Exec=env "/o d/100%%\\"\\$x\\\\\\` + "`" + `\n/hufu" "gui"`,
			"GenericName=" + text.For(text.English).T("hufu.gui.menu.generic"), "GenericName[zh_CN]=" + text.For(text.Chinese).T("hufu.gui.menu.generic"),
		} {
			if !strings.Contains(e.files[0].text, "\n"+line+"\n") {
				t.Errorf("no line %s in\n%s", line, e.files[0].text)
			}
		}
	}
}

// TestAppBundle: the property list is XML, and the program of the application starts hufu with each word
// as it is.
func TestAppBundle(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		return // there is no shell
	}
	home := filepath.Join(t.TempDir(), "it's home")
	words := []string{filepath.Join(home, "hu fu"), "gui", "--profile", `a'b "c" $d`}
	told := filepath.Join(home, "told")
	err := errors.Join(os.MkdirAll(home, 0o755), os.WriteFile(words[0], []byte("#!/bin/sh\nprintf '%s\\n' \"$@\" >'"+strings.ReplaceAll(told, "'", `'\''`)+"'\n"), 0o755))
	if err == nil {
		err = exec.CommandContext(t.Context(), "mkfifo", told).Run()
	}
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	a, e := menuApp(&out), appBundle(words, menuPlace{home: home})
	if err := a.installMenu(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	var list struct {
		Keys  []string `xml:"dict>key"`
		Words []string `xml:"dict>string"`
	}
	if err := xml.Unmarshal([]byte(e.files[0].text), &list); err != nil || !slices.Contains(list.Keys, "CFBundleExecutable") {
		t.Errorf("%v\n%s", err, e.files[0].text)
	}
	if err := exec.CommandContext(t.Context(), filepath.Join(home, "Applications", "hufu.app", "Contents", "MacOS", "hufu")).Run(); err != nil {
		t.Fatal(err)
	}
	if said, err := os.ReadFile(told); err != nil || string(said) != strings.Join(words[1:], "\n")+"\n" {
		t.Errorf("%v %q", err, said)
	}
	if err := a.uninstallMenu(e); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(filepath.Join(home, "Applications")); err != nil || len(left) > 0 {
		t.Errorf("%v: %v is left", err, left)
	}
}

// TestStartMenu: the script for PowerShell, each word quoted.
func TestStartMenu(t *testing.T) {
	t.Parallel()
	e := startMenu([]string{`C:\O'Hara’s\hufu.exe`, "gui", "--profile", "two words"}, menuPlace{appData: `C:\Users\me\AppData\Roaming`})
	want := `$s = (New-Object -ComObject WScript.Shell).CreateShortcut('C:\Users\me\AppData\Roaming\Microsoft\Windows\Start Menu\Programs\hufu.lnk')
$s.TargetPath = 'C:\O''Hara’’s\hufu.exe'
$s.Arguments = 'gui --profile "two words"'
$s.Description = 'Installed by "hufu gui".'
$s.WindowStyle = 7
$s.Save()
`
	if e.files[0].text != want || len(e.make) == 0 {
		t.Errorf("%s", e.files[0].text)
	}
	shortcut := []byte{0x4c}
	for _, c := range []byte(menuMark) { // a shortcut holds it in UTF-16
		shortcut = append(shortcut, c, 0)
	}
	file := filepath.Join(t.TempDir(), "hufu.lnk")
	if err := os.WriteFile(file, shortcut, 0o600); err != nil {
		t.Fatal(err)
	}
	if data, err := autostart.ReadOurs(file, menuMark); err != nil || data == nil {
		t.Errorf("a shortcut of ours is not known: %v", err)
	}
}

// TestMenuSteps: what somebody else has written is neither replaced nor removed, and a file that cannot
// be written is named.
func TestMenuSteps(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	a, home := menuApp(&out), t.TempDir()
	e := desktopEntry([]string{"/bin/hufu", "gui"}, menuPlace{home: home})
	if err := a.uninstallMenu(e); hufu.CodeOf(err) != "gui_menu_missing" || hufu.KindOf(err) != hufu.KindNotFound {
		t.Error(err)
	}
	for range 2 { // the second time it is replaced
		if err := a.installMenu(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(e.files[1].path, []byte("<svg/>"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{a.installMenu(t.Context(), e), a.uninstallMenu(e)} {
		if hufu.CodeOf(err) != "gui_menu_foreign" {
			t.Error(err)
		}
	}
	if data, err := os.ReadFile(e.files[1].path); err != nil || string(data) != "<svg/>" {
		t.Errorf("%v %s", err, data)
	}
	if err := os.Remove(e.files[1].path); err != nil {
		t.Fatal(err)
	}
	if err := a.uninstallMenu(e); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(e.path); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	e.make = []string{filepath.Join(home, "none")}
	if err := a.installMenu(context.Background(), e); hufu.CodeOf(err) != "cannot_write" {
		t.Error(err)
	}
}
