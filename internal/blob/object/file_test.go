package object_test

import (
	"context"
	"sync/atomic"
	"testing"

	"hufu"
	"hufu/internal/blob"
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

// TestASmallFileIsReadInOneStatement: a small file is found and read in one statement, after which
// nothing need be checked; that it was replaced since, Check tells all the same.
func TestASmallFileIsReadInOneStatement(t *testing.T) {
	t.Parallel()
	_, b := newFake(t)
	alice := tree(t, object.NewTrees(database(t), b, object.Options{Installation: "test"}))
	must(t, put(t, alice, "a/b/f", []byte("text")))
	calls := &atomic.Int64{}
	ctx := traced{t.Context(), func() { calls.Add(1) }, []string{"(*DB).QueryContext", "(*Tx).QueryContext", "(*DB).BeginTx"}}
	o := alice.Opener()
	defer o.Close()
	f, err := o.Open(ctx, path(t, "a/b/f"), "")
	must(t, err)
	defer func() { _ = f.Close() }()
	got, err := f.Whole(ctx, make([]byte, hufu.ChunkSize))
	must(t, err)
	must(t, blob.CheckRead(ctx, f))
	if string(got) != "text" {
		t.Errorf("%q", got)
	}
	one := calls.Swap(0) // one statement looks at its context several times
	must(t, f.Check(ctx))
	if again := calls.Load(); one == 0 || again == 0 || one > again {
		t.Errorf("finding and reading it looked at the context %d times, one statement %d times", one, again)
	}
	must(t, put(t, alice, "a/b/f", []byte("other")))
	if err := f.Check(t.Context()); hufu.KindOf(err) != hufu.KindChanged {
		t.Error(err)
	}
}
