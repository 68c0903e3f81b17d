package cli

import (
	"errors"

	"golang.org/x/sys/windows"
)

// noReader reports whether err is that of a pipe without a reader.
func noReader(err error) bool {
	return errors.Is(err, windows.ERROR_BROKEN_PIPE) || errors.Is(err, windows.ERROR_NO_DATA) || errors.Is(err, windows.ERROR_PIPE_NOT_CONNECTED)
}
