// Package frame is what travels on a hufu connection: a fixed header, one CBOR message, raw
// bytes. It owns the layout, the limits and the strict reading of header and message; when a
// frame is written, and what it means, is for others.
//
// The layout (docs/protocol.md, "Frames"), big endian:
//
//	 0      2      4          8          12
//	| type | flags | body len | raw len  | body: CBOR | raw bytes |
//
// A frame is refused before anything is allocated if a length is over its
// limit, a flag is not known, or the type is not known; the message is refused
// if a key is not known, appears twice, or is not encoded in the one way that
// RFC 8949 section 4.2.1 (core deterministic encoding) allows.
package frame

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/fxamacker/cbor/v2"

	"hufu"
)

// Limits of a frame, in bytes. Those for a client's frames are tighter: on hufu-enroll/1 they are
// read from a peer that is not verified.
const (
	HeaderSize     = 12
	MaxBody        = 256 << 10
	MaxRequestBody = 16 << 10
	MaxRaw         = hufu.ChunkSize
)

// flagMore marks an answer that continues in the next frame.
const flagMore = 1

// Header is the fixed part of a frame.
type Header struct {
	Type Type
	More bool
	Body int // bytes of CBOR
	Raw  int // raw bytes behind it
}

// Codec encodes and decodes messages. It holds no state of a connection and is
// safe for concurrent use.
type Codec struct {
	enc     cbor.UserBufferEncMode
	dec     cbor.DecMode
	loose   cbor.DecMode // for hello of another version
	buffers sync.Pool    // of *bytes.Buffer
}

// NewCodec returns the one codec there is: deterministic when it writes,
// strict when it reads.
func NewCodec() *Codec {
	enc, err := cbor.EncOptions{
		Sort: cbor.SortCoreDeterministic, ShortestFloat: cbor.ShortestFloat16, IndefLength: cbor.IndefLengthForbidden,
		TagsMd: cbor.TagsForbidden, NilContainers: cbor.NilContainerAsEmpty, OmitEmpty: cbor.OmitEmptyGoValue,
	}.UserBufferEncMode()
	if err != nil {
		panic(err) // a constant configuration
	}
	dec, err := cbor.DecOptions{
		DupMapKey: cbor.DupMapKeyEnforcedAPF, IndefLength: cbor.IndefLengthForbidden, TagsMd: cbor.TagsForbidden,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField, UTF8: cbor.UTF8RejectInvalid,
		MaxNestedLevels: 6, MaxArrayElements: MaxCVs, MaxMapPairs: 64,
	}.DecMode()
	if err != nil {
		panic(err)
	}
	loose, err := cbor.DecOptions{}.DecMode()
	if err != nil {
		panic(err)
	}
	return &Codec{enc: enc, dec: dec, loose: loose, buffers: sync.Pool{New: func() any { return new(bytes.Buffer) }}}
}

// encode returns the encoding of m in a buffer, which the caller returns to the
// pool, after an error too.
func (c *Codec) encode(m Message) (*bytes.Buffer, error) {
	buf := c.buffers.Get().(*bytes.Buffer)
	buf.Reset()
	if q, ok := m.(quick); ok {
		_, err := buf.Write(appendQuick(buf.AvailableBuffer(), q))
		return buf, err
	}
	return buf, c.enc.MarshalToBuffer(m, buf)
}

// Append appends a frame's header and message to dst; raw bytes, if any, are
// to follow on the wire.
func (c *Codec) Append(dst []byte, m Message, more bool, raw int) ([]byte, error) {
	buf, err := c.encode(m)
	defer c.buffers.Put(buf)
	if err != nil {
		return dst, fmt.Errorf("encode %s: %w", m.Type(), err)
	}
	body := buf.Bytes()
	if len(body) > m.Type().maxBody() || raw > MaxRaw {
		return dst, fmt.Errorf("encode %s: %d bytes of message and %d raw are over the limit", m.Type(), len(body), raw)
	}
	var flags uint16
	if more {
		flags = flagMore
	}
	dst = binary.BigEndian.AppendUint16(dst, uint16(m.Type()))
	dst = binary.BigEndian.AppendUint16(dst, flags)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(body)))
	dst = binary.BigEndian.AppendUint32(dst, uint32(raw))
	return append(dst, body...), nil
}

// ParseHeader reads the fixed part and checks its limits.
func ParseHeader(b *[HeaderSize]byte) (Header, error) {
	h := Header{Type: Type(binary.BigEndian.Uint16(b[:]))}
	flags := binary.BigEndian.Uint16(b[2:])
	body, raw := binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:])
	_, known := kinds[h.Type]
	switch {
	case !known:
		return h, broken("frame_type", h.Type.String())
	case flags&^flagMore != 0 || flags&flagMore != 0 && !h.Type.goesOn():
		return h, broken("frame_flags", fmt.Sprintf("%s with flags %#x", h.Type, flags))
	case uint64(body) > uint64(h.Type.maxBody()) || raw > MaxRaw:
		return h, broken("frame_too_large", fmt.Sprintf("%s of %d and %d bytes", h.Type, body, raw))
	case raw > 0 && !h.Type.carriesRaw():
		return h, broken("frame_raw", fmt.Sprintf("%s with raw bytes", h.Type))
	}
	h.More, h.Body, h.Raw = flags&flagMore != 0, int(body), int(raw)
	return h, nil
}

// Decode reads the message of a frame of type t. body must hold exactly one
// CBOR item in its one allowed encoding. Keys of a later program are ignored
// where they are allowed.
func (c *Codec) Decode(t Type, body []byte) (Message, error) {
	if err := c.version(t, body); err != nil {
		return nil, err
	}
	m, err := c.strict(t, body)
	if err != nil {
		if less, ok := c.withoutLater(t, body); ok {
			return c.strict(t, less)
		}
	}
	return m, err
}

func (c *Codec) strict(t Type, body []byte) (Message, error) {
	m := t.new()
	if m == nil {
		return nil, broken("frame_type", t.String())
	}
	if q, ok := m.(quick); ok {
		if readQuick(q, body) {
			return checked(t, m)
		}
		m = t.new()
	}
	if err := c.dec.Unmarshal(body, m); err != nil {
		return nil, broken("message_form", t.String()+": "+err.Error())
	}
	again, err := c.encode(m)
	defer c.buffers.Put(again)
	if err != nil || !bytes.Equal(again.Bytes(), body) {
		return nil, broken("message_form", t.String()+": not in deterministic encoding")
	}
	return checked(t, m)
}

// checked returns m if its values keep their limits.
func checked(t Type, m Message) (Message, error) {
	if err := m.check(); err != nil {
		return nil, broken("message_value", t.String()+": "+err.Error())
	}
	return m, nil
}

// Check reports whether the values of m keep their limits. A peer ends the connection over a
// message that does not; Check lets a sender find that out before it sends.
func Check(m Message) error {
	if err := m.check(); err != nil {
		return &hufu.Error{Op: "check " + m.Type().String(), Kind: hufu.KindInvalid, Err: err}
	}
	return nil
}

func broken(code, what string) error {
	return &hufu.Error{Op: "read frame: " + what, Kind: hufu.KindProtocol, Code: code}
}
