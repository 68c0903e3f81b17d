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

// TestDevices: a user sees the own devices, lets another one in by a code, and removes it, by
// keyboard alone; the last one goes only when that was said, and with it the login.
func TestDevices(t *testing.T) {
	w := newWorld(t)
	alice := w.join(t, "")
	p := enter(t, sit(t, alice))
	p.enterOn("nav a[href='#/devices']")
	p.until("document.querySelectorAll('.device').length === 1")
	p.sees("this device")
	p.sees("Last seen")
	p.until("/Valid until\\s+\\S+ \\S+, renewed automatically/.test(document.querySelector('.device').innerText)")

	p.enterOn("=Add a device…")
	p.until("document.activeElement.type === 'password'")
	p.keys("not the password" + kb.Enter)
	p.sees("The password is wrong.")
	p.do(chromedp.Focus("dialog input[type=password]"))
	p.keys("a", chromedp.KeyModifiers(chromedp.ModifierCtrl))
	p.keys(built.Password + kb.Enter)
	p.until("document.querySelector('dialog textarea')?.value.startsWith('hufu1_127.0.0.1_')")
	p.sees("it only works on the server's own computer") // as this code does
	if n := eval[int](p, "document.querySelector('dialog svg.qr path').getAttribute('d').length"); n < 2000 {
		t.Errorf("the picture has a path of %d bytes", n)
	}
	code := eval[string](p, "document.querySelector('dialog textarea').value")
	home := filepath.Join(t.TempDir(), "phone")
	if err := os.Mkdir(home, 0o700); err != nil {
		t.Fatal(err)
	}
	phone := built.NewPerson(bin, home)
	pw := filepath.Join(home, "pw")
	write(t, pw, []byte(built.Password+"\n"))
	if r, err := phone.Run("enroll", code, "--password-file", pw); err != nil || r.Code != 0 {
		t.Fatal(r, err)
	}
	p.enterOn("=Close")
	p.until("document.querySelectorAll('.device').length === 2")
	name := eval[string](p, "[...document.querySelectorAll('.device')].find(e => !e.innerText.includes('this device')).dataset.device")

	// Only this program's own certificate is known to be renewed.
	if n := eval[int](p, "document.querySelector('main').innerText.split('renewed automatically').length - 1"); n != 1 {
		t.Errorf("%d devices are said to be renewed", n)
	}
	p.enterOn("=Remove the device " + name)
	p.sees("within a second it is cut off")
	p.until("document.activeElement.type === 'password'")
	p.keys(built.Password + kb.Enter)
	p.until("document.querySelectorAll('.device').length === 1")
	p.sees(`The device "` + name + `" is removed.`)
	if r, err := phone.Run("ls", ":/"); err != nil || r.Code != 6 || !strings.Contains(r.Err, "revoked") {
		t.Errorf("the removed device: %+v", r)
	}

	this := eval[string](p, "document.querySelector('.device').dataset.device")
	p.enterOn("=Remove the device " + this)
	p.sees("This is the device that you are using.")
	p.until("document.activeElement.type === 'password'")
	p.keys(built.Password + kb.Enter)
	p.sees("Without this device you can no longer log in.")
	p.enterOn("=Remove the last device")
	p.until("document.querySelector('main.login')")
	p.sees("revoked")
}
