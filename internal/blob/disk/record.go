package disk

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"strings"
	"sync"
	"syscall"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/blob/disk/sys"
)

// maxRecord is more than a record ever takes; a longer one is not ours.
const maxRecord = 1024

// record is the value of the extended attribute, in CBOR. With a digest, a user
// name of up to nine letters and no upload it fits into the 68 bytes that
// ext4's usual inode has to spare: one byte more costs a block of its own.
type record struct {
	Mode        uint32 `cbor:"1,keyasint"`
	Digest      []byte `cbor:"2,keyasint,omitempty"`
	Size        int64  `cbor:"3,keyasint,omitempty"` // size and time of the bytes that the digest belongs to
	Sec         int64  `cbor:"4,keyasint,omitempty"`
	Nsec        int32  `cbor:"5,keyasint,omitempty"`
	By          string `cbor:"6,keyasint,omitempty"`
	Upload      []byte `cbor:"7,keyasint,omitempty"` // an id of ours
	OtherUpload string `cbor:"8,keyasint,omitempty"` // any other id
}

// fits reports whether the record's digest belongs to the bytes of n.
func (r *record) fits(n *sys.Node) bool {
	return len(r.Digest) == 32 && r.Size == n.Size && r.Sec == n.Mtime.Sec && r.Nsec == n.Mtime.Nsec
}

// apply copies the record to e. If size or time of n differ, the file was
// changed by another program: the name of the uploader still holds, the digest
// and the upload do not.
func (r *record) apply(e *hufu.Entry, n *sys.Node) {
	e.Mode, e.By = r.Mode&0o777, r.By
	if n.Kind == hufu.File && r.fits(n) {
		e.Digest = hufu.Digest(r.Digest)
		e.Upload = r.upload()
	}
}

// mode returns the mode of the file n, whose name in d is given, and reads no more of its record.
func (s *Store) mode(d sys.Dir, name string, n *sys.Node, buf []byte) uint32 {
	size, err := s.k.Getxattr(d, name, buf)
	if err != nil {
		return n.Perm
	}
	if m, ok := recordMode(buf[:size]); ok {
		return m
	}
	return n.Perm
}

// describe adds what a node does not hold: a link's target and the data of the
// record.
func (s *Store) describe(d sys.Dir, name string, n *sys.Node, e *hufu.Entry, buf []byte) error {
	switch {
	case n.Kind == hufu.Link:
		target, err := d.Readlink(name)
		if err != nil {
			return err
		}
		e.Target = target
	case s.o.Server && (n.Kind == hufu.File || n.Kind == hufu.Folder):
		size, err := s.k.Getxattr(d, name, buf)
		if err != nil {
			return nil // no record, or a file system without attributes
		}
		var r record
		if s.codec.dec.Unmarshal(buf[:size], &r) == nil {
			r.apply(e, n)
		}
	}
	return nil
}

// recordMode returns the mode in an encoded record, which is its first field. Decoding all of a
// record takes a tenth of the server's time for a listing.
func recordMode(b []byte) (mode uint32, found bool) {
	const aMap, oneByte, twoBytes = 5, 24, 25 // major type; the value follows its head in so many bytes
	if len(b) < 3 || b[0]>>5 != aMap || b[1] != 1 {
		return 0, false
	}
	switch h := b[2]; {
	case h < oneByte:
		return uint32(h), true
	case h == oneByte && len(b) > 3:
		return uint32(b[3]), true
	case h == twoBytes && len(b) > 4:
		return uint32(binary.BigEndian.Uint16(b[3:])) & 0o777, true
	}
	return 0, false
}

// setUpload stores an id of ours, hex of 16 bytes, in binary form, and any
// other id as text.
func (r *record) setUpload(id string) {
	r.Upload, r.OtherUpload = nil, ""
	if raw, err := hex.DecodeString(id); err == nil && len(raw) == idSize && id == strings.ToLower(id) {
		r.Upload = raw
		return
	}
	r.OtherUpload = id
}

func (r *record) upload() string {
	if len(r.Upload) > 0 {
		return hex.EncodeToString(r.Upload)
	}
	return r.OtherUpload
}

// A lock of recordLocks is held from reading the record of a file until it is written again. A
// goroutine that holds one waits for no other lock of the store except that of ownWrites.
type recordLocks [64]sync.Mutex

func (l *recordLocks) of(n *sys.Node) *sync.Mutex { return &l[(n.Ino^n.Dev<<3)%uint64(len(l))] }

// errRecord is the error for an attribute that is no record of this version. It may be one of a
// newer version, so it is never overwritten.
var errRecord = errors.New("the attribute user.hufu is not understood")

// readRecord reads the record of a file; found is false if the file has none. To write the record
// again, a caller takes the file's lock of Store.records first. After an error it writes nothing:
// an attribute that cannot be read now may hold the uploader.
func (s *Store) readRecord(h sys.File) (r record, found bool, err error) {
	sc := s.dirents.Get().(*scratch)
	defer s.dirents.Put(sc)
	size, err := h.Getxattr(sc.record)
	switch {
	case err == nil:
		if s.codec.dec.Unmarshal(sc.record[:size], &r) != nil {
			return record{}, false, errRecord
		}
		return r, true, nil
	case errors.Is(err, syscall.ERANGE): // longer than any of ours
		return record{}, false, errRecord
	case sys.NoAttribute(err):
		return record{}, false, nil
	}
	return record{}, false, err
}

// keepDigest stores d with the file and returns the version of the file afterwards. The digest
// only saves the next reading, so an error is only logged.
func (f *file) keepDigest(d hufu.Digest) string {
	old := f.n.String()
	if f.s.hook("record-wait") != nil {
		return old
	}
	lock := f.s.records.of(&f.n)
	lock.Lock()
	defer lock.Unlock()
	r, found, err := f.s.readRecord(f.h)
	if err != nil {
		f.s.log.Debug("digest not kept", "path", f.path.String(), "error", err)
		return old
	}
	if !found {
		r = record{Mode: f.n.Perm}
	}
	if !r.fits(&f.n) {
		r.Upload, r.OtherUpload = nil, ""
	}
	r.Digest, r.Size, r.Sec, r.Nsec = d[:], f.n.Size, f.n.Mtime.Sec, f.n.Mtime.Nsec
	before, err := f.h.Stat()
	if err != nil || !f.s.ownWrites.same(f.n.Version, before.Version) {
		return old
	}
	if f.s.hook("record-read") != nil {
		return old
	}
	if err := f.s.writeRecord(f.h, &r); err != nil {
		f.s.log.Debug("digest not kept", "path", f.path.String(), "error", err)
		return old
	}
	after, err := f.h.Stat()
	if err != nil || !after.SameBytes(before.Version) {
		return old
	}
	f.s.ownWrites.note(before.Version, after.Version)
	f.n.Version = after.Version
	return after.String()
}

func (s *Store) writeRecord(h sys.File, r *record) error {
	b, err := s.codec.enc.Marshal(r)
	if err != nil {
		return err
	}
	return h.Setxattr(b)
}

// setRecord writes the record. On a file system without attributes nothing is recorded: mode,
// user and upload are lost, and the digest is computed when it is needed.
func (s *Store) setRecord(f sys.File, r *record, enc *[]byte) error {
	b, err := s.codec.append((*enc)[:0], r)
	if err != nil {
		return err
	}
	*enc = b
	if err := f.Setxattr(b); err != nil && !errors.Is(err, syscall.ENOTSUP) {
		return err
	}
	return nil
}

// recordFolder writes the record of a folder that was just created. A mode that
// was set meanwhile is kept.
func (b *batch) recordFolder(d sys.Dir, name string, m *blob.Meta) error {
	f, err := d.OpenPlain(name)
	if err != nil {
		return err
	}
	defer f.Close()
	n, err := f.Stat()
	if err != nil {
		return err
	}
	lock := b.s.records.of(&n)
	lock.Lock()
	defer lock.Unlock()
	r, found, err := b.s.readRecord(f)
	if err != nil {
		return err
	}
	if !found {
		r = record{Mode: m.Mode & 0o777}
	}
	r.By = m.By
	return b.s.setRecord(f, &r, &b.enc)
}

// disown removes the id of this upload from the file's record.
func (s *Store) disown(d sys.Dir, name, upload string) {
	f, n, err := openChecked(d, name)
	if err != nil {
		return
	}
	defer f.Close()
	lock := s.records.of(&n)
	lock.Lock()
	defer lock.Unlock()
	if n, err = f.Stat(); err != nil {
		return
	}
	if r, found, _ := s.readRecord(f); found && r.fits(&n) && r.upload() == upload {
		r.setUpload("")
		_ = s.writeRecord(f, &r)
	}
}
