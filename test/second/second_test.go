package second

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"lukechampine.com/blake3"
)

// pattern is the test input of BLAKE3's own vectors.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i % 251)
	}
	return b
}

// TestTree compares our way through the tree with a library's and with the
// vectors of docs/protocol.md.
func TestTree(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 1024, 1025, 100_000, chunkSize - 1, chunkSize, chunkSize + 1, chunkSize + 1025, 2 * chunkSize, 5*chunkSize + 17} {
		data := pattern(n)
		want := blake3.Sum256(data)
		if !bytes.Equal(Digest(data), want[:]) {
			t.Errorf("digest of %d bytes", n)
		}
		if n <= chunkSize {
			continue
		}
		var cvs [][]byte
		for i := 0; i*chunkSize < n; i++ {
			cvs = append(cvs, CV(data[i*chunkSize:min((i+1)*chunkSize, n)], int64(i)))
		}
		if !bytes.Equal(Combine(cvs), want[:]) {
			t.Errorf("digest of %d bytes, combined", n)
		}
	}
	document, err := os.ReadFile("../../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	data := pattern(2*chunkSize + 1)
	for _, want := range [][]byte{CV(data[:chunkSize], 0), CV(data[chunkSize:2*chunkSize], 1), CV(data[2*chunkSize:], 2), Digest(data)} {
		if !bytes.Contains(document, []byte(hex.EncodeToString(want))) {
			t.Errorf("docs/protocol.md does not have %x", want)
		}
	}
}

// TestVectors reads the vectors that the document names.
func TestVectors(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(filepath.Join("..", "..", "internal", "frame", "testdata", "vectors.json"))
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Name, Message, Frame string
		More                 bool
		Raw                  int
	}
	if err := json.Unmarshal(data, &vectors); err != nil {
		t.Fatal(err)
	}
	enc, dec, err := codec()
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range vectors {
		f, err := hex.DecodeString(v.Frame)
		if err != nil {
			t.Fatal(err)
		}
		body := f[headerSize : len(f)-v.Raw]
		if f[0]&0x80 != 0 && !strings.HasPrefix(v.Name, "cancel") {
			_, more, b, raw, err := readFrame(bytes.NewReader(f))
			if err != nil || more != v.More || !bytes.Equal(b, body) || len(raw) != v.Raw {
				t.Errorf("%s: %v", v.Name, err)
			}
		}
		var m map[int]any
		if err := dec.Unmarshal(body, &m); err != nil {
			t.Errorf("%s: %v", v.Name, err)
		}
		if again, err := enc.Marshal(m); err != nil || !bytes.Equal(again, body) {
			t.Errorf("%s: %x, %v", v.Name, again, err)
		}
		if said, err := cbor.Diagnose(body); err != nil || said != v.Message {
			t.Errorf("%s says %s, %v", v.Name, said, err)
		}
	}
	if len(vectors) < 50 {
		t.Errorf("%d vectors", len(vectors))
	}
}
