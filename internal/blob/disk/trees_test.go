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

// TestReplacedFolderIsOpened: if an administrator puts another folder in the place of a shared one, the
// next view has the new one; views of the old one keep it until they are closed.
func TestReplacedFolderIsOpened(t *testing.T) {
	t.Parallel()
	trees := newTrees(t)
	ctx := t.Context()
	common := filepath.Join(trees.shared, "common")
	shared := func() blob.Tree {
		t.Helper()
		tree, err := trees.Shared(ctx, "common")
		if err != nil {
			t.Fatal(err)
		}
		return tree
	}
	holds := func(tree blob.Tree, name string) {
		t.Helper()
		p, err := hufu.ParsePath(name)
		if err == nil {
			_, err = tree.Stat(ctx, p)
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	inUse := shared()
	for i := range 3 { // the second time the store in use is not the one that is replaced
		name := fmt.Sprint("new", i)
		err := os.Rename(common, common+fmt.Sprint(i))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := trees.Shared(ctx, "common"); hufu.KindOf(err) != hufu.KindNotFound {
			t.Errorf("without a folder: %v", err)
		}
		if err := os.MkdirAll(filepath.Join(common, name), 0o700); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			if err := os.Mkdir(filepath.Join(common+"0", "old"), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		tree := shared()
		holds(tree, name)
		holds(inUse, "old")
		_ = tree.Close()
	}
	_ = inUse.Close()
	trees.mu.Lock()
	defer trees.mu.Unlock()
	if len(trees.stores) != 1 || len(trees.idle) != 1 || len(trees.replaced) != 0 {
		t.Errorf("%d open, %d idle, %d replaced, want 1, 1, 0", len(trees.stores), len(trees.idle), len(trees.replaced))
	}
}
