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
	"hufu/internal/blob/disk/sys"
)

// idSize is the length in bytes of the ids of uploads and reserved names.
const idSize = 16

func newID() string {
	var b [idSize]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

func reserved(name string) bool { return strings.HasPrefix(name, hufu.ReservedPrefix) }

// hidden reports whether a listing skips name. In a user's own tree it skips only reserved names
// of the length of ours. Other names with that prefix are the user's: they are listed, and a
// server refuses them.
func (s *Store) hidden(name string) bool {
	return reserved(name) && (s.o.Server || len(name) == len(hufu.ReservedPrefix)+2*idSize)
}

// stagingName returns the name of unfinished bytes in their target's folder.
func stagingName(id string) string { return hufu.ReservedPrefix + id }

// stagedNames holds the reserved names of this store's batches, and those that hold a file of
// another program. Such a file is removed only with its folder. The reserved name of an upload is in
// the registry.
type stagedNames struct {
	mu    sync.Mutex
	names map[string]bool // true: it holds a file of another program
}

// add returns a new name, before any file has it.
func (u *stagedNames) add() string {
	name := stagingName(newID())
	u.set(name, false)
	return name
}

// keep marks a name that holds somebody else's file as used while the store is
// open.
func (u *stagedNames) keep(name string) { u.set(name, true) }

func (u *stagedNames) set(name string, kept bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.names == nil {
		u.names = make(map[string]bool)
	}
	u.names[name] = kept
}

// remove forgets a name that no file has any more, unless it is kept.
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

// A source is about to get a name: a file without a name, or an entry with a
// name in some folder.
type source struct {
	tmp  sys.File // a file without a name; sys.NoFile if it has one
	dir  sys.Dir  // the folder and the name that it has
	name string
	kind hufu.EntryKind
	node sys.Node // zero until named has looked at it

	trail *trail // records the reserved names that a kill would leave; nil for none
}

// placed describes the result of taking a name.
type placed struct {
	created bool   // no entry had the name before
	old     string // the reserved name of the replaced file, "" if it is gone; see Store.replaced
}

// place renames src to the base name of p in d, under the condition cond, which is judged at the
// call that changes the name. The caller has d locked, see takeName; old is the kind of the
// existing entry, 0 for none, never Folder. On success src is no longer under its old name; if
// that name is reserved, the replaced file may be there now, see placed.old. That file stays
// until the new name is durable, see removeReplaced and undoPlace. On failure src still has its
// name. The trail of src records what a kill in between would leave.
func (s *Store) place(op string, p hufu.Path, src source, d sys.Dir, cond hufu.Condition, old hufu.EntryKind) (done placed, err error) {
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
		err = named.dir.Rename(named.name, d, base)
		if err == nil && !created {
			err = s.removeSecondLink(named)
		}
		done, err = placed{created: created}, fail(op, p, writing, err)
	case cond.Kind == hufu.Always:
		done.old, err = s.replace(op, p, named, d)
	case !reserved(named.name):
		err = s.moveOver(op, p, named, d, cond.Version)
	default:
		done.old, err = s.replaceVersion(op, p, named, d, cond.Version)
	}
	switch {
	case err != nil && src.tmp.Ok():
		s.drop(named.dir, named.name, &named.node)
	case done.old == "" && src.tmp.Ok():
		s.staged.remove(named.name)
	}
	return done, err
}

// removeSecondLink removes the name of src if it is still there after a rename: the system does
// nothing if both names are hard links of one file. The folder is listed, because a file system
// that ignores case finds the file by its old name too.
func (s *Store) removeSecondLink(src source) error {
	n, err := src.dir.Stat(src.name)
	if err != nil || !n.SameFile(&src.node) || n.Links < 2 {
		return nil
	}
	d, err := s.k.OpenDir(src.dir, "", sys.ReadFlags)
	if err != nil {
		return err
	}
	defer d.Close()
	there := false
	err = s.eachName(d, func(name string) error {
		there = there || name == src.name
		return nil
	})
	if err != nil || !there {
		return err
	}
	return src.dir.Unlink(src.name)
}

// placeNew takes a name that must be free.
func (s *Store) placeNew(src source, d sys.Dir, base string) error {
	if src.tmp.Ok() {
		return s.k.LinkTmp(src.tmp, d, base)
	}
	return renameNew(src.dir, src.name, d, base)
}

// renameNew renames to a name that must be free.
func renameNew(from sys.Dir, name string, to sys.Dir, base string) error {
	err := from.RenameNew(name, to, base)
	if !errors.Is(err, syscall.EOPNOTSUPP) {
		return err
	}
	// A hard link takes a name only if it is free, too. For a folder, or on a system without links,
	// a check and a rename is the best possible way.
	err = from.Link(name, to, base)
	if err == nil {
		if err = from.Unlink(name); err != nil {
			_ = to.Unlink(base)
		}
		return err
	}
	if errors.Is(err, syscall.EEXIST) {
		return err
	}
	if _, err := to.Stat(base); err == nil {
		return syscall.EEXIST
	}
	return from.Rename(name, to, base)
}

// RenameNew renames a file or folder of this computer; both paths are in the
// form of the operating system. An existing entry at to is never replaced: the
// error is then fs.ErrExist.
func RenameNew(from, to string) error {
	a, err := sys.OpenRoot(filepath.Dir(from))
	if err != nil {
		return err
	}
	defer a.Close()
	b, err := sys.OpenRoot(filepath.Dir(to))
	if err != nil {
		return err
	}
	defer b.Close()
	return renameNew(a, filepath.Base(from), b, filepath.Base(to))
}

// named returns src with its node set. A file without a name first gets a reserved one, from
// which it can replace another file.
func (s *Store) named(op string, p hufu.Path, src source, d sys.Dir, cond hufu.Condition, t *trail) (source, error) {
	named := src
	if src.tmp.Ok() {
		named = source{tmp: sys.NoFile, dir: d, name: s.staged.add(), kind: src.kind, trail: t}
	}
	var err error
	if src.tmp.Ok() {
		named.node, err = src.tmp.Stat()
	} else {
		named.node, err = src.dir.Stat(src.name)
	}
	if err != nil {
		return source{}, err
	}
	if reserved(named.name) {
		t.note(p.Parent(), step{Name: []byte(named.name), Base: []byte(p.Base()), Ino: named.node.Ino, Size: named.node.Size, Old: cond.Version, Keep: op == "commit"})
	}
	if !src.tmp.Ok() {
		return named, nil
	}
	err = s.k.LinkTmp(src.tmp, d, named.name)
	if err != nil {
		s.staged.remove(named.name)
	}
	return named, err
}

// occupied returns the error for an entry that exists where none should.
func (s *Store) occupied(op string, p hufu.Path, d sys.Dir) error {
	if n, err := d.Stat(p.Base()); err == nil && n.Kind == hufu.Folder {
		return folderInTheWay(op, p)
	}
	return &hufu.Error{Op: op, Path: p.String(), Kind: hufu.KindExists, Code: "target_exists"}
}

func folderInTheWay(op string, p hufu.Path) error {
	return &hufu.Error{Op: op, Path: p.String(), Kind: hufu.KindWrongKind, Code: "folder_in_the_way"}
}
