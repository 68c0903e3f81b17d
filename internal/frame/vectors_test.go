package frame

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"hufu"
)

// update writes the vectors and seeds instead of checking them. Once a version
// of the protocol is out its vectors only grow.
var update = flag.Bool("update", false, "write testdata anew")

// vector is one frame in testdata/vectors.json.
type vector struct {
	Name    string `json:"name"`
	Meaning string `json:"meaning"`
	Type    string `json:"type"`
	More    bool   `json:"more,omitempty"`
	Message string `json:"message"` // in CBOR diagnostic notation
	Raw     int    `json:"raw,omitempty"`
	Frame   string `json:"frame"` // hex
}

// refused is one frame in testdata/refused.json.
type refused struct {
	Name  string `json:"name"`
	Code  string `json:"code"`
	Frame string `json:"frame"`
}

func whole(t testing.TB, s sample) []byte {
	t.Helper()
	b, err := NewCodec().Append(nil, s.message, s.more, len(s.raw))
	if err != nil {
		t.Fatal(s.name, err)
	}
	return append(b, s.raw...)
}

func vectorFile[T any](t *testing.T, name string, made []T) []T {
	t.Helper()
	name = filepath.Join("testdata", name)
	if *update {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		if err := errors.Join(e.Encode(made), os.MkdirAll("testdata", 0o755), os.WriteFile(name, b.Bytes(), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var kept []T
	if err := json.Unmarshal(data, &kept); err != nil {
		t.Fatal(err)
	}
	return kept
}

func TestVectors(t *testing.T) {
	t.Parallel()
	c := NewCodec()
	var made []vector
	for _, s := range samples() {
		f := whole(t, s)
		body := f[HeaderSize : len(f)-len(s.raw)]
		said, err := cbor.Diagnose(body)
		if err != nil {
			t.Fatal(err)
		}
		made = append(made, vector{
			s.name, s.meaning, fmt.Sprintf("%#04x %s", uint16(s.message.Type()), s.message.Type()), s.more, said, len(s.raw), hex.EncodeToString(f),
		})
	}
	kept := vectorFile(t, "vectors.json", made)
	if !slices.Equal(kept, made) {
		t.Error("testdata/vectors.json is not what this code writes")
	}
	seen := map[Type]bool{}
	for i, v := range kept {
		f, err := hex.DecodeString(v.Frame)
		if err != nil {
			t.Fatal(err)
		}
		h, err := ParseHeader((*[HeaderSize]byte)(f))
		if err != nil || h.More != v.More || h.Raw != v.Raw || HeaderSize+h.Body+h.Raw != len(f) {
			t.Errorf("%s: header %+v, %v", v.Name, h, err)
			continue
		}
		seen[h.Type] = true
		m, err := c.Decode(h.Type, f[HeaderSize:HeaderSize+h.Body])
		if err != nil {
			t.Errorf("%s: %v", v.Name, err)
			continue
		}
		if m.Type() != h.Type || fmt.Sprintf("%T", m) != fmt.Sprintf("%T", samples()[i].message) {
			t.Errorf("%s: read as %T", v.Name, m)
		}
		again, err := c.Append(nil, m, h.More, h.Raw)
		if err != nil || !bytes.Equal(again, f[:len(f)-h.Raw]) {
			t.Errorf("%s: written again as %x, %v", v.Name, again, err)
		}
	}
	for _, k := range Types() {
		if !seen[k] {
			t.Errorf("no vector for %s", k)
		}
	}
}

// read does what a peer does with a frame, without raw bytes.
func read(f []byte) (Message, error) {
	h, err := ParseHeader((*[HeaderSize]byte)(f))
	if err != nil {
		return nil, err
	}
	return NewCodec().Decode(h.Type, f[HeaderSize:])
}

func TestRefusedVectors(t *testing.T) {
	t.Parallel()
	var made []refused
	for _, r := range refusals() {
		made = append(made, refused{r.name, r.code, hex.EncodeToString(r.frame)})
	}
	kept := vectorFile(t, "refused.json", made)
	if !slices.Equal(kept, made) {
		t.Error("testdata/refused.json is not what this code makes")
	}
	for _, r := range kept {
		f, err := hex.DecodeString(r.Frame)
		if err != nil {
			t.Fatal(err)
		}
		m, err := read(f)
		if hufu.CodeOf(err) != r.Code || hufu.KindOf(err) != hufu.KindProtocol {
			t.Errorf("%s: want %s, got %v, %+v", r.Name, r.Code, err, m)
		}
	}
}

// TestStrictForEveryMessage spoils a good message of each type in the ways that
// are the same for all.
func TestStrictForEveryMessage(t *testing.T) {
	t.Parallel()
	c := NewCodec()
	for _, s := range samples() {
		good, err := c.enc.Marshal(s.message)
		if err != nil {
			t.Fatal(err)
		}
		pairs := int(good[0] & 0x1f)
		if good[0]>>5 != 5 || pairs > 20 {
			t.Fatalf("%s: no small map: %x", s.name, good)
		}
		unknown := append([]byte{good[0] + 1}, good[1:]...)
		unknown = append(unknown, 0x17, 0x00) // key 23
		spoilt := map[string][]byte{
			"trailing byte":     append(slices.Clone(good), 0),
			"unknown key":       unknown,
			"map not shortest":  append([]byte{0xb8, byte(pairs)}, good[1:]...),
			"indefinite length": append(append([]byte{0xbf}, good[1:]...), 0xff),
			"cut short":         good[:len(good)-1],
			"one pair too many": append([]byte{good[0] + 1}, good[1:]...),
		}
		if pairs > 0 {
			spoilt["key not shortest"] = append([]byte{good[0], 0x18}, good[1:]...)
			// The last pair again: the same key twice.
			var keys map[int]cbor.RawMessage
			if err := cbor.Unmarshal(good, &keys); err != nil {
				t.Fatal(err)
			}
			last := 0
			for k := range keys {
				last = max(last, k)
			}
			twice := append([]byte{good[0] + 1}, good[1:]...)
			spoilt["key twice"] = append(append(twice, byte(last)), keys[last]...)
		}
		for how, bad := range spoilt {
			if m, err := c.Decode(s.message.Type(), bad); hufu.CodeOf(err) != "message_form" {
				t.Errorf("%s, %s: %v, %+v", s.name, how, err, m)
			}
		}
	}
}

// TestKeysAreNumbered holds each struct to the rules of the document: keys
// count from 1 in order, and nothing travels without a key.
func TestKeysAreNumbered(t *testing.T) {
	t.Parallel()
	var look func(typ reflect.Type)
	look = func(typ reflect.Type) {
		switch typ.Kind() {
		case reflect.Pointer, reflect.Slice:
			look(typ.Elem())
		case reflect.Struct:
			for i := range typ.NumField() {
				f := typ.Field(i)
				if want := fmt.Sprintf("%d,keyasint", i+1); f.Tag.Get("cbor") != want && f.Tag.Get("cbor") != want+",omitempty" {
					t.Errorf("%s.%s has the tag %q", typ, f.Name, f.Tag.Get("cbor"))
				}
				look(f.Type)
			}
		}
	}
	for _, k := range Types() {
		look(reflect.TypeOf(k.new()))
	}
}

// TestSeedsAreThere keeps the fuzz targets from running on nothing.
func TestHT42SeedsAreThere(t *testing.T) {
	t.Parallel()
	var all [][]byte
	for _, s := range samples() {
		all = append(all, whole(t, s))
	}
	for _, r := range refusals() {
		all = append(all, r.frame)
	}
	for _, target := range []string{"FuzzHT42Header", "FuzzHT42Message"} {
		dir := filepath.Join("testdata", "fuzz", target)
		if *update {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			for i, f := range all {
				text := fmt.Sprintf("go test fuzz v1\n[]byte(%q)\n", f)
				if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("vector-%03d", i)), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
		files, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		seeds := 0
		for _, f := range files {
			data, err := os.ReadFile(filepath.Join(dir, f.Name()))
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(string(data), "go test fuzz v1\n[]byte(") {
				seeds++
			}
		}
		if seeds < len(all) {
			t.Errorf("%s has %d seeds, there should be %d at least", target, seeds, len(all))
		}
	}
}

func FuzzHT42Header(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) < HeaderSize {
			return
		}
		b := (*[HeaderSize]byte)(data)
		h, err := ParseHeader(b)
		if err != nil {
			if hufu.KindOf(err) != hufu.KindProtocol {
				t.Fatal(err)
			}
			return
		}
		if h.Body < 0 || h.Body > h.Type.maxBody() || h.Raw < 0 || h.Raw > MaxRaw || h.Raw > 0 && !h.Type.carriesRaw() {
			t.Fatalf("let through: %+v", h)
		}
		flags := uint16(0)
		if h.More {
			flags = flagMore
		}
		if again := headed(h.Type, flags, uint32(h.Body), uint32(h.Raw)); !bytes.Equal(again, b[:]) {
			t.Fatalf("%x was read as %x", b, again)
		}
	})
}

func FuzzHT42Message(f *testing.F) {
	c := NewCodec()
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) < HeaderSize {
			return
		}
		h, err := ParseHeader((*[HeaderSize]byte)(data))
		if err != nil {
			return
		}
		body := data[HeaderSize:][:min(h.Body, len(data)-HeaderSize)]
		m, err := c.Decode(h.Type, body)
		if err != nil {
			if hufu.KindOf(err) != hufu.KindProtocol {
				t.Fatal(err)
			}
			return
		}
		again, err := c.Append(nil, m, false, 0)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(again[HeaderSize:], body) { // unless there was something of a later program
			less, ok := c.withoutLater(h.Type, body)
			if !ok || !bytes.Equal(again[HeaderSize:], less) {
				t.Fatalf("%x was read as %x, %v", body, again, err)
			}
		}
		// What was let through can be used without a panic.
		use(m)
	})
}

// use calls what both ends call on a message they have read.
func use(m Message) {
	switch m := m.(type) {
	case *Stat:
		_ = m.Path.Path()
	case *Rename:
		_, _, _ = m.From.Path(), m.To.Path(), m.Condition.Condition()
	case *Put:
		_, _, _ = m.Path.Path(), hufu.Digest(m.Digest), Time(m.MTime)
	case *Commit:
		_, _ = m.Path.Path(), hufu.Digest(m.Digest)
	case *Range:
		_ = [32]byte(m.CV)
	case *ListAnswer:
		for _, e := range m.Entries {
			_ = e.Entry()
		}
	case *Error:
		_ = m.Err("test").Error()
	case *Goodbye:
		_ = m.Reason.Err("test").Error()
	}
}
