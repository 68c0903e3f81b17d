//go:build !windows

package cli

import (
	"errors"
	"syscall"
)

// noReader reports whether err is that of a pipe without a reader.
func noReader(err error) bool { return errors.Is(err, syscall.EPIPE) }
