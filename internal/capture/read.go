package capture

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"time"

	"hufu"
)

// Limits of what Read takes in.
const (
	// MaxFile is the largest capture, in bytes: packets are held in memory.
	MaxFile = 512 << 20
	// maxBlock is the largest single block of a capture.
	maxBlock = 16 << 20
	// maxInterfaces is the number of interfaces of one section.
	maxInterfaces = 1024
)

// File is a capture in memory.
type File struct {
	Packets []Packet
	Secrets []byte // key log lines of TLS that the capture carries
}

// ReadFile reads the pcapng file at path.
func ReadFile(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, &hufu.Error{Op: "open capture", Path: path, Kind: hufu.KindUnreadable, Code: "capture_read", Err: err}
	}
	defer func() { _ = f.Close() }()
	file, err := Read(f)
	if e, ok := errors.AsType[*hufu.Error](err); ok {
		e.Path = path
	}
	return file, err
}

// Read reads pcapng of either byte order, with any number of sections and
// interfaces. What is not a packet or a TLS secret is passed over.
func Read(r io.Reader) (*File, error) {
	d := &decoder{r: bufio.NewReaderSize(r, 64<<10), order: binary.LittleEndian}
	for {
		kind, body, err := d.block()
		if errors.Is(err, io.EOF) && d.sections > 0 {
			return &d.file, nil
		}
		if err == nil {
			err = d.take(kind, body)
		}
		if err != nil {
			if e, ok := errors.AsType[*hufu.Error](err); ok {
				return nil, e
			}
			return nil, &hufu.Error{Op: "read capture", Kind: hufu.KindInvalid, Code: "capture_form", Err: err}
		}
	}
}

type decoder struct {
	r        *bufio.Reader
	order    binary.ByteOrder
	ifaces   []iface
	sections int
	total    int64
	file     File
}

// iface is what is needed of an interface: how its packets and stamps are to
// be read.
type iface struct {
	link  LinkType
	snap  uint32
	units uint64 // ticks a second
}

var errForm = errors.New("not a pcapng file, or a damaged one")

// block reads one block; io.EOF only at a block's boundary.
func (d *decoder) block() (uint32, []byte, error) {
	var head [12]byte
	if _, err := io.ReadFull(d.r, head[:8]); err != nil {
		return 0, nil, err
	}
	rest := 0 // of the head that belongs to the body
	if binary.LittleEndian.Uint32(head[:]) == blockSection {
		// The byte order of a section, its own length included, is known
		// from its magic only.
		if _, err := io.ReadFull(d.r, head[8:]); err != nil {
			return 0, nil, errForm
		}
		rest = 4
		switch uint32(byteOrderMagic) {
		case binary.LittleEndian.Uint32(head[8:]):
			d.order = binary.LittleEndian
		case binary.BigEndian.Uint32(head[8:]):
			d.order = binary.BigEndian
		default:
			return 0, nil, errForm
		}
	} else if d.sections == 0 {
		return 0, nil, errForm
	}
	n := d.order.Uint32(head[4:])
	if n%4 != 0 || n < uint32(12+rest) || n > maxBlock {
		return 0, nil, errForm
	}
	if d.total += int64(n); d.total > MaxFile {
		return 0, nil, tooLarge(MaxFile)
	}
	body := make([]byte, n-8)
	copy(body, head[8:8+rest])
	if _, err := io.ReadFull(d.r, body[rest:]); err != nil {
		return 0, nil, errForm
	}
	if d.order.Uint32(body[len(body)-4:]) != n {
		return 0, nil, errForm
	}
	return d.order.Uint32(head[:]), body[:len(body)-4], nil
}

func (d *decoder) take(kind uint32, b []byte) error {
	switch kind {
	case blockSection:
		if len(b) < 16 || d.order.Uint16(b[4:]) != 1 {
			return errForm
		}
		d.sections++
		d.ifaces = nil
	case blockInterface:
		return d.takeInterface(b)
	case blockEnhanced:
		if len(b) < 20 {
			return errForm
		}
		i, n := d.order.Uint32(b), d.order.Uint32(b[12:])
		if int64(i) >= int64(len(d.ifaces)) || int64(n) > int64(len(b)-20) {
			return errForm
		}
		f := d.ifaces[i]
		ticks := uint64(d.order.Uint32(b[4:]))<<32 | uint64(d.order.Uint32(b[8:]))
		d.file.Packets = append(d.file.Packets, Packet{Time: f.time(ticks), Link: f.link, Data: b[20 : 20+n]})
	case blockSimple:
		if len(b) < 4 || len(d.ifaces) == 0 {
			return errForm
		}
		f := d.ifaces[0]
		n := d.order.Uint32(b)
		if f.snap != 0 {
			n = min(n, f.snap)
		}
		if int64(n) > int64(len(b)-4) {
			return errForm
		}
		d.file.Packets = append(d.file.Packets, Packet{Link: f.link, Data: b[4 : 4+n]})
	case blockSecrets:
		if len(b) < 8 || int64(d.order.Uint32(b[4:])) > int64(len(b)-8) {
			return errForm
		}
		if d.order.Uint32(b) == secretsTLS {
			d.file.Secrets = append(d.file.Secrets, b[8:8+d.order.Uint32(b[4:])]...)
		}
	}
	return nil
}

func (d *decoder) takeInterface(b []byte) error {
	if len(b) < 8 || len(d.ifaces) >= maxInterfaces {
		return errForm
	}
	f := iface{link: LinkType(d.order.Uint16(b)), snap: d.order.Uint32(b[4:]), units: 1_000_000}
	for b = b[8:]; len(b) >= 4; {
		code, n := d.order.Uint16(b), int(d.order.Uint16(b[2:]))
		padded := (n + 3) &^ 3
		if code == optionEnd {
			break
		}
		if len(b) < 4+padded {
			return errForm
		}
		if code == optionIfTsResol && n == 1 {
			units, ok := resolution(b[4])
			if !ok {
				return errForm
			}
			f.units = units
		}
		b = b[4+padded:]
	}
	d.ifaces = append(d.ifaces, f)
	return nil
}

// resolution is the number of ticks a second of an if_tsresol: a negative
// power of ten, or of two if the top bit is set.
func resolution(v byte) (uint64, bool) {
	exp, base := v&0x7f, uint64(10)
	if v&0x80 != 0 {
		base = 2
	}
	if base == 10 && exp > 19 || exp > 63 {
		return 0, false
	}
	units := uint64(1)
	for range exp {
		units *= base
	}
	return units, true
}

func (f iface) time(ticks uint64) time.Time {
	sec, rest := ticks/f.units, ticks%f.units
	// Floating point, because rest × 1e9 may not fit; nanoseconds stay exact,
	// because below 2^53 they are.
	ns := rest
	if f.units != 1_000_000_000 {
		ns = uint64(float64(rest) * 1e9 / float64(f.units))
	}
	return time.Unix(int64(sec), int64(ns))
}

func tooLarge(limit int64) *hufu.Error {
	return &hufu.Error{
		Op: "hold capture", Kind: hufu.KindInvalid, Code: "capture_too_large",
		Args: map[string]string{"limit": mib(limit)},
	}
}
