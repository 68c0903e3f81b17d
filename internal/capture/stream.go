package capture

import (
	"net/netip"
	"sort"
)

// stream is one TCP connection as somebody on the wire puts it together.
type stream struct {
	client, server netip.AddrPort
	packets        int
	halves         [2]half
}

// half is one direction of a stream.
type half struct {
	data  []byte
	marks []mark
}

// mark says that from offset at on the bytes came in packet.
type mark struct{ at, packet int }

// add appends the payload of a packet, whose number is Wireshark's frame.number.
func (h *half) add(payload []byte, packet int) {
	h.marks = append(h.marks, mark{at: len(h.data), packet: packet})
	h.data = append(h.data, payload...)
}

// packet returns the number of the packet that brought byte i.
func (h *half) packet(i int) int {
	n := sort.Search(len(h.marks), func(n int) bool { return h.marks[n].at > i })
	if n == 0 {
		return 0
	}
	return h.marks[n-1].packet
}
