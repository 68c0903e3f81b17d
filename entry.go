package hufu

import (
	"encoding/hex"
	"time"
)

// Digest is the BLAKE3 root of a whole file, what b3sum prints.
type Digest [32]byte

// String returns the digest in lower-case hex.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// IsZero reports whether the digest is not known.
func (d Digest) IsZero() bool { return d == Digest{} }

// ParseDigest reads 64 hex digits.
func ParseDigest(s string) (Digest, error) {
	var d Digest
	if len(s) != 2*len(d) {
		return d, &Error{Op: "parse digest", Kind: KindInvalid, Code: "digest_form"}
	}
	if _, err := hex.Decode(d[:], []byte(s)); err != nil {
		return Digest{}, &Error{Op: "parse digest", Kind: KindInvalid, Code: "digest_form"}
	}
	return d, nil
}

// EntryKind is the kind of an entry.
type EntryKind uint8

// The kinds of entry. Other is a FIFO, a socket or a device: listed, never
// opened, never transferred.
const (
	File EntryKind = iota + 1
	Folder
	Link
	Other
)

func (k EntryKind) String() string {
	switch k {
	case File:
		return "file"
	case Folder:
		return "folder"
	case Link:
		return "link"
	case Other:
		return "other"
	}
	return "unknown"
}

// Entry describes one name.
type Entry struct {
	Name   string    // last segment
	Kind   EntryKind //
	Size   int64     // bytes; 0 unless a File
	MTime  time.Time // as precise as the store keeps it
	Mode   uint32    // permission bits, & 0777
	Digest Digest    // zero when not known
	Target string    // of a Link, as stored, never followed
	By     string    // user who uploaded it, "" if unknown
	Upload string    // id of the upload that made it, "" when not known
	// Version names these very bytes: it changes when the file is replaced or
	// written. Opaque; compared whole; empty for a Folder.
	Version string
}

// Condition is the requirement of a commit for the name that it is about to
// take.
type Condition struct {
	Kind    ConditionKind
	Version string // for IfVersion
}

// ConditionKind is one of the three things a commit may demand.
type ConditionKind uint8

// The conditions: the name must be free, must hold exactly the version named,
// or may hold anything but a folder.
const (
	IfAbsent ConditionKind = iota + 1
	IfVersion
	Always
)
