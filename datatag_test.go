package hufu_test

import (
	"bytes"
	"testing"

	"hufu"
)

func TestDataTag(t *testing.T) {
	t.Parallel()
	root := [32]byte{1, 2, 255}
	data := hufu.FormatDataTag(root)
	if got, ok := hufu.ParseDataTag(data); !ok || got != root || len(data) > hufu.MaxDataTag {
		t.Errorf("%x %v of %q", got, ok, data)
	}
	for _, bad := range [][]byte{nil, data[:50], bytes.ToUpper(data), data[1:], bytes.Replace(data, []byte("0102"), []byte("01g2"), 1), bytes.Repeat([]byte("ab"), 40)} {
		if _, ok := hufu.ParseDataTag(bad); ok {
			t.Errorf("%q is taken for one", bad)
		}
	}
}
