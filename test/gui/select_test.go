//go:build e2e && linux

package gui

import (
	"testing"

	"github.com/chromedp/chromedp"
)

// contrast is an expression for the contrast of a thing's color with the background below it.
const contrast = `((e, f = s => { const [r, g, b] = s.match(/[\d.]+/g).map(x => (x /= 255) <= .03928 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b }) => {
	let under = e; while (/^(transparent|rgba\(.* 0\))$/.test(getComputedStyle(under).backgroundColor)) under = under.parentElement
	let faint = 1; for (let x = e; x; x = x.parentElement) faint *= getComputedStyle(x).opacity
	const [a, b] = [f(getComputedStyle(e).color), f(getComputedStyle(under).backgroundColor)].sort((a, b) => b - a); return faint < 1 ? 0 : (a + .05) / (b + .05) })`

// TestSelectAllOrNone: the tick of the header selects what the list shows, or nothing, and tells
// whether all are selected; ticks stand out from what is behind them.
func TestSelectAllOrNone(t *testing.T) {
	w := newWorld(t)
	alice := w.join(t, "")
	for _, n := range []string{"a.txt", "b.txt", "c.bin", ".hidden"} {
		write(t, w.served(n), []byte(n))
	}
	p := enter(t, sit(t, alice))
	p.until(row("remote", "c.bin"))
	all := ".pane.remote [aria-label='Select all or none']"
	is := func(checked string, selected int) {
		t.Helper()
		p.until("document.querySelector(" + quote(all) + ").ariaChecked === " + quote(checked))
		if n := eval[int](p, "document.querySelectorAll('.pane.remote .row[aria-selected=true]').length"); n != selected {
			t.Errorf("%s: %d rows are selected, want %d", checked, n, selected)
		}
	}
	is("false", 0)
	p.click(all)
	is("true", 3) // the hidden one is not shown
	p.sees("3 selected")
	p.press(row("remote", "b.txt") + ".querySelector('.tick')")
	is("mixed", 2)
	for _, theme := range []string{"light", "dark"} {
		p.theme(theme)
		for what, tick := range map[string]string{"selected": "[aria-selected=true]", "not selected": "[aria-selected=false]"} {
			if c := eval[float64](p, contrast+"(document.querySelector('.pane.remote .row"+tick+" .tick'))"); c < 3 {
				t.Errorf("%s, a row that is %s: its tick has a contrast of %.1f", theme, what, c)
			}
		}
		if c := eval[float64](p, contrast+"(document.querySelector('.pane.remote .all .tick'))"); c < 3 {
			t.Errorf("%s: the tick of all has a contrast of %.1f", theme, c)
		}
	}
	p.audit("some selected")
	p.click(all)
	is("true", 3)
	p.click(all)
	is("false", 0)
	p.do(chromedp.Focus(".pane.remote .filter input"))
	p.keys("txt")
	p.until("document.querySelectorAll('.pane.remote .row').length === 2")
	p.to(all)
	p.keys(" ") // by keyboard
	is("true", 2)
	p.sees("2 selected")
}
