package capture

import (
	"encoding/binary"
	"net/netip"
	"time"
)

// The directions of a connection.
const (
	fromClient = 0
	fromServer = 1
)

// TCP as Linux speaks it on loopback.
const (
	// segment is the most payload of one packet: below what IPv4 can say
	// (64 KiB with headers) and above a TLS record, so that most records
	// stand in one packet.
	segment     = 32 << 10
	mss4, mss6  = 65495, 65476
	windowScale = 7
	window      = 65535 // scaled, so 8 MiB: it is never full

	flagFIN = 0x01
	flagSYN = 0x02
	flagRST = 0x04
	flagPSH = 0x08
	flagACK = 0x10

	protocolTCP   = 6
	etherTypeIPv4 = 0x0800
	etherTypeIPv6 = 0x86DD

	// step is the time between packets for which no time is known.
	step = time.Microsecond
)

// synthesise makes the packets that events would have made on a wire, and the streams that
// these packets carry, in the order of their first packets, which is Wireshark's. Each
// segment is acknowledged at once, so nothing in it looks lost or late.
func synthesise(events []event) ([]Packet, []*stream) {
	s := synthesiser{states: map[*flow]*tcpState{}}
	for i, e := range events {
		st := s.states[e.flow]
		if st == nil {
			st = &tcpState{flow: e.flow, next: e.flow.isn, stream: &stream{client: e.flow.client, server: e.flow.server}}
			s.states[e.flow] = st
			s.streams = append(s.streams, st.stream)
		}
		st.last = i
		switch e.kind {
		case eventOut:
			st.lastData[fromClient] = i
		case eventIn:
			st.lastData[fromServer] = i
		case eventAborted:
			st.broken = true
		}
	}
	for i, e := range events {
		st := s.states[e.flow]
		switch e.kind {
		case eventOpen:
			s.send(e.at, st, fromClient, flagSYN, nil, "")
			s.send(e.at, st, fromServer, flagSYN|flagACK, nil, "")
			s.send(e.at, st, fromClient, flagACK, nil, "")
		case eventOut:
			s.data(e, st, fromClient)
		case eventIn:
			s.data(e, st, fromServer)
		case eventOutEnd:
			st.ending[fromClient] = true
		case eventInEnd:
			st.ending[fromServer] = true
		case eventClose:
			st.ending[fromClient], st.closing = true, true
		}
		s.finish(e.at, st, i)
	}
	return s.out, s.streams
}

type synthesiser struct {
	out     []Packet
	streams []*stream
	now     time.Time
	states  map[*flow]*tcpState
}

// tcpState is a connection as far as its packets are made.
type tcpState struct {
	flow   *flow
	stream *stream
	next   [2]uint32 // sequence number of the next byte
	id     [2]uint16 // of IPv4

	last     int    // its last event
	lastData [2]int // its last event with data, by direction
	ending   [2]bool
	ended    [2]bool
	closing  bool
	broken   bool
}

// data sends an event's bytes and acknowledges them.
func (s *synthesiser) data(e event, st *tcpState, dir int) {
	note := e.note
	for rest := e.data; len(rest) > 0; {
		n := min(len(rest), segment)
		flags := byte(flagACK)
		if n == len(rest) {
			flags |= flagPSH
		}
		s.send(e.at, st, dir, flags, rest[:n], note)
		s.send(e.at, st, 1-dir, flagACK, nil, "")
		rest, note = rest[n:], ""
	}
}

// finish sends the ends that are due after event i. An end waits for data
// that was recorded after it (a read that returned while another goroutine
// closed): no packet has data behind a FIN.
func (s *synthesiser) finish(at time.Time, st *tcpState, i int) {
	if st.broken {
		if i == st.last {
			s.send(at, st, fromServer, flagRST|flagACK, nil, "")
		}
		return
	}
	for dir := range st.ending {
		due := st.ending[dir] || dir == fromServer && st.closing && i == st.last
		if due && !st.ended[dir] && i >= st.lastData[dir] {
			st.ended[dir] = true
			s.send(at, st, dir, flagFIN|flagACK, nil, "")
			s.send(at, st, 1-dir, flagACK, nil, "")
		}
	}
}

// send appends one packet; stamps only ever grow.
func (s *synthesiser) send(at time.Time, st *tcpState, dir int, flags byte, payload []byte, note string) {
	if !at.After(s.now) {
		at = s.now.Add(step)
	}
	s.now = at
	src, dst := st.flow.client, st.flow.server
	if dir == fromServer {
		src, dst = dst, src
	}
	seg := header{src: src, dst: dst, seq: st.next[dir], flags: flags, id: st.id[dir]}
	if flags&flagACK != 0 {
		seg.ack = st.next[1-dir]
	}
	s.out = append(s.out, Packet{Time: at, Data: seg.frame(payload), Comment: note})
	st.stream.packets++
	if len(payload) > 0 {
		st.stream.halves[dir].add(payload, len(s.out))
	}
	st.id[dir]++
	st.next[dir] += uint32(len(payload))
	if flags&(flagSYN|flagFIN) != 0 {
		st.next[dir]++
	}
}

// header is what differs between packets.
type header struct {
	src, dst netip.AddrPort
	seq, ack uint32
	flags    byte
	id       uint16
}

// frame puts Ethernet (with the zero addresses of a loopback), IP and TCP
// before payload.
func (h header) frame(payload []byte) []byte {
	var options []byte
	win := uint16(window)
	if h.flags&flagSYN != 0 {
		mss := uint16(mss4)
		if h.src.Addr().Is6() {
			mss = mss6
		}
		options = []byte{
			2, 4, byte(mss >> 8), byte(mss), // maximum segment size
			1, 1, 4, 2, // selective acknowledgements permitted
			1, 3, 3, windowScale,
		}
	}
	tcpLen := 20 + len(options) + len(payload)
	b := make([]byte, 12, 14+40+tcpLen)
	if h.src.Addr().Is4() {
		b = binary.BigEndian.AppendUint16(b, etherTypeIPv4)
		ip := len(b)
		b = append(b, 0x45, 0)
		b = binary.BigEndian.AppendUint16(b, uint16(20+tcpLen))
		b = binary.BigEndian.AppendUint16(b, h.id)
		b = append(b, 0x40, 0, 64, protocolTCP, 0, 0) // don't fragment, 64 hops, checksum follows
		b = append(append(b, h.src.Addr().AsSlice()...), h.dst.Addr().AsSlice()...)
		binary.BigEndian.PutUint16(b[ip+10:], ^fold(sum(0, b[ip:])))
	} else {
		b = binary.BigEndian.AppendUint16(b, etherTypeIPv6)
		b = append(b, 0x60, 0, 0, 0)
		b = binary.BigEndian.AppendUint16(b, uint16(tcpLen))
		b = append(b, protocolTCP, 64)
		b = append(append(b, h.src.Addr().AsSlice()...), h.dst.Addr().AsSlice()...)
	}
	tcp := len(b)
	b = binary.BigEndian.AppendUint16(b, h.src.Port())
	b = binary.BigEndian.AppendUint16(b, h.dst.Port())
	b = binary.BigEndian.AppendUint32(b, h.seq)
	b = binary.BigEndian.AppendUint32(b, h.ack)
	b = append(b, byte((20+len(options))/4)<<4, h.flags)
	b = binary.BigEndian.AppendUint16(b, win)
	b = append(b, 0, 0, 0, 0) // checksum, urgent pointer
	b = append(append(b, options...), payload...)

	// The checksum covers the addresses, the protocol and the length too.
	pseudo := sum(sum(0, h.src.Addr().AsSlice()), h.dst.Addr().AsSlice()) + protocolTCP + uint32(tcpLen)
	binary.BigEndian.PutUint16(b[tcp+16:], ^fold(sum(pseudo, b[tcp:])))
	return b
}

// sum adds b as 16-bit words; it cannot overflow below 128 KiB.
func sum(s uint32, b []byte) uint32 {
	for ; len(b) > 1; b = b[2:] {
		s += uint32(b[0])<<8 | uint32(b[1])
	}
	if len(b) == 1 {
		s += uint32(b[0]) << 8
	}
	return s
}

func fold(s uint32) uint16 {
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}
