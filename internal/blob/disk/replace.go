package disk

import (
	"errors"
	"sync"
	"syscall"

	"hufu"
)

// replacedFiles are what was replaced and stays under a reserved name until the new
// name is durable.
type replacedFiles struct {
	mu sync.Mutex // held while a name in it gets something else
	of map[string]node
}

// nothing is the entry of a reserved name that holds a file that was to be new:
// when the replacing is undone no file stands there.
var nothing = node{} // a constant in all but syntax

func (r *replacedFiles) set(name string, n node) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.of == nil {
		r.of = make(map[string]node)
	}
	r.of[name] = n
}

func (r *replacedFiles) get(name string) (n node, known bool) {
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

// sameFile says whether two nodes are the same file, whatever was done to it.
func (n *node) sameFile(o *node) bool { return n.ino == o.ino && n.dev == o.dev }

// replace replaces whatever file or link is there and tells where that is now,
// "" if it is gone.
func (s *Store) replace(op string, p hufu.Path, src source, d dirHandle) (old string, err error) {
	base := p.Base()
	err = src.dir.exchange(src.name, d, base)
	if errors.Is(err, syscall.EOPNOTSUPP) || errors.Is(err, syscall.ENOENT) {
		return "", fail(op, p, writing, src.dir.rename(src.name, d, base))
	}
	if err != nil {
		return "", fail(op, p, writing, err)
	}
	_ = s.hook("replaced") // a place to be killed at; nothing can fail there
	out, err := src.dir.stat(src.name)
	switch {
	case err != nil:
	case out.kind == hufu.Folder: // just made
		err = folderInTheWay(op, p)
	default:
		s.replaced.set(src.name, out)
		return src.name, nil
	}
	return "", fail(op, p, writing, first(s.putBack(src, d, base, out), err))
}

// replaceVersion replaces exactly the version named. Changes of this store to
// one folder take turns; against everyone else the two are exchanged first and
// the one that came out is looked at, so that nothing is lost unseen: what was
// not expected goes back. It tells where the old one is, "" if it is gone.
func (s *Store) replaceVersion(op string, p hufu.Path, src source, d dirHandle, want string) (old string, err error) {
	base := p.Base()
	v, ok := parseVersion(want)
	n, err := d.stat(base)
	if errors.Is(err, syscall.ENOENT) || err == nil && (!ok || n.kind == hufu.Folder || !s.moved.same(v, n.version)) {
		return "", changed(op, p, "target_changed")
	}
	if err != nil {
		return "", fail(op, p, writing, err)
	}
	if err := s.hook("replace-checked"); err != nil {
		return "", err
	}
	err = src.dir.exchange(src.name, d, base)
	if errors.Is(err, syscall.EOPNOTSUPP) {
		return "", fail(op, p, writing, src.dir.rename(src.name, d, base))
	}
	if errors.Is(err, syscall.ENOENT) {
		return "", changed(op, p, "target_changed")
	}
	if err != nil {
		return "", fail(op, p, writing, err)
	}
	_ = s.hook("replaced") // a place to be killed at; nothing can fail there
	out, err := src.dir.stat(src.name)
	if err == nil && out.sameBytes(n.version) {
		if !reserved(src.name) { // of a rename
			return "", fail(op, p, writing, src.dir.unlink(src.name))
		}
		s.replaced.set(src.name, out)
		return src.name, nil
	}
	return "", fail(op, p, writing, first(s.putBack(src, d, base, out), changed(op, p, "target_changed")))
}

// putBack gives what src was exchanged with, held, its name base again. What
// somebody else saves there meanwhile is newer and stays instead. After an error
// something that is not ours is left under the name of src, and is kept there.
func (s *Store) putBack(src source, d dirHandle, base string, held node) error {
	err := s.exchangeBack(src, d, base, held)
	if err != nil && reserved(src.name) {
		s.log.Error("a file was not put back", "under", src.name, "error", err)
		s.staged.keep(src.name)
		src.trail.keep()
	}
	return err
}

func (s *Store) exchangeBack(src source, d dirHandle, base string, held node) error {
	at := src.node // what we believe stands under base
	for range 16 {
		err := s.hook("put-back")
		if err == nil {
			err = src.dir.exchange(src.name, d, base)
		}
		if errors.Is(err, syscall.ENOENT) { // somebody has removed what stood there
			if err = renameNew(src.dir, src.name, d, base); errors.Is(err, syscall.EEXIST) {
				continue
			}
			return err
		}
		if err != nil {
			return err
		}
		out, err := src.dir.stat(src.name)
		if err != nil {
			return err
		}
		if out.sameFile(&at) {
			if !at.sameFile(&src.node) && reserved(src.name) {
				return src.dir.unlink(src.name) // two were saved one over the other, this is the older
			}
			return nil
		}
		held, at = out, held
	}
	return errRestless
}

var errRestless = errors.New("others do not stop saving there")

// ended removes what was replaced: the new name is durable.
func (s *Store) ended(d dirHandle, done placed) {
	if done.old == "" {
		return
	}
	n, known := s.replaced.get(done.old)
	if at, err := d.stat(done.old); err == nil && known && !at.sameFile(&n) {
		n, _ = s.replaced.get(done.old) // somebody before us has just handed his down
	}
	if n != nothing {
		s.drop(d, done.old, &n)
	}
	s.staged.remove(done.old)
	s.replaced.remove(done.old)
}

// takenBack undoes place, if the file n still has the name: it could not be made
// durable, and nobody may believe that it is there. What was replaced stands there
// again. If another has replaced n since, and may undo that too, it is he who gives
// back what n has replaced.
func (s *Store) takenBack(d dirHandle, base string, n *node, done placed, t *trail) {
	if lock, err := s.lockOf(d); err == nil {
		lock.Lock()
		defer lock.Unlock()
	}
	old, known := nothing, done.created
	if done.old != "" {
		old, known = s.replaced.get(done.old)
	}
	if !known {
		return // what it has replaced is gone
	}
	switch at, err := d.stat(base); {
	case err != nil || !at.sameFile(n):
		if !s.handDown(d, n, done, old) {
			s.ended(d, done)
		}
	case old == nothing:
		_ = d.unlink(base)
		s.ended(d, done)
	default:
		src := source{tmp: noFile, dir: d, name: done.old, node: *n, trail: t}
		if s.putBack(src, d, base, old) == nil {
			s.drop(d, done.old, n)
		}
		s.replaced.remove(done.old)
	}
}

// handDown is takenBack where another has replaced n and keeps it under a reserved
// name: there goes what n has replaced, and n goes away.
func (s *Store) handDown(d dirHandle, n *node, done placed, old node) bool {
	r := &s.replaced
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, kept := range r.of {
		if name == done.old || !kept.sameFile(n) {
			continue
		}
		if at, err := d.stat(name); err != nil || !at.sameFile(n) {
			continue // it is durable, and n gone
		}
		if old == nothing {
			if d.unlink(name) != nil {
				return false
			}
			r.of[name] = nothing
			delete(r.of, done.old)
			s.staged.remove(done.old)
			return true
		}
		if d.exchange(done.old, d, name) != nil {
			return false
		}
		r.of[name] = old
		delete(r.of, done.old)
		s.drop(d, done.old, n)
		return true
	}
	return false
}

// drop removes a reserved name if it holds n; anything else is somebody's and stays.
// The zero node is of a file that never had another name.
func (s *Store) drop(d dirHandle, name string, n *node) {
	at, err := d.stat(name)
	if err == nil && n.ino != 0 && !at.sameFile(n) {
		return
	}
	if err == nil {
		_ = d.unlink(name)
	}
	s.staged.remove(name)
}
