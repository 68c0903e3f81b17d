//go:build linux

package main

import "encoding/binary"

// What the kernel writes before each packet, struct virtio_net_hdr:
//
//	0 flags  1 GSO type  2 header length  4 segment size  6 checksum start  8 checksum offset
//
// each of two bytes in the order of the machine. Then comes an IP packet. If
// the GSO type is TCPv4 it is one TCP header with the data of many segments.
const (
	prefix    = 10
	gsoNone   = 0
	gsoTCPv4  = 1
	gsoMask   = 0x7f // the bit above says ECN
	flagFIN   = 0x01
	flagPSH   = 0x08
	flagCWR   = 0x80
	protoTCP  = 6
	minimumIP = 20
)

// headers returns the length of IP and TCP header, 0 if it is not a TCP packet
// of many segments.
func headers(packet []byte) (ip, all int) {
	p := packet[prefix:]
	if packet[1]&gsoMask != gsoTCPv4 || len(p) < minimumIP || p[0]>>4 != 4 || p[9] != protoTCP {
		return 0, 0
	}
	ip = int(p[0]&15) * 4
	if len(p) < ip+20 {
		return 0, 0
	}
	all = ip + int(p[ip+12]>>4)*4
	if all > len(p) || gsoSize(packet) == 0 {
		return 0, 0
	}
	return ip, all
}

func gsoSize(packet []byte) int { return int(binary.NativeEndian.Uint16(packet[4:])) }

// segments is how many segments there are in packet.
func segments(packet []byte) int {
	_, all := headers(packet)
	if all == 0 {
		return 1
	}
	data := len(packet) - prefix - all
	return max(1, (data+gsoSize(packet)-1)/gsoSize(packet))
}

// segmentSize is the length of segment i as an IP packet.
func segmentSize(packet []byte, i int) int {
	_, all := headers(packet)
	if all == 0 {
		return len(packet) - prefix
	}
	data := len(packet) - prefix - all
	return all + min(gsoSize(packet), data-i*gsoSize(packet))
}

// cut returns a copy of the packet with the segments from first up to, not
// including, end.
func cut(packet []byte, first, end int) []byte {
	count := segments(packet)
	if first == 0 && end == count {
		return append([]byte(nil), packet...)
	}
	ip, all := headers(packet)
	size := gsoSize(packet)
	data := packet[prefix+all:]
	data = data[first*size : min(end*size, len(data))]

	out := make([]byte, 0, prefix+all+len(data))
	out = append(append(out, packet[:prefix+all]...), data...)
	if end-first == 1 {
		out[1] = gsoNone
		binary.NativeEndian.PutUint16(out[4:], 0)
	}
	p := out[prefix:]
	tcp := p[ip:]
	binary.BigEndian.PutUint32(tcp[4:], binary.BigEndian.Uint32(tcp[4:])+uint32(first*size))
	if first > 0 {
		tcp[13] &^= flagCWR
	}
	if end < count {
		tcp[13] &^= flagFIN | flagPSH
	}
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	binary.BigEndian.PutUint16(p[4:], binary.BigEndian.Uint16(p[4:])+uint16(first))
	binary.BigEndian.PutUint16(p[10:], 0)
	binary.BigEndian.PutUint16(p[10:], ^sum(p[:ip], 0))
	// The checksum of TCP is left to be finished, over the pseudo header.
	binary.BigEndian.PutUint16(tcp[16:], sum(p[12:20], protoTCP+uint32(len(p)-ip)))
	return out
}

// sum is the ones' complement sum of b, of even length, and start.
func sum(b []byte, start uint32) uint16 {
	s := start
	for ; len(b) > 1; b = b[2:] {
		s += uint32(binary.BigEndian.Uint16(b))
	}
	for s>>16 != 0 {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}
