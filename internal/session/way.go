package session

import (
	"net"
	"strings"
	"syscall"
	"time"
)

// farAway is the round trip from which a connection uses BBR: over a far link a
// single lost segment makes the others wait for many round trips, while BBR
// continues at the rate that it has measured. At 50 ms and 1 % loss eight
// connections moved 95 MiB/s with it and 3.6 with CUBIC. Only slow start is
// left to CUBIC: it doubles in each round trip, BBR somewhat less.
const farAway = 5 * time.Millisecond

// maxSlowStart is how long a connection over a far link waits at most for the end
// of its slow start: it may have nothing to send.
const maxSlowStart = 3 * time.Second

// bbr is the kernel's name of the congestion control for far connections.
const bbr = "bbr"

// farUnsent is the limit for bytes that a connection over a far link may hold
// before they are sent.
const farUnsent = 512 << 10

// resendEvery is the longest time that the kernel waits before it sends
// unacknowledged data again. By default the kernel doubles the pause up to two
// minutes, and a link that was down for 20 seconds is tried again after 40. With
// this limit the kernel also ends the connection sooner, after some 40 seconds:
// later than StallTimeout, and before ClientStall. Linux has the option from 6.15 on.
const resendEvery = 3 * time.Second

// Way holds the known properties of the network between both ends.
type Way struct {
	RTT        time.Duration // shortest round trip so far, 0 if not known
	Congestion string        // congestion control for sending, after slow start; "" if unknown
}

func (w Way) far() bool { return w.RTT >= farAway }

// adapt measures the network and sets the socket's options for it, the congestion
// control among them. On
// loopback nothing is lost and pacing only costs: there CUBIC, or Reno where
// only that is allowed, moves a third more than BBR. In between the system's
// choice is kept.
func adapt(c net.Conn) Way {
	s, ok := c.(syscall.Conn)
	if !ok { // not the kernel's: a pipe, or a tap in between
		return Way{}
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return Way{}
	}
	var w Way
	_ = raw.Control(func(fd uintptr) { // closed: there is nothing to steer
		k := socket(fd)
		k.resend(resendEvery)
		w.RTT = k.rtt()
		switch {
		case loopback(c.RemoteAddr()):
			w.Congestion = k.bySlowStart()
		case w.far():
			if w.Congestion = k.steer(bbr); w.Congestion == bbr {
				k.bySlowStart()
			}
			k.unsent(farUnsent)
		default:
			w.Congestion = k.steer()
		}
	})
	return w
}

// leaveSlowStart gives a far connection to BBR when slow start is over, and at
// the latest after limit. It ends with the connection as well.
func (w Way) leaveSlowStart(c net.Conn, limit time.Duration) {
	s, ok := c.(syscall.Conn)
	if !ok || w.Congestion != bbr {
		return
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return
	}
	tick := time.NewTicker(max(w.RTT/4, 2*farAway))
	defer tick.Stop()
	last := time.Now().Add(limit)
	for over := false; !over && err == nil; {
		over = (<-tick.C).After(last)
		err = raw.Control(func(fd uintptr) {
			if over = over || socket(fd).slowStartOver(); over {
				socket(fd).steer(bbr)
			}
		})
	}
}

// socket is the kernel's end of a connection.
type socket uintptr

// bySlowStart chooses CUBIC or Reno, which double in each round trip until something
// is lost.
func (s socket) bySlowStart() (inForce string) { return s.steer("cubic", "reno") }

func loopback(a net.Addr) bool {
	t, ok := a.(*net.TCPAddr)
	return ok && t.IP.IsLoopback()
}

// String returns w as it is logged.
func (w Way) String() string {
	return strings.TrimSpace(w.Congestion + " " + w.RTT.Round(10*time.Microsecond).String())
}
