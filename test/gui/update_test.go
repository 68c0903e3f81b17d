//go:build e2e && linux

package gui

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"

	"hufu/test/built"
)

// TestProgramUpdated: a page that is open while the program is stopped and a newer one is started at
// the same address says so and asks nothing of the newer one, or becomes its page, if that has been
// opened in another window. What was being transferred goes on.
func TestProgramUpdated(t *testing.T) {
	newer := t.TempDir()
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-X hufu.Version=99.1.0", "-o", newer, "hufu/cmd/hufu")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
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
