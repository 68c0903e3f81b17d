// Package access decides whether a user may do something to a path. It is pure:
// what it needs to know is handed in, and it remembers nothing.
package access

import (
	"strings"

	"hufu"
)

// Subject is who acts.
type Subject struct {
	User   string
	Device string
}

// Action is what is to be done.
type Action uint8

// The actions. Read is to look at what is there, also at names. Create is to
// take a free name, Link to put a symbolic link under a name. Change is to
// replace, remove, rename or alter what is there.
const (
	Read Action = iota + 1
	Create
	Link
	Change
)

// place is the kind of ground on which a path stands.
type place uint8

const (
	nowhere  place = iota
	own            // below the user's own folder
	shared         // below a folder shared by all
	signpost       // shows the places, and is nobody's to change
)

// placeOf looks at the segments of p alone.
func placeOf(p hufu.Path) place {
	first, _ := p.Cut()
	switch {
	case p.Signpost():
		return signpost
	case !strings.HasPrefix(first, "@"):
		return own
	case first != hufu.SharedName:
		return nowhere
	}
	return shared
}

// ByOwner reports whether it matters to May who put there what stands at p.
func ByOwner(p hufu.Path) bool { return placeOf(p) == shared }

// May reports whether s may do a to p, seen from the root that s sees. The owner
// is who put there what is read or changed, and for Create and Link who made the
// folder that gets the name; "" is not known, and no user.
//
// A user's own folder is the user's. Everybody lists, reads and adds to a
// shared folder, and changes there what is their own. A link in it cannot carry
// a name and counts as its folder's owner's: that user alone makes one.
func May(s Subject, a Action, p hufu.Path, owner string) error {
	mine := owner == s.User && owner != ""
	code := "not_allowed_here"
	ok := false
	switch placeOf(p) {
	case own:
		ok = a >= Read && a <= Change
	case shared:
		ok = a == Read || a == Create || mine && (a == Link || a == Change)
		code = "not_yours"
		if a == Link {
			code = "link_needs_own_folder"
		}
	case signpost:
		ok = a == Read
	}
	if ok {
		return nil
	}
	return &hufu.Error{Op: "access", Path: p.Virtual(), Kind: hufu.KindPermission, Code: code}
}
