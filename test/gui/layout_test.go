//go:build e2e && linux

package gui

import (
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"
)

// TestLayout: what a look at the pictures found, in numbers.
func TestLayout(t *testing.T) {
	w := newWorld(t)
	alice := w.join(t, "")
	long := strings.Repeat("a-rather-long-name-", 8) + "2026.tar"
	write(t, w.served(long), nil)
	write(t, w.served("four.txt"), []byte("four"))
	write(t, w.served("many.txt"), []byte(strings.Repeat("a line of a long text, and more of it\n", 400)))
	write(t, filepath.Join(alice.Home, "there.txt"), []byte("there"))
	p := browser.open(t)
	p.goTo(sit(t, alice).start)
	p.size(1400, 900)
	p.sees("Verified identities")
	bottom := func(selector string) float64 {
		return eval[float64](p, "document.querySelector("+quote(selector)+").getBoundingClientRect().bottom")
	}
	if a, b := bottom(".login form .field > span"), bottom(".proven h2"); math.Abs(a-b) > 3 {
		t.Errorf("the two halves of the login window begin at %.0f and %.0f", a, b)
	}
	p.click("=Continue")

	// A long name loses its middle, not its end.
	p.until(row("remote", long))
	if !eval[bool](p, "(e => { const end = e.querySelector('.end'), begin = e.querySelector('.begin'); return begin.scrollWidth > begin.clientWidth && end.innerText === '2026.tar' && "+
		"end.getBoundingClientRect().right <= e.querySelector('.cell.name').getBoundingClientRect().right })("+row("remote", long)+")") {
		t.Error("the end of a long name is not in sight")
	}

	// The window of a short text is small, that of a long one scrolls; the buttons have words.
	p.enterFolder("remote", "four.txt")
	p.until("document.querySelector('.seen pre')?.textContent === 'four'")
	if h := eval[float64](p, "document.querySelector('dialog').offsetHeight"); h > 400 {
		t.Errorf("the window of four letters is %.0f pixels high", h)
	}
	p.click("=Next file")
	p.until("document.querySelector('.seen pre')?.textContent.length > 1000")
	if !eval[bool](p, "(e => e.scrollHeight > e.clientHeight && document.querySelector('dialog').offsetHeight <= innerHeight && document.querySelector('dialog').scrollHeight <= document.querySelector('dialog').clientHeight)(document.querySelector('.seen pre'))") {
		t.Error("a long text does not scroll in its window")
	}
	p.until("[...document.querySelectorAll('dialog .step span')].map(e => e.innerText).join() === 'Previous,Next'")
	p.audit("preview")
	p.keys(kb.Escape)

	// All screens begin at the same left edge.
	p.upload("there.txt")
	p.show("transfers")
	p.job("there.txt", "done")
	if dots := eval[string](p, "getComputedStyle(document.querySelector('.job .facts-line span + span'), '::before').content"); dots != `"·"` {
		t.Errorf("between the facts of a transfer is %s", dots)
	}
	p.show("files")
	edges := map[string]float64{}
	for _, screen := range []string{"handshake", "devices", "settings"} {
		p.show(screen)
		edges[fmt.Sprintf("%.0f", eval[float64](p, "document.querySelector('main h1').getBoundingClientRect().left"))]++
	}
	if len(edges) != 1 {
		t.Errorf("the screens begin at %v", edges)
	}
}
