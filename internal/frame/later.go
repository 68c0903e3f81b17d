package frame

import (
	"bytes"
	"strconv"

	"github.com/fxamacker/cbor/v2"

	"hufu"
)

// Keys of hello, its answer and Entry that a later program may use and an earlier one ignores.
// They come after all others, as the encoding sorts them.
const (
	LaterFrom = 64
	LaterTo   = 127
)

// version refuses a hello for its version before anything else in it is judged: the rest of it
// may be anything.
func (c *Codec) version(t Type, body []byte) error {
	if t != TypeHello && t != TypeHello.Answer() {
		return nil
	}
	var m map[any]cbor.RawMessage
	if c.loose.Unmarshal(body, &m) != nil {
		return nil // no hello of any version
	}
	var v uint64
	if raw, ok := m[uint64(1)]; !ok || c.loose.Unmarshal(raw, &v) != nil || v == Version {
		return nil
	}
	return &hufu.Error{
		Op: "read frame: " + t.String(), Kind: hufu.KindProtocol, Code: "protocol_version",
		Args: map[string]string{"version": strconv.Itoa(Version)},
	}
}

// withoutLater is body without the keys that a later program has added, and whether there were
// any. It returns false unless everything, the ignored values included, is in deterministic
// encoding.
func (c *Codec) withoutLater(t Type, body []byte) ([]byte, bool) {
	switch t {
	case TypeHello, TypeHello.Answer():
		return c.strip(body)
	case TypeStat.Answer(), TypeDigest.Answer(), TypeGet.Answer(), TypeCommit.Answer():
		return c.inside(body, c.strip)
	case TypeList.Answer():
		return c.inside(body, func(list []byte) ([]byte, bool) {
			var entries []cbor.RawMessage
			if !c.exact(list, &entries) {
				return nil, false
			}
			some := false
			for i, e := range entries {
				if less, ok := c.strip(e); ok {
					entries[i], some = less, true
				}
			}
			return c.bytes(entries), some
		})
	}
	return nil, false
}

// inside replaces the value of key 1 of a message by the result of change.
func (c *Codec) inside(body []byte, change func([]byte) ([]byte, bool)) ([]byte, bool) {
	var m map[uint64]cbor.RawMessage
	if !c.exact(body, &m) {
		return nil, false
	}
	less, ok := change(m[1])
	m[1] = less
	return c.bytes(m), ok
}

// strip takes the keys of later programs from a map.
func (c *Codec) strip(b []byte) ([]byte, bool) {
	var m map[uint64]cbor.RawMessage
	if !c.exact(b, &m) {
		return nil, false
	}
	some := false
	for k, raw := range m {
		if k < LaterFrom || k > LaterTo {
			continue
		}
		var v any
		if !c.exact(raw, &v) || !plain(v) {
			return nil, false
		}
		delete(m, k)
		some = true
	}
	return c.bytes(m), some
}

// exact decodes b and reports whether b is the one allowed encoding of its
// value.
func (c *Codec) exact(b []byte, into any) bool {
	return c.dec.Unmarshal(b, into) == nil && bytes.Equal(c.bytes(into), b)
}

// bytes encodes a decoded value, nil if that is impossible.
func (c *Codec) bytes(v any) []byte {
	var b bytes.Buffer
	if c.enc.MarshalToBuffer(v, &b) != nil {
		return nil
	}
	return b.Bytes()
}

// plain reports whether a value is of the types that messages have.
func plain(v any) bool {
	switch v := v.(type) {
	case uint64, int64, bool, string, []byte, cbor.ByteString:
		return true
	case []any:
		for _, x := range v {
			if !plain(x) {
				return false
			}
		}
		return true
	case map[any]any:
		for k, x := range v {
			if !plain(k) || !plain(x) {
				return false
			}
		}
		return true
	}
	return false
}
