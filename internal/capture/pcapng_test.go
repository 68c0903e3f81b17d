package capture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"hufu"
)

func samplePackets() []Packet {
	start := time.Unix(1_800_000_000, 123_456_789)
	var all []Packet
	for n := range 9 {
		k := Packet{Time: start.Add(time.Duration(n)), Link: LinkEthernet, Data: bytes.Repeat([]byte{byte(n)}, 60+n)}
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

func TestWriterIsReadByUs(t *testing.T) {
	t.Parallel()
	for _, secrets := range []string{"", "CLIENT_RANDOM 00 11\n", "x\n"} {
		packets := samplePackets()
		f, err := Read(bytes.NewReader(written(t, []byte(secrets), packets...)))
		if err != nil {
			t.Fatal(err)
		}
		if string(f.Secrets) != secrets || len(f.Packets) != len(packets) {
			t.Fatalf("secrets %q, %d packets", f.Secrets, len(f.Packets))
		}
		for i, k := range f.Packets {
			if !k.Time.Equal(packets[i].Time) || !bytes.Equal(k.Data, packets[i].Data) || k.Link != LinkEthernet {
				t.Errorf("packet %d: %v %x", i, k.Time, k.Data)
			}
		}
	}
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

// What others write we read: gopacket's own writer, with its secrets.
func TestReadOfGopacket(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	w, err := pcapgo.NewNgWriter(&b, layers.LinkTypeRaw)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.WriteDecryptionSecretsBlock(pcapgo.DSB_SECRETS_TYPE_TLS, []byte("12345")); err != nil {
		t.Fatal(err)
	}
	at := time.Unix(5, 7)
	if err := w.WritePacket(gopacket.CaptureInfo{Timestamp: at, CaptureLength: 3, Length: 3}, []byte("abc")); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	f, err := Read(&b)
	if err != nil {
		t.Fatal(err)
	}
	if string(f.Secrets) != "12345" || len(f.Packets) != 1 || string(f.Packets[0].Data) != "abc" || !f.Packets[0].Time.Equal(at) {
		t.Errorf("%+v", f)
	}
}

// section builds pcapng of either order from a block's type and body.
func section(o binary.AppendByteOrder, blocks ...any) []byte {
	block := func(out []byte, kind uint32, body []byte) []byte {
		body = pad(body)
		out = o.AppendUint32(out, kind)
		out = o.AppendUint32(out, uint32(12+len(body)))
		return o.AppendUint32(append(out, body...), uint32(12+len(body)))
	}
	head := o.AppendUint32(nil, byteOrderMagic)
	head = o.AppendUint16(head, 1)
	head = o.AppendUint16(head, 0)
	out := block(nil, blockSection, append(head, bytes.Repeat([]byte{255}, 8)...))
	for i := 0; i+1 < len(blocks); i += 2 {
		out = block(out, uint32(blocks[i].(int)), blocks[i+1].([]byte))
	}
	return out
}

func TestReadBigEndianAndResolutions(t *testing.T) {
	t.Parallel()
	be := binary.BigEndian
	// Microseconds without an option, milliseconds, and 2^-20.
	iface := func(link, option string) []byte { return []byte("\x00" + link + "\x00\x00\x00\x00\xff\xff" + option) }
	packet := func(n uint32, ticks uint64) []byte {
		b := be.AppendUint32(nil, n)
		b = be.AppendUint64(b, ticks)
		b = be.AppendUint32(be.AppendUint32(b, 2), 2)
		return append(b, "hi"...)
	}
	data := section(be,
		blockInterface, iface("\x65", ""), blockInterface, iface("\x01", "\x00\x09\x00\x01\x03\x00\x00\x00"),
		blockInterface, iface("\x01", "\x00\x09\x00\x01\x94\x00\x00\x00\x00\x00\x00\x00"), 99, []byte("unknown"),
		blockEnhanced, packet(0, 1_500_000), blockEnhanced, packet(1, 1_500), blockEnhanced, packet(2, 3<<19),
		blockSimple, []byte("\x00\x00\x00\x02yo"))
	data = append(data, section(binary.LittleEndian)...) // a second section, of the other order
	f, err := Read(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Packets) != 4 || f.Packets[0].Link != LinkRaw || string(f.Packets[3].Data) != "yo" {
		t.Fatalf("%+v", f.Packets)
	}
	for i, k := range f.Packets[:3] {
		if want := time.Unix(1, 5e8); !k.Time.Equal(want) || string(k.Data) != "hi" {
			t.Errorf("packet %d: %v %q", i, k.Time.UTC(), k.Data)
		}
	}
}

func TestReadRefusesDamage(t *testing.T) {
	t.Parallel()
	good := written(t, []byte("secret\n"), samplePackets()...)
	bad := map[string][]byte{
		"empty":             {},
		"text":              []byte("no capture at all, only words"),
		"classic pcap":      []byte("\xd4\xc3\xb2\xa1\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00"),
		"cut":               good[:len(good)-5],
		"no interface":      section(binary.LittleEndian, blockEnhanced, make([]byte, 20)),
		"interface of none": section(binary.LittleEndian, blockInterface, make([]byte, 8), blockEnhanced, append([]byte{9}, make([]byte, 19)...)),
		"packet too long":   section(binary.LittleEndian, blockInterface, make([]byte, 8), blockEnhanced, append(make([]byte, 12), 255, 255, 255, 255, 0, 0, 0, 0)),
		"secrets too long":  section(binary.LittleEndian, blockSecrets, []byte{0x4b, 0x53, 0x4c, 0x54, 255, 255, 255, 255}),
		"block too long":    append(section(binary.LittleEndian), 1, 0, 0, 0, 0, 0, 0, 0x7f),
		"option too long":   section(binary.LittleEndian, blockInterface, append(make([]byte, 8), 1, 0, 255, 0)),
		"tsresol":           section(binary.LittleEndian, blockInterface, append(make([]byte, 8), 9, 0, 1, 0, 64, 0, 0, 0)),
	}
	for name, data := range bad {
		if _, err := Read(bytes.NewReader(data)); hufu.KindOf(err) != hufu.KindInvalid || hufu.CodeOf(err) != "capture_form" {
			t.Errorf("%s: %v", name, err)
		}
	}
	file := filepath.Join(t.TempDir(), "x")
	if _, err := AnalyseFile(file, nil); hufu.CodeOf(err) != "capture_read" {
		t.Errorf("missing file: %v", err)
	}
	if err := os.WriteFile(file, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := AnalyseFile(file, nil)
	if e, ok := errors.AsType[*hufu.Error](err); !ok || e.Path != file {
		t.Errorf("path is missing: %v", err)
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

func FuzzRead(f *testing.F) {
	f.Add(written(f, []byte("secret\n"), samplePackets()...))
	f.Add(section(binary.BigEndian, blockInterface, make([]byte, 8), blockSimple, make([]byte, 8)))
	f.Fuzz(func(_ *testing.T, data []byte) {
		if file, err := Read(bytes.NewReader(data)); err == nil {
			Analyse(file.Packets, []Needle{{Role: RoleUser, Bytes: []byte("a")}})
		}
	})
}
