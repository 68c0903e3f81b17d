package session

import (
	"net"
	"runtime"
	"strings"
	"testing"
)

// within returns a connection of the kernel's within this computer.
func within(t *testing.T) net.Conn {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// TestWayOnLoopback: what the kernel tells of a connection within one computer,
// and that it is not paced.
func TestWayOnLoopback(t *testing.T) {
	t.Parallel()
	a := within(t)
	w := adapt(a)
	if runtime.GOOS != "linux" {
		if w != (Way{}) {
			t.Errorf("told without asking: %+v", w)
		}
		return
	}
	if w.RTT <= 0 || w.RTT >= farAway {
		t.Errorf("the round trip within a machine is %v", w.RTT)
	}
	if w.Congestion != "cubic" && w.Congestion != "reno" {
		t.Errorf("loopback is under %q", w.Congestion)
	}
	if s := w.String(); !strings.HasPrefix(s, w.Congestion+" ") {
		t.Errorf("in a log it is %q", s)
	}
}

// TestWayWithoutSocket: what is no socket is left as it is.
func TestWayWithoutSocket(t *testing.T) {
	t.Parallel()
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if w := adapt(a); w != (Way{}) {
		t.Errorf("%+v", w)
	}
}
