package disk

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"slices"
	"strings"
	"syscall"

	"hufu"
	"hufu/internal/blob/disk/sys"
)

// A trail records the reserved names that a batch or a commit is about to use, other than those of
// staging files, which are in the journals. A killed process leaves its trail, and the next one
// removes the files under those names. A trail is a file, which the first record creates:
//
//	length 4 · CRC-32C of what follows 4 · record, CBOR
//
// All numbers are little-endian. The first record with a wrong checksum ends it.
type trail struct {
	s      *Store
	name   string
	f      sys.File
	end    int64
	failed bool
	kept   bool // finish leaves the file for the next clearTrails
}

// trailSuffix is the suffix of a trail's name. It must not change, or a trail that an earlier version
// left would never be cleared.
const trailSuffix = ".old"

// mostTrail is more than a trail ever takes, in bytes.
const mostTrail = 64 << 20

// step is one record: the reserved name Name in the folder Dir is about to get
// bytes, or to be exchanged with Base.
type step struct {
	Root string `cbor:"1,keyasint"` // folder of the store
	Dir  []byte `cbor:"2,keyasint"`
	Name []byte `cbor:"3,keyasint"`
	Base []byte `cbor:"4,keyasint,omitempty"` // empty if there are only bytes
	Ino  uint64 `cbor:"5,keyasint,omitempty"` // of the file that replaces Base
	Old  string `cbor:"6,keyasint,omitempty"` // the version replaced, "" for any
	Size int64  `cbor:"8,keyasint,omitempty"` // of that file
	Keep bool   `cbor:"7,keyasint,omitempty"` // Name is the staging file of an upload; while Name still holds it, it is left to the journal
}

func (s *Store) newTrail() *trail { return &trail{s: s, f: sys.NoFile} }

// note records a step before it is taken. If it cannot be recorded, a kill may leave something
// behind; the step is taken nevertheless.
func (t *trail) note(dir hufu.Path, st step) {
	if t == nil || t.failed || t.s.o.Uploads == "" {
		return
	}
	if err := t.append(dir, &st); err != nil {
		t.failed = true
		t.s.log.Debug("trail not kept", "error", err)
	}
}

func (t *trail) append(dir hufu.Path, st *step) error {
	s := t.s
	if !t.f.Ok() {
		s.reg.mu.Lock()
		err := s.loadLocked()
		s.reg.mu.Unlock()
		if err != nil {
			return err
		}
		t.name = newID() + trailSuffix
		if t.f, err = s.makeJournal(t.name); err != nil {
			t.f = sys.NoFile
			return err
		}
	}
	st.Root, st.Dir = s.treeName(), []byte(dir.String())
	b, err := s.codec.append(make([]byte, 8, 256), st)
	if err != nil {
		return err
	}
	binary.LittleEndian.PutUint32(b, uint32(len(b)-8))
	binary.LittleEndian.PutUint32(b[4:], crc32.Checksum(b[8:], castagnoli()))
	if err := t.f.WriteAt(b, t.end); err != nil {
		return err
	}
	t.end += int64(len(b))
	return nil
}

// finish removes the trail after the reserved names in it are gone. If keep was called it leaves the
// trail.
func (t *trail) finish() {
	if t != nil && t.f.Ok() && !t.kept {
		_ = t.s.reg.dir.Unlink(t.name)
	}
	t.leave()
}

// leave closes the trail for the next process to clear.
func (t *trail) leave() {
	if t == nil {
		return
	}
	t.failed = false // the next use tries again
	if !t.f.Ok() {
		return
	}
	t.f.Unlock()
	t.f.Close()
	t.f, t.end, t.kept = sys.NoFile, 0, false
}

// keep makes finish leave the trail, because a reserved name in it holds a file of others.
func (t *trail) keep() {
	if t != nil {
		t.kept = true
	}
}

// clearTrails removes what killed processes left.
func (s *Store) clearTrails() error {
	d, err := s.k.OpenDir(s.reg.dir, "", sys.ReadFlags)
	if err != nil {
		return err
	}
	defer d.Close()
	var names []string
	err = s.eachName(d, func(name string) error {
		id, ok := strings.CutSuffix(name, trailSuffix)
		if raw, err := hex.DecodeString(id); ok && err == nil && len(raw) == idSize {
			names = append(names, name)
		}
		return nil
	})
	for _, name := range names {
		err = first(err, s.skip(name, s.clearTrail(name)))
	}
	return err
}

// clearTrail removes what the trail names, unless another process is at work. After an error the
// names in it are not known, so no other left-over file may be removed either.
func (s *Store) clearTrail(name string) error {
	err := s.hook("trail-found")
	if err != nil {
		return err
	}
	f, err := s.reg.dir.OpenWrite(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if f.Lock() != nil {
		return nil // another process is at work
	}
	defer f.Unlock()
	n, err := f.Stat()
	if err != nil {
		return err
	}
	at, err := s.reg.dir.Stat(name)
	if err != nil {
		return err
	}
	if at.Ino != n.Ino || n.Size > mostTrail {
		return nil
	}
	b := make([]byte, n.Size)
	if k, err := f.ReadAt(b, 0); err != nil || k < len(b) {
		return err
	}
	var steps []step
	last := make(map[string]int) // only the last step of each name counts
	for len(b) >= 8 {
		size := binary.LittleEndian.Uint32(b)
		if int64(size) > int64(len(b)-8) || crc32.Checksum(b[8:8+size], castagnoli()) != binary.LittleEndian.Uint32(b[4:]) {
			break
		}
		var st step
		if s.codec.dec.Unmarshal(b[8:8+size], &st) != nil {
			break
		}
		if st.Root != s.treeName() {
			return nil // of another tree
		}
		last[string(st.Name)] = len(steps)
		steps = append(steps, st)
		b = b[8+size:]
	}
	kept := false
	vain := make(map[string]bool) // folders that were looked for in vain
	moved := func(dir hufu.Path) (sys.Dir, bool) {
		if vain[dir.String()] {
			return sys.NoDir, false
		}
		d, ok := s.findMoved(dir, func(d sys.Dir) bool {
			return slices.ContainsFunc(steps, func(st step) bool {
				if string(st.Dir) != dir.String() {
					return false
				}
				_, err := d.Stat(string(st.Name))
				return err == nil
			})
		})
		vain[dir.String()] = !ok
		return d, ok
	}
	for i, st := range steps {
		if last[string(st.Name)] == i && !s.clearStep(&st, moved) {
			s.staged.keep(string(st.Name))
			kept = true
		}
	}
	if !kept {
		_ = s.reg.dir.Unlink(name)
	}
	return nil
}

var (
	errTaken   = errors.New("another file has the name")
	errUnknown = errors.New("it may be the file that was to be replaced or another one")
)

// clearStep removes the reserved name of a step. The name holds staged bytes or
// a replaced file. A replaced file of an unexpected version is first put back
// under Base. If that fails, the file stays and clearStep returns false.
// moved opens a folder that is no longer at its path, if it is found.
func (s *Store) clearStep(st *step, moved func(hufu.Path) (sys.Dir, bool)) (cleared bool) {
	name, base := string(st.Name), string(st.Base)
	dir, err := hufu.ParsePath(string(st.Dir))
	if err != nil || dir.Reserved() || !reserved(name) || len(name) != len(hufu.ReservedPrefix)+2*idSize || strings.ContainsAny(base, "/\x00") {
		return true
	}
	d, err := s.k.OpenDir(s.root, dir.String(), sys.ReadFlags)
	if errors.Is(staleIfMissing(err), errStale) {
		var ok bool
		if d, ok = moved(dir); !ok {
			return true
		}
		err = nil
	}
	var n sys.Node
	if err == nil {
		defer d.Close()
		n, err = d.Stat(name)
	}
	switch {
	case errors.Is(err, syscall.ENOENT):
		return true
	case err != nil:
		s.log.Warn("left-over file kept", "name", name, "error", err)
		return false
	case n.Kind == hufu.Folder:
		return true
	}
	ours := base == "" || n.Ino == st.Ino
	v, ok := sys.ParseVersion(st.Old)
	old := ok && n.SameBytes(v)
	if s.has.Renumbers && base != "" { // st.Ino may be the number of any file by now
		old = ok && n.Size == v.Size && n.Mtime == v.Mtime
		ours = !old && n.Size == st.Size && (ours || st.Keep && !ok)
		if !ours && !old && ok {
			s.log.Warn("left-over file kept", "name", name, "error", errUnknown)
			return false
		}
	}
	if !ours && ok && !old {
		at, err := d.Stat(base)
		switch {
		case errors.Is(err, syscall.ENOENT):
			err = nil // the name was removed meanwhile
		case err == nil && at.Ino != st.Ino:
			err = errTaken
		}
		if err == nil {
			err = s.exchangeBack(source{tmp: sys.NoFile, dir: d, name: name, node: at}, d, base, n)
		}
		if err != nil {
			s.log.Warn("left-over file kept", "name", name, "error", err)
			return false
		}
		n, ours = at, true
	}
	if ours && st.Keep {
		return true
	}
	if !ours { // the new name is made durable before the old file is removed, or a power cut could lose both
		if err := s.syncDir(d); err != nil {
			s.log.Warn("left-over file kept", "name", name, "error", err)
			return false
		}
	}
	s.drop(d, name, &n)
	return true
}
