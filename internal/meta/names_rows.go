package meta

import (
	"bytes"
	"crypto/rand"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"time"

	"hufu"
)

// ID names a folder, a content, an upload, a version, a node or a transaction. The zero ID means
// none.
type ID [16]byte

// NewID returns an ID that nothing had before. Those that are made one after the other are next to
// each other.
func NewID() (id ID) {
	binary.BigEndian.PutUint64(id[:], uint64(time.Now().UnixMilli())<<16)
	_, _ = rand.Read(id[6:]) // never fails
	return id
}

// RandomID returns an ID that nobody can guess.
func RandomID() (id ID) {
	_, _ = rand.Read(id[:]) // never fails
	return id
}

// Compare orders IDs as the database does.
func (id ID) Compare(other ID) int { return bytes.Compare(id[:], other[:]) }

// ParseID reads 32 hex digits.
func ParseID(s string) (id ID, ok bool) {
	if len(s) != 2*len(id) {
		return id, false
	}
	_, err := hex.Decode(id[:], []byte(s))
	return id, err == nil
}

// String returns the ID in lower-case hex.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// IsZero reports whether the ID means none.
func (id ID) IsZero() bool { return id == ID{} }

// value is the ID as the database has it.
func (id ID) value() []byte {
	if id.IsZero() {
		return []byte{}
	}
	return id[:]
}

// Folder is the attributes of a folder.
type Folder struct {
	ID     ID
	Parent ID // none for a root
	Mode   uint32
	MTime  int64 // nanoseconds since 1970
	By     string
	Gone   bool // removed, with everything in it
}

// Entry is one name in a folder. Mode, time and user of a folder are those of its Folder.
type Entry struct {
	Name    string
	Kind    hufu.EntryKind
	Child   ID // of a folder its id, of a file its content
	Size    int64
	Layout  int64 // of the content
	Mode    uint32
	MTime   int64
	Digest  hufu.Digest
	Target  string
	By      string
	Upload  string
	Version ID
}

// Place is what a path leads to.
type Place struct {
	Depth  int            // how many of its segments were found
	Kind   hufu.EntryKind // of the last of them, of the root if none was
	Folder ID             // the last of them, if it is a folder
	Entry  Entry          // the entry in it, without a kind if there is none
	Bytes  []byte         // of LookFiles: those of the entry, if it is a file of LayoutInline
}

// The states of a content. A content never goes back to an earlier one; it may skip StateLive.
const (
	StateOpen    = 1 // no name has it yet
	StateLive    = 2
	StateDead    = 3 // no name has it any more
	StateRemoved = 4 // its objects were deleted
)

// The layouts of a content. Any other is the size of its units.
const (
	LayoutInline = 0 // the bytes are in its row
	LayoutSingle = 1 // one object
)

// Content is the bytes of a file.
type Content struct {
	ID     ID
	Size   int64
	Layout int64
	State  int
	Voided int64  // how often a unit that had arrived was given up
	Bytes  []byte // of LayoutInline

	Changed int64 // of Contents and the checks: when it took its state, in milliseconds since 1970
}

// Upload is an unfinished upload. Its content has the same ID.
type Upload struct {
	ID     ID
	Tree   ID
	Key    [32]byte // a digest of path, size, source and owner
	Place  [32]byte // a digest of path and owner
	Path   string
	Size   int64
	Source string
	Owner  string
	Into   ID // the folder, none before the first chunk
}

// Unit is a part of a content that has arrived.
type Unit struct {
	Number int64
	Object string // the end of its key, "" for zeros, which have no object
	CVs    []byte // the chaining values of its chunks
}

// What follows scans columns that a join may leave NULL.

type idAt struct{ id *ID }

func (a idAt) Scan(v any) error {
	*a.id = ID{}
	b, ok := v.([]byte)
	if v == nil || ok && len(b) == 0 {
		return nil
	}
	if !ok || len(b) != len(a.id) {
		return errSum
	}
	copy(a.id[:], b)
	return nil
}

type numberAt[T ~int | ~int64 | ~uint8 | ~uint32] struct{ n *T }

func (a numberAt[T]) Scan(v any) error {
	var n sql.NullInt64
	if err := n.Scan(v); err != nil {
		return err //nolint:wrapcheck // database/sql names the column
	}
	*a.n = T(n.Int64)
	return nil
}

type textAt struct{ s *string }

func (a textAt) Scan(v any) error {
	var s sql.NullString
	if err := s.Scan(v); err != nil {
		return err //nolint:wrapcheck // database/sql names the column
	}
	*a.s = s.String
	return nil
}

type digestAt struct{ d *hufu.Digest }

func (a digestAt) Scan(v any) error {
	if v == nil {
		*a.d = hufu.Digest{}
		return nil
	}
	return sum{(*[32]byte)(a.d)}.Scan(v)
}

func digestValue(d hufu.Digest) []byte {
	if d.IsZero() {
		return []byte{}
	}
	return d[:]
}
