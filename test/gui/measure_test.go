//go:build e2e && pictures && linux

package gui

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestScrolling prints how long the frames take while a list of 100,000 names is scrolled from its
// beginning to its end. Figures, no promise: "make measure" prints them, with those of the first paint.
func TestScrolling(t *testing.T) {
	w := aloneInWorld(t) // or they would be figures of the others
	alice := w.join(t, "")
	dir := filepath.Join(alice.Home, "many")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	const many = 100_000
	for i := range many {
		f, err := os.Create(filepath.Join(dir, fmt.Sprintf("f%06d.txt", i)))
		if err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
	}
	p := enter(t, sit(t, alice))
	p.patience(120)
	p.enterFolder("local", "many")
	p.sees(fmt.Sprint(many, " items"))
	for what, step := range map[string]string{"three rows a frame": "100", "a page a frame": "box.clientHeight", "to the end in 300 frames": "box.scrollHeight / 300"} {
		frames, err := chromedp.Run(p.ctx, chromedp.Evaluate[[]float64](`(async () => { const box = document.querySelector('.pane.local .grid'); box.scrollTop = 0; const took = []; let was = 0; `+
			`for (let i = 0; i < 302; i++) { const now = await new Promise(requestAnimationFrame); if (i > 1) took.push(now - was); was = now; box.scrollTop += `+step+` } `+
			`took.sort((a, b) => a - b); return [took[Math.floor(took.length / 2)], took[Math.floor(took.length * .99)], took.at(-1), took.filter(x => x > 50).length] })()`, chromedp.EvalAwaitPromise))
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: median %.1f ms, 99th percentile %.1f ms, longest %.1f ms, %.0f of 300 above 50 ms", what, frames[0], frames[1], frames[2], frames[3])
		if rows := eval[int](p, "document.querySelectorAll('.pane.local .row').length"); rows == 0 || rows > 100 {
			t.Errorf("%d rows are drawn", rows)
		}
	}
}
