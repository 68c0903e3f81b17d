// Package access decides whether a user may do something to a path. It is pure:
// all facts are arguments, and it has no state.
package access

import (
	"strings"

	"hufu"
)

// Subject is the acting user.
type Subject struct {
	User   string
	Device string
}

// Action is a kind of access.
type Action uint8

// The actions. Read is reading entries and names. Create is taking a free name,
// Link is creating a symbolic link. Change is replacing, removing, renaming or
// altering an entry.
const (
	Read Action = iota + 1
	Create
	Link
	Change
)

// place is the kind of place of a path.
type place uint8

const (
	nowhere  place = iota
	own            // below the user's own folder
	shared         // below a folder shared by all
	signpost       // shows the places, and cannot be changed
)

// placeOf depends on the segments of p alone.
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

// ByOwner reports whether the result of May depends on the owner of the entry
// at p.
func ByOwner(p hufu.Path) bool { return placeOf(p) == shared }

// May returns an error unless s may do a to p, seen from the root that s sees.
// The owner is the user who uploaded the entry that is read or changed; for
// Create and Link it is the user who created the folder of the name; "" means
// unknown, and is no user.
//
// A user's own folder is the user's. Everybody lists, reads and adds to a
// shared folder, and changes their own entries there. A link in it cannot
// record its owner and counts as its folder's owner's: only that user creates
// one.
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
