package disk

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"path/filepath"
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

// stagedNames are the reserved names that batches of this store use. Whoever
// comes across another one knows that nobody does.
type stagedNames struct {
	mu    sync.Mutex
	names map[string]bool // whether it is kept
}

// add makes a new name, before anything has it.
func (u *stagedNames) add() string {
	name := stagingName(newID())
	u.set(name, false)
	return name
}

// keep has a name that holds somebody's file count as used for as long as the
// store is open.
func (u *stagedNames) keep(name string) { u.set(name, true) }

func (u *stagedNames) set(name string, kept bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.names == nil {
		u.names = make(map[string]bool)
	}
	u.names[name] = kept
}

// remove forgets a name that nothing has any more.
func (u *stagedNames) remove(name string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.names[name] {
		delete(u.names, name)
	}
}

func (u *stagedNames) has(name string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	_, ok := u.names[name]
	return ok
}

// A source is what is about to get a name: a file without one, or something
// under a name in some folder.
type source struct {
	tmp  fileHandle // if ok
	dir  dirHandle  // else dir and name
	name string
	kind hufu.EntryKind
	node node // place finds out

	trail *trail // of a reserved name that may be left
}

// placed is what taking a name has done.
type placed struct {
	created bool   // nothing stood there before
	old     string // the reserved name of what was replaced, "" if it is gone; Store.replaced knows what it is
}

// place gives src the name base in d, if cond holds at that very moment; the
// caller has d locked, see take, and old is what stands there, which is no
// folder. On success whatever name src had is gone, or
// what was replaced has it, if that is a reserved one: it stays until the new
// name is durable, see ended and takenBack. On failure src has its name still.
// The trail of src tells what is left if we are killed between.
func (s *Store) place(op string, p hufu.Path, src source, d dirHandle, cond hufu.Condition, old hufu.EntryKind) (done placed, err error) {
	base := p.Base()
	switch cond.Kind {
	case hufu.IfAbsent:
		err := s.placeNew(src, d, base)
		if errors.Is(err, syscall.EEXIST) {
			return placed{}, s.occupied(op, p, d)
		}
		return placed{created: err == nil}, fail(op, p, writing, err)
	case hufu.IfVersion, hufu.Always:
	default:
		return placed{}, &hufu.Error{Op: op, Path: p.String(), Kind: hufu.KindInvalid, Code: "condition_form"}
	}
	created := cond.Kind == hufu.Always && old == 0
	t := src.trail
	if created {
		t = nil // nothing is replaced
	}
	named, err := s.named(op, p, src, d, cond, t)
	if err != nil {
		return placed{}, fail(op, p, writing, err)
	}
	switch {
	case created || cond.Kind == hufu.Always && !reserved(named.name):
		done, err = placed{created: created}, fail(op, p, writing, named.dir.rename(named.name, d, base))
	case cond.Kind == hufu.Always:
		done.old, err = s.replace(op, p, named, d)
	default:
		done.old, err = s.replaceVersion(op, p, named, d, cond.Version)
	}
	switch {
	case err != nil && src.tmp.ok():
		s.drop(named.dir, named.name, &named.node)
	case done.old == "" && src.tmp.ok():
		s.staged.remove(named.name)
	}
	return done, err
}

// placeNew takes a name that must be free.
func (s *Store) placeNew(src source, d dirHandle, base string) error {
	if src.tmp.ok() {
		return s.k.linkTmp(src.tmp, d, base)
	}
	return renameNew(src.dir, src.name, d, base)
}

// renameNew moves a name to one that must be free.
func renameNew(from dirHandle, name string, to dirHandle, base string) error {
	err := from.renameNew(name, to, base)
	if !errors.Is(err, syscall.EOPNOTSUPP) {
		return err
	}
	// A link takes a name only if it is free, as well. For a folder or on a
	// system without links a look and a rename is the best there is.
	err = from.link(name, to, base)
	if err == nil {
		return from.unlink(name)
	}
	if errors.Is(err, syscall.EEXIST) {
		return err
	}
	if _, err := to.stat(base); err == nil {
		return syscall.EEXIST
	}
	return from.rename(name, to, base)
}

// RenameNew gives a file or folder of this machine another path, both as the
// operating system writes them. What stands at to is never replaced: then the
// error is fs.ErrExist.
func RenameNew(from, to string) error {
	a, err := openRoot(filepath.Dir(from))
	if err != nil {
		return err
	}
	defer a.close()
	b, err := openRoot(filepath.Dir(to))
	if err != nil {
		return err
	}
	defer b.close()
	return renameNew(a, filepath.Base(from), b, filepath.Base(to))
}

// named gives a file without a name a reserved one, from where it can replace.
func (s *Store) named(op string, p hufu.Path, src source, d dirHandle, cond hufu.Condition, t *trail) (source, error) {
	named := src
	if src.tmp.ok() {
		named = source{tmp: noFile, dir: d, name: s.staged.add(), kind: src.kind, trail: t}
	}
	var err error
	if src.tmp.ok() {
		named.node, err = src.tmp.stat()
	} else {
		named.node, err = src.dir.stat(src.name)
	}
	if err != nil {
		return source{}, err
	}
	if reserved(named.name) {
		t.note(p.Parent(), step{Name: []byte(named.name), Base: []byte(p.Base()), Ino: named.node.ino, Old: cond.Version, Keep: op == "commit"})
	}
	if !src.tmp.ok() {
		return named, nil
	}
	err = s.k.linkTmp(src.tmp, d, named.name)
	if err != nil {
		s.staged.remove(named.name)
	}
	return named, err
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
