package session

import (
	"math"
	"time"

	"golang.org/x/sys/unix"
)

// rtt asks the kernel for the shortest round trip that the connection has seen,
// zero if it cannot tell.
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

// steer chooses how the kernel paces what we send, for this connection alone:
// the first of the names that it has and that we may use. It returns the one
// in force, "" if that is not known.
func (s socket) steer(names ...string) (inForce string) {
	for _, name := range names {
		if unix.SetsockoptString(int(s), unix.IPPROTO_TCP, unix.TCP_CONGESTION, name) == nil {
			break
		}
	}
	inForce, _ = unix.GetsockoptString(int(s), unix.IPPROTO_TCP, unix.TCP_CONGESTION)
	return inForce
}

// slowStartOver says whether the kernel has found out how fast it can send, or
// has lost something.
func (s socket) slowStartOver() bool {
	info, err := unix.GetsockoptTCPInfo(int(s), unix.IPPROTO_TCP, unix.TCP_INFO)
	return err != nil || info.Snd_ssthresh < math.MaxInt32 || info.Total_retrans > 0
}

// resend bounds the pause before bytes are sent again.
func (s socket) resend(every time.Duration) {
	_ = unix.SetsockoptInt(int(s), unix.IPPROTO_TCP, unix.TCP_RTO_MAX_MS, int(every.Milliseconds()))
}

// unsent bounds what the kernel takes from us before it can send it. Work that
// waits in one connection's buffer is lost to the others.
func (s socket) unsent(bytes int) {
	_ = unix.SetsockoptInt(int(s), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, bytes)
}
