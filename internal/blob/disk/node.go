package disk

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"github.com/fxamacker/cbor/v2"

	"hufu"
)

// stamp is a time as file systems keep it; unlike nanoseconds in an int64 it
// holds every year that they can.
type stamp struct {
	sec  int64
	nsec int32
}

func toStamp(t time.Time) stamp { return stamp{t.Unix(), int32(t.Nanosecond())} }

func (t stamp) time() time.Time { return time.Unix(t.sec, int64(t.nsec)) }

// version identifies the exact bytes of a file: it changes when the file is
// replaced or written.
type version struct {
	dev, ino     uint64
	size         int64
	mtime, ctime stamp
}

// node holds the system's information about a name.
type node struct {
	version
	kind  hufu.EntryKind
	perm  uint32
	links uint64
}

// String returns v as seven numbers; callers treat it as opaque.
func (v version) String() string {
	var buf [112]byte
	return string(v.append(buf[:0]))
}

// is reports whether s is the string of v.
func (v version) is(s string) bool {
	var buf [112]byte
	return string(v.append(buf[:0])) == s
}

func (v version) append(b []byte) []byte {
	b = strconv.AppendUint(b, v.dev, 16)
	b = strconv.AppendUint(append(b, '.'), v.ino, 16)
	for _, n := range [...]int64{v.size, v.mtime.sec, int64(v.mtime.nsec), v.ctime.sec, int64(v.ctime.nsec)} {
		b = strconv.AppendInt(append(b, '.'), n, 16)
	}
	return b
}

func parseVersion(s string) (v version, ok bool) {
	parts := strings.Split(s, ".")
	if len(parts) != 7 {
		return version{}, false
	}
	var err1, err2 error
	v.dev, err1 = strconv.ParseUint(parts[0], 16, 64)
	v.ino, err2 = strconv.ParseUint(parts[1], 16, 64)
	if err1 != nil || err2 != nil {
		return version{}, false
	}
	var n [5]int64
	for i := range n {
		var err error
		if n[i], err = strconv.ParseInt(parts[2+i], 16, 64); err != nil {
			return version{}, false
		}
	}
	v.size, v.mtime, v.ctime = n[0], stamp{n[1], int32(n[2])}, stamp{n[3], int32(n[4])}
	return v, v.is(s)
}

// sameBytes reports whether the versions are equal except for the time of the
// inode's last change, which a rename changes.
func (v version) sameBytes(o version) bool {
	v.ctime, o.ctime = stamp{}, stamp{}
	return v == o
}

// entry returns the hufu.Entry of a node.
func (n *node) entry(name string) hufu.Entry {
	e := hufu.Entry{Name: name, Kind: n.kind, MTime: n.mtime.time(), Mode: n.perm}
	if n.kind == hufu.File {
		e.Size = n.size
	}
	if n.kind != hufu.Folder {
		e.Version = n.String()
	}
	return e
}

// codec holds the encoding of records and journal headers.
type codec struct {
	enc cbor.UserBufferEncMode
	dec cbor.DecMode
}

// append appends the encoding of v to b.
func (c *codec) append(b []byte, v any) ([]byte, error) {
	buf := bytes.NewBuffer(b)
	err := c.enc.MarshalToBuffer(v, buf)
	return buf.Bytes(), err
}

func newCodec() (*codec, error) {
	enc, err := cbor.CoreDetEncOptions().UserBufferEncMode()
	if err != nil {
		return nil, err
	}
	dec, err := cbor.DecOptions{
		DupMapKey: cbor.DupMapKeyEnforcedAPF, IndefLength: cbor.IndefLengthForbidden, TagsMd: cbor.TagsForbidden,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
	}.DecMode()
	if err != nil {
		return nil, err
	}
	return &codec{enc, dec}, nil
}
