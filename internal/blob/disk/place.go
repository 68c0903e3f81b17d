package disk

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"hash/maphash"
	"strings"
	"sync"
	"syscall"

	"hufu"
)

// idSize is the length in bytes of the ids of uploads and of reserved names.
const idSize = 16

func newID() string {
	var b [idSize]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

func reserved(name string) bool { return strings.HasPrefix(name, hufu.ReservedPrefix) }

// hidden says whether a listing passes over name. In a person's tree only what
// looks like our own unfinished files is: another name that begins like them is
// listed, and then refused by whoever cannot take it.
func (s *Store) hidden(name string) bool {
	return reserved(name) && (s.o.Server || len(name) == len(hufu.ReservedPrefix)+2*idSize)
}

// stagingName is the name that unfinished bytes have in their target's folder.
func stagingName(id string) string { return hufu.ReservedPrefix + id }

// A source is what is about to get a name: a file without one, or something
// under a name in some folder.
type source struct {
	tmp  fileHandle // if ok
	dir  dirHandle  // else dir and name
	name string
}

// place gives src the name base in d, if cond holds at that very moment. On
// success whatever name src had is gone; on failure it has it still.
func (s *Store) place(op string, p hufu.Path, src source, d dirHandle, cond hufu.Condition) (created bool, err error) {
	base := p.Base()
	switch cond.Kind {
	case hufu.IfAbsent:
		err := s.placeNew(src, d, base)
		if errors.Is(err, syscall.EEXIST) {
			return false, s.occupied(op, p, d)
		}
		return err == nil, fail(op, p, writing, err)
	case hufu.IfVersion, hufu.Always:
	default:
		return false, &hufu.Error{Op: op, Path: p.String(), Kind: hufu.KindInvalid, Code: "condition_form"}
	}
	if cond.Kind == hufu.Always && src.tmp.ok() {
		// Nearly always the name is free, which saves the detour.
		if err := s.placeNew(src, d, base); !errors.Is(err, syscall.EEXIST) {
			return err == nil, fail(op, p, writing, err)
		}
	}
	if n, err := d.stat(base); err == nil && n.kind == hufu.Folder {
		return false, folderInTheWay(op, p)
	} else if cond.Kind == hufu.Always {
		created = errors.Is(err, syscall.ENOENT)
	}
	named, err := s.named(src, d)
	if err != nil {
		return false, fail(op, p, writing, err)
	}
	if cond.Kind == hufu.Always {
		err = fail(op, p, writing, named.dir.rename(named.name, d, base))
	} else {
		err = s.replaceVersion(op, p, named, d, cond.Version)
	}
	if err != nil && src.tmp.ok() {
		_ = named.dir.unlink(named.name)
	}
	return created && err == nil, err
}

// placeNew takes a name that must be free.
func (s *Store) placeNew(src source, d dirHandle, base string) error {
	if src.tmp.ok() {
		return s.k.linkTmp(src.tmp, d, base)
	}
	err := src.dir.renameNew(src.name, d, base)
	if !errors.Is(err, syscall.EOPNOTSUPP) {
		return err
	}
	// A link takes a name only if it is free, as well. For a folder or on a
	// system without links a look and a rename is the best there is.
	err = src.dir.link(src.name, d, base)
	if err == nil {
		return src.dir.unlink(src.name)
	}
	if errors.Is(err, syscall.EEXIST) {
		return err
	}
	if _, err := d.stat(base); err == nil {
		return syscall.EEXIST
	}
	return src.dir.rename(src.name, d, base)
}

// named gives a file without a name a reserved one, from where it can replace.
func (s *Store) named(src source, d dirHandle) (source, error) {
	if !src.tmp.ok() {
		return src, nil
	}
	name := stagingName(newID())
	return source{tmp: noFile, dir: d, name: name}, s.k.linkTmp(src.tmp, d, name)
}

// replaceVersion replaces exactly the version named. Commits of this store to
// one name take turns; against everyone else the two are exchanged first and
// the one that came out is looked at, so that nothing is lost unseen: what was
// not expected goes back.
func (s *Store) replaceVersion(op string, p hufu.Path, src source, d dirHandle, want string) error {
	lock := s.nameLock(p)
	lock.Lock()
	defer lock.Unlock()
	base := p.Base()
	v, ok := parseVersion(want)
	n, err := d.stat(base)
	if errors.Is(err, syscall.ENOENT) || err == nil && (!ok || n.kind != hufu.File || !s.moved.same(v, n.version)) {
		return changed(op, p, "target_changed")
	}
	if err != nil {
		return fail(op, p, writing, err)
	}
	if err := s.hook("replace-checked"); err != nil {
		return err
	}
	err = src.dir.exchange(src.name, d, base)
	if errors.Is(err, syscall.EOPNOTSUPP) {
		return fail(op, p, writing, src.dir.rename(src.name, d, base))
	}
	if errors.Is(err, syscall.ENOENT) {
		return changed(op, p, "target_changed")
	}
	if err != nil {
		return fail(op, p, writing, err)
	}
	out, err := src.dir.stat(src.name)
	if err == nil && out.sameBytes(n.version) {
		return fail(op, p, writing, src.dir.unlink(src.name))
	}
	if err := src.dir.exchange(src.name, d, base); err != nil {
		return fail(op, p, writing, err)
	}
	return changed(op, p, "target_changed")
}

func (s *Store) nameLock(p hufu.Path) *sync.Mutex {
	return &s.names[maphash.String(s.seed, p.String())%uint64(len(s.names))]
}

// occupied says what stands where nothing should.
func (s *Store) occupied(op string, p hufu.Path, d dirHandle) error {
	if n, err := d.stat(p.Base()); err == nil && n.kind == hufu.Folder {
		return folderInTheWay(op, p)
	}
	return &hufu.Error{Op: op, Path: p.String(), Kind: hufu.KindExists, Code: "target_exists"}
}

func folderInTheWay(op string, p hufu.Path) error {
	return &hufu.Error{Op: op, Path: p.String(), Kind: hufu.KindWrongKind, Code: "folder_in_the_way"}
}
