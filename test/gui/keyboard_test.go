//go:build e2e && linux

package gui

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"hufu/test/built"
)

// to goes on by Tab until the focus is on what is named as for click, where it can be seen.
func (w *window) to(what string) {
	w.Helper()
	w.tab(find(what))
}

// tab is to for an expression.
func (w *window) tab(what string) {
	w.Helper()
	w.until(what)
	for range 150 {
		if eval[bool](w, "document.activeElement === "+what) {
			if !eval[bool](w, "document.activeElement.matches(':focus-visible')") {
				w.Errorf("the focus on %s cannot be seen", what)
			}
			return
		}
		w.keys(kb.Tab)
	}
	w.Fatalf("no Tab leads to %s", what)
}

// enterOn goes to a button or a link and presses Enter.
func (w *window) enterOn(what string) {
	w.Helper()
	w.until(find(what) + "?.disabled === false || " + find(what) + "?.tagName === 'A'")
	w.to(what)
	w.keys(kb.Enter)
}

// send presses F5 and answers the question with yes.
func (w *window) send() {
	w.Helper()
	w.keys(kb.F5)
	w.until("document.activeElement.matches('dialog .primary')")
	w.keys(kb.Enter)
}

// kept looks that the focus is on something, not lost to the page as a whole.
func (w *window) kept(after string) {
	w.Helper()
	w.until("!document.querySelector('dialog[open], .menu')")
	if eval[bool](w, "document.activeElement === document.body") {
		w.Errorf("after %s the focus is lost", after)
	}
}

// TestEachActionByKeyboard: what can be done with the mouse can be done without, by keys that are in
// the sheet or by Tab and Enter, and the focus is never lost.
func TestEachActionByKeyboard(t *testing.T) {
	w := newWorld(t, "--teach-plaintext")
	alice, slow := w.slowly(t)
	for name, data := range map[string]string{"apple.txt": "apple", "berry.txt": "berry", ".hidden": "hidden"} {
		write(t, filepath.Join(alice.Home, name), []byte(data))
	}
	write(t, filepath.Join(alice.Home, "docs", "deep", "note.txt"), []byte("note"))
	for _, n := range []string{"one.bin", "two.bin", "zero.bin"} {
		write(t, filepath.Join(alice.Home, "big", n), random(3<<20))
	}
	p := browser.open(t)
	p.goTo(sit(t, alice).start)
	const local, remote = `.pane.local [role=grid]`, `.pane.remote [role=grid]`
	chosen := func(side, name string) {
		t.Helper()
		p.until(row(side, name) + "?.getAttribute('aria-selected') === 'true'")
	}
	// seek chooses a name by its first letters; the list has the focus.
	seek := func(side, letters, name string) {
		t.Helper()
		p.until(row(side, name))
		p.keys(kb.Escape + letters)
		chosen(side, name)
	}
	ctrl, alt, shift := chromedp.KeyModifiers(chromedp.ModifierCtrl), chromedp.KeyModifiers(chromedp.ModifierAlt), chromedp.KeyModifiers(chromedp.ModifierShift)
	// Log in, with TLS switched off and on again.
	p.to("#tls")
	p.keys(" ")
	p.until("document.querySelector('#tls').ariaChecked === 'false'")
	p.keys(" ")
	p.until("document.querySelector('#tls').ariaChecked === 'true'")
	p.enterOn("=Continue")
	p.until("document.querySelector('main.files')")

	// Hidden files, the filter, a search, a typed path.
	p.enterOn(".pane.local .foot .as-link")
	p.until(row("local", ".hidden"))
	p.kept("hidden files")
	p.enterOn(".pane.local .foot .as-link")
	p.until("!" + row("local", ".hidden"))
	p.to(".pane.local input[type=search]")
	p.keys("note" + kb.Enter)
	p.until("document.querySelector('dialog .hits button')")
	p.enterOn("dialog .hits button")
	chosen("local", "note.txt")
	p.kept("a search")
	p.to(local)
	p.keys(kb.Backspace + kb.Backspace)
	p.until(row("local", "apple.txt"))
	p.keys("l", ctrl)
	p.until("document.activeElement.matches('.pane.local .typing input')")
	p.keys(filepath.Join(alice.Home, "docs", "deep") + kb.Enter)
	p.until(row("local", "note.txt"))
	p.kept("a typed path")
	p.to(local)
	p.keys(kb.Backspace + kb.Backspace)

	// Upload by F5, which asks; a folder by its button.
	seek("local", "app", "apple.txt")
	p.keys(kb.F5)
	p.sees(`Upload "apple.txt" to "My files"?`)
	p.audit("a question before an upload")
	p.keys(kb.Escape)
	p.kept("a question that was answered with no")
	if got := p.text(".drawer .told"); got != "none" {
		t.Errorf("nothing was to be sent, but there is %q", got)
	}
	p.send()
	p.until(row("remote", "apple.txt"))
	p.kept("an upload")
	p.to(local)
	seek("local", "ber", "berry.txt")
	p.enterOn(".pane.local [data-act=copy]")
	p.until(row("remote", "berry.txt"))
	p.kept("an upload by the button")
	p.enterOn(".pane.remote [data-act=folder]")
	p.until("document.activeElement.matches('dialog input')")
	p.keys("box" + kb.Enter)
	p.until(row("remote", "box"))
	p.kept("a new folder")
	p.enterOn(".pane.remote .refresh")
	p.kept("a refresh")

	// Rename, properties and what they verify, preview, a menu, move, delete.
	p.to(remote)
	seek("remote", "app", "apple.txt")
	p.keys(kb.F2)
	p.until("document.activeElement.matches('dialog input')")
	p.keys("cherry" + kb.Enter)
	p.until(row("remote", "cherry.txt"))
	p.kept("a new name")
	p.to(remote)
	seek("remote", "che", "cherry.txt")
	p.keys(kb.Enter, alt)
	p.enterOn("=Verify")
	p.sees("the bytes match the digest")
	p.keys(kb.Escape)
	p.kept("the properties")
	p.keys(kb.Enter)
	p.until("document.querySelector('.seen pre')?.textContent === 'apple'")
	p.keys(kb.Escape)
	p.kept("a preview")
	seek("remote", "box", "box")
	p.keys(kb.F10, shift)
	p.until("document.activeElement.matches('.menu button')")
	p.keys(kb.ArrowUp + kb.ArrowUp)
	p.until("document.activeElement.matches('.menu button')")
	p.keys(kb.Escape)
	p.kept("a menu")
	seek("remote", "che", "cherry.txt")
	p.enterOn(".pane.remote [data-act=move]")
	p.enterOn("dialog .folders button:last-child")
	p.until("document.querySelector('dialog .primary:not([disabled]):not([aria-disabled=true])')")
	p.enterOn("dialog .primary")
	p.until("!" + row("remote", "cherry.txt"))
	p.kept("a move")
	same(t, w.served("box/cherry.txt"), []byte("apple"))
	p.to(remote)
	seek("remote", "box", "box")
	p.keys(kb.Delete)
	p.enterOn("dialog .danger")
	p.until("!" + row("remote", "box"))
	p.kept("a removal")

	// A conflict: the arrows choose.
	write(t, w.served("berry.txt"), []byte("another berry"))
	p.to(local)
	seek("local", "ber", "berry.txt")
	p.send()
	p.until("document.activeElement.matches('dialog input[type=radio]')")
	p.keys(kb.ArrowDown)
	p.until("document.querySelector('dialog input[value=replace]').checked")
	p.enterOn("dialog .primary")
	p.kept("a conflict")
	if err := built.Eventually("the answer", func() bool {
		data, err := os.ReadFile(w.served("berry.txt"))
		return err == nil && string(data) == "berry"
	}); err != nil {
		t.Error(err)
	}

	// Download by F5.
	if err := os.Remove(filepath.Join(alice.Home, "berry.txt")); err != nil {
		t.Fatal(err)
	}
	p.until("!" + row("local", "berry.txt"))
	p.to(remote)
	seek("remote", "ber", "berry.txt")
	p.send()
	p.until(row("local", "berry.txt"))
	same(t, filepath.Join(alice.Home, "berry.txt"), []byte("berry"))

	// Transfers: paused, resumed, first, stopped, tried again, cleared.
	slow.Rate(crawl / 4)
	p.to(local)
	p.until(row("local", "big"))
	seek("local", "big", "big")
	p.keys(kb.Enter)
	p.until(row("local", "zero.bin"))
	p.enterOn(".drawer .toggle")
	for _, n := range []string{"one.bin", "two.bin", "zero.bin"} {
		p.to(local)
		seek("local", n[:2], n)
		p.send()
		p.until("document.querySelector('.job[data-name=\"" + n + "\"]')")
	}
	p.enterOn("=Pause one.bin")
	p.job("one.bin", "paused")
	p.kept("a pause")
	p.enterOn("=Resume one.bin")
	p.until("document.querySelector('.job[data-name=\"one.bin\"]').dataset.state !== 'paused'")
	p.kept("a transfer that goes on")
	p.enterOn("=Stop two.bin")
	p.until("document.querySelector('dialog[open]')")
	p.enterOn("dialog .danger")
	p.job("two.bin", "canceled")
	p.kept("a stop")
	p.enterOn("=Pause all")
	p.job("zero.bin", "paused")
	p.kept("a pause of all")
	slow.Rate(fast)
	p.enterOn("=Resume all")
	p.job("one.bin", "done")
	p.job("zero.bin", "done")
	p.kept("that all goes on")
	p.enterOn("=Retry two.bin")
	p.job("two.bin", "done")
	p.kept("another try")
	p.enterOn("=Clear finished")
	p.sees("No transfers yet")
	p.kept("a list that is cleared")
	p.enterOn(".drawer .toggle")

	// Settings, the sheet of keys, the language, and the end.
	p.enterOn("nav a[href='#/settings']")
	p.to(`main select[aria-label="Speed limit"]`)
	p.keys(kb.ArrowDown)
	p.until(`document.querySelector('main select[aria-label="Speed limit"]').value === '131072'`)
	p.keys(kb.ArrowUp)
	p.to(`main input[aria-label="Show hidden files"]`)
	p.keys(" ")
	p.until(`document.querySelector('main input[aria-label="Show hidden files"]').checked`)
	p.keys("?")
	p.until("document.querySelector('dialog .keys')")
	p.keys(kb.Escape)
	p.kept("the sheet of keys")
	p.enterOn("main .setting button")
	p.until("document.querySelector('dialog .keys')")
	p.keys(kb.Escape)
	p.kept("the sheet of keys, opened by its button")
	p.enterOn("nav a[href='#/handshake']")
	p.until("document.querySelector('main.handshake')")
	p.kept("another screen")
	p.enterOn("nav a[href='#/settings']")
	p.until("document.querySelector('main.settings')")
	p.to(`header select[aria-label="Language"]`)
	p.keys(kb.ArrowDown)
	p.until("document.documentElement.lang === 'zh-CN'")
	if text := p.text("main"); !strings.Contains(text, "设置") {
		t.Errorf("after another language was chosen: %s", text)
	}
	p.enterOn("=退出登录")
	p.until("document.activeElement.matches('main.login input[type=password]')")
}
