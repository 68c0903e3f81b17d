package cli

import (
	"errors"
	"io"
	"os"

	"golang.org/x/term"
)

// readHidden reads a line from the terminal in and does not show it.
func readHidden(in *os.File) (string, error) {
	line, err := term.ReadPassword(int(in.Fd()))
	if errors.Is(err, io.EOF) {
		return "", Usage(inputEnded)
	}
	return string(line), err
}
