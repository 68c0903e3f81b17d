package hufu

import (
	"bytes"
	"encoding/hex"
)

// DataTag is the name of the file that marks a server's data folder, so that no
// client sends its files: a file that a transfer writes there would be sent
// again, and a copy of a running database is useless.
const DataTag = "HUFUDATA.TAG"

// MaxDataTag is more than the file ever holds, in bytes.
const MaxDataTag = 1024

const (
	tagFirst = "Signature: hufu-data-folder\nRoot: "
	tagRest  = "\n# This folder is the data folder of a hufu server. hufu does not send it.\n" +
		"# How to back it up: docs/operations.md\n"
)

// FormatDataTag returns the content of the file; root is the fingerprint of the
// server's root certificate.
func FormatDataTag(root [32]byte) []byte {
	return []byte(tagFirst + hex.EncodeToString(root[:]) + tagRest)
}

// ParseDataTag is the inverse of FormatDataTag; what follows the fingerprint may
// be anything.
func ParseDataTag(data []byte) (root [32]byte, ok bool) {
	rest, ok := bytes.CutPrefix(data, []byte(tagFirst))
	if !ok || len(rest) < 2*len(root) {
		return root, false
	}
	_, err := hex.Decode(root[:], rest[:2*len(root)])
	return root, err == nil
}
