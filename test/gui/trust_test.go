//go:build e2e && linux

package gui

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hufu/internal/text"
	"hufu/test/built/aged"
)

// TestCertificateRenewedUnderAPage: while a page is open, the certificate comes close to its end and
// the next connection renews it. The transfer goes on, the page asks nobody for anything, and shows
// the new certificate.
func TestCertificateRenewedUnderAPage(t *testing.T) {
	w := newWorld(t)
	alice, slow := w.slowly(t)
	data := random(6 << 20)
	write(t, filepath.Join(alice.Home, "big.bin"), data)
	if err := aged.Certificate(t.Context(), w.Server, alice, "alice", "desk"); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(alice.Home, ".config/hufu/profiles/default/client.crt")
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := alice.Run("login", "--password-file", filepath.Join(alice.Home, "password")); err != nil || r.Code != 0 { // with a renewed one
		t.Fatal(r, err)
	}
	p := enter(t, sit(t, alice))
	slow.Rate(crawl)
	p.upload("big.bin")
	p.show("transfers")
	p.until(bar("big.bin") + " >= 10")
	if err := os.WriteFile(path, old, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := w.Kill(); err != nil {
		t.Fatal(err)
	}
	p.job("big.bin", "offline")
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	slow.Rate(fast)
	p.job("big.bin", "done")
	same(t, w.served("big.bin"), data)
	if renewed, err := os.ReadFile(path); err != nil || string(renewed) == string(old) {
		t.Errorf("the certificate was not renewed: %v", err)
	}
	p.show("devices")
	p.until("document.querySelector('.device[data-device=desk]')?.innerText.includes('this device')")
	if until := eval[string](p, "document.querySelector('.device[data-device=desk]').innerText.match(/Valid until\\s+([-\\d]+)/)?.[1]"); until < time.Now().AddDate(0, 0, 80).Format("2006-01-02") {
		t.Errorf("the certificate is shown as valid until %q", until)
	}
	p.until("!document.querySelector('.banner, .trouble, .notice.error, .who.away') && document.querySelector('main.devices')")
}

// TestWrongBytes: a file whose bytes at the server do not match their digest is not saved. The
// transfers name it, and say what to do; files beside it arrive.
func TestWrongBytes(t *testing.T) {
	w := newWorld(t)
	alice := w.join(t, "")
	for n, size := range map[string]int{"good.bin": 10, "small.bin": 4000, "large.bin": 3 << 20} {
		write(t, filepath.Join(alice.Home, "box", n), random(size))
	}
	p := enter(t, sit(t, alice))
	p.upload("box")
	p.sees(`Uploaded "box" to "My files".`)
	for _, n := range []string{"small.bin", "large.bin"} {
		damage(t, w.served("box/"+n))
	}
	if err := os.RemoveAll(filepath.Join(alice.Home, "box")); err != nil {
		t.Fatal(err)
	}
	p.pick("remote", "box")
	p.act("remote", "copy")
	p.show("transfers")
	p.job("box", "failed")
	p.click("=2 files failed")
	failed := "[...document.querySelectorAll('.failures li')].map(e => e.innerText).sort().join('\\n')"
	p.until(failed + ".includes('small.bin')")
	said := eval[string](p, failed)
	for _, want := range []string{
		`large.bin" does not match its digest after the transfer; the file was discarded.`, "Try again. If it happens again, a disk",
		`The contents of "My files › box › small.bin" have changed since the upload, though size and time are the same`, "If you have a good copy, delete this one and upload the copy.",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("%q is not said in\n%s", want, said)
		}
	}
	if strings.Contains(said, "command") {
		t.Errorf("the page tells of a command:\n%s", said)
	}
	p.language(text.Chinese)
	p.until("document.querySelector('.failures')?.innerText.includes('传输后与摘要不符，文件已丢弃。') && document.querySelector('.failures').innerText.includes('请重试。')")
	got, err := os.ReadDir(filepath.Join(alice.Home, "box"))
	if err != nil || len(got) != 1 || got[0].Name() != "good.bin" {
		t.Errorf("saved is %v (%v)", got, err)
	}
}

// damage changes a byte of a file, as a disk does: size and time stay.
func damage(t *testing.T, path string) {
	t.Helper()
	i, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(data[len(data)/2:][:1], int64(len(data)/2)); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, i.ModTime(), i.ModTime()); err != nil {
		t.Fatal(err)
	}
}
