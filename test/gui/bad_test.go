//go:build e2e && linux

package gui

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// hostile are names of the security cases, as files can have them.
var hostile = []string{
	"<img src=x onerror=pwn()>", `"'><script>pwn()<`, "<svg onload=pwn()>.txt", "javascript:pwn()", "{name} {n} {folder}", "%3Cimg src=x%3E&lt;b&gt;",
	"__proto__", "constructor", "exe.\u202etxt", "a\nb\x1b[31m", "-rf", "CON", "..%2f..%2fetc", "' OR 1=1 --", strings.Repeat("长", 85),
}

// TestHT41HostileNamesEverywhere: a name is shown as text in every place that shows one.
func TestHT41HostileNamesEverywhere(t *testing.T) {
	w := newWorld(t)
	alice := w.join(t, "")
	for _, name := range hostile {
		write(t, w.served(filepath.Join("far", name)), []byte("text of theirs"))
		write(t, filepath.Join(alice.Home, "near", name), []byte("mine"))
	}
	folder := hostile[0]
	write(t, w.served(filepath.Join("far", "in", folder, "file")), nil)
	p := enter(t, sit(t, alice))
	p.size(1200, 1300) // all of them in sight
	eval[chromedp.Void](p, "window.pwned = 0; window.pwn = () => { pwned++ }")
	clean := func(place string) {
		t.Helper()
		if eval[bool](p, "pwned > 0 || !!document.querySelector('img[src=x], [onerror], [onload], #app script, #app b, a[href^=\"javascript\"]')") {
			t.Errorf("%s: a name has become markup", place)
		}
		if text := p.text("body"); strings.ContainsAny(text, "\u202e\x1b") {
			t.Errorf("%s: a name turns the text around", place)
		}
	}
	p.click("=Show 2 hidden files") // one of the names begins with a dot
	p.enterFolder("remote", "far")
	p.enterFolder("local", "near")
	p.until(fmt.Sprintf("document.querySelectorAll('.pane.remote .row').length === %d && document.querySelectorAll('.pane.local .row').length === %d", len(hostile)+1, len(hostile)))
	clean("list")
	shown := eval[[]string](p, "[...document.querySelectorAll('.pane.local .row')].map(e => e.dataset.name)")
	for _, name := range shown {
		p.pick("remote", name)
		p.keys(kb.Enter, chromedp.KeyModifiers(chromedp.ModifierAlt))
		p.until("document.querySelector('dialog[open]')")
		p.sees(name)
		clean("properties")
		p.keys(kb.Escape)
		p.until("!document.querySelector('dialog')")
	}
	for _, act := range []string{"rename", "move", "remove"} {
		p.pick("remote", folder)
		p.act("remote", act)
		p.until("document.querySelector('dialog[open]')")
		clean(act)
		p.keys(kb.Escape)
		p.until("!document.querySelector('dialog')")
	}
	p.pick("remote", folder)
	p.keys(kb.Enter)
	p.until("document.querySelector('dialog .seen')?.innerText.includes('text of theirs')")
	clean("preview")
	p.keys(kb.Escape)
	p.until("!document.querySelector('dialog')")

	// In a question, in the drawer, in a message and in an error.
	p.pick("local", folder)
	p.click("section.pane.local .tools .primary")
	p.until("document.querySelector('dialog input[type=radio]')")
	p.sees(folder)
	clean("conflict")
	p.answer("skip")
	p.show("transfers")
	p.job(folder, "done")
	p.sees(`Skipped "` + folder + `": nothing was transferred.`)
	clean("drawer")
}

// TestTabsAndTheCommandLine: two windows and a command change one folder; each sees what the others
// have done, and what has gone meanwhile is said.
func TestTabsAndTheCommandLine(t *testing.T) {
	w := newWorld(t)
	alice := w.join(t, "")
	for _, n := range []string{"a.txt", "b.txt", "c.txt"} {
		write(t, w.served("box/"+n), []byte(n))
	}
	run := func(args ...string) {
		t.Helper()
		if r, err := alice.Run(args...); err != nil || r.Code != 0 {
			t.Fatal(r, err)
		}
	}
	p := enter(t, sit(t, alice))
	p.enterFolder("remote", "box")
	p.pick("remote", "a.txt")
	p.pick("remote", "b.txt", chromedp.ButtonModifiers(chromedp.ModifierCtrl))
	q := p.another()
	q.goTo(eval[string](p, "location.href"))
	q.until(row("remote", "c.txt"))
	run("rm", ":/box/a.txt")
	p.until("!" + row("remote", "a.txt"))
	p.sees("1 selected") // what is gone is no longer chosen
	q.until("!" + row("remote", "a.txt"))
	run("mv", ":/box/c.txt", ":/box/d.txt")
	p.until(row("remote", "d.txt") + " && !" + row("remote", "c.txt"))

	// One renames what the other has just deleted.
	q.pick("remote", "b.txt")
	q.act("remote", "rename")
	q.until("document.querySelector('dialog input')")
	p.keys(kb.Delete)
	p.click("dialog .danger")
	p.until("!" + row("remote", "b.txt"))
	q.fill("dialog input", "e.txt")
	q.keys(kb.Enter)
	q.until("document.querySelector('dialog .trouble')?.innerText.includes('Not found')")
	q.keys(kb.Escape)
	if _, err := os.Stat(w.served("box/e.txt")); !os.IsNotExist(err) {
		t.Errorf("it is back: %v", err)
	}

	// The folder that both show goes.
	run("rm", "-r", ":/box")
	for _, x := range []*window{p, q} {
		x.until("document.querySelector('.pane.remote .trouble')?.innerText.includes('Not found')")
		x.click(".pane.remote .crumbs a:first-of-type")
		x.until("!document.querySelector('.pane.remote .trouble')")
	}
}

// TestAClockThatIsSet: typing a name jumps to it whatever happens to the clock, and the speeds go on.
func TestAClockThatIsSet(t *testing.T) {
	w := newWorld(t)
	alice := w.join(t, "")
	for _, n := range []string{"apple", "banana", "zebra"} {
		write(t, w.served(n), nil)
	}
	p := enter(t, sit(t, alice))
	p.pick("remote", "apple")
	chosen := func(name string) {
		t.Helper()
		p.until(row("remote", name) + "?.getAttribute('aria-selected') === 'true'")
	}
	pass := "performance.now = (was => () => was() + 60000)(performance.now.bind(performance))"
	p.keys("b")
	chosen("banana")
	for _, set := range []string{"Date.now = () => 1e12", "Date.now = () => 4e12"} { // back, and far ahead
		eval[chromedp.Void](p, set)
		eval[chromedp.Void](p, pass)
		p.keys("ze")
		chosen("zebra")
		eval[chromedp.Void](p, pass)
		p.keys("ap")
		chosen("apple")
	}
}
