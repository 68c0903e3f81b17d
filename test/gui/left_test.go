//go:build e2e && linux

package gui

import (
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestTimeLeftOfAll: the line of all transfers tells how long those take that flow: as long as the
// row of the only one that runs; between the rows if there are two. None is told when nothing flows.
func TestTimeLeftOfAll(t *testing.T) {
	w := newWorld(t)
	alice, slow := w.slowly(t)
	for name, size := range map[string]int{"one.bin": 32 << 20, "two.bin": 64 << 20} {
		write(t, filepath.Join(alice.Home, name), random(size))
	}
	p := enter(t, sit(t, alice))
	// Seconds that a text tells as left, -1 if it tells none.
	eval[chromedp.Void](p, `window.left = e => { const x = /(?:(\d+) h )?(?:(\d+) min ?)?(?:(\d+) s )?left/.exec(e?.innerText ?? ''); return x ? (x[1] ?? 0) * 3600 + (x[2] ?? 0) * 60 + Number(x[3] ?? 0) : -1 };`+
		`window.row = name => left(document.querySelector('.job[data-name="' + name + '"] .facts-line')); window.all = () => left(document.querySelector('.drawer-head .told'))`)
	slow.Rate(3 * crawl)
	p.upload("two.bin")
	p.show("transfers")
	p.until("row('two.bin') > 0")
	p.click("=Pause two.bin")
	p.job("two.bin", "paused")
	p.until("row('two.bin') === -1 && all() === -1")
	p.upload("one.bin")
	p.show("transfers")
	p.until("row('one.bin') > 0 && all() === row('one.bin')") // without the one that is paused
	p.click("=Resume two.bin")
	p.until("row('one.bin') > 0 && row('two.bin') > 0 && row('one.bin') !== row('two.bin') && " +
		"all() >= Math.min(row('one.bin'), row('two.bin')) && all() <= Math.max(row('one.bin'), row('two.bin')) && all() !== row('one.bin')")
	slow.Rate(fast)
	p.job("one.bin", "done")
	p.job("two.bin", "done")
	p.until("all() === -1")
}
