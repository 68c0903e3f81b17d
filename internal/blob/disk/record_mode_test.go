package disk

import "testing"

// TestModeOfRecord: the mode that is read alone is that of the whole record.
func TestModeOfRecord(t *testing.T) {
	c, err := newCodec()
	if err != nil {
		t.Fatal(err)
	}
	for mode := range uint32(0o1000) {
		for _, r := range []record{{Mode: mode}, {Mode: mode, Digest: make([]byte, 32), Size: 1, Sec: -1, By: "alice"}} {
			b, err := c.append(nil, &r)
			if err != nil {
				t.Fatal(err)
			}
			if got, found := recordMode(b); !found || got != mode {
				t.Fatalf("%x: %o, %v, want %o", b, got, found, mode)
			}
			for n := range b {
				recordMode(b[:n]) // does not panic
			}
		}
	}
	for _, b := range []string{"", "\xa1", "\xa1\x01", "\xa1\x01\x18", "\xa1\x01\x19\x01", "\xa1\x02\x00", "\x81\x01\x00", "\xa1\x01\x20", "\xa1\x01\x1a\x00\x00\x00\x00"} {
		if got, found := recordMode([]byte(b)); found {
			t.Errorf("%x: the mode %o", b, got)
		}
	}
}
