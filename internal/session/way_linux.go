package session

import (
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// measure asks the kernel for the shortest round trip that the connection has
// seen, zero if it cannot tell.
func measure(c net.Conn) time.Duration {
	var rtt time.Duration
	control(c, func(fd int) {
		info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		if err == nil && info.Min_rtt != ^uint32(0) {
			rtt = time.Duration(info.Min_rtt) * time.Microsecond
		}
	})
	return rtt
}

// steer chooses how the kernel paces what we send, for this connection alone:
// the first of the names that it has and that we may use. It returns the one
// in force, "" if that is not known.
func steer(c net.Conn, names ...string) (inForce string) {
	control(c, func(fd int) {
		for _, name := range names {
			if unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, name) == nil {
				break
			}
		}
		inForce, _ = unix.GetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION)
	})
	return inForce
}

// unsent bounds what the kernel takes from us before it can send it. Work that
// waits in one connection's buffer is lost to the others.
func unsent(c net.Conn, bytes int) {
	control(c, func(fd int) { _ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, bytes) })
}

func control(c net.Conn, do func(fd int)) {
	s, ok := c.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) { do(int(fd)) }) // closed: there is nothing to steer
}
