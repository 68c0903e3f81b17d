package disk

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"hufu"
	"hufu/internal/atomicfile"
	"hufu/internal/blob"
	"hufu/internal/blob/disk/sys"
)

// UploadRoom is the memory in bytes that the unfinished uploads of a server may
// take: see docs/performance.md.
const UploadRoom = 128 << 20

// maxIdle is the number of unused stores that stay open. Each holds two descriptors. A store that is
// opened again searches for leftovers of a crash.
const maxIdle = 64

// Trees are the trees of a server's data folder: users/NAME and shared/NAME. A
// tree that is opened several times is one store.
type Trees struct {
	users, shared, uploads string
	o                      Options // of every store, but for the folder of its uploads

	mu       sync.Mutex         // guards the fields below
	stores   map[string]*opened // by folder
	idle     []*opened          // unused stores, longest unused first
	replaced map[*opened]bool   // stores in use whose folder was replaced by another
	closed   bool
}

// opened is an open store.
type opened struct {
	*Store
	dir   string
	users int
}

// OpenTrees opens the folders users/ and shared/ below dir, which it creates if
// needed. The journals of unfinished uploads are in the folder uploads; they
// take at most room bytes of memory.
func OpenTrees(dir, uploads string, room int64, log *slog.Logger) (*Trees, error) {
	t := &Trees{
		users: filepath.Join(dir, "users"), shared: filepath.Join(dir, "shared"), uploads: uploads,
		o:      Options{Server: true, Descriptors: NewDescriptors(0), Settled: &Settled{}, Room: blob.NewRoom(room), Names: NewKeptNames(ListingRoom), Log: log},
		stores: map[string]*opened{}, replaced: map[*opened]bool{},
	}
	for _, d := range []string{t.users, t.shared, t.uploads} {
		if err := atomicfile.MkdirAll(d, 0o700); err != nil {
			return nil, &hufu.Error{Op: "open files", Path: d, Kind: hufu.KindUnreadable, Err: err}
		}
	}
	return t, nil
}

// Close closes all stores, which must not be in use.
func (t *Trees) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	var errs []error
	for _, st := range t.stores {
		errs = append(errs, st.Close())
	}
	for st := range t.replaced {
		errs = append(errs, st.Close())
	}
	clear(t.stores)
	clear(t.replaced)
	t.idle = nil
	return errors.Join(errs...)
}

// User opens the tree of a user, which it creates if needed. The name must be a
// valid user name.
func (t *Trees) User(ctx context.Context, name string) (blob.Tree, error) {
	return t.lend(ctx, t.users, name, true)
}

// Shared opens a shared folder. The error is KindNotFound if there is none of
// that name.
func (t *Trees) Shared(ctx context.Context, name string) (blob.Tree, error) {
	if strings.HasPrefix(name, ".") || filepath.Base(name) != name || !filepath.IsLocal(name) {
		return nil, &hufu.Error{Op: "open store", Kind: hufu.KindNotFound} // SharedNames never lists it
	}
	return t.lend(ctx, t.shared, name, false)
}

// SharedNames returns the names of the shared folders.
func (t *Trees) SharedNames(context.Context) ([]string, error) {
	list, err := os.ReadDir(t.shared)
	if err != nil {
		return nil, &hufu.Error{Op: "list shared", Kind: hufu.KindUnreadable, Err: err}
	}
	var names []string
	for _, d := range list {
		if d.Type() == fs.ModeDir && !strings.HasPrefix(d.Name(), ".") {
			names = append(names, d.Name())
		}
	}
	return names, nil
}

// Expire gives up the unfinished uploads that have received nothing for olderThan, also those of
// users who have not connected since the start, and returns how many.
func (t *Trees) Expire(ctx context.Context, olderThan time.Duration) (int, error) {
	removed := 0
	var errs []error
	for _, parent := range []string{t.users, t.shared} {
		list, err := os.ReadDir(filepath.Join(t.uploads, filepath.Base(parent)))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
		for _, d := range list {
			journals, err := os.ReadDir(filepath.Join(t.uploads, filepath.Base(parent), d.Name()))
			if err != nil || len(journals) == 0 {
				continue
			}
			st, err := t.store(ctx, parent, d.Name(), false)
			if err != nil {
				continue // it cannot be opened now; its journals stay
			}
			n, err := st.Expire(olderThan)
			t.release(st)
			removed += n
			errs = append(errs, err)
		}
	}
	return removed, errors.Join(errs...)
}

// lent is one caller's handle of a store. Close gives it back.
type lent struct {
	*Store
	giveBack func()
}

// Close returns the store. A second Close does nothing.
func (l *lent) Close() error {
	l.giveBack()
	return nil
}

func (t *Trees) lend(ctx context.Context, parent, name string, create bool) (blob.Tree, error) {
	s, err := t.store(ctx, parent, name, create)
	if err != nil {
		return nil, err
	}
	return &lent{s.Store, sync.OnceFunc(func() { t.release(s) })}, nil
}

// store opens a store, or returns the open one, and counts one more holder, who must call
// release. Names come from the account service or from a listing of the shared folder; both are
// single safe segments. If the folder of the open store was replaced by another folder, that one is
// opened.
func (t *Trees) store(ctx context.Context, parent, name string, create bool) (*opened, error) {
	if err := canceled(ctx, "open store", hufu.Path{}); err != nil {
		return nil, err
	}
	dir := filepath.Join(parent, name)
	t.mu.Lock()
	o := t.holdLocked(dir)
	t.mu.Unlock()
	if o != nil {
		if o.isAt(dir) { // a disk that does not answer must not hold the others up
			return o, nil
		}
		t.mu.Lock()
		if t.stores[dir] == o {
			delete(t.stores, dir)
			t.replaced[o] = true
		}
		t.mu.Unlock()
		t.release(o)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if o := t.holdLocked(dir); o != nil { // another caller has just opened it
		return o, nil
	}
	if t.closed {
		return nil, &hufu.Error{Op: "open store", Kind: hufu.KindUnavailable, Code: "server_stopping"}
	}
	if create {
		if err := atomicfile.MkdirAll(dir, 0o700); err != nil {
			return nil, &hufu.Error{Op: "open store", Kind: hufu.KindUnreadable, Err: err}
		}
	} else if i, err := os.Lstat(dir); err != nil || !i.IsDir() {
		return nil, &hufu.Error{Op: "open store", Kind: hufu.KindNotFound, Err: err}
	}
	// Each store has its own folder of uploads, so that the search for leftovers of one store
	// never meets the journals of another.
	journals := filepath.Join(t.uploads, filepath.Base(parent), name)
	if err := atomicfile.MkdirAll(journals, 0o700); err != nil {
		return nil, &hufu.Error{Op: "open store", Kind: hufu.KindUnreadable, Err: err}
	}
	opts := t.o
	opts.Uploads = journals
	st, err := Open(dir, opts)
	if err != nil {
		return nil, err
	}
	o = &opened{st, dir, 1}
	t.stores[dir] = o
	return o, nil
}

// holdLocked counts one more holder of the open store of dir and returns it, or nil if there is none.
func (t *Trees) holdLocked(dir string) *opened {
	o := t.stores[dir]
	if o == nil {
		return nil
	}
	if o.users++; o.users == 1 {
		t.idle = slices.DeleteFunc(t.idle, func(i *opened) bool { return i == o })
	}
	return o
}

// isAt reports whether dir is the folder that the store has open. On Windows, or after an error
// other than that there is none, it returns true.
func (o *opened) isAt(dir string) bool {
	mine, err := o.root.Self()
	if err != nil {
		return true
	}
	d, err := sys.OpenRoot(dir)
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist)
	}
	defer d.Close()
	n, err := d.Self()
	return err != nil || n.SameFile(&mine)
}

// release returns the store. It closes the one that was unused longest if too many are idle, and
// this one if its folder was replaced.
func (t *Trees) release(o *opened) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if o.users--; o.users > 0 || t.closed {
		return
	}
	if t.replaced[o] {
		delete(t.replaced, o)
		t.close(o)
		return
	}
	if t.idle = append(t.idle, o); len(t.idle) <= maxIdle {
		return
	}
	o, t.idle = t.idle[0], t.idle[1:]
	delete(t.stores, o.dir)
	t.close(o)
}

func (t *Trees) close(o *opened) {
	if err := o.Close(); err != nil && t.o.Log != nil {
		t.o.Log.Warn("close store", "err", err)
	}
}
