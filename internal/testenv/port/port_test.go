//go:build linux

package port_test

import (
	"errors"
	"net"
	"syscall"
	"testing"

	"hufu/internal/testenv/port"
)

// TestKeep: servers come and go at the port, nobody else gets it.
func TestKeep(t *testing.T) {
	t.Parallel()
	address := port.Keep(t)
	_, number, _ := net.SplitHostPort(address)
	for range 3 {
		if c, err := net.Dial("tcp", address); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatalf("nobody listens there, but: %v %v", c, err)
		}
		ln, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.Close(), ln.Close()
	}
	// Some ten thousand are free; this one is not among them.
	for range 2000 {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = ln.Close() }()
		if _, other, _ := net.SplitHostPort(ln.Addr().String()); other == number {
			t.Fatal("the port was given to somebody else")
		}
	}
}
