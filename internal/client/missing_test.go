package client

import (
	"io/fs"
	"testing"

	"hufu"
)

// TestMissingSaysWhy: a source that this user cannot read is reported as such, not as any failure of
// reading or writing.
func TestMissingSaysWhy(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]string{fs.ErrNotExist: "no_such_file", fs.ErrPermission: "file_unreadable"} {
		if got := hufu.CodeOf(Missing("put", "x", &fs.PathError{Op: "stat", Path: "x", Err: err}, "")); got != want {
			t.Errorf("%v: %q, not %q", err, got, want)
		}
	}
}
