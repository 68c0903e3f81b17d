package capture

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"hufu"
)

func samplePackets() []Packet {
	start := time.Unix(1_800_000_000, 123_456_789)
	var all []Packet
	for n := range 9 {
		k := Packet{Time: start.Add(time.Duration(n)), Data: bytes.Repeat([]byte{byte(n)}, 60+n)}
		if n%2 == 0 {
			k.Comment = "注释 " + string(rune('a'+n))
		}
		all = append(all, k)
	}
	return all
}

func written(t testing.TB, secrets []byte, packets ...Packet) []byte {
	t.Helper()
	var b bytes.Buffer
	w := NewWriter(&b, Info{Application: "hufu test", Comment: "three", Interface: "lo", Description: "tap"})
	w.Secrets(secrets)
	for _, k := range packets {
		w.Packet(k)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// A reader that others wrote must see the same.
func TestWriterIsReadByGopacket(t *testing.T) {
	t.Parallel()
	packets := samplePackets()
	r, err := pcapgo.NewNgReader(bytes.NewReader(written(t, []byte("a b c\n"), packets...)), pcapgo.DefaultNgReaderOptions)
	if err != nil {
		t.Fatal(err)
	}
	if i := r.SectionInfo(); i.Application != "hufu test" || i.Comment != "three" {
		t.Errorf("section %+v", i)
	}
	if i, err := r.Interface(0); err != nil || i.Name != "lo" || i.Description != "tap" || i.SnapLength != snapLength || i.LinkType != layers.LinkTypeEthernet {
		t.Errorf("interface %+v, %v", i, err)
	}
	for n, want := range packets {
		data, ci, opts, err := r.ReadPacketDataWithOptions()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(data, want.Data) || !ci.Timestamp.Equal(want.Time) {
			t.Errorf("packet %d: %v %x", n, ci.Timestamp, data)
		}
		if got := append(opts.Comments, "")[0]; got != want.Comment {
			t.Errorf("packet %d: comment %q", n, got)
		}
	}
	if _, _, err := r.ReadPacketData(); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
}

// broken takes so many bytes and no more.
type broken struct{ left int }

func (b *broken) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		return 0, io.ErrShortWrite
	}
	return len(p), nil
}

func TestWriterTellsOfAFullDisk(t *testing.T) {
	t.Parallel()
	w := NewWriter(&broken{left: 100_000}, Info{})
	for range 10 {
		w.Packet(Packet{Time: time.Unix(1, 0), Data: make([]byte, 30_000)})
	}
	if err := w.Flush(); hufu.CodeOf(err) != "capture_write" || !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("%v", err)
	}
}
