// Package autostart has the desktop of this user start a program at each login: by a desktop entry
// (XDG), an agent of launchd, or the Run key of Windows.
package autostart

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"hufu"
	"hufu/internal/atomicfile"
)

// mark is in every file of ours. A file without it is neither replaced nor removed.
const mark = `Written by the page of hufu.`

// Entry is one program that is started at login, or not.
type Entry interface {
	// On reports whether the program is started at each login.
	On() (bool, error)
	// Set switches that on or off. KindExists with the code autostart_foreign: somebody else has
	// written the entry.
	Set(on bool) error
}

// file is an entry that is a file. off are lines with which a desktop switches an entry off.
type file struct {
	path, text string
	off        []string
}

// ErrForeign says that a file was not written by hufu.
var ErrForeign = errors.New("not written by hufu")

// ReadOurs reads a file that a desktop reads. The file has the mark in it if hufu has written it, else the
// error is ErrForeign. data is nil if there is no file. A shortcut of Windows holds the mark in UTF-16.
func ReadOurs(path, mark string) (data []byte, err error) {
	data, err = os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, &hufu.Error{Op: "read desktop file", Path: path, Kind: hufu.KindUnreadable, Code: "cannot_read", Err: err}
	case !bytes.Contains(bytes.ReplaceAll(data, []byte{0}, nil), []byte(mark)):
		return nil, ErrForeign
	}
	return data, nil
}

func (f file) read() (there, on bool, err error) {
	data, err := ReadOurs(f.path, mark)
	switch {
	case errors.Is(err, ErrForeign):
		return true, false, &hufu.Error{Op: "read autostart", Path: f.path, Kind: hufu.KindExists, Code: "autostart_foreign"}
	case err != nil || data == nil:
		return false, false, err
	}
	for line := range strings.Lines(string(data)) {
		for _, off := range f.off {
			if strings.EqualFold(strings.ReplaceAll(strings.TrimSpace(line), " ", ""), off) {
				return true, false, nil
			}
		}
	}
	return true, true, nil
}

func (f file) On() (bool, error) {
	_, on, err := f.read()
	if hufu.CodeOf(err) == "autostart_foreign" {
		return false, nil // it is not ours; Set says so
	}
	return on, err
}

func (f file) Set(on bool) error {
	there, _, err := f.read()
	if err != nil {
		return err
	}
	switch {
	case on:
		if err = atomicfile.MkdirAll(filepath.Dir(f.path), 0o700); err == nil {
			err = atomicfile.Write(f.path, []byte(f.text), 0o600)
		}
	case there:
		err = os.Remove(f.path)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &hufu.Error{Op: "write autostart", Path: f.path, Kind: hufu.KindUnreadable, Code: "cannot_write", Err: err}
	}
	return nil
}

// desktopEntry is the entry of a desktop that follows the Desktop Application Autostart
// Specification. config is XDG_CONFIG_HOME.
func desktopEntry(words []string, home, config string) file {
	if !filepath.IsAbs(config) { // the specification: a relative one is ignored
		config = filepath.Join(home, ".config")
	}
	return file{
		filepath.Join(config, "autostart", "hufu.desktop"),
		"# " + mark + "\n[Desktop Entry]\nType=Application\nName=hufu\nExec=" + Exec(words) + "\nTerminal=false\nNoDisplay=true\n",
		[]string{"hidden=true", "x-gnome-autostart-enabled=false"},
	}
}

// Exec returns the value of the key Exec of a desktop entry: a program and its arguments (Desktop Entry
// Specification, The Exec key).
func Exec(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "`", "\\`", `$`, `\$`, `%`, `%%`).Replace(w) + `"`
	}
	if strings.Contains(words[0], "%") { // GLib looks for such a program by a wrong name
		quoted = append([]string{"env"}, quoted...)
	}
	return String(strings.Join(quoted, " "))
}

// String returns the value of a key of a desktop entry, escaped.
func String(s string) string {
	return strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\t", `\t`, "\r", `\r`).Replace(s)
}

// agent is an agent of launchd.
func agent(words []string, home string) file {
	var b strings.Builder
	b.WriteString(xml.Header + `<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<!-- ` + mark + ` -->
<plist version="1.0">
<dict>
	<key>Label</key>
	<string>hufu.gui</string>
	<key>ProgramArguments</key>
	<array>
`)
	for _, w := range words {
		b.WriteString("\t\t<string>")
		_ = xml.EscapeText(&b, []byte(w)) // a strings.Builder never fails
		b.WriteString("</string>\n")
	}
	b.WriteString("\t</array>\n\t<key>RunAtLoad</key>\n\t<true/>\n\t<key>ProcessType</key>\n\t<string>Interactive</string>\n</dict>\n</plist>\n")
	return file{filepath.Join(home, "Library", "LaunchAgents", "hufu.gui.plist"), b.String(), nil}
}
