package frame

import (
	"reflect"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"hufu"
)

// with is m with one more key, in the place where extend puts it.
func with(t *testing.T, m Message, extend func(message map[uint64]any)) []byte {
	t.Helper()
	c := NewCodec()
	b, err := c.Append(nil, m, false, 0)
	if err != nil {
		t.Fatal(err)
	}
	var loose map[uint64]any
	if err := cbor.Unmarshal(b[HeaderSize:], &loose); err != nil {
		t.Fatal(err)
	}
	extend(loose)
	return c.bytes(loose)
}

func TestLaterKeysAreIgnored(t *testing.T) {
	t.Parallel()
	c := NewCodec()
	entry := Entry{Name: []byte("n"), Kind: uint8(hufu.File), Size: 5}
	inEntry := func(k uint64, v any) func(map[uint64]any) {
		return func(m map[uint64]any) { m[1].(map[any]any)[k] = v }
	}
	inMessage := func(k uint64, v any) func(map[uint64]any) { return func(m map[uint64]any) { m[k] = v } }
	inSecond := func(k uint64, v any) func(map[uint64]any) {
		return func(m map[uint64]any) { m[1].([]any)[1].(map[any]any)[k] = v }
	}
	hello := HelloAnswer{Version: 1, Features: []string{"core"}, Requests: 1, Bytes: MaxRaw, Instance: fill(0, 16)}
	values := map[string]any{
		"integer": 7, "negative": -7, "bool": true, "text": "日本", "bytes": []byte{1},
		"array": []any{uint64(1), "x"}, "map": map[string]any{"a": []any{true}},
	}
	for name, s := range map[string]struct {
		m   Message
		put func(uint64, any) func(map[uint64]any)
	}{
		"hello":         {&Hello{Version: 1, Features: []string{"core"}, Pad: 3}, inMessage},
		"hello answer":  {&hello, inMessage},
		"stat answer":   {&StatAnswer{Entry: entry}, inEntry},
		"digest answer": {&DigestAnswer{Entry: entry}, inEntry},
		"get answer":    {&GetAnswer{Entry: &entry}, inEntry},
		"commit answer": {&CommitAnswer{Entry: entry}, inEntry},
		"list answer":   {&ListAnswer{Entries: []Entry{entry, entry}}, inSecond},
	} {
		for kind, v := range values {
			for k, ok := range map[uint64]bool{LaterFrom - 1: false, LaterFrom: true, 100: true, LaterTo: true, LaterTo + 1: false} {
				got, err := c.Decode(s.m.Type(), with(t, s.m, s.put(k, v)))
				if !ok {
					if hufu.CodeOf(err) != "message_form" {
						t.Errorf("%s, key %d: %v", name, k, err)
					}
					continue
				}
				if err != nil || !reflect.DeepEqual(got, s.m) {
					t.Errorf("%s, %s under key %d: %+v, %v", name, kind, k, got, err)
				}
			}
		}
		for kind, v := range map[string]any{"null": nil, "float": 1.5, "tag": cbor.Tag{Number: 1, Content: 1}, "null inside": []any{nil}} {
			if _, err := c.Decode(s.m.Type(), with(t, s.m, s.put(LaterFrom, v))); hufu.CodeOf(err) != "message_form" {
				t.Errorf("%s: %s was let through: %v", name, kind, err)
			}
		}
		// Ignoring a key does not make a good value of a bad one, nor the message loose.
		long := with(t, s.m, s.put(LaterFrom, 7))
		if _, err := c.Decode(s.m.Type(), append(long, 0)); hufu.CodeOf(err) != "message_form" {
			t.Errorf("%s with a byte behind it: %v", name, err)
		}
	}
	bad := Hello{Version: 1, Features: []string{"core"}, Pad: MaxPadding + 1}
	if _, err := c.Decode(TypeHello, with(t, &bad, inMessage(LaterFrom, 1))); hufu.CodeOf(err) != "message_value" {
		t.Error(err)
	}
	for name, body := range map[string][]byte{
		"long integer": {0xa3, 0x01, 0x01, 0x02, 0x81, 0x61, 'c', 0x18, 0x40, 0x18, 0x05},
		"long key":     {0xa3, 0x01, 0x01, 0x02, 0x81, 0x61, 'c', 0x19, 0x00, 0x40, 0x05},
		"out of order": {0xa3, 0x18, 0x40, 0x05, 0x01, 0x01, 0x02, 0x81, 0x61, 'c'},
		"twice":        {0xa4, 0x01, 0x01, 0x02, 0x81, 0x61, 'c', 0x18, 0x40, 0x05, 0x18, 0x40, 0x05},
	} {
		if _, err := c.Decode(TypeHello, body); hufu.CodeOf(err) != "message_form" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestVersionBeforeAnythingElse: a hello of another version is refused as such,
// whatever else it holds.
func TestVersionBeforeAnythingElse(t *testing.T) {
	t.Parallel()
	c := NewCodec()
	for name, m := range map[string]any{
		"new keys":       map[any]any{1: 2, 14: "x", 99: nil, 1000: 1.5},
		"other types":    map[any]any{1: 2, 2: "core"},
		"nothing else":   map[any]any{1: 2},
		"keys of text":   map[any]any{1: 2, "features": []any{}},
		"an old version": map[any]any{1: 0, 2: []string{"core"}},
		"far ahead":      map[any]any{1: uint64(1) << 63},
	} {
		body, err := cbor.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range []Type{TypeHello, TypeHello.Answer()} {
			_, err = c.Decode(k, body)
			e, ok := err.(*hufu.Error) //nolint:errorlint // as Decode made it
			if !ok || e.Code != "protocol_version" || e.Args["version"] != "1" {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	for name, body := range map[string][]byte{"no map": {0x01}, "no version": {0xa1, 0x02, 0x01}, "a text": {0xa1, 0x01, 0x61, '2'}} {
		if _, err := c.Decode(TypeHello, body); hufu.CodeOf(err) != "message_form" {
			t.Errorf("%s: %v", name, err)
		}
	}
}
