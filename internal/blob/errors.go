package blob

import (
	"context"

	"hufu"
)

// What follows is for stores, so that all of them refuse the same with the same error.

// Fail returns the error of an operation on p.
func Fail(op string, p hufu.Path, kind hufu.Kind, code string) error {
	return &hufu.Error{Op: op, Path: p.String(), Kind: kind, Code: code}
}

// Canceled returns the error of an ended context, or nil.
func Canceled(ctx context.Context, op string, p hufu.Path) error {
	if ctx.Err() == nil {
		return nil
	}
	return &hufu.Error{Op: op, Path: p.String(), Kind: hufu.KindCanceled, Err: context.Cause(ctx)}
}

// CheckPath returns an error if p holds a name that is reserved for hufu.
func CheckPath(op string, p hufu.Path) error {
	if p.Reserved() {
		return Fail(op, p, hufu.KindInvalidPath, "name_reserved")
	}
	return nil
}

// CheckTarget is CheckPath for an entry that is made or changed: it refuses the root as well.
func CheckTarget(op string, p hufu.Path) error {
	if p.IsRoot() {
		return &hufu.Error{Op: op, Path: p.Virtual(), Kind: hufu.KindInvalidPath, Code: "root_folder"}
	}
	return CheckPath(op, p)
}
