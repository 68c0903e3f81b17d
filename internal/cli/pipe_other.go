//go:build !windows

package cli

import (
	"errors"
	"syscall"
)

// noReader reports whether err is that of a pipe that nobody reads any more.
func noReader(err error) bool { return errors.Is(err, syscall.EPIPE) }
