package disk

import (
	"bytes"
	"encoding/hex"
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

// version names the very bytes of a file: it changes when the file is replaced
// or written.
type version struct {
	dev, ino     uint64
	size         int64
	mtime, ctime stamp
}

// node is what the system tells of a name.
type node struct {
	version
	kind  hufu.EntryKind
	perm  uint32
	links uint64
}

// String writes v as seven numbers; it is opaque to everyone else.
func (v version) String() string {
	var buf [112]byte
	return string(v.append(buf[:0]))
}

// is says whether v is written as s.
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

// sameBytes compares without the time of the last change of the inode, which a
// rename moves.
func (v version) sameBytes(o version) bool {
	v.ctime, o.ctime = stamp{}, stamp{}
	return v == o
}

// entry is what the caller learns of a node.
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

// xattrName is where the server keeps what a plain tree cannot say.
const xattrName = "user.hufu"

// maxRecord is more than a record ever takes; a longer one is not ours.
const maxRecord = 1024

// record is the value of the extended attribute, in CBOR. With a digest, a
// user's name of up to nine letters and no upload it stays within the 68 bytes
// that ext4's usual inode has to spare: one byte more costs a block of its own.
type record struct {
	Mode   uint32 `cbor:"1,keyasint"`
	Digest []byte `cbor:"2,keyasint,omitempty"`
	Size   int64  `cbor:"3,keyasint,omitempty"` // what the digest belongs to
	Sec    int64  `cbor:"4,keyasint,omitempty"`
	Nsec   int32  `cbor:"5,keyasint,omitempty"`
	By     string `cbor:"6,keyasint,omitempty"`
	Upload []byte `cbor:"7,keyasint,omitempty"` // an id of ours
	Name   string `cbor:"8,keyasint,omitempty"` // any other id
}

// codec holds the one encoding of records and journal headers.
type codec struct {
	enc cbor.UserBufferEncMode
	dec cbor.DecMode
}

// append encodes v behind b.
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

// fits says whether the record's digest belongs to these bytes.
func (r *record) fits(n *node) bool {
	return len(r.Digest) == 32 && r.Size == n.size && r.Sec == n.mtime.sec && r.Nsec == n.mtime.nsec
}

// apply adds to e what the record says of n. Where size or time differ the
// file was changed from outside: who put it there still holds, its digest and
// its upload do not.
func (r *record) apply(e *hufu.Entry, n *node) {
	e.Mode, e.By = r.Mode&0o777, r.By
	if n.kind == hufu.File && r.fits(n) {
		e.Digest = hufu.Digest(r.Digest)
		e.Upload = r.upload()
	}
}

// setUpload keeps an id of ours, hex of 16 bytes, as these bytes.
func (r *record) setUpload(id string) {
	r.Upload, r.Name = nil, ""
	if raw, err := hex.DecodeString(id); err == nil && len(raw) == idSize && id == strings.ToLower(id) {
		r.Upload = raw
		return
	}
	r.Name = id
}

func (r *record) upload() string {
	if len(r.Upload) > 0 {
		return hex.EncodeToString(r.Upload)
	}
	return r.Name
}
