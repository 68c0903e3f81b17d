package disk

import (
	"context"
	"errors"
	"sync"
	"syscall"

	"hufu"
	"hufu/internal/blob/disk/sys"
)

// replacedFiles holds replaced files by their reserved names. A put, link or upload keeps the
// replaced file until the new name is durable. A rename with IfVersion keeps it until the source has
// lost its old name. A rename with Always keeps none.
type replacedFiles struct {
	mu sync.Mutex // held while a name in it gets another file
	of map[string]sys.Node
}

// nothing is the node that means: no file was replaced. Undoing such a change removes the target
// name.
var nothing = sys.Node{} // a constant in all but syntax

func (r *replacedFiles) set(name string, n sys.Node) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.of == nil {
		r.of = make(map[string]sys.Node)
	}
	r.of[name] = n
}

func (r *replacedFiles) get(name string) (n sys.Node, known bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n, known = r.of[name]
	return n, known
}

func (r *replacedFiles) remove(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.of, name)
}

// replace replaces the existing file or link, in any version, and returns the
// reserved name that it has now, or "" if it is gone.
func (s *Store) replace(op string, p hufu.Path, src source, d sys.Dir) (old string, err error) {
	base := p.Base()
	err = src.dir.Exchange(src.name, d, base)
	if errors.Is(err, syscall.EOPNOTSUPP) || errors.Is(err, syscall.ENOENT) {
		return "", fail(op, p, writing, src.dir.Rename(src.name, d, base))
	}
	if err != nil {
		return "", fail(op, p, writing, err)
	}
	_ = s.hook("replaced") // a place for tests to kill the process; it cannot fail
	out, err := src.dir.Stat(src.name)
	switch {
	case err != nil:
	case out.Kind == hufu.Folder: // another program has just created a folder there
		err = folderInTheWay(op, p)
	default:
		s.replaced.set(src.name, out)
		return src.name, nil
	}
	return "", fail(op, p, writing, first(s.putBack(src, d, base, out), err))
}

// replaceVersion replaces exactly the version want, and returns the reserved name that the old file
// has now, or "" if it is gone. Changes of this store to one folder take turns. Against other
// programs the two files are exchanged first and the old one is checked afterwards: an unexpected
// file is put back. Where names cannot be exchanged, a save by another program after the check is
// lost.
func (s *Store) replaceVersion(op string, p hufu.Path, src source, d sys.Dir, want string) (old string, err error) {
	base := p.Base()
	v, ok := sys.ParseVersion(want)
	n, err := d.Stat(base)
	if errors.Is(err, syscall.ENOENT) || err == nil && (!ok || n.Kind == hufu.Folder || !s.ownWrites.same(v, n.Version)) {
		return "", changed(op, p, "target_changed")
	}
	if err != nil {
		return "", fail(op, p, writing, err)
	}
	if err := s.hook("replace-checked"); err != nil {
		return "", err
	}
	err = src.dir.Exchange(src.name, d, base)
	if errors.Is(err, syscall.EOPNOTSUPP) {
		return "", fail(op, p, writing, src.dir.Rename(src.name, d, base))
	}
	if errors.Is(err, syscall.ENOENT) {
		return "", changed(op, p, "target_changed")
	}
	if err != nil {
		return "", fail(op, p, writing, err)
	}
	_ = s.hook("replaced") // a place for tests to kill the process; it cannot fail
	out, err := src.dir.Stat(src.name)
	if err == nil && out.SameBytes(n.Version) {
		if !reserved(src.name) { // src has its own name: moveOver could not give it a second one
			if err = s.removeSource(src); err == nil {
				return "", nil
			}
			return "", fail(op, p, writing, first(s.putBack(src, d, base, out), err))
		}
		s.replaced.set(src.name, out)
		return src.name, nil
	}
	return "", fail(op, p, writing, first(s.putBack(src, d, base, out), changed(op, p, "target_changed")))
}

// moveOver gives src, which has a name of its own, the name base in place of exactly the version
// want. Before that src gets a second, reserved name, and this one is exchanged. So a process
// that is killed in between leaves src under its old name, under base, or under both, but never
// the replaced file under the name of src. Without hard links the name of src itself is
// exchanged, and a kill can leave the replaced file under it.
func (s *Store) moveOver(op string, p hufu.Path, src source, d sys.Dir, want string) error {
	second := source{tmp: sys.NoFile, dir: d, name: s.staged.add(), kind: src.kind, node: src.node, trail: src.trail}
	second.trail.note(p.Parent(), step{Name: []byte(second.name), Base: []byte(p.Base()), Ino: src.node.Ino, Size: src.node.Size, Old: want})
	if src.dir.Link(src.name, d, second.name) != nil {
		s.staged.remove(second.name)
		_, err := s.replaceVersion(op, p, src, d, want)
		return err
	}
	old, err := s.replaceVersion(op, p, second, d, want)
	if err != nil {
		s.drop(d, second.name, &src.node)
		return err
	}
	if err = s.removeSource(src); err == nil {
		s.removeReplaced(d, placed{old: old})
		return nil
	}
	if held, known := s.replaced.get(old); known && s.putBack(second, d, p.Base(), held) == nil {
		s.drop(d, second.name, &src.node)
	}
	s.replaced.remove(old)
	return fail(op, p, writing, err)
}

// removeSource removes the old name of a file that was moved.
func (s *Store) removeSource(src source) error {
	if err := s.hook("remove-source"); err != nil {
		return err
	}
	return src.dir.Unlink(src.name)
}

// putBack restores held, which is under the name of src now, to base. A file that another program
// saves there meanwhile is newer and stays. After an error the reserved name of src holds a file
// that is not ours; it is kept.
func (s *Store) putBack(src source, d sys.Dir, base string, held sys.Node) error {
	err := s.exchangeBack(src, d, base, held)
	if err != nil && reserved(src.name) {
		s.log.Error("a file was not put back", "under", src.name, "error", err)
		s.staged.keep(src.name)
		src.trail.keep()
	}
	return err
}

func (s *Store) exchangeBack(src source, d sys.Dir, base string, held sys.Node) error {
	at := src.node // what should be under base
	for range 16 {
		err := s.hook("put-back")
		if err == nil {
			err = src.dir.Exchange(src.name, d, base)
		}
		if errors.Is(err, syscall.ENOENT) { // the name was removed meanwhile
			if err = renameNew(src.dir, src.name, d, base); errors.Is(err, syscall.EEXIST) {
				continue
			}
			return err
		}
		if err != nil {
			return err
		}
		out, err := src.dir.Stat(src.name)
		if err != nil {
			return err
		}
		if out.SameFile(&at) {
			if !at.SameFile(&src.node) && reserved(src.name) {
				return src.dir.Unlink(src.name) // another program has saved a newer file over the one that was put back; src.name holds the older one
			}
			return nil
		}
		held, at = out, held
	}
	return errRestless
}

var errRestless = errors.New("other programs keep replacing the file")

// removeReplaced removes the replaced file, when the new name is durable, or when nothing is left to
// put back.
func (s *Store) removeReplaced(d sys.Dir, done placed) {
	if done.old == "" {
		return
	}
	n, known := s.replaced.get(done.old)
	if at, err := d.Stat(done.old); err == nil && known && !at.SameFile(&n) {
		n, _ = s.replaced.get(done.old) // an earlier change has just handed its file down
	}
	if n != nothing {
		s.drop(d, done.old, &n)
	}
	s.staged.remove(done.old)
	s.replaced.remove(done.old)
}

// undoPlace undoes place for the file n, whose name could not be made durable: if n still has the
// name, n loses it and the replaced file gets it back. A later change may have replaced n
// already. That change may fail too, so it inherits the file that n replaced.
func (s *Store) undoPlace(d sys.Dir, base string, n *sys.Node, done placed, t *trail) {
	if lock, err := s.lockOf(d); err == nil {
		unlock, _ := lock.lock(context.Background()) // never fails
		defer unlock()
	}
	old, known := nothing, done.created
	if done.old != "" {
		old, known = s.replaced.get(done.old)
	}
	if !known {
		return // the file that it replaced is gone
	}
	switch at, err := d.Stat(base); {
	case err != nil || !at.SameFile(n):
		if !s.handDown(d, n, done, old) {
			s.removeReplaced(d, done)
		}
	case old == nothing:
		_ = d.Unlink(base)
		s.removeReplaced(d, done)
	default:
		src := source{tmp: sys.NoFile, dir: d, name: done.old, node: *n, trail: t}
		if s.putBack(src, d, base, old) == nil {
			s.drop(d, done.old, n)
		}
		s.replaced.remove(done.old)
	}
}

// handDown is undoPlace for a file n that a later change has replaced. That change keeps n under
// a reserved name. handDown removes n and puts old, the file that n replaced, under this reserved
// name instead: if the later change is undone too, old comes back. It returns false if no later
// change keeps n, or after an error.
func (s *Store) handDown(d sys.Dir, n *sys.Node, done placed, old sys.Node) bool {
	r := &s.replaced
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, kept := range r.of {
		if name == done.old || !kept.SameFile(n) {
			continue
		}
		if at, err := d.Stat(name); err != nil || !at.SameFile(n) {
			continue // that change is durable, and n is gone
		}
		if old == nothing {
			if d.Unlink(name) != nil {
				return false
			}
			r.of[name] = nothing
			delete(r.of, done.old)
			s.staged.remove(done.old)
			return true
		}
		if d.Exchange(done.old, d, name) != nil {
			return false
		}
		r.of[name] = old
		delete(r.of, done.old)
		s.drop(d, done.old, n)
		return true
	}
	return false
}

// drop removes a reserved name if it holds n; any other file is not ours and stays. With the zero
// node the name is removed without a check.
func (s *Store) drop(d sys.Dir, name string, n *sys.Node) {
	at, err := d.Stat(name)
	if err == nil && n.Ino != 0 && !at.SameFile(n) {
		return
	}
	if err == nil {
		_ = d.Unlink(name)
	}
	s.staged.remove(name)
}
