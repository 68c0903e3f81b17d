//go:build e2e && pictures && linux

package gui

import (
	"bytes"
	"cmp"
	"image"
	"image/color"
	"image/png"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// shown writes a picture of what the window shows for the README.
func (w *window) shown(name string) {
	w.Helper()
	dir := os.Getenv("HUFU_SCREENSHOTS")
	full, err := png.Decode(bytes.NewReader(w.picture()))
	if err != nil {
		w.Fatal(err)
	}
	if size := full.Bounds().Size(); size != image.Pt(1200, 800) {
		w.Errorf("the picture %s is %v", name, size)
	}
	var b bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&b, fewer(full)); err != nil {
		w.Fatal(err)
	}
	if b.Len() > 120_000 {
		w.Errorf("the picture %s has %d bytes", name, b.Len())
	}
	if dir == "" {
		return
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		w.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), b.Bytes(), 0o644); err != nil {
		w.Fatal(err)
	}
}

// fewer is a picture in 256 colors, a third of the bytes: the commonest shade
// of each of the commonest kinds of color.
func fewer(full image.Image) image.Image {
	count := map[color.RGBA]int{}
	r := full.Bounds()
	at := func(x, y int) color.RGBA { return color.RGBAModel.Convert(full.At(x, y)).(color.RGBA) }
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			count[at(x, y)]++
		}
	}
	commonest := func(count map[color.RGBA]int) []color.RGBA {
		return slices.SortedFunc(maps.Keys(count), func(a, b color.RGBA) int {
			return cmp.Or(count[b]-count[a], cmp.Compare(a.R, b.R), cmp.Compare(a.G, b.G), cmp.Compare(a.B, b.B))
		})
	}
	kind := func(c color.RGBA) color.RGBA { return color.RGBA{c.R >> 5, c.G >> 5, c.B >> 5, 0} }
	kinds, best := map[color.RGBA]int{}, map[color.RGBA]color.RGBA{}
	for _, c := range commonest(count) {
		if _, ok := best[kind(c)]; !ok {
			best[kind(c)] = c
		}
		kinds[kind(c)] += count[c]
	}
	var palette color.Palette
	for _, k := range commonest(kinds)[:min(len(kinds), 160)] {
		palette = append(palette, best[k])
	}
	for _, c := range commonest(count) {
		if len(palette) < 256 && !slices.Contains(palette, color.Color(c)) {
			palette = append(palette, c)
		}
	}
	index := map[color.RGBA]uint8{}
	for c := range count {
		index[c] = uint8(palette.Index(c))
	}
	p := image.NewPaletted(r, palette)
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			p.SetColorIndex(x, y, index[at(x, y)])
		}
	}
	return p
}

// TestPictures makes the pictures of the README where HUFU_SCREENSHOTS says. "make soak" sees that
// they can be made.
func TestPictures(t *testing.T) {
	w := newWorld(t, "--teach-plaintext")
	alice, slow := w.slowly(t)
	day := time.Date(2026, 3, 14, 9, 26, 0, 0, time.Local)
	mine := map[string]int{
		"Projects/tally/plan.md": 900, "Pictures/tiger.jpg": 2_400_000, "minutes-2026-03.pdf": 184_320, "measurements.csv": 5_412_345, "thesis-draft-3.docx": 912_000,
		"holiday film.mkv": 9 << 20, "notes.txt": 1_204, "数据备份.tar": 3_145_728,
	}
	theirs := map[string]int{"inbox/a.bin": 10, "reports/2025.pdf": 300_000, "measurements.csv": 5_412_345, "kernel-6.12.tar.xz": 7_340_032, "会议纪要.docx": 48_200}
	for name, size := range mine {
		write(t, filepath.Join(alice.Home, "Documents", name), random(size))
	}
	for name, size := range theirs {
		write(t, w.served(name), random(size))
	}
	for _, root := range []string{filepath.Join(alice.Home, "Documents"), w.served("")} {
		i := 0
		if err := filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
			i++
			at := day.Add(-time.Duration(i) * 7 * time.Hour)
			if err == nil {
				err = os.Chtimes(path, at, at)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	d := sit(t, alice)
	p := browser.open(t)
	p.goTo(d.start)
	p.theme("light")
	p.sees("Verified identities")
	p.shown("login")
	p.click("=Continue")
	p.enterFolder("local", "Documents")
	p.pick("local", "measurements.csv")
	p.pick("local", "thesis-draft-3.docx", chromedp.ButtonModifiers(chromedp.ModifierCtrl))
	p.until(row("remote", "inbox"))
	p.shown("files")
	p.language("zh-CN")
	p.theme("dark")
	p.until("document.body.innerText.includes('服务器')")
	p.shown("files-zh-dark")
	p.language("en")
	p.theme("light")

	slow.Rate(3 << 20)
	p.upload("holiday film.mkv")
	p.pick("remote", "kernel-6.12.tar.xz")
	p.click("=Download")
	p.upload("thesis-draft-3.docx")
	p.show("transfers")
	p.job("thesis-draft-3.docx", "done")
	p.click("=Pause kernel-6.12.tar.xz")
	p.job("kernel-6.12.tar.xz", "paused")
	p.until(bar("holiday film.mkv") + " >= 20")
	// One message may stand behind another.
	p.until("(document.querySelectorAll('.notice .button[aria-label]').forEach(e => e.click()), !document.querySelector('.notice'))")
	p.shown("transfers")
	slow.Rate(fast)
	p.job("holiday film.mkv", "done")

	p.show("files")
	p.show("wire")
	p.click("=Record and compare")
	p.until("document.querySelector('#wire-verdict')")
	eval[chromedp.Void](p, "document.querySelector('#wire-verdict').scrollIntoView()")
	p.shown("wire")
	p.show("handshake")
	p.until("document.querySelectorAll('.steps li').length > 10")
	p.shown("handshake")
}
