package mem

import (
	"context"
	"sync"
	"time"

	"hufu"
	"hufu/internal/blob"
)

// Trees holds a tree for each user, which share one Room. There are no shared
// folders.
type Trees struct {
	o Options

	mu    sync.Mutex // guards what follows
	users map[string]*Tree
}

// NewTrees returns an empty Trees; o are the options of each tree.
func NewTrees(o Options) *Trees {
	if o.Room == nil {
		o.Room = NewRoom(1<<63 - 1)
	}
	return &Trees{o: o, users: map[string]*Tree{}}
}

// User opens the tree of a user, which is empty the first time. Its name counts
// against the Room.
func (t *Trees) User(_ context.Context, name string) (blob.Tree, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.users[name] == nil {
		if !t.o.Room.take(nameCost) {
			return nil, blob.Fail("open store", hufu.Path{}, hufu.KindQuota, "disk_full")
		}
		t.users[name] = New(t.o)
	}
	return t.users[name], nil
}

// Shared always returns a not-found error.
func (t *Trees) Shared(context.Context, string) (blob.Tree, error) {
	return nil, blob.Fail("open store", hufu.Path{}, hufu.KindNotFound, "")
}

// SharedNames returns nothing.
func (t *Trees) SharedNames(context.Context) ([]string, error) { return nil, nil }

// Expire removes nothing: uploads in memory have no age.
func (t *Trees) Expire(context.Context, time.Duration) (int, error) { return 0, nil }

// Close drops all trees.
func (t *Trees) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.users)
	return nil
}
