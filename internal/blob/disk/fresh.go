package disk

import (
	"errors"
	"sync"

	"hufu"
	"hufu/internal/blob/disk/sys"
)

// freshFolders holds the folders whose names may not be durable: they were
// created or moved, and the folder that holds them was not synced since. Before
// anything below such a folder is acknowledged, its name is made durable.
type freshFolders struct {
	dev uint64 // of the store

	mu     sync.Mutex
	of     map[folderName]freshFolder
	last   uint64 // number of the folder that was added last
	losses int    // how often names could not be made durable
	odd    int    // names that a sync of the store's whole file system does not make durable
}

// folderName is the name of a folder in the folder that holds it. The holder is identified by
// device and inode, so the key stays right when it is moved.
type folderName struct {
	dev, ino uint64 // of the holder
	name     string
}

// freshFolder is the state of a name.
type freshFolder struct {
	makers int    // changes that are about to give a folder the name
	number uint64 // number of the folder that has this name while the name is not durable, 0 for none
	failed bool   // it could not be made durable, so nothing below it can be
}

// freshName is a fresh folder at the time when it was seen.
type freshName struct {
	folderName
	number uint64
}

func (f *freshFolders) changeLocked(k folderName, change func(*freshFolder)) freshFolder {
	odd := func(e freshFolder) bool { return e.failed || e != (freshFolder{}) && k.dev != f.dev }
	e := f.of[k]
	if odd(e) {
		f.odd--
	}
	change(&e)
	if odd(e) {
		f.odd++
	}
	switch {
	case e == (freshFolder{}):
		delete(f.of, k)
	case f.of == nil:
		f.of = map[folderName]freshFolder{k: e}
	default:
		f.of[k] = e
	}
	return e
}

// Call begin before giving a folder the name k, and end afterwards with the value that begin
// returned. So a fresh folder that can be seen is always listed here.
func (f *freshFolders) begin(k folderName) (losses int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changeLocked(k, func(e *freshFolder) { e.makers++ })
	return f.losses
}

func (f *freshFolders) end(k folderName, losses int, made bool) freshName {
	f.mu.Lock()
	defer f.mu.Unlock()
	e := f.changeLocked(k, func(e *freshFolder) {
		e.makers--
		if made {
			f.last++
			e.number, e.failed = f.last, f.losses != losses
		}
	})
	return freshName{k, e.number}
}

// look reports whether the folder with the name k is fresh. It returns an error
// if that name could not be made durable.
func (f *freshFolders) look(k folderName) (n freshName, fresh bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	e, fresh := f.of[k]
	if e.failed {
		err = syncFailed(errEarlier)
	}
	return freshName{k, e.number}, fresh, err
}

// durable records that the folder that holds the names was synced after they
// were seen.
func (f *freshFolders) durable(names ...freshName) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, n := range names {
		f.changeLocked(n.folderName, func(e *freshFolder) {
			if e.number == n.number && !e.failed {
				e.number = 0
			}
		})
	}
}

// gone records that no folder has the name k any more. The caller has the
// holder locked, so no folder is about to get it.
func (f *freshFolders) gone(k folderName) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changeLocked(k, func(e *freshFolder) { e.number, e.failed = 0, false })
}

// lost records that the names in a folder could not be made durable, or all
// names if holder is nil.
func (f *freshFolders) lost(holder *sys.Node) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.losses++
	for k := range f.of {
		if holder == nil || k.dev == holder.Dev && k.ino == holder.Ino {
			f.changeLocked(k, func(e *freshFolder) { e.failed = true })
		}
	}
}

// matter reports whether there are fresh folders that a sync must look for;
// whole says that the sync covers the store's whole file system.
func (f *freshFolders) matter(whole bool) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.of) > 0 && (!whole || f.odd > 0)
}

// child returns the name of a folder in d.
func child(d sys.Dir, name string) (folderName, error) {
	n, err := d.Self()
	return folderName{n.Dev, n.Ino, name}, err
}

// above looks for fresh folders on the way to path, of any batch or upload. It
// adds their holders to the folders to sync.
func (t *touched) above(path hufu.Path) error {
	if !t.s.fresh.matter(t.whole) {
		return nil
	}
	for p := path; !p.IsRoot() && !t.passed[p]; p = p.Parent() {
		if t.passed == nil {
			t.passed = make(map[hufu.Path]bool)
		}
		t.passed[p] = true
		if err := t.s.hook("look-above"); err != nil {
			return err
		}
		holder, err := t.s.k.OpenDir(t.s.root, p.Parent().String(), sys.PassFlags)
		if errors.Is(staleIfMissing(err), errStale) {
			continue // moved or removed meanwhile
		}
		if err != nil {
			return err
		}
		k, err := child(holder, p.Base())
		n, fresh := freshName{}, false
		if err == nil {
			n, fresh, err = t.s.fresh.look(k)
		}
		if err != nil || !fresh {
			holder.Close()
			if err != nil {
				return err
			}
			continue
		}
		t.fresh = append(t.fresh, n)
		if err := t.add(holder); err != nil {
			return err
		}
	}
	return nil
}

// syncNames makes the names in d, the folder at path, durable, and the names of
// all folders above it. since is the syncer's number of failures before the
// first of these names was taken.
func (s *Store) syncNames(d sys.Dir, path hufu.Path, since int64) error {
	t := &touched{s: s}
	defer t.close()
	err := t.above(path)
	if err == nil {
		err = t.syncFolders()
	}
	if err == nil {
		err = s.syncDir(d)
	}
	if err == nil {
		err = s.sync.since(since)
	}
	if err == nil {
		s.fresh.durable(t.fresh...)
	}
	return err
}

// moving must be called before a folder moves from the name name in from to the name base in to,
// with both folders locked. It returns a function that must be called with the outcome.
func (t *touched) moving(from sys.Dir, name string, to sys.Dir, base string) (moved func(bool), err error) {
	old, err := child(from, name)
	if err != nil {
		return nil, err
	}
	k, err := child(to, base)
	if err != nil {
		return nil, err
	}
	losses := t.s.fresh.begin(k)
	return func(ok bool) {
		n := t.s.fresh.end(k, losses, ok)
		if ok {
			t.s.fresh.gone(old)
			t.fresh = append(t.fresh, n)
		}
	}, nil
}

// forget records that a folder was removed; the caller has d locked.
func (s *Store) forget(d sys.Dir, name string) {
	if !s.fresh.matter(false) {
		return
	}
	if k, err := child(d, name); err == nil {
		s.fresh.gone(k)
	}
}
