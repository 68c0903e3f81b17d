package object_test

import (
	"context"
	"testing"

	"hufu"
	"hufu/internal/blob/object"
)

// TestCheckEndsWithItsContext: the last look at a file asks the database, and does not go on for a
// client that has gone, or a server that stops.
func TestCheckEndsWithItsContext(t *testing.T) {
	t.Parallel()
	_, b := newFake(t)
	alice := tree(t, object.NewTrees(database(t), b, object.Options{Installation: "test"}))
	must(t, put(t, alice, "f", []byte("text")))
	o := alice.Opener()
	defer o.Close()
	f, err := o.Open(t.Context(), path(t, "f"), "")
	must(t, err)
	defer func() { _ = f.Close() }()
	must(t, f.Check(t.Context()))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.Check(ctx); hufu.KindOf(err) != hufu.KindCanceled {
		t.Error(err)
	}
}
