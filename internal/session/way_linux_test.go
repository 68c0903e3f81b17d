package session

import (
	"errors"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestResendEvery: a connection is tried again soon after its link was away,
// where the kernel lets us say so.
func TestResendEvery(t *testing.T) {
	t.Parallel()
	c := within(t)
	NewStream(c)
	raw, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var ms int
	var optErr error
	if err := raw.Control(func(fd uintptr) { ms, optErr = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_RTO_MAX_MS) }); err != nil {
		t.Fatal(err)
	}
	switch {
	case errors.Is(optErr, unix.ENOPROTOOPT): // before Linux 6.15: two minutes, as ever
	case optErr != nil:
		t.Error(optErr)
	case time.Duration(ms)*time.Millisecond != resendEvery:
		t.Errorf("%d ms", ms)
	}
}
