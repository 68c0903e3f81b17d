//go:build unix

package cli

import (
	"os"

	"golang.org/x/sys/unix"
)

// readHidden reads a line from the terminal in and does not show it. Ctrl-D on an
// empty line is the end of the input; term.ReadPassword would wait for more.
func readHidden(in *os.File) (line string, err error) {
	fd := int(in.Fd())
	shown, err := unix.IoctlGetTermios(fd, getTermios)
	if err != nil {
		return "", err
	}
	hidden := *shown
	hidden.Lflag = hidden.Lflag&^unix.ECHO | unix.ICANON | unix.ISIG
	hidden.Iflag |= unix.ICRNL
	if err := unix.IoctlSetTermios(fd, setTermios, &hidden); err != nil {
		return "", err
	}
	defer func() { _ = unix.IoctlSetTermios(fd, setTermios, shown) }()
	return readLine(in)
}
