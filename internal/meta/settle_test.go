package meta

import (
	"errors"
	"path/filepath"
	"testing"
)

// TestSettle: a transaction is in if it has left its stamp, and not if only the question has.
func TestSettle(t *testing.T) {
	t.Parallel()
	src, err := Parse("sqlite:"+filepath.Join(t.TempDir(), "hufu.db"), "")
	if err != nil {
		t.Fatal(err)
	}
	db, err := Open(t.Context(), src)
	if err != nil {
		t.Fatal(err)
	}
	n, err := db.Names()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := errors.Join(n.Close(), db.Close()); err != nil {
			t.Error(err)
		}
	}()
	unsure := errors.New("unsure")
	left, asked := NewID(), NewID()
	if err := n.stamp(t.Context(), left); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the answer to the first question may have been lost
		if err := n.settle(t.Context(), left, unsure); err != nil {
			t.Errorf("it is in: %v", err)
		}
		if err := n.settle(t.Context(), asked, unsure); !errors.Is(err, errNotIn) {
			t.Errorf("it is not in: %v", err)
		}
	}
}
