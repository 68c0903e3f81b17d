package gui

import (
	"crypto/rand"
	"html/template"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"hufu"
	"hufu/internal/atomicfile"
	"hufu/internal/profile"
)

// openLife is how long the page that leads to the start address stays on the
// disk: a browser that has not read it by then will not.
const openLife = time.Minute

// appBrowsers can show a page in a window of its own, best first.
var appBrowsers = map[string][]string{
	"linux": {"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "microsoft-edge", "microsoft-edge-stable", "brave-browser"},
	"darwin": {
		"/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
		"/Applications/Chromium.app/Contents/MacOS/Chromium",
		"/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
	},
	"windows": {
		`C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe`,
		`C:\Program Files\Google\Chrome\Application\chrome.exe`,
		`C:\Program Files (x86)\Google\Chrome\Application\chrome.exe`,
	},
}

// defaultBrowsers open an address in the user's preferred browser.
var defaultBrowsers = map[string][]string{
	"linux":   {"xdg-open"},
	"darwin":  {"open"},
	"windows": {"rundll32", "url.dll,FileProtocolHandler"},
}

var leadPage = template.Must(template.New("lead").Parse(
	`<!doctype html><meta charset="utf-8"><meta name="referrer" content="no-referrer"><meta http-equiv="refresh" content="0;url={{.}}">` +
		`<title>hufu</title><a href="{{.}}">hufu</a>`))

// fileAddress is the address of a file for a browser, its path with slashes (RFC 8089).
func fileAddress(path string) string {
	if !strings.HasPrefix(path, "/") { // a drive of Windows
		path = "/" + path
	}
	return (&url.URL{Scheme: "file", Path: path}).String()
}

// OpenBrowser shows a start address in a window of its own, else in the default
// browser. The address holds a secret and other users can read the arguments
// of a program: so the browser gets a file that only this user can read and
// that leads there. The file goes after a minute, or when remove is called.
func OpenBrowser(dirs profile.Dirs, start string) (remove func(), err error) {
	cmd := findBrowser(exec.LookPath)
	if cmd == nil {
		return nil, &hufu.Error{Op: "open browser", Kind: hufu.KindUnsupported, Code: "gui_no_browser"}
	}
	file, err := writeLead(dirs, start, cmd[0])
	if err != nil {
		return nil, err
	}
	cmd[len(cmd)-1] += fileAddress(filepath.ToSlash(file))
	c := exec.Command(cmd[0], cmd[1:]...) //nolint:gosec // a fixed list of programs; the file's name is ours
	if err := c.Start(); err != nil {
		_ = os.Remove(file)
		return nil, &hufu.Error{Op: "open browser", Kind: hufu.KindUnsupported, Code: "gui_no_browser", Err: err}
	}
	go func() { _ = c.Wait() }() // ends with the browser, which may outlive us
	timer := time.AfterFunc(openLife, func() { _ = os.Remove(file) })
	return func() {
		timer.Stop()
		_ = os.Remove(file)
	}, nil
}

// findBrowser returns the command to which the address is appended, nil if there
// is none.
func findBrowser(look func(string) (string, error)) []string {
	if runtime.GOOS == "linux" && os.Getenv("DISPLAY") == "" && os.Getenv("WAYLAND_DISPLAY") == "" {
		return nil
	}
	for _, name := range appBrowsers[runtime.GOOS] {
		if p, err := look(name); err == nil {
			return []string{p, "--app="}
		}
	}
	if b := defaultBrowsers[runtime.GOOS]; len(b) > 0 {
		if p, err := look(b[0]); err == nil {
			return append(append([]string{p}, b[1:]...), "")
		}
	}
	return nil
}

// writeLead writes the file that leads to the start address. A browser in a
// snap's confinement reads no hidden folder: for it the file is in the home
// folder itself.
func writeLead(dirs profile.Dirs, start, browser string) (string, error) {
	dir := dirs.State
	if program, err := filepath.EvalSymlinks(browser); err == nil {
		_, snaps := os.Stat("/snap/bin")
		if home, err := os.UserHomeDir(); err == nil && (strings.Contains(program, "snap") || snaps == nil) {
			dir = home
		}
	}
	file := filepath.Join(dir, "hufu-"+strings.ToLower(rand.Text()[:10])+".html")
	var b strings.Builder
	err := leadPage.Execute(&b, template.URL(start)) //nolint:gosec // our own address
	if err == nil {
		err = atomicfile.Write(file, []byte(b.String()), 0o600)
	}
	if err != nil {
		return "", &hufu.Error{Op: "open browser", Path: file, Kind: hufu.KindUnreadable, Code: "cannot_write", Err: err}
	}
	return file, nil
}
