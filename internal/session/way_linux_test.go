package session

import (
	"errors"
	"net"
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

// TestLeaveSlowStart: what was left to CUBIC at first is under BBR in the end,
// where the kernel has it, whether or not anything was sent.
func TestLeaveSlowStart(t *testing.T) {
	t.Parallel()
	control := func(c net.Conn, do func(socket)) {
		raw, err := c.(syscall.Conn).SyscallConn()
		if err == nil {
			err = raw.Control(func(fd uintptr) { do(socket(fd)) })
		}
		if err != nil {
			t.Error(err)
		}
	}
	var want, got string
	control(within(t), func(s socket) { want = s.steer(bbr) })
	c := within(t)
	control(c, func(s socket) {
		s.bySlowStart()
		if s.slowStartOver() {
			t.Error("slow start is over before anything was sent")
		}
	})
	w := Way{RTT: 4 * time.Millisecond, Congestion: want}
	w.leaveSlowStart(c, 10*time.Millisecond)
	control(c, func(s socket) { got = s.steer() })
	if want == bbr && got != want {
		t.Errorf("under %q, and %q was to be had", got, want)
	}
	_ = c.Close()
	w.leaveSlowStart(c, time.Hour) // ends with the connection
}

// TestTakenBeforeWritten: a client that reads slowly is seen to read, long before
// the write that waits for it is done.
func TestTakenBeforeWritten(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	peer, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	c, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	s := NewStream(c)
	over := make(chan struct{})
	go func() {
		defer close(over)
		_, _ = s.Write(make([]byte, 256<<20))
	}()
	defer func() { _ = c.Close(); <-over }()
	first := s.taken()
	buf := make([]byte, 64<<10)
	for s.taken()-first < 32<<20 {
		if _, err := peer.Read(buf); err != nil {
			t.Fatal(err)
		}
	}
	if s.out.Load() != 0 || !s.Sending() {
		t.Error("the write is done: nothing is tested")
	}
}
