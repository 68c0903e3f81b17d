// Package access decides whether a user may do something to a path. It is pure:
// what it needs to know is handed in, and it remembers nothing.
package access

import "hufu"

// Place is the kind of ground a path stands on.
type Place uint8

// The places: a user's own folder, a folder shared by all, and the ground that
// only shows the two and that nobody may change.
const (
	Own Place = iota + 1
	Shared
	Signpost
)

// Action is what is to be done.
type Action uint8

// The actions. Change is to replace, remove, rename or alter what is there.
const (
	Read Action = iota + 1
	Create
	Change
)

// May says whether user may do a to something in a place that owner put there.
// Everybody lists, reads and adds to a shared folder and changes there what is
// his own.
func May(user string, a Action, place Place, owner string) error {
	ok := false
	switch place {
	case Own:
		ok = true
	case Shared:
		ok = a == Read || a == Create || a == Change && owner == user && user != ""
	case Signpost:
		ok = a == Read
	}
	if ok {
		return nil
	}
	e := &hufu.Error{Op: "access", Kind: hufu.KindPermission, Code: "not_allowed_here"}
	if place == Shared {
		e.Code = "not_yours"
	}
	return e
}
