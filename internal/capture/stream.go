package capture

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"slices"
	"sort"
)

// tcpSegment is what Analyse needs of a packet.
type tcpSegment struct {
	src, dst netip.AddrPort
	seq      uint32
	flags    byte
	payload  []byte
}

// parseSegment finds TCP in a packet. Fragments of IP, extension headers of
// IPv6 and tunnels are not followed: loopback has none.
func parseSegment(k Packet) (tcpSegment, bool) {
	b, ok := network(k)
	if !ok || len(b) < 20 {
		return tcpSegment{}, false
	}
	var s tcpSegment
	var src, dst netip.Addr
	switch b[0] >> 4 {
	case 4:
		head, total := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
		fragment := binary.BigEndian.Uint16(b[6:]) & 0x3fff
		if head < 20 || total < head || total > len(b) || b[9] != protocolTCP || fragment != 0 {
			return s, false
		}
		src, dst = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
		b = b[head:total]
	case 6:
		if len(b) < 40 || b[6] != protocolTCP {
			return s, false
		}
		n := int(binary.BigEndian.Uint16(b[4:]))
		if n > len(b)-40 {
			return s, false
		}
		src, dst = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
		b = b[40 : 40+n]
	default:
		return s, false
	}
	if len(b) < 20 {
		return s, false
	}
	head := int(b[12]>>4) * 4
	if head < 20 || head > len(b) {
		return s, false
	}
	s.src = netip.AddrPortFrom(src, binary.BigEndian.Uint16(b))
	s.dst = netip.AddrPortFrom(dst, binary.BigEndian.Uint16(b[2:]))
	s.seq, s.flags, s.payload = binary.BigEndian.Uint32(b[4:]), b[13], b[head:]
	return s, true
}

// network is the IP packet inside k.
func network(k Packet) ([]byte, bool) {
	b, skip := k.Data, 0
	switch k.Link {
	case LinkEthernet:
		skip = 14
		for len(b) >= skip+2 && binary.BigEndian.Uint16(b[skip-2:]) == 0x8100 { // a VLAN's tag
			skip += 4
		}
	case LinkNull, LinkLoop:
		skip = 4
	case LinkSLL:
		skip = 16
	case LinkSLL2:
		skip = 20
	case LinkRaw:
	default:
		return nil, false
	}
	if len(b) < skip {
		return nil, false
	}
	return b[skip:], true
}

// connection is one TCP connection of a capture, both directions put together.
type connection struct {
	client, server netip.AddrPort
	packets        int
	halves         [2]half
}

// half is one direction: pieces in the order of the capture until assemble
// makes runs of them.
type half struct {
	known  bool
	base   uint32 // sequence number of the first byte
	next   int64  // one past the furthest byte
	pieces []piece
	runs   []run
	bytes  int64
}

type piece struct {
	off    int64
	data   []byte
	packet int
}

// run is bytes without a gap.
type run struct {
	start int64 // in the direction
	data  []byte
	marks []mark
}

// mark says that from here on the bytes came in packet.
type mark struct{ at, packet int }

// connections sorts packets into connections, in Wireshark's order, so that
// the index is its tcp.stream.
func connections(packets []Packet) []*connection {
	type pair struct{ a, b netip.AddrPort }
	var all []*connection
	byPair := map[pair]*connection{}
	for i, k := range packets {
		s, ok := parseSegment(k)
		if !ok {
			continue
		}
		c := byPair[pair{s.src, s.dst}]
		fresh := s.flags&(flagSYN|flagACK) == flagSYN
		if c == nil || fresh && c.halves[fromClient].known && c.halves[fromClient].base != s.seq+1 {
			// Who speaks first is the client, unless it is an answer to a
			// handshake that was not captured.
			c = &connection{client: s.src, server: s.dst}
			if s.flags&(flagSYN|flagACK) == flagSYN|flagACK {
				c.client, c.server = s.dst, s.src
			}
			byPair[pair{s.src, s.dst}], byPair[pair{s.dst, s.src}] = c, c
			all = append(all, c)
		}
		c.packets++
		dir := fromClient
		if s.src != c.client {
			dir = fromServer
		}
		c.halves[dir].add(s, i+1)
	}
	for _, c := range all {
		for dir := range c.halves {
			c.halves[dir].assemble()
		}
	}
	return all
}

func (h *half) add(s tcpSegment, packet int) {
	seq := s.seq
	if s.flags&flagSYN != 0 {
		seq++
	}
	if !h.known {
		h.known, h.base = true, seq
	}
	if len(s.payload) == 0 {
		return
	}
	// Sequence numbers wrap every 4 GiB; the nearest place to the furthest
	// byte is meant.
	off := h.next + int64(int32(seq-(h.base+uint32(h.next))))
	data := s.payload
	if off < 0 {
		if -off >= int64(len(data)) {
			return
		}
		data, off = data[-off:], 0
	}
	h.pieces = append(h.pieces, piece{off: off, data: data, packet: packet})
	h.next = max(h.next, off+int64(len(data)))
}

// assemble puts the pieces in order. Of bytes that came twice the first are
// taken, as the first reader would have had them.
func (h *half) assemble() {
	slices.SortStableFunc(h.pieces, func(a, b piece) int { return cmp.Compare(a.off, b.off) })
	for _, p := range h.pieces {
		var r *run
		if n := len(h.runs); n > 0 {
			r = &h.runs[n-1]
		}
		if r == nil || p.off > r.start+int64(len(r.data)) {
			h.runs = append(h.runs, run{start: p.off})
			r = &h.runs[len(h.runs)-1]
		}
		if twice := r.start + int64(len(r.data)) - p.off; twice < int64(len(p.data)) {
			r.marks = append(r.marks, mark{at: len(r.data), packet: p.packet})
			r.data = append(r.data, p.data[twice:]...)
			h.bytes += int64(len(p.data)) - twice
		}
	}
	h.pieces = nil
}

// packet is the number of the packet that brought byte i.
func (r *run) packet(i int) int {
	n := sort.Search(len(r.marks), func(n int) bool { return r.marks[n].at > i })
	if n == 0 {
		return 0
	}
	return r.marks[n-1].packet
}

// whole says whether nothing is missing from the first byte on.
func (h *half) whole() bool { return len(h.runs) == 0 || len(h.runs) == 1 && h.runs[0].start == 0 }
