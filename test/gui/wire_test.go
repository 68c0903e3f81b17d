//go:build e2e && linux

package gui

import (
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp/kb"
)

// TestWireChoosesAFile: the file to send is chosen in a list; nobody has to type its path.
func TestWireChoosesAFile(t *testing.T) {
	w := newWorld(t, "--teach-plaintext")
	alice := w.join(t, "")
	letter := filepath.Join(alice.Home, "docs", "a letter.txt")
	write(t, letter, []byte("a letter that anyone can read without TLS"))
	p := enter(t, sit(t, alice))
	p.show("wire")
	p.click("=Choose…")
	p.until("document.querySelector('dialog[open] .folders button')")
	p.keys(kb.Escape)
	p.until("!document.querySelector('dialog')")
	p.click("=Choose…")
	p.click("=docs")
	p.until("document.querySelector('dialog strong').innerText === 'Home › docs'")
	p.audit("choose a file")
	p.click("=a letter.txt")
	p.until("!document.querySelector('dialog') && document.querySelector('.options input').value === " + quote(letter))
	p.click("=Record and compare")
	p.until("document.querySelector('#wire-verdict.good')")
	p.until("document.querySelector('.sides > div:first-child').innerText.includes('a letter.txt')") // this file was sent
}
