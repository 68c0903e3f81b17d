package cli

import (
	"strings"

	"rsc.io/qr"

	"hufu"
)

// QR draws a code with half blocks, or with colored spaces where there
// are none, dark on light in any color scheme of the terminal.
func (a *App) QR(s string) error {
	c, err := qr.Encode(s, qr.M)
	if err != nil {
		return &hufu.Error{Op: "draw code", Kind: hufu.KindInternal, Err: err}
	}
	const quiet = 2
	var b strings.Builder
	if a.Cat.ASCII() {
		for y := -quiet; y < c.Size+quiet; y++ {
			for x := -quiet; x < c.Size+quiet; x++ {
				b.WriteString([]string{"\x1b[47m  ", "\x1b[40m  "}[bit(c.Black(x, y))])
			}
			b.WriteString("\x1b[0m\n")
		}
		a.Hint(strings.TrimSuffix(b.String(), "\n"))
		return nil
	}
	for y := -quiet; y < c.Size+quiet; y += 2 {
		b.WriteString("\x1b[30;47m")
		for x := -quiet; x < c.Size+quiet; x++ {
			b.WriteString([]string{" ", "▀", "▄", "█"}[bit(c.Black(x, y))+2*bit(c.Black(x, y+1))])
		}
		b.WriteString("\x1b[0m\n")
	}
	a.Hint(strings.TrimSuffix(b.String(), "\n"))
	return nil
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}
