package frame

import (
	"bytes"
	"math"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"hufu"
)

// quickMessages draws messages that are written and read without the library. Numbers
// are near the ends of what each length of encoding holds.
func quickMessages(t *rapid.T) Message {
	bytesOf := func(name string) []byte {
		return slices.Repeat([]byte{'x'}, rapid.SampledFrom([]int{0, 1, 23, 24, 255, 256, 70_000}).Draw(t, name))
	}
	number := func(name string, least, most int64) int64 {
		var near []int64
		for _, n := range []int64{0, 23, 24, math.MaxUint8, math.MaxUint16, math.MaxUint32, math.MaxInt64} {
			for _, x := range []int64{n - 1, n, n + 1, -n - 1, -n, -n + 1} {
				if x >= least && x <= most {
					near = append(near, x)
				}
			}
		}
		return rapid.SampledFrom(near).Draw(t, name)
	}
	text := func(name string) string {
		return rapid.SampledFrom([]string{"", "v", "日本", string(slices.Repeat([]byte{'v'}, 300))}).Draw(t, name)
	}
	entry := func() Entry {
		return Entry{
			Name: bytesOf("name"), Kind: uint8(number("kind", 0, math.MaxUint8)), Size: number("size", math.MinInt64, math.MaxInt64),
			MTime: number("mtime", math.MinInt64, math.MaxInt64), Mode: uint32(number("mode", 0, math.MaxUint32)),
			Digest: bytesOf("digest"), Target: bytesOf("target"), By: text("by"), Version: text("version"),
		}
	}
	switch rapid.IntRange(0, 4).Draw(t, "type") {
	case 0:
		return &Put{
			Path: bytesOf("path"), Mode: uint32(number("mode", 0, math.MaxUint32)), MTime: number("mtime", math.MinInt64, math.MaxInt64),
			Digest: bytesOf("digest"), Condition: Condition{Kind: uint8(number("kind", 0, math.MaxUint8)), Version: text("version")},
		}
	case 1:
		return &PutAnswer{Version: text("version")}
	case 2:
		return &Get{Path: bytesOf("path"), Version: text("version"), Digest: bytesOf("digest")}
	case 3:
		if rapid.Bool().Draw(t, "entry") {
			e := entry()
			return &GetAnswer{Entry: &e}
		}
		return &GetAnswer{}
	}
	a := &ListAnswer{Entries: []Entry{}, Next: bytesOf("next")}
	for range rapid.SampledFrom([]int{0, 1, 3, 24}).Draw(t, "entries") {
		a.Entries = append(a.Entries, entry())
	}
	return a
}

// TestQuickIsTheOneEncoding: what is written without the library is what the library
// writes, and read as it reads it.
func TestQuickIsTheOneEncoding(t *testing.T) {
	t.Parallel()
	c := NewCodec()
	rapid.Check(t, func(t *rapid.T) {
		m := quickMessages(t)
		want, err := c.enc.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if got := appendQuick(nil, m.(quick)); !bytes.Equal(got, want) {
			t.Fatalf("%+v: written as %x, by the library as %x", m, got, want)
		}
		quickly, slowly := m.Type().new(), m.Type().new()
		if !readQuick(quickly.(quick), want) {
			t.Fatalf("%+v: %x was not read", m, want)
		}
		if err := c.dec.Unmarshal(want, slowly); err != nil || !reflect.DeepEqual(quickly, slowly) {
			t.Fatalf("read as %+v, by the library as %+v (%v)", quickly, slowly, err)
		}
	})
}

// TestQuickIsStrict: bytes that are read without the library are the one encoding of
// their message.
func TestQuickIsStrict(t *testing.T) {
	t.Parallel()
	c := NewCodec()
	var good []sample
	for _, s := range samples() {
		if _, ok := s.message.(quick); ok {
			good = append(good, s)
		}
	}
	if len(good) < 5 {
		t.Fatalf("%d samples of these messages", len(good))
	}
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.SampledFrom(good).Draw(t, "sample")
		body := appendQuick(nil, s.message.(quick))
		for range rapid.IntRange(1, 3).Draw(t, "changes") {
			at := rapid.IntRange(0, len(body)-1).Draw(t, "at")
			head := []byte{0x00, 0x17, 0x18, 0x19, 0x1a, 0x1b, 0x20, 0x38, 0x3b, 0x40, 0x58, 0x60, 0x78, 0x80, 0xa0, 0xb8, 0xff}
			b := rapid.OneOf(rapid.SampledFrom(head), rapid.Byte()).Draw(t, "byte")
			switch rapid.IntRange(0, 2).Draw(t, "how") {
			case 0:
				body[at] = b
			case 1:
				body = slices.Insert(body, at, b)
			case 2:
				if body = slices.Delete(body, at, at+1); len(body) == 0 {
					return
				}
			}
		}
		m, again := s.message.Type().new(), s.message.Type().new()
		if !readQuick(m.(quick), body) {
			return
		}
		if err := c.dec.Unmarshal(body, again); err != nil || !reflect.DeepEqual(m, again) {
			t.Fatalf("%x is read as %+v, by the library as %+v (%v)", body, m, again, err)
		}
		if one, err := c.enc.Marshal(m); err != nil || !bytes.Equal(one, body) {
			t.Fatalf("%x was read, but its one encoding is %x (%v)", body, one, err)
		}
	})
}

func BenchmarkPutMessage(b *testing.B) {
	c := NewCodec()
	m := &Put{
		Path: Path("photos/2024/IMG_0001.jpg"), Mode: 0o644, MTime: 1_700_000_000_123_456_789, Digest: fill(0xd1, 32), Condition: Condition{Kind: uint8(hufu.IfAbsent)},
	}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if buf, err = c.Append(buf[:0], m, false, 4096); err != nil {
			b.Fatal(err)
		}
		if _, err = c.Decode(TypePut, buf[HeaderSize:]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkListMessage(b *testing.B) {
	c := NewCodec()
	m := &ListAnswer{Entries: slices.Repeat([]Entry{{
		Name: []byte("file-number-012345"), Kind: 1, Size: 4096, MTime: 1_700_000_000_123_456_789, Version: "fe01.22a9f4.1000.65f1a2b3.75bcd15.65f1a2b3.75bcd15",
	}}, MaxListEntries)}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if buf, err = c.Append(buf[:0], m, false, 0); err != nil {
			b.Fatal(err)
		}
		if _, err = c.Decode(TypeList.Answer(), buf[HeaderSize:]); err != nil {
			b.Fatal(err)
		}
	}
}
