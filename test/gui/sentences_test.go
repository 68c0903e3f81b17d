//go:build e2e && linux

package gui

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// TestPlacesAndAddresses: each place has an address that can be reloaded, and
// the browser's Back goes to the one before.
func TestPlacesAndAddresses(t *testing.T) {
	w := newWorld(t)
	alice := w.join(t, "")
	write(t, filepath.Join(alice.Home, "Documents", "letter.txt"), []byte("dear"))
	write(t, w.served("a b/c%.d/x.txt"), []byte("x"))
	d := sit(t, alice)
	p := enter(t, d)
	p.enterFolder("remote", "a b")
	p.enterFolder("remote", "c%.d")
	p.until(row("remote", "x.txt"))
	if got := eval[string](p, "location.hash"); got != "#/files/a%20b/c%25.d" {
		t.Errorf("the address is %s", got)
	}
	if got := p.text(".pane.remote .crumbs"); strings.Join(strings.Fields(got), " ") != "My files › a b › c%.d" {
		t.Errorf("the path is shown as %q", got)
	}
	p.enterFolder("local", "Documents")
	p.until(row("local", "letter.txt"))
	if got := p.text(".pane.local .crumbs"); strings.Join(strings.Fields(got), " ") != "Home › Documents" {
		t.Errorf("the path is shown as %q", got)
	}
	p.do(chromedp.Reload())
	p.until(row("remote", "x.txt") + " && " + row("local", "letter.txt"))
	p.show("settings")
	eval[chromedp.Void](p, "history.back()")
	p.until(row("remote", "x.txt") + " && " + row("local", "letter.txt"))
	eval[chromedp.Void](p, "history.go(-2)")
	p.until(row("remote", "c%.d") + " && " + row("local", "Documents"))
	eval[chromedp.Void](p, "history.forward()")
	p.until(row("remote", "x.txt"))
	p.goTo(d.address + "/#/files/a%20b")
	p.until(row("remote", "c%.d"))

	// A path can be typed, in the words of this computer.
	p.pick("local", "letter.txt")
	p.keys("l", chromedp.KeyModifiers(chromedp.ModifierCtrl))
	p.until("document.querySelector('.crumbs.typing input')?.value === " + quote(filepath.Join(alice.Home, "Documents")))
	p.keys("~" + kb.Enter)
	p.until(row("local", "Documents"))
	p.click(".pane.remote .type-path")
	p.keys("../a b/c%.d" + kb.Enter)
	p.until(row("remote", "x.txt"))
	p.click("nav a[href$=shared]")
	p.until("document.querySelector('.pane.remote .crumbs [aria-current]')?.innerText === 'Shared'")
	p.click("nav a[href$=files]")
	p.until(row("remote", "a b"))
	p.click(".pane.remote .type-path")
	p.keys("/@shared/common" + kb.Enter)
	p.until("document.querySelector('.pane.remote .crumbs').innerText.replace(/\\s+/g, ' ').trim() === 'Shared › common'")
	var ascii strings.Builder
	for c := rune(' '); c < 0x7f; c++ {
		ascii.WriteRune(c)
	}
	eval[chromedp.Void](p, "import('/web/places.js').then(m => { window.escaped = m.escape("+quote(ascii.String()+"虎é")+") })")
	p.until("window.escaped")
	escaped := eval[string](p, "window.escaped")
	if want := url.PathEscape(ascii.String() + "虎é"); escaped != want {
		t.Errorf("the page escapes %s, the program %s", escaped, want)
	}

	// A name is found below the folder, and shown in its own.
	p.click("nav a[href$=files]")
	p.until(row("remote", "a b"))
	p.do(chromedp.Focus(".pane.remote .filter input"))
	p.keys("X.TXT" + kb.Enter)
	p.sees("1 match")
	p.sees("My files › a b › c%.d")
	p.click(".hits button")
	p.until(row("remote", "x.txt") + " && document.querySelector('.pane.remote .row[aria-selected=true]')?.dataset.name === 'x.txt'")
	p.do(chromedp.Focus(".pane.local .filter input"))
	p.keys("nowhere")
	p.click("=In subfolders")
	p.sees("0 matches")
	p.click("=Close")
	p.keys(kb.Escape)

	// The start address leads back into the session that it began, in its browser only.
	p.goTo(d.start)
	p.until("document.querySelector('main.files')")
	// What one window chooses, the other shows.
	q := p.another()
	q.goTo(d.address + "/")
	q.until("document.querySelector('main.files')")
	q.theme("dark")
	p.until("document.documentElement.dataset.theme === 'dark'")
	q.language("zh-CN")
	p.until("document.documentElement.lang === 'zh-CN'")
}

// TestWhatCanBeDone: hidden files, types, sizes, the menu, and what cannot be
// done now and why.
func TestWhatCanBeDone(t *testing.T) {
	w := newWorld(t)
	alice := w.join(t, "")
	for i := range 213 {
		write(t, w.served(fmt.Sprintf("photos/2026/%d.jpg", i)), []byte("1234567890"))
	}
	write(t, w.served(".hidden"), nil)
	write(t, w.served("notes.txt"), []byte("n"))
	p := enter(t, sit(t, alice))
	p.until(row("remote", "notes.txt"))
	cell := func(name, column string) string {
		return row("remote", name) + "?.querySelector('." + column + "').textContent"
	}
	p.size(1700, 800)
	p.until(cell("notes.txt", "type") + " === 'Text (TXT)' && " + cell("photos", "type") + " === 'Folder'")

	p.until("!" + row("remote", ".hidden"))
	p.click("=Show 1 hidden file")
	p.until(row("remote", ".hidden") + " && " + row("local", ".config"))
	p.click("=Hide hidden files")
	p.until("!" + row("remote", ".hidden"))

	p.press("document.querySelector('.pane.remote [data-act=copy]')")
	p.sees("Select one or more items first.")

	p.press(row("remote", "photos"), chromedp.ButtonRight)
	p.click("=Calculate size")
	p.until(cell("photos", "size") + " === '2.1 KiB'")
	p.keys(kb.F10, chromedp.KeyModifiers(chromedp.ModifierShift))
	p.until("document.activeElement?.closest('.menu')")
	p.keys(kb.Escape)
	p.until("!document.querySelector('.menu') && document.activeElement.matches('.pane.remote .grid')")

	// Deleting says what goes.
	p.keys(kb.Delete)
	p.sees(`Delete the folder "photos"?`)
	p.sees("214 items in it, 2.1 KiB")
	p.sees("Deleting from the server cannot be undone.")
	p.click("=Cancel")

	p.pick("remote", "notes.txt", chromedp.ButtonModifiers(chromedp.ModifierCtrl))
	p.sees("2 selected")
	if why := eval[string](p, "document.querySelector('.pane.remote [data-act=rename]').title"); why != "Select a single item." {
		t.Errorf("two names cannot be renamed at once: %q", why)
	}
	p.keys("?")
	p.sees("jump to a name")
}

// TestTheDrawer: transfers are told on every screen, in words, in groups, and
// without the paths of the program's own folders.
func TestTheDrawer(t *testing.T) {
	w := newWorld(t)
	alice, slow := w.slowly(t)
	for _, n := range []string{"one.bin", "two.bin"} {
		write(t, filepath.Join(alice.Home, "Documents", n), random(6<<20))
	}
	dropped := filepath.Join(t.TempDir(), "dropped.txt")
	write(t, dropped, []byte("dropped"))
	p := enter(t, sit(t, alice))
	p.do(chromedp.SetUploadFiles("#choose-files", []string{dropped}))
	p.show("settings")
	p.show("transfers")
	p.job("dropped.txt", "done")
	// The program starts with the desktop, if the user wants it.
	entry := filepath.Join(alice.Home, ".config", "autostart", "hufu.desktop")
	box := `input[aria-label="Start when I log in to this computer"]`
	p.click(box)
	p.until("document.querySelector('" + box + "').checked")
	if data, err := os.ReadFile(entry); err != nil || !strings.Contains(string(data), "/hufu\" \"gui\" \"--at-login\"") {
		t.Errorf("%s: %s %v", entry, data, err)
	}
	p.do(chromedp.Reload())
	p.until("document.querySelector('" + box + "')?.checked")
	p.click(box)
	p.until("!document.querySelector('" + box + "').checked")
	if _, err := os.Stat(entry); !os.IsNotExist(err) {
		t.Errorf("switched off: %v", err)
	}
	// A desktop notification while another window is in front, if the user wants it.
	eval[chromedp.Void](p, `window.said = []; window.Notification = class { static permission = 'granted'; static requestPermission = async () => 'granted'; constructor(title, o) { said.push(o.body) } }; `+
		`Object.defineProperty(document, 'hidden', { get: () => true })`)
	p.click(`input[aria-label^="Notify"]`)
	p.until(`document.querySelector('input[aria-label^="Notify"]').checked`)
	p.sees("from the browser → My files")
	if text := p.text("body"); strings.Contains(text, "spool") || strings.Contains(text, ".local") {
		t.Errorf("a folder of the program is shown: %s", text)
	}
	p.click("=Show in folder: dropped.txt")
	p.until(row("remote", "dropped.txt"))

	slow.Rate(crawl / 4)
	p.show("settings")
	p.choose(`select[aria-label="Speed limit"]`, "524288")
	p.choose(`select[aria-label="Lanes per transfer"]`, "1") // two, if nobody chooses
	p.show("files")
	p.enterFolder("local", "Documents")
	p.upload("one.bin")
	p.until("!document.querySelector('.drawer-head [role=progressbar]')") // the line of one is enough
	p.upload("two.bin")
	p.show("transfers")
	p.until("document.querySelector('.drawer-head [role=progressbar]')")
	p.sees("2 active")
	p.sees("Limited to 512.0 KiB/s")
	p.until(`[...document.querySelectorAll('.facts-line span')].some(e => e.innerText === '1 lane')`)
	p.show("settings")
	p.until(`document.querySelector('select[aria-label="Speed limit"]').value === '524288' && document.querySelector('select[aria-label="Lanes per transfer"]').value === '1'`)
	p.choose(`select[aria-label="Speed limit"]`, "0")
	p.until(`!document.body.innerText.includes('Limited to')`)
	p.sees("Home › Documents → My files")
	p.until("[...document.querySelectorAll('.jobs h3')].map(e => e.innerText).join() === 'In progress and waiting,Finished'")
	eval[chromedp.Void](p, `Promise.all([import('/web/store.js'), import('/web/text.js')]).then(([s, t]) => { window.peak = () => 'Last minute, peak ' + t.rate(Math.max(...s.speeds)) })`)
	p.until("document.querySelector('.drawer-head .plot')")
	if n := eval[int](p, "document.querySelector('.plot polyline').points.length"); n < 5 {
		t.Errorf("a plot of %d points", n)
	}
	p.until(`document.querySelector('.plot title')?.textContent === peak() && document.querySelector('.plot polygon') && document.querySelector('.plot line')`)
	if h := eval[float64](p, "document.querySelector('.job[data-name=\"one.bin\"]').getBoundingClientRect().height"); h > 52 {
		t.Errorf("a row is %.0f pixels high", h)
	}
	p.click("=Pause all")
	p.job("one.bin", "paused")
	p.job("two.bin", "paused")
	slow.Rate(fast)
	p.click("=Resume all")
	p.job("one.bin", "done")
	p.job("two.bin", "done")
	p.until("['one.bin', 'two.bin'].every(x => said.includes('Uploaded \"' + x + '\" to \"My files\".'))")
	p.until("document.querySelectorAll('.notice').length === 1") // what was said of three is one line
}

// TestNoTeachingWorld: what needs one says so, also after a reload.
func TestNoTeachingWorld(t *testing.T) {
	w := newWorld(t)
	p := enter(t, sit(t, w.join(t, "")))
	p.show("wire")
	p.sees("This server has no teaching world")
	p.do(chromedp.Reload())
	p.until("document.querySelector('main.wire .options .primary')?.ariaDisabled === 'true'")
	p.sees("This server has no teaching world")
}
