package disk

import (
	"errors"
	"sync"
	"syscall"

	"hufu"
)

// replacedFiles holds the files that were replaced. Each stays under a reserved name until the
// new name is durable.
type replacedFiles struct {
	mu sync.Mutex // held while a name in it gets another file
	of map[string]node
}

// nothing is the entry of a reserved name whose file had replaced nothing:
// undoing it leaves no file under the name.
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

// sameFile reports whether two nodes are the same file, in any version.
func (n *node) sameFile(o *node) bool { return n.ino == o.ino && n.dev == o.dev }

// replace replaces the existing file or link, in any version, and returns the
// reserved name that it has now, or "" if it is gone.
func (s *Store) replace(op string, p hufu.Path, src source, d dirHandle) (old string, err error) {
	base := p.Base()
	err = src.dir.exchange(src.name, d, base)
	if errors.Is(err, syscall.EOPNOTSUPP) || errors.Is(err, syscall.ENOENT) {
		return "", fail(op, p, writing, src.dir.rename(src.name, d, base))
	}
	if err != nil {
		return "", fail(op, p, writing, err)
	}
	_ = s.hook("replaced") // a place for tests to kill the process; it cannot fail
	out, err := src.dir.stat(src.name)
	switch {
	case err != nil:
	case out.kind == hufu.Folder: // just created
		err = folderInTheWay(op, p)
	default:
		s.replaced.set(src.name, out)
		return src.name, nil
	}
	return "", fail(op, p, writing, first(s.putBack(src, d, base, out), err))
}

// replaceVersion replaces exactly the version want, and returns the reserved
// name that the old file has now, or "" if it is gone. Changes of this store to
// one folder take turns. Against other programs the two files are exchanged
// first and the old one is checked afterwards, so that nothing is lost unseen:
// an unexpected file is put back.
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
	_ = s.hook("replaced") // a place for tests to kill the process; it cannot fail
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

// putBack exchanges src back with held, the file that had the name base before.
// A file that another program saves there meanwhile is newer and stays. After
// an error the reserved name of src holds a file that is not ours; it is kept.
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
	at := src.node // what should be under base
	for range 16 {
		err := s.hook("put-back")
		if err == nil {
			err = src.dir.exchange(src.name, d, base)
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
		out, err := src.dir.stat(src.name)
		if err != nil {
			return err
		}
		if out.sameFile(&at) {
			if !at.sameFile(&src.node) && reserved(src.name) {
				return src.dir.unlink(src.name) // two were saved one over the other; this is the older one
			}
			return nil
		}
		held, at = out, held
	}
	return errRestless
}

var errRestless = errors.New("others do not stop saving there")

// ended removes the replaced file: the new name is durable.
func (s *Store) ended(d dirHandle, done placed) {
	if done.old == "" {
		return
	}
	n, known := s.replaced.get(done.old)
	if at, err := d.stat(done.old); err == nil && known && !at.sameFile(&n) {
		n, _ = s.replaced.get(done.old) // an earlier change has just handed its file down
	}
	if n != nothing {
		s.drop(d, done.old, &n)
	}
	s.staged.remove(done.old)
	s.replaced.remove(done.old)
}

// takenBack undoes place for the file n, if n still has the name: it could not be made durable,
// so nobody may rely on it. The replaced file gets its name back. If n itself was replaced since,
// by a change that may be undone as well, the file that n replaced is handed down to that change.
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
		return // the file that it replaced is gone
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

// handDown is takenBack for a file n that another change has replaced and keeps under a reserved
// name: that name gets the file that n replaced, and n is removed.
func (s *Store) handDown(d dirHandle, n *node, done placed, old node) bool {
	r := &s.replaced
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, kept := range r.of {
		if name == done.old || !kept.sameFile(n) {
			continue
		}
		if at, err := d.stat(name); err != nil || !at.sameFile(n) {
			continue // that change is durable, and n is gone
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

// drop removes a reserved name if it holds n; any other file is not ours and stays. The zero node
// stands for a file that never had another name.
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
