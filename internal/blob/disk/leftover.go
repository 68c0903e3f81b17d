package disk

import (
	"errors"
	"strings"

	"hufu"
	"hufu/internal/blob/disk/sys"
)

// discard removes an upload that this process does not have open, unless
// another process has.
func (p *pending) discard() { p.alone(p.remove) }

// remove removes the staging file and then the journal: after a crash in between, the journal still
// says where to look. If the staging file cannot be looked for now, the journal stays as well.
func (p *pending) remove() {
	d, err := p.s.k.OpenDir(p.s.root, p.key.Path.Parent().String(), sys.PassFlags)
	if err == nil {
		err = p.unlinkStaging(d)
		d.Close()
	}
	err = staleIfMissing(err)
	if errors.Is(err, errStale) {
		p.removeMoved()
	}
	if err == nil || errors.Is(err, errStale) {
		p.unlinkJournal()
	}
}

func (p *pending) unlinkJournal() {
	_ = p.s.reg.dir.Unlink(p.id + newJournalSuffix) // left by a process killed in rewrite
	_ = p.s.reg.dir.Unlink(p.id)
}

// isStaging reports whether n, which has the reserved name of the upload, is its staging file
// with the number ino. A file of others that a failed putBack left there is not. Where inode
// numbers change with each mount, the size is compared instead.
func (p *pending) isStaging(n *sys.Node, ino uint64) bool {
	return n.Ino == ino || p.s.has.Renumbers && n.Size == p.key.Size && !p.s.staged.has(stagingName(p.id))
}

// unlinkStaging removes the staging file from the folder d. A file under its name that is not ours
// stays.
func (p *pending) unlinkStaging(d sys.Dir) error {
	n, err := d.Stat(stagingName(p.id))
	if err == nil && (p.ino == 0 || p.isStaging(&n, p.ino)) {
		err = d.Unlink(stagingName(p.id))
	}
	return err
}

// mostSiblings bounds the names of a folder that findMoved looks at.
const mostSiblings = 4096

// If the user has renamed one folder above the staging file, removeMoved finds and removes the
// file: no listing shows it, and nothing else would ever remove it. On a server sweep removes it at
// the next listing of its folder.
func (p *pending) removeMoved() {
	if p.s.o.Server || p.unstarted || p.ino == 0 {
		return
	}
	d, ok := p.s.findMoved(p.key.Path.Parent(), func(d sys.Dir) bool {
		n, err := d.Stat(stagingName(p.id))
		return err == nil && p.isStaging(&n, p.ino)
	})
	if ok {
		_ = p.unlinkStaging(d)
		d.Close()
	}
}

// findMoved opens the folder that was at path until it, or one folder above it, got another name.
// It tries every sibling of each folder on the path until is accepts one. A folder that was moved
// somewhere else is not found.
func (s *Store) findMoved(path hufu.Path, is func(sys.Dir) bool) (d sys.Dir, ok bool) {
	segs := path.Segments()
	for i := range segs {
		at, err := s.k.OpenDir(s.root, strings.Join(segs[:i], "/"), sys.ReadFlags)
		if err != nil {
			return sys.NoDir, false
		}
		d, ok = s.findBelow(at, strings.Join(segs[i+1:], "/"), is)
		at.Close()
		if ok {
			return d, true
		}
	}
	return sys.NoDir, false
}

// findBelow opens the folder name/rest that is accepts, for the name of some folder in d.
func (s *Store) findBelow(d sys.Dir, rest string, is func(sys.Dir) bool) (found sys.Dir, ok bool) {
	looked := 0
	_ = s.eachName(d, func(name string) error {
		if looked++; looked > mostSiblings {
			return errEnough
		}
		sub, err := s.k.OpenDir(d, strings.TrimSuffix(name+"/"+rest, "/"), sys.ReadFlags)
		if err != nil {
			return nil // mostly a file
		}
		if is(sub) {
			found, ok = sub, true
			return errEnough
		}
		sub.Close()
		return nil
	})
	return found, ok
}
