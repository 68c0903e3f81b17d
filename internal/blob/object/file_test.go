package object_test

import (
	"context"
	"errors"
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

// TestFilesOfOneFolderAreOpenedInOneStatement: several files are opened together, each with its bytes
// or its error.
func TestFilesOfOneFolderAreOpenedInOneStatement(t *testing.T) {
	t.Parallel()
	_, b := newFake(t)
	alice := tree(t, object.NewTrees(database(t), b, object.Options{Installation: "test"}))
	for _, name := range []string{"d/a", "d/b", "d/c", "d/folder/x", "e/f"} {
		must(t, put(t, alice, name, []byte("text of "+name)))
	}
	far, ok := alice.(blob.Distant)
	if !ok {
		t.Fatal("not distant")
	}
	calls := &atomic.Int64{}
	ctx := traced{t.Context(), func() { calls.Add(1) }, []string{"(*DB).QueryContext", "(*Tx).QueryContext", "(*DB).BeginTx"}}
	_, errs := far.OpenTogether(ctx, []hufu.Path{path(t, "d/a")})
	must(t, errs[0])
	one := calls.Swap(0)
	_, errs = far.OpenTogether(ctx, []hufu.Path{path(t, "d/a"), path(t, "d/b"), path(t, "d/c")})
	must(t, errors.Join(errs...))
	if got := calls.Load(); got != one {
		t.Errorf("three files looked at the context %d times, one %d times", got, one)
	}
	paths := []hufu.Path{path(t, "d/b"), path(t, "d/folder"), path(t, "e/f"), path(t, "d/none"), {}, path(t, "d/a/x"), path(t, "d/b")}
	files, errs := far.OpenTogether(t.Context(), paths)
	for i, kind := range []hufu.Kind{0, hufu.KindWrongKind, 0, hufu.KindNotFound, hufu.KindWrongKind, hufu.KindWrongKind, 0} {
		if kind != 0 {
			if files[i] != nil || hufu.KindOf(errs[i]) != kind {
				t.Errorf("%s: %v, want %v", paths[i], errs[i], kind)
			}
			continue
		}
		must(t, errs[i])
		if got, err := files[i].Whole(t.Context(), make([]byte, hufu.ChunkSize)); err != nil || string(got) != "text of "+paths[i].String() {
			t.Errorf("%s: %q %v", paths[i], got, err)
		}
	}
}
