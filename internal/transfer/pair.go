package transfer

import (
	"path/filepath"
	"strings"

	"hufu"
	"hufu/internal/blob"
)

// Side is where a transfer reads or writes on this computer.
type Side struct {
	Store blob.Tree
	Path  hufu.Path // in Store
	Local string    // the same as people write it
}

// Join returns the entry called name in the folder s.
func (s Side) Join(name string) (Side, error) {
	p, err := s.Path.Join(name)
	return Side{s.Store, p, filepath.Join(s.Local, name)}, err
}

// inside returns what comes before the name of each entry of the folder s, so that a planner need
// not put the whole path together for each of them.
func (s Side) inside() string { return strings.TrimSuffix(filepath.Join(s.Local, "x"), "x") }

// pair is one name on both sides.
type pair struct {
	near   Side
	far    hufu.Path
	source hufu.Entry
	target *hufu.Entry // nil when nothing is there
	toNear bool        // the target is on this computer
	below  string      // the path for Options.Filter; "" if there is none
}

// from is the name of the source, for people.
func (p *pair) from() string {
	if p.toNear {
		return p.far.Remote()
	}
	return p.near.Local
}

// into is the name of the target, for people.
func (p *pair) into() string {
	if p.toNear {
		return p.near.Local
	}
	return p.far.Remote()
}

// key tells the targets of one transfer apart.
func (p *pair) key() string {
	if p.toNear {
		return p.near.Local
	}
	return p.far.String()
}

// base is the name of the target in its folder.
func (p *pair) base() string {
	if p.toNear {
		return p.near.Path.Base()
	}
	return p.far.Base()
}

// rename gives the target another name in the same folder.
func (p *pair) rename(name string) (err error) {
	if p.toNear {
		parent := Side{p.near.Store, p.near.Path.Parent(), filepath.Dir(p.near.Local)}
		p.near, err = parent.Join(name)
		return err
	}
	p.far, err = p.far.Parent().Join(name)
	return err
}
