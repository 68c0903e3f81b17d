package capture

import (
	"bufio"
	"encoding/binary"
	"io"
	"math"
	"time"

	"hufu"
)

// Packet is one Ethernet frame of a capture.
type Packet struct {
	Time    time.Time
	Data    []byte
	Comment string // shown by Wireshark at the packet, "" for none
}

// Info is what a capture says of itself.
type Info struct {
	Application string // the program that made it, with its version
	Comment     string // of the whole file
	Interface   string // name of the interface
	Description string // of the interface
}

// Block types, options and numbers of pcapng (draft-ietf-opsawg-pcapng). The
// file is little-endian, as most are.
const (
	blockSection   = 0x0A0D0D0A
	blockInterface = 1
	blockEnhanced  = 6
	blockSecrets   = 10

	byteOrderMagic = 0x1A2B3C4D
	linkEthernet   = 1
	secretsTLS     = 0x544c534b // "TLSK": lines as in SSLKEYLOGFILE

	optionEnd         = 0
	optionComment     = 1
	optionIfName      = 2
	optionIfDescr     = 3
	optionIfTsResol   = 9
	optionApplication = 4

	// snapLength is the loopback's MTU: no packet of the tap is longer.
	snapLength = 65536
	// maxOption is the longest option value: its length has 16 bits.
	maxOption = math.MaxUint16
)

// Writer writes pcapng: one section, one Ethernet interface, time stamps in
// nanoseconds. It is our own because four blocks are little code, and
// gopacket would add 1.7 MB to the client; the tests read its files with
// gopacket and tshark.
type Writer struct {
	w   *bufio.Writer
	buf []byte
	err error
}

// NewWriter writes the head of a capture to w. Call Flush at the end.
func NewWriter(w io.Writer, info Info) *Writer {
	p := &Writer{w: bufio.NewWriterSize(w, 64<<10)}

	b := p.begin(blockSection)
	b = binary.LittleEndian.AppendUint32(b, byteOrderMagic)
	b = binary.LittleEndian.AppendUint16(b, 1)              // major
	b = binary.LittleEndian.AppendUint16(b, 0)              // minor
	b = binary.LittleEndian.AppendUint64(b, math.MaxUint64) // length of the section: not known
	p.end(appendOptions(b, option{optionComment, info.Comment}, option{optionApplication, info.Application}))

	b = p.begin(blockInterface)
	b = binary.LittleEndian.AppendUint16(b, linkEthernet)
	b = binary.LittleEndian.AppendUint16(b, 0)
	b = binary.LittleEndian.AppendUint32(b, snapLength)
	p.end(appendOptions(b, option{optionIfName, info.Interface}, option{optionIfDescr, info.Description},
		option{optionIfTsResol, "\x09"}))
	return p
}

// Secrets embeds lines as tls.Config.KeyLogWriter gets them. Wireshark decrypts
// only packets that come after them, so they belong before the first.
func (p *Writer) Secrets(lines []byte) {
	if len(lines) == 0 {
		return
	}
	b := p.begin(blockSecrets)
	b = binary.LittleEndian.AppendUint32(b, secretsTLS)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(lines)))
	p.end(pad(append(b, lines...)))
}

// Packet writes one packet.
func (p *Writer) Packet(k Packet) {
	t := uint64(k.Time.UnixNano())
	b := p.begin(blockEnhanced)
	b = binary.LittleEndian.AppendUint32(b, 0) // the only interface
	b = binary.LittleEndian.AppendUint32(b, uint32(t>>32))
	b = binary.LittleEndian.AppendUint32(b, uint32(t))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(k.Data)))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(k.Data)))
	p.end(appendOptions(pad(append(b, k.Data...)), option{optionComment, k.Comment}))
}

// Flush hands everything on and says what went wrong since NewWriter.
func (p *Writer) Flush() error {
	if p.err == nil {
		p.err = p.w.Flush()
	}
	if p.err != nil {
		return &hufu.Error{Op: "write capture", Kind: hufu.KindUnreadable, Code: "capture_write", Err: p.err}
	}
	return nil
}

// begin starts a block: type, and room for its length.
func (p *Writer) begin(kind uint32) []byte {
	b := binary.LittleEndian.AppendUint32(p.buf[:0], kind)
	return binary.LittleEndian.AppendUint32(b, 0)
}

// end puts the length at both ends of the block and writes it.
func (p *Writer) end(b []byte) {
	n := uint32(len(b) + 4)
	binary.LittleEndian.PutUint32(b[4:], n)
	b = binary.LittleEndian.AppendUint32(b, n)
	p.buf = b
	if p.err == nil {
		_, p.err = p.w.Write(b)
	}
}

type option struct {
	code  uint16
	value string
}

// appendOptions leaves empty ones out, and the end mark when none is left.
func appendOptions(b []byte, all ...option) []byte {
	some := false
	for _, o := range all {
		if o.value == "" {
			continue
		}
		some = true
		value := o.value[:min(len(o.value), maxOption)]
		b = binary.LittleEndian.AppendUint16(b, o.code)
		b = binary.LittleEndian.AppendUint16(b, uint16(len(value)))
		b = pad(append(b, value...))
	}
	if some {
		b = binary.LittleEndian.AppendUint32(b, optionEnd)
	}
	return b
}

// pad fills up to a multiple of four; blocks begin at one.
func pad(b []byte) []byte {
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}
