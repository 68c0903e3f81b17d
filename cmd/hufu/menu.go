package main

import (
	"context"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"unicode/utf16"

	"hufu"
	"hufu/internal/atomicfile"
	"hufu/internal/autostart"
	"hufu/internal/cli"
	"hufu/internal/gui"
	"hufu/internal/text"
)

// menuMark is in every file of "hufu gui --install". A file without it is neither replaced nor removed.
// (It has no "--", which a comment of XML must not contain.)
const menuMark = `Installed by "hufu gui".`

// menuFlags are the flags of gui that do not open the page.
type menuFlags struct{ install, uninstall, print, stop bool }

func (f menuFlags) given() bool { return f != menuFlags{} }

// first returns the name of one that is given.
func (f menuFlags) first() string {
	switch {
	case f.stop:
		return "--stop"
	case f.install:
		return "--install"
	case f.uninstall:
		return "--uninstall"
	}
	return "--print"
}

// run installs or removes the entry, or shows it, or stops the page. listen is --listen if it was given.
func (f menuFlags) run(ctx context.Context, a *app, listen string) error {
	switch {
	case f.stop && listen != "":
		return cli.Usage("flags_contradict", "one", "--stop", "other", "--listen")
	case f.stop && f != menuFlags{stop: true}:
		f.stop = false
		return cli.Usage("flags_contradict", "one", "--stop", "other", f.first())
	case f.stop:
		return a.stopPage(ctx)
	case f.install && f.uninstall:
		return cli.Usage("flags_contradict", "one", "--install", "other", "--uninstall")
	case f.print && !f.install:
		return cli.Usage("gui_print_alone")
	}
	e, err := a.menu(listen)
	switch {
	case err != nil:
		return err
	case f.print:
		return a.printMenu(e)
	case f.uninstall:
		return a.uninstallMenu(e)
	}
	return a.installMenu(ctx, e)
}

// menuEntry is how the desktop of a user starts the page.
type menuEntry struct {
	path    string     // what the user sees of it
	files   []menuFile // the first is needed last
	folders []string   // made for the files alone, the innermost first
	make    []string   // the command that makes the file on Windows; files have no text there
}

type menuFile struct {
	path, text string
	mode       fs.FileMode
	plain      bool // for people to read
}

// menuPlace is where a user keeps what menus show.
type menuPlace struct {
	home    string
	data    string // XDG_DATA_HOME
	appData string // APPDATA of Windows
}

// menu returns the entry that starts this program with the same --profile, --lang, --proxy and --listen.
func (a *app) menu(listen string) (*menuEntry, error) {
	p := menuPlace{data: a.Getenv("XDG_DATA_HOME"), appData: a.Getenv("APPDATA")}
	exe, err := os.Executable()
	if err == nil {
		p.home, err = os.UserHomeDir()
	}
	if err != nil {
		return nil, &hufu.Error{Op: "find folders", Kind: hufu.KindUsage, Code: "no_home", Err: err}
	}
	words := a.pageCommand(exe, listen)
	switch runtime.GOOS {
	case "windows":
		return startMenu(words, p), nil
	case "darwin":
		return appBundle(words, p), nil
	}
	return desktopEntry(words, p), nil
}

// envProgram sets variables for the program that a desktop starts: that does not run the user's shell,
// which may set them.
const envProgram = "/usr/bin/env"

// pageCommand returns the command that starts the page of this program with the same folders,
// --profile, --lang and --proxy.
func (a *app) pageCommand(exe, listen string) []string {
	var words []string
	exe = inPath(exe)
	for _, v := range []string{"XDG_CONFIG_HOME", "XDG_STATE_HOME"} {
		if dir := a.Getenv(v); filepath.IsAbs(dir) && runtime.GOOS != "windows" && !strings.Contains(exe, "=") {
			words = append(words, v+"="+dir)
		}
	}
	if words != nil {
		words = append([]string{envProgram}, words...)
	}
	words = append(words, exe, "gui")
	for _, f := range [][2]string{{"--profile", a.profile}, {"--lang", a.Lang}, {"--proxy", a.proxy}, {"--listen", listen}} {
		if f[1] != "" {
			words = append(words, f[0], f[1])
		}
	}
	return words
}

// inPath returns the name by which a program is found in PATH, which an upgrade keeps, or else the
// name of its file.
func inPath(exe string) string {
	found, err := exec.LookPath(program)
	if err != nil {
		return exe
	}
	one, err := os.Stat(exe)
	other, otherErr := os.Stat(found)
	if found, absErr := filepath.Abs(found); errors.Join(err, otherErr, absErr) == nil && os.SameFile(one, other) {
		return found
	}
	return exe
}

// desktopEntry returns the entry of a desktop that follows the specifications of freedesktop.org.
func desktopEntry(words []string, p menuPlace) *menuEntry {
	data := p.data
	if !filepath.IsAbs(data) { // the specification: a relative one is ignored
		data = filepath.Join(p.home, ".local", "share")
	}
	icon := filepath.Join(data, "icons", "hicolor", "scalable", "apps", "hufu.svg")
	var b strings.Builder
	b.WriteString("# " + menuMark + "\n[Desktop Entry]\nType=Application\nName=hufu\n")
	for _, line := range [][2]string{{"GenericName", "hufu.gui.menu.generic"}, {"Comment", "hufu.gui.menu.comment"}} {
		b.WriteString(line[0] + "=" + text.For(text.English).T(line[1]) + "\n" + line[0] + "[zh_CN]=" + text.For(text.Chinese).T(line[1]) + "\n")
	}
	try := words[0]
	if try == envProgram {
		try = words[1+slices.IndexFunc(words[1:], func(w string) bool { return !strings.Contains(w, "=") })]
	}
	b.WriteString("TryExec=" + autostart.String(try) + "\nExec=" + autostart.Exec(words) + "\nIcon=hufu\nTerminal=false\nCategories=Network;FileTransfer;\n")
	entry := filepath.Join(data, "applications", "hufu.desktop")
	return &menuEntry{path: entry, files: []menuFile{
		{entry, b.String(), 0o600, true},
		{icon, "<!-- " + menuMark + " -->\n" + string(gui.Icon()), 0o600, false},
	}}
}

// appBundle returns an application of macOS. Its program starts the page and ends: if it went on, a
// second click would only bring it to the front instead of opening another window.
func appBundle(words []string, p menuPlace) *menuEntry {
	app := filepath.Join(p.home, "Applications", "hufu.app")
	contents := filepath.Join(app, "Contents")
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
	}
	var b strings.Builder
	b.WriteString(xml.Header + `<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<!-- ` + menuMark + ` -->
<plist version="1.0">
<dict>
`)
	for _, line := range [][2]string{
		{"CFBundleName", "hufu"},
		{"CFBundleIdentifier", "hufu.gui"},
		{"CFBundleExecutable", "hufu"},
		{"CFBundlePackageType", "APPL"},
		{"CFBundleInfoDictionaryVersion", "6.0"},
		{"CFBundleShortVersionString", "1.0"},
		{"CFBundleVersion", "1"},
	} {
		b.WriteString("\t<key>" + line[0] + "</key>\n\t<string>" + line[1] + "</string>\n")
	}
	b.WriteString("\t<key>LSUIElement</key>\n\t<true/>\n</dict>\n</plist>\n")
	return &menuEntry{
		path: app,
		files: []menuFile{
			{filepath.Join(contents, "Info.plist"), b.String(), 0o600, true},
			{filepath.Join(contents, "MacOS", "hufu"), "#!/bin/sh\n# " + menuMark + "\n" + strings.Join(quoted, " ") + " >/dev/null 2>&1 &\n", 0o700, true},
		},
		folders: []string{filepath.Join(contents, "MacOS"), contents, app},
	}
}

// startMenu returns a shortcut in the Start menu of Windows, which PowerShell makes. The program has
// a console, which begins minimized; closing it ends the page.
func startMenu(words []string, p menuPlace) *menuEntry {
	file := p.appData + `\Microsoft\Windows\Start Menu\Programs\hufu.lnk`
	arguments := make([]string, len(words)-1)
	for i, w := range words[1:] {
		if arguments[i] = w; strings.ContainsAny(w, " \t") {
			arguments[i] = `"` + w + `"`
		}
	}
	var script strings.Builder
	script.WriteString("$s = (New-Object -ComObject WScript.Shell).CreateShortcut(" + powerShellWord(file) + ")\n")
	for _, line := range [][2]string{{"TargetPath", words[0]}, {"Arguments", strings.Join(arguments, " ")}, {"Description", menuMark}} {
		script.WriteString("$s." + line[0] + " = " + powerShellWord(line[1]) + "\n")
	}
	script.WriteString("$s.WindowStyle = 7\n$s.Save()\n")
	var encoded []byte
	for _, u := range utf16.Encode([]rune("$ErrorActionPreference = 'Stop'\n" + script.String())) {
		encoded = append(encoded, byte(u), byte(u>>8))
	}
	return &menuEntry{
		path:  file,
		files: []menuFile{{path: file, text: script.String(), plain: true}},
		make:  []string{"powershell", "-NoProfile", "-NonInteractive", "-EncodedCommand", base64.StdEncoding.EncodeToString(encoded)},
	}
}

// powerShellWord quotes a word for PowerShell, which ends a string at each of these quotation marks.
func powerShellWord(s string) string {
	return "'" + strings.NewReplacer("'", "''", "‘", "‘‘", "’", "’’", "‚", "‚‚", "‛", "‛‛").Replace(s) + "'"
}

// check returns which of the files are there. It is an error if somebody else has written one.
func (e *menuEntry) check() (there []string, err error) {
	for _, f := range e.files {
		data, err := autostart.ReadOurs(f.path, menuMark)
		switch {
		case errors.Is(err, autostart.ErrForeign):
			return nil, cli.Usage("gui_menu_foreign", "path", f.path)
		case err != nil:
			return nil, err
		case data != nil:
			there = append(there, f.path)
		}
	}
	return there, nil
}

// printMenu shows what --install would write.
func (a *app) printMenu(e *menuEntry) error {
	for _, f := range e.files {
		a.Hint(a.Cat.T("hufu.gui.would", "path", f.path))
		if f.plain {
			if err := a.Printf("%s", strings.TrimSuffix(f.text, "\n")); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a *app) installMenu(ctx context.Context, e *menuEntry) error {
	if _, err := e.check(); err != nil {
		return err
	}
	for _, f := range slices.Backward(e.files) {
		err := atomicfile.MkdirAll(filepath.Dir(f.path), 0o700)
		if err == nil && e.make == nil {
			err = atomicfile.Write(f.path, []byte(f.text), f.mode)
		}
		if err != nil {
			return &hufu.Error{Op: "write menu", Path: f.path, Kind: hufu.KindUnreadable, Code: "cannot_write", Err: err}
		}
	}
	if e.make != nil {
		out, err := exec.CommandContext(ctx, e.make[0], e.make[1:]...).CombinedOutput() //nolint:gosec // its words are quoted above
		if said := strings.TrimSpace(string(out)); err != nil && said != "" {
			err = errors.New(said)
		}
		if err != nil {
			return &hufu.Error{Op: "write menu", Path: e.path, Kind: hufu.KindUnreadable, Code: "cannot_write", Err: err}
		}
	}
	if variable := a.proxyVariable(); variable != "" && a.proxy == "" {
		a.Hint(a.Cat.T("hufu.gui.without_proxy", "variable", variable))
	}
	return a.Printf("%s", a.Cat.T("hufu.gui.installed", "path", e.path))
}

func (a *app) uninstallMenu(e *menuEntry) error {
	there, err := e.check()
	if err != nil {
		return err
	}
	if len(there) == 0 {
		return &hufu.Error{Op: "remove menu", Path: e.path, Kind: hufu.KindNotFound, Code: "gui_menu_missing"}
	}
	for _, path := range there {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return &hufu.Error{Op: "remove menu", Path: path, Kind: hufu.KindUnreadable, Code: "cannot_write", Err: err}
		}
	}
	for _, folder := range e.folders {
		_ = os.Remove(folder) // stays if something else is in it
	}
	return a.Printf("%s", a.Cat.T("hufu.gui.uninstalled"))
}
