//go:build e2e && linux

package gui

import (
	"net"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"

	"hufu/test/built"
)

// TestProgramUpdated: a page is open while the program ends and a newer version starts at the same
// address. The page says that it is no longer connected. If the newer page was opened in another
// window before, the page loads itself again and is the newer one, too. The transfer continues.
func TestProgramUpdated(t *testing.T) {
	newer := t.TempDir()
	if err := built.BuildVersion(newer, "99.1.0"); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	alice, slow := w.slowly(t)
	data := random(8 << 20)
	write(t, filepath.Join(alice.Home, "big.bin"), data)
	ln, err := net.Listen("tcp", "127.8.7.6:0") // where nobody else listens
	if err != nil {
		t.Fatal(err)
	}
	address := ln.Addr().String()
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}

	d := sit(t, alice, "--listen", address)
	p := enter(t, d)
	slow.Rate(crawl)
	p.upload("big.bin")
	p.show("transfers")
	p.until(bar("big.bin") + " >= 10")
	o := p.another()
	o.goTo(d.address + "/")
	o.until("document.querySelector('main.files')")
	eval[chromedp.Void](o, "window.before = true")
	d.stop()
	p.sees("hufu gui does not respond.")
	o.sees("hufu gui does not respond.")
	// This one asks only after the newer page was opened.
	eval[chromedp.Void](o, "(f => { window.fetch = async (...a) => { if (!window.opened) throw new TypeError('not yet'); return f(...a) } })(fetch.bind(window))")

	d = sit(t, built.NewPerson(newer, alice.Home), "--listen", address)
	p.sees("This page is no longer connected to hufu gui.")
	p.sees(`Run "hufu gui" again`)
	p.goTo(d.start)
	p.click("=Continue")
	p.until("document.querySelector('main.files')")
	p.show("transfers")
	p.job("big.bin", "running")
	slow.Rate(fast)
	p.job("big.bin", "done")
	p.sees("already there")
	same(t, w.served("big.bin"), data)
	p.show("settings")
	p.sees("99.1.0")
	eval[chromedp.Void](o, "window.opened = true")
	o.until("!window.before && document.querySelector('main.files')")
	o.show("settings")
	o.sees("99.1.0")
}
