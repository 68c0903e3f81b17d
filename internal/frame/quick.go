package frame

import (
	"bytes"
	"encoding/binary"
	"math"
	"unicode/utf8"
)

// The messages of small files and of listings come by the ten thousand. They are written and read
// here, without reflection and without being encoded again to be compared. All other messages,
// and all bytes that are not exactly as expected, are left to the library and to withoutLater:
// the one finds what is wrong, the other drops the keys of later programs.

// quick is a message, or a part of one, whose method fields visits each field in the order of the
// keys. The visitor counts, writes or reads them.
type quick interface{ fields(f *fields) }

func (m *Put) fields(f *fields) {
	f.bytes(1, (*[]byte)(&m.Path), required)
	number(f, 2, &m.Mode, required)
	number(f, 3, &m.MTime, required)
	f.bytes(4, &m.Digest, required)
	f.part(5, &m.Condition)
}

func (c *Condition) fields(f *fields) {
	number(f, 1, &c.Kind, required)
	f.text(2, &c.Version)
}

func (m *PutAnswer) fields(f *fields) { f.text(1, &m.Version) }

func (m *Get) fields(f *fields) {
	f.bytes(1, (*[]byte)(&m.Path), required)
	f.text(2, &m.Version)
	f.bytes(3, &m.Digest, optional)
}

// Entry is optional: when reading, it is there if the map has any pair.
func (m *GetAnswer) fields(f *fields) {
	if f.doing == reading && f.left > 0 {
		m.Entry = new(Entry)
	}
	if m.Entry != nil {
		f.part(1, m.Entry)
	}
}

func (m *ListAnswer) fields(f *fields) {
	f.entries(1, &m.Entries)
	f.bytes(2, &m.Next, optional)
}

func (w *Entry) fields(f *fields) {
	f.bytes(1, &w.Name, optional)
	number(f, 2, &w.Kind, required)
	number(f, 3, &w.Size, optional)
	number(f, 4, &w.MTime, optional)
	number(f, 5, &w.Mode, optional)
	f.bytes(6, &w.Digest, optional)
	f.bytes(7, &w.Target, optional)
	f.text(8, &w.By)
	f.text(9, &w.Version)
}

// The major types of CBOR (RFC 8949, section 3.1) that occur here.
const (
	unsigned = iota << 5
	negative
	byteString
	textString
	array
	pairs
)

const (
	required = false
	optional = true // left out if it is zero or empty
)

// fields counts, writes or reads the fields of a map.
type fields struct {
	doing action
	b     []byte // what was written, or is still to be read
	left  uint64 // pairs of the map: counted, or still to be read
	bad   bool   // what is read is not as expected
}

type action uint8

const (
	counting action = iota
	writing
	reading
)

// appendQuick appends the encoding of m to b.
func appendQuick(b []byte, m quick) []byte {
	f := fields{doing: writing, b: b}
	f.group(m)
	return f.b
}

// readQuick reads m and reports whether body is the deterministic encoding of m. No part of body
// is kept: it is cloned first.
func readQuick(m quick, body []byte) bool {
	f := fields{doing: reading, b: bytes.Clone(body)}
	f.group(m)
	return !f.bad && len(f.b) == 0
}

// group writes or reads a whole map. A map begins with its number of pairs, so writing counts
// them first. The number is put aside meanwhile, because maps nest.
func (f *fields) group(m quick) {
	outer := f.left
	if f.doing == writing {
		f.doing, f.left = counting, 0
		m.fields(f)
		f.doing = writing
		f.head(pairs, f.left)
	} else {
		f.left = f.readHead(pairs)
	}
	m.fields(f)
	f.bad = f.bad || f.doing == reading && f.left > 0
	f.left = outer
}

// next reports whether the value of a key is to be written or read now.
func (f *fields) next(key byte, empty, may bool) bool {
	switch f.doing {
	case counting:
		if !empty || !may {
			f.left++
		}
		return false
	case writing:
		if empty && may {
			return false
		}
		f.head(unsigned, uint64(key))
		return true
	}
	if f.bad || f.left == 0 || len(f.b) == 0 || f.b[0] != key {
		f.bad = f.bad || !may
		return false
	}
	f.b = f.b[1:]
	f.left--
	return true
}

// head writes the beginning of an item, in as few bytes as it can be.
func (f *fields) head(major byte, n uint64) {
	switch {
	case n < 24:
		f.b = append(f.b, major|byte(n))
	case n < 1<<8:
		f.b = append(f.b, major|24, byte(n))
	case n < 1<<16:
		f.b = binary.BigEndian.AppendUint16(append(f.b, major|25), uint16(n))
	case n < 1<<32:
		f.b = binary.BigEndian.AppendUint32(append(f.b, major|26), uint32(n))
	default:
		f.b = binary.BigEndian.AppendUint64(append(f.b, major|27), n)
	}
}

// readHead reads the beginning of an item of a major type.
func (f *fields) readHead(major byte) (n uint64) {
	if len(f.b) == 0 || f.b[0]&^31 != major {
		f.bad = true
		return 0
	}
	info := f.b[0] & 31
	if info < 24 {
		f.b = f.b[1:]
		return uint64(info)
	}
	size := 1 << (info - 24)
	if info > 27 || len(f.b) <= size {
		f.bad = true
		return 0
	}
	for _, b := range f.b[1 : 1+size] {
		n = n<<8 | uint64(b)
	}
	f.b = f.b[1+size:]
	if size == 1 && n < 24 || size > 1 && n>>(4*size) == 0 { // it would fit into less
		f.bad = true
	}
	return n
}

// readString reads a string of a major type, without copying it.
func (f *fields) readString(major byte, may bool) []byte {
	n := f.readHead(major)
	if f.bad || n > uint64(len(f.b)) || n == 0 && may {
		f.bad = true
		return nil
	}
	s := f.b[:n:n]
	f.b = f.b[n:]
	return s
}

func (f *fields) bytes(key byte, v *[]byte, may bool) {
	if !f.next(key, len(*v) == 0, may) {
		return
	}
	if f.doing == reading {
		*v = f.readString(byteString, may)
		return
	}
	f.head(byteString, uint64(len(*v)))
	f.b = append(f.b, *v...)
}

// text is for a string that is left out if it is empty.
func (f *fields) text(key byte, v *string) {
	if !f.next(key, *v == "", optional) {
		return
	}
	if f.doing == reading {
		s := f.readString(textString, optional)
		f.bad = f.bad || !utf8.Valid(s)
		*v = string(s)
		return
	}
	f.head(textString, uint64(len(*v)))
	f.b = append(f.b, *v...)
}

func number[T uint8 | uint32 | int64](f *fields, key byte, v *T, may bool) {
	if !f.next(key, *v == 0, may) {
		return
	}
	switch {
	case f.doing == writing && *v >= 0:
		f.head(unsigned, uint64(*v))
	case f.doing == writing:
		f.head(negative, uint64(-1-int64(*v)))
	case len(f.b) > 0 && f.b[0]&^31 == negative:
		n := f.readHead(negative)
		*v = T(-1 - int64(n))
		f.bad = f.bad || n > math.MaxInt64 || int64(*v) != -1-int64(n)
	default:
		n := f.readHead(unsigned)
		*v = T(n)
		f.bad = f.bad || *v < 0 || uint64(*v) != n || n == 0 && may
	}
}

// part is for a value that is a map itself.
func (f *fields) part(key byte, m quick) {
	if f.next(key, false, required) {
		f.group(m)
	}
}

func (f *fields) entries(key byte, v *[]Entry) {
	if !f.next(key, false, required) {
		return
	}
	if f.doing == writing {
		f.head(array, uint64(len(*v)))
	} else {
		n := f.readHead(array)
		if f.bad || n > min(MaxListEntries, uint64(len(f.b))) {
			f.bad = true
			return
		}
		*v = make([]Entry, n)
	}
	for i := range *v {
		if f.group(&(*v)[i]); f.bad {
			return
		}
	}
}
