package disk

import (
	"errors"
	"strings"

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

// mostSiblings bounds the names of a folder that removeMoved looks at.
const mostSiblings = 4096

// If the user has renamed one folder above the staging file, removeMoved finds and removes the
// file by trying every sibling of each folder on the path: no listing shows the file, and nothing
// else would ever remove it. On a server sweep removes it at the next listing of its folder. A
// folder that was moved somewhere else is not found.
func (p *pending) removeMoved() {
	if p.s.o.Server || p.fresh || p.ino == 0 {
		return
	}
	segs := p.key.Path.Parent().Segments()
	for i := range segs {
		at, err := p.s.k.OpenDir(p.s.root, strings.Join(segs[:i], "/"), sys.ReadFlags)
		if err != nil {
			return
		}
		found := p.removeBelow(at, strings.Join(segs[i+1:], "/"))
		at.Close()
		if found {
			return
		}
	}
}

// removeBelow looks for the staging file at name/rest for the name of every folder in d, and
// removes it.
func (p *pending) removeBelow(d sys.Dir, rest string) (found bool) {
	looked := 0
	_ = p.s.eachName(d, func(name string) error {
		if looked++; looked > mostSiblings {
			return errEnough
		}
		sub, err := p.s.k.OpenDir(d, strings.TrimSuffix(name+"/"+rest, "/"), sys.PassFlags)
		if err != nil {
			return nil // mostly a file
		}
		defer sub.Close()
		if n, err := sub.Stat(stagingName(p.id)); err == nil && p.isStaging(&n, p.ino) && sub.Unlink(stagingName(p.id)) == nil {
			found = true
			return errEnough
		}
		return nil
	})
	return found
}
