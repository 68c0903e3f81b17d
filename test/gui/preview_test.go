//go:build e2e && linux

package gui

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// halves is an image, red on the left and blue on the right.
func halves(t *testing.T, w, h int) []byte {
	t.Helper()
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			m.SetRGBA(x, y, []color.RGBA{{200, 10, 10, 255}, {10, 10, 200, 255}}[2*x/w])
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestPreview: texts, images and what is download only, of both sides, by keyboard and by the menu.
func TestPreview(t *testing.T) {
	w := newWorld(t)
	alice, slow := w.slowly(t)
	hostile := "c <img src=x onerror=alert(1)>\u202egnp.txt"
	for name, data := range map[string][]byte{
		"a text.txt": []byte("first <b>line</b>\n\x1b[31mred\u202e"), "b wide.png": halves(t, 3000, 30), hostile: []byte("hostile"), "d page.html": []byte("<script>alert(1)</script>"), "e cut.png": halves(t, 30, 30)[:70],
	} {
		write(t, filepath.Join(alice.Home, "docs", name), data)
		write(t, w.served(name), data)
	}
	p := enter(t, sit(t, alice))
	title := func(name string) string {
		return "document.querySelector('dialog.preview h2')?.innerText === " + quote(name)
	}
	drawn := func(of string) {
		t.Helper()
		p.until("document.querySelector('.seen canvas[data-drawn]')")
		if got := eval[[]int](p, "(c => [c.width, c.height, ...c.getContext('2d').getImageData(1, 1, 1, 1).data, ...c.getContext('2d').getImageData(c.width - 2, 1, 1, 1).data])(document.querySelector('.seen canvas'))"); len(got) != 10 ||
			got[0] < 300 || got[0] > 2048 || got[2] != 200 || got[4] != 10 || got[6] != 10 || got[8] != 200 {
			t.Errorf("%s is drawn as %v", of, got)
		}
	}
	// By keyboard, on this computer.
	p.until(row("local", "docs"))
	p.do(chromedp.Focus(".pane.local .grid"))
	p.keys("docs" + kb.Enter)
	p.until(row("local", "a text.txt"))
	p.keys("a" + kb.Enter)
	p.until(title("a text.txt"))
	p.until("document.querySelector('.seen pre')?.textContent === " + quote("first <b>line</b>\n\\x1b[31mred\\u202e"))
	p.keys(kb.ArrowRight)
	p.until(title("b wide.png"))
	drawn("the image")
	p.sees("3000 × 30 pixels")
	p.sees("2 of 5")
	p.audit("preview of an image")
	eval[chromedp.Void](p, "window.draw = createImageBitmap; window.createImageBitmap = async () => { throw new Error('no memory') }")
	p.keys(kb.ArrowLeft + kb.ArrowRight)
	p.sees("This browser cannot draw the image.")
	eval[chromedp.Void](p, "window.createImageBitmap = draw")
	p.click("=Retry")
	drawn("the image again")
	p.keys(kb.ArrowDown)
	p.until(title(`c <img src=x onerror=alert(1)>\u202egnp.txt`))
	p.until("document.querySelector('.seen pre')?.textContent === 'hostile' && !document.querySelector('img[src=x]')")
	p.keys(kb.Tab)
	p.until("document.activeElement.matches('.seen pre:focus-visible')")
	p.keys(kb.ArrowDown + kb.ArrowRight) // in the text the first one scrolls
	p.until(title("d page.html"))
	p.sees("No preview: download only")
	p.sees("Only plain text (UTF-8)")
	p.audit("no preview")
	for _, size := range [][2]int64{{1400, 900}, {800, 700}, {390, 844}} {
		p.size(size[0], size[1])
		if wide := eval[[]string](p, "['dialog', '.seen', '.preview .buttons', 'html'].filter(s => (e => e.scrollWidth > e.clientWidth + 1 || e.getBoundingClientRect().bottom > innerHeight)(document.querySelector(s)))"); len(wide) > 0 {
			t.Errorf("at %d pixels: %v", size[0], wide)
		}
	}
	p.size(1200, 800)
	p.keys(kb.ArrowRight)
	p.until(title("e cut.png"))
	p.sees("The image is damaged, incomplete")
	p.keys(kb.ArrowRight) // nothing follows
	p.click("=Previous file")
	p.until(title("d page.html"))
	p.keys(kb.Escape)
	p.until("!document.querySelector('dialog') && document.activeElement.matches('.pane.local .grid')")
	p.until(row("local", "d page.html") + "?.getAttribute('aria-selected') === 'true'")
	p.keys(kb.Enter, chromedp.KeyModifiers(chromedp.ModifierAlt))
	p.sees("Permissions")
	p.click("=Close")
	p.until("!document.querySelector('dialog')")
	p.keys(kb.Enter)
	p.until(title("d page.html"))
	p.keys(" ")
	p.until("!document.querySelector('dialog')")

	// By the menu and by a double click, at the server; and what is seen can be downloaded.
	if err := os.Remove(filepath.Join(alice.Home, "docs", "b wide.png")); err != nil {
		t.Fatal(err)
	}
	p.until(row("remote", "b wide.png"))
	p.press(row("remote", "b wide.png"), chromedp.ButtonRight)
	p.click("=Preview")
	drawn("the image of the server")
	p.click("=Download") // closes the window: what is said of it is behind
	p.until("!document.querySelector('dialog')")
	p.until(row("local", "b wide.png"))

	// The server goes away and comes back; a file vanishes while it is shown.
	p.enterFolder("remote", "a text.txt")
	p.until("document.querySelector('.seen pre')")
	if err := os.Remove(w.served("a text.txt")); err != nil {
		t.Fatal(err)
	}
	p.until("document.querySelector('dialog.preview .facts-line') && !document.querySelector('dialog.preview').innerText.includes('of 5')")
	p.keys(kb.ArrowRight)
	p.until(title("b wide.png"))
	drawn("its neighbor")
	if err := w.Kill(); err != nil {
		t.Fatal(err)
	}
	p.until("document.querySelector('.pane.remote .grid.stale')")
	drawn("with the server away, the picture that was open")
	p.keys(kb.ArrowRight)
	p.until("document.querySelector('.seen .trouble')?.innerText.includes('There is no connection to the server.')")
	slow.Rate(fast)
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	p.until("document.querySelector('.seen pre')?.textContent === 'hostile'")
}
