package disk

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/digest"
)

func newTrees(t *testing.T) *Trees {
	t.Helper()
	dir := t.TempDir()
	trees, err := OpenTrees(filepath.Join(dir, "files"), filepath.Join(dir, "uploads"), UploadRoom, slog.New(slog.DiscardHandler))
	if err == nil {
		err = os.Mkdir(filepath.Join(dir, "files", "shared", "common"), 0o700)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = trees.Close() })
	return trees
}

// TestIdleStoresAreClosed: of the stores that nobody uses only some stay open, the
// last ones; one in use stays, and a closed one opens again.
func TestIdleStoresAreClosed(t *testing.T) {
	t.Parallel()
	trees := newTrees(t)
	ctx := t.Context()
	use := func(open func() (blob.Tree, error)) blob.Tree {
		t.Helper()
		tree, err := open()
		if err == nil {
			_, err = tree.Stat(ctx, hufu.Path{})
		}
		if err != nil {
			t.Fatal(err)
		}
		return tree
	}
	user := func(name string) blob.Tree {
		return use(func() (blob.Tree, error) { return trees.User(ctx, name) })
	}
	alice := user("alice")
	for round := range 2 {
		for i := range maxIdle + 10 {
			name := fmt.Sprint("user", i)
			first, common, second := user(name), use(func() (blob.Tree, error) { return trees.Shared(ctx, "common") }), user(name)
			_, _, _ = first.Close(), first.Close(), common.Close() // the second one changes nothing
			if _, err := second.Stat(ctx, hufu.Path{}); err != nil {
				t.Fatal(err)
			}
			_ = second.Close()
		}
		if _, err := trees.Expire(ctx, time.Hour); err != nil {
			t.Fatal(err)
		}
		trees.mu.Lock()
		if len(trees.idle) != maxIdle || len(trees.stores) != maxIdle+1 || trees.stores[filepath.Join(trees.users, "alice")] == nil {
			t.Errorf("round %d: %d idle, %d open", round, len(trees.idle), len(trees.stores))
		}
		if last := filepath.Join(trees.users, fmt.Sprint("user", maxIdle+9)); trees.stores[last] == nil {
			t.Error("the last one is closed")
		}
		trees.mu.Unlock()
	}
	if _, err := alice.Stat(ctx, hufu.Path{}); err != nil {
		t.Error(err)
	}
	_ = alice.Close()
	_ = user("alice").Close()
}

// TestRoomIsCountedOnce: unfinished uploads take their room once, however often
// the stores of their users are closed and opened again.
func TestRoomIsCountedOnce(t *testing.T) {
	t.Parallel()
	trees := newTrees(t)
	ctx := t.Context()
	data := bytes.Repeat([]byte{7}, 2*hufu.ChunkSize)
	p, err := hufu.ParsePath("f")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 { // more than there are idle stores
		tree, err := trees.User(ctx, fmt.Sprint("user", i))
		if err != nil {
			t.Fatal(err)
		}
		u, err := tree.OpenUpload(ctx, blob.UploadKey{Path: p, Size: int64(len(data)), Source: "source", Owner: fmt.Sprintf("user%d/pc", i)}, blob.Guard{})
		if err == nil {
			err = u.Write(ctx, 0, data[:hufu.ChunkSize], digest.Chunk(data[:hufu.ChunkSize], 0))
		}
		if err != nil {
			t.Fatal(err)
		}
		_, _ = u.Close(), tree.Close()
	}
	most := trees.o.Room.Used()
	for i := range 5 {
		if _, err := trees.Expire(ctx, time.Hour); err != nil { // as the server does by itself each hour
			t.Fatal(err)
		}
		if used := trees.o.Room.Used(); used > most {
			t.Fatalf("%d bytes after looking at all %d times, %d before", used, i+1, most)
		}
	}
}
