//go:build e2e && linux

package gui

import (
	"path/filepath"
	"testing"

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
