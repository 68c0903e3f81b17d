package session

import (
	"math"
	"time"

	"golang.org/x/sys/unix"
)

// rtt returns the shortest round trip that the connection has seen, from the
// kernel, or zero if it is unknown.
func (s socket) rtt() time.Duration {
	info, err := unix.GetsockoptTCPInfo(int(s), unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil || info.Min_rtt == ^uint32(0) {
		return 0
	}
	return time.Duration(info.Min_rtt) * time.Microsecond
}

// acknowledged asks the kernel how many bytes the other end has taken.
func (s socket) acknowledged() int64 {
	info, err := unix.GetsockoptTCPInfo(int(s), unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return 0
	}
	return int64(info.Bytes_acked)
}

// steer chooses how the kernel paces what this connection sends: by the first
// of the names that exists and is permitted. It returns the name in force, or
// "" if that is unknown.
func (s socket) steer(names ...string) (inForce string) {
	for _, name := range names {
		if unix.SetsockoptString(int(s), unix.IPPROTO_TCP, unix.TCP_CONGESTION, name) == nil {
			break
		}
	}
	inForce, _ = unix.GetsockoptString(int(s), unix.IPPROTO_TCP, unix.TCP_CONGESTION)
	return inForce
}

// slowStartOver reports whether the kernel has found out how fast it can send, or
// has lost something.
func (s socket) slowStartOver() bool {
	info, err := unix.GetsockoptTCPInfo(int(s), unix.IPPROTO_TCP, unix.TCP_INFO)
	return err != nil || info.Snd_ssthresh < math.MaxInt32 || info.Total_retrans > 0
}

// resend bounds the pause before bytes are sent again.
func (s socket) resend(every time.Duration) {
	_ = unix.SetsockoptInt(int(s), unix.IPPROTO_TCP, unix.TCP_RTO_MAX_MS, int(every.Milliseconds()))
}

// unsent bounds the bytes that the kernel takes before it can send them. Data
// that waits in one connection's buffer cannot be sent by the others.
func (s socket) unsent(bytes int) {
	_ = unix.SetsockoptInt(int(s), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, bytes)
}
