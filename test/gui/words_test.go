//go:build e2e && linux

package gui

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"hufu/internal/text"
)

// TestFinishedSaysWhatAndWhere: the message of a finished transfer names the file and the folder, in
// both languages, and its button leads there from any screen.
func TestFinishedSaysWhatAndWhere(t *testing.T) {
	w := newWorld(t)
	alice := w.join(t, "")
	write(t, filepath.Join(alice.Home, "docs", "there.txt"), []byte("there"))
	write(t, w.served("box/other.txt"), []byte("other"))
	write(t, w.served("back.txt"), []byte("back"))
	p := enter(t, sit(t, alice))
	p.enterFolder("remote", "box")
	p.until(row("remote", "other.txt"))
	p.enterFolder("local", "docs")
	p.pick("local", "there.txt")
	p.act("local", "copy")
	p.sees(`Uploaded "there.txt" to "box".`)
	p.show("files") // the sidebar's link: My files
	p.until(row("remote", "back.txt"))
	p.show("settings")
	p.until("document.querySelector('.notice')?.innerText.includes('there.txt')")
	p.click(".notice .button:not([aria-label])")
	p.until("document.querySelector('main.files') && location.hash === '#/files/box'")
	p.until(row("remote", "there.txt"))
	p.until("!document.querySelector('.notice')")

	p.language(text.Chinese)
	p.show("files")
	p.pick("remote", "back.txt")
	p.act("remote", "copy")
	p.sees("已将“back.txt”下载到“docs”。")
	p.size(390, 844)
	p.until("document.querySelector('.panes.show-remote')")
	p.click("=显示")
	p.until("document.querySelector('.panes.show-local') && " + row("local", "back.txt"))
}

// TestDotsMeanAQuestion: a button or an entry of a menu ends with dots if a question follows, and only
// then, in both languages.
func TestDotsMeanAQuestion(t *testing.T) {
	w := newWorld(t)
	alice, slow := w.slowly(t)
	write(t, w.served("a.txt"), []byte("a"))
	write(t, filepath.Join(alice.Home, "big.bin"), random(3<<20))
	p := enter(t, sit(t, alice))
	dots := func(all string) []string {
		t.Helper()
		return eval[[]string](p, "[...document.querySelectorAll("+quote(all)+")].filter(e => e.offsetParent !== null).map(e => (e.querySelector('span:not(.hidden)') ?? e).innerText.trim()).filter(s => s.endsWith('…')).sort()")
	}
	for _, lang := range []string{text.English, text.Chinese} {
		p.language(lang)
		want := []string{p.says("gui.rename.title"), p.says("gui.move.title"), p.says("gui.remove.title")}
		slices.Sort(want)
		p.pick("remote", "a.txt")
		if got := dots(".pane.remote .tools button"); !slices.Equal(got, want) {
			t.Errorf("%s: the buttons are %q", lang, got)
		}
		p.keys(kb.F10, chromedp.KeyModifiers(chromedp.ModifierShift))
		p.until("document.querySelector('.menu')")
		if got := dots(".menu button"); !slices.Equal(got, want) {
			t.Errorf("%s: the menu has %q", lang, got)
		}
		p.keys(kb.Escape)
		for _, words := range want {
			p.click("=" + words)
			p.until("document.querySelector('dialog[open]')")
			p.keys(kb.Escape)
			p.until("!document.querySelector('dialog')")
		}
		p.click("=" + p.says("gui.files.clear"))
		p.click(".pane.remote [data-act=folder]")
		p.until("document.querySelector('dialog[open] h2')?.innerText === " + quote(p.says("gui.folder.title")))
		p.keys(kb.Escape)
		p.until("!document.querySelector('dialog')")
	}
	slow.Rate(crawl / 4)
	p.pick("local", "big.bin")
	p.act("local", "copy")
	p.show("transfers")
	p.job("big.bin", "running")
	if got := dots(".job button"); !slices.Equal(got, []string{p.says("gui.act.cancel")}) {
		t.Errorf("a transfer has %q", got)
	}
	slow.Rate(fast)
	p.job("big.bin", "done")
}
