// Package files is the served files as users see them: ":/" is the user's own
// folder, ":/@shared/NAME" a folder shared by all. It turns a path into a place
// in a store exactly once, asks access whether the user may, and leaves bytes,
// names and durability to blob/disk. Everything a client sends is a claim
// until a function of this package has checked it.
package files

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
	"hufu/internal/access"
	"hufu/internal/atomicfile"
	"hufu/internal/blob/disk"
)

// UploadLife is how long an unfinished upload is kept for resuming.
const UploadLife = 7 * 24 * time.Hour

// Service serves one data folder.
type Service struct {
	users, shared, uploads string
	descriptors            *disk.Descriptors // of all stores together
	room                   *disk.Room        // likewise
	settled                *disk.Settled     // likewise
	log                    *slog.Logger

	mu     sync.Mutex         // guards what follows
	stores map[string]*opened // by folder
	idle   []string           // the folders of stores that nobody uses, longest first
	closed bool
}

// UploadRoom is how much memory the unfinished uploads of a server's real files
// may take: see docs/performance.md.
const UploadRoom = 128 << 20

// maxIdle is how many stores stay open that nobody uses. Each takes two
// descriptors, and opening one looks for what a crash has left.
const maxIdle = 64

// opened is a store that is open.
type opened struct {
	*disk.Store

	users int // views, and the look at old uploads
}

// Open serves the folders users/ and shared/ below dir, keeping the journals of
// unfinished uploads in uploads, and not more than room bytes of them in memory.
func Open(dir, uploads string, room int64, log *slog.Logger) (*Service, error) {
	s := &Service{
		users: filepath.Join(dir, "users"), shared: filepath.Join(dir, "shared"), uploads: uploads,
		descriptors: disk.NewDescriptors(0), settled: &disk.Settled{}, room: disk.NewRoom(room), log: log, stores: map[string]*opened{},
	}
	for _, d := range []string{s.users, s.shared, s.uploads} {
		if err := atomicfile.MkdirAll(d, 0o700); err != nil {
			return nil, &hufu.Error{Op: "open files", Path: d, Kind: hufu.KindUnreadable, Err: err}
		}
	}
	return s, nil
}

// Close closes all stores; nothing may be in use.
func (s *Service) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	var errs []error
	for _, st := range s.stores {
		errs = append(errs, st.Close())
	}
	clear(s.stores)
	s.idle = nil
	return errors.Join(errs...)
}

// Expire drops uploads that nobody went on with for UploadLife, also those of
// users who have not been here since the start.
func (s *Service) Expire() {
	for _, parent := range []string{s.users, s.shared} {
		list, err := os.ReadDir(filepath.Join(s.uploads, filepath.Base(parent)))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.log.Warn("expire uploads", "err", err)
		}
		for _, d := range list {
			journals, err := os.ReadDir(filepath.Join(s.uploads, filepath.Base(parent), d.Name()))
			if err != nil || len(journals) == 0 {
				continue
			}
			st, err := s.store(parent, d.Name(), false)
			if err != nil {
				continue // the folder is gone, its uploads with it
			}
			n, err := st.Expire(UploadLife)
			s.release(filepath.Join(parent, d.Name()))
			if err != nil {
				s.log.Warn("expire uploads", "err", err)
			} else if n > 0 {
				s.log.Info("expired uploads", "count", n)
			}
		}
	}
}

// store opens a store once, for one more user, who releases it. Names come from
// the account service or from a listing of the shared folder; both are single
// safe segments.
func (s *Service) store(parent, name string, create bool) (*disk.Store, error) {
	dir := filepath.Join(parent, name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.stores[dir]; o != nil {
		if o.users++; o.users == 1 {
			s.idle = slices.DeleteFunc(s.idle, func(d string) bool { return d == dir })
		}
		return o.Store, nil
	}
	if s.closed {
		return nil, &hufu.Error{Op: "open store", Kind: hufu.KindUnavailable, Code: "server_stopping"}
	}
	if create {
		if err := atomicfile.MkdirAll(dir, 0o700); err != nil {
			return nil, &hufu.Error{Op: "open store", Kind: hufu.KindUnreadable, Err: err}
		}
	} else if i, err := os.Lstat(dir); err != nil || !i.IsDir() {
		return nil, &hufu.Error{Op: "open store", Kind: hufu.KindNotFound, Err: err}
	}
	// Uploads of different stores have folders of their own, so that one
	// store's search for leftovers never meets another's.
	journals := filepath.Join(s.uploads, filepath.Base(parent), name)
	if err := atomicfile.MkdirAll(journals, 0o700); err != nil {
		return nil, &hufu.Error{Op: "open store", Kind: hufu.KindUnreadable, Err: err}
	}
	st, err := disk.Open(dir, disk.Options{Server: true, Uploads: journals, Descriptors: s.descriptors, Settled: s.settled, Room: s.room, Log: s.log})
	if err != nil {
		return nil, err
	}
	s.stores[dir] = &opened{st, 1}
	return st, nil
}

// release gives back what store returned, and closes the store that nobody has
// used for longest when too many are idle.
func (s *Service) release(dir string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.stores[dir]
	if o == nil { // all are closed
		return
	}
	if o.users--; o.users > 0 {
		return
	}
	if s.idle = append(s.idle, dir); len(s.idle) <= maxIdle {
		return
	}
	dir, s.idle = s.idle[0], s.idle[1:]
	if err := s.stores[dir].Close(); err != nil {
		s.log.Warn("close store", "err", err)
	}
	delete(s.stores, dir)
}

func (s *Service) sharedNames() ([]string, error) {
	list, err := os.ReadDir(s.shared)
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

// View is the files as one user on one device sees them.
type View struct {
	s        *Service
	sub      access.Subject
	admitted func() error
	stores   map[string]*disk.Store // in use, by folder
}

// For returns the view of a user. The name must be a valid user name. admitted
// reports why the user may no longer act at all; it is asked about every change
// at the moment of the change.
func (s *Service) For(user, device string, admitted func() error) *View {
	return &View{s, access.Subject{User: user, Device: device}, admitted, map[string]*disk.Store{}}
}

// Close gives back the stores that the view has used. Files, uploads and batches
// of the view must be closed before.
func (v *View) Close() {
	for dir := range v.stores {
		v.s.release(dir)
	}
	clear(v.stores)
}

// store is a store for as long as the view is open.
func (v *View) store(parent, name string, create bool) (*disk.Store, error) {
	dir := filepath.Join(parent, name)
	if st := v.stores[dir]; st != nil {
		return st, nil
	}
	st, err := v.s.store(parent, name, create)
	if err == nil {
		v.stores[dir] = st
	}
	return st, err
}

// spot is where a path stands.
type spot struct {
	store  *disk.Store // nil where the shared folders are listed
	place  hufu.Path   // of the root of the store, as the user sees it
	path   hufu.Path   // in store
	shared bool        // it matters who put there what stands there
}

// at is the only way from a path to a store: it resolves p and asks whether the
// user may do a there. Who put there what stands there now may not be who did
// when the change is made, so here it is taken to be the user; guard decides.
func (v *View) at(ctx context.Context, p hufu.Path, a access.Action) (spot, error) {
	if ctx.Err() != nil {
		return spot{}, &hufu.Error{Op: "resolve", Kind: hufu.KindCanceled, Err: context.Cause(ctx)}
	}
	if p.Reserved() {
		return spot{}, &hufu.Error{Op: "resolve", Kind: hufu.KindInvalidPath, Code: "name_reserved"}
	}
	first, rest := p.Cut()
	own := !strings.HasPrefix(first, "@")
	if !own && first != access.SharedName {
		return spot{}, &hufu.Error{Op: "resolve", Kind: hufu.KindInvalidPath, Code: "at_name"}
	}
	owner := ""
	if a != access.Read {
		owner = v.sub.User
	}
	if err := access.May(v.sub, a, p, owner); err != nil {
		return spot{}, err
	}
	if own {
		st, err := v.store(v.s.users, v.sub.User, true)
		return spot{store: st, path: p}, err
	}
	if rest.IsRoot() {
		return spot{}, nil
	}
	name, below := rest.Cut()
	if strings.HasPrefix(name, ".") || filepath.Base(name) != name || !filepath.IsLocal(name) {
		return spot{}, &hufu.Error{Op: "resolve", Kind: hufu.KindNotFound} // what sharedNames would never list
	}
	st, err := v.store(v.s.shared, name, false)
	return spot{store: st, place: sharedPlace(name), path: below, shared: access.ByOwner(p)}, err
}

// sharedPlace is the path of a shared folder; the name is a safe segment.
func sharedPlace(name string) hufu.Path {
	top, _ := hufu.Path{}.Join(access.SharedName)
	p, _ := top.Join(name)
	return p
}

// guard judges each change at the spot's place when the store makes it: whether
// the user may still act at all, and may do this to what stands there then.
func (v *View) guard(at spot) disk.Guard {
	return disk.Guard{Deep: at.shared, May: func(c disk.Change) error {
		if err := v.admitted(); err != nil {
			return err
		}
		p, err := at.place.Append(c.Path)
		switch {
		case err != nil:
		case c.Old == 0:
			err = access.May(v.sub, access.Create, p, "")
		default:
			err = v.may(access.Change, p, c.Owner)
		}
		if err == nil && c.New == hufu.Link {
			err = v.may(access.Link, p, c.FolderOwner)
		}
		return err
	}}
}

// may asks for the owner only where it matters.
func (v *View) may(a access.Action, p hufu.Path, owner func() string) error {
	if !access.ByOwner(p) {
		return access.May(v.sub, a, p, "")
	}
	return access.May(v.sub, a, p, owner())
}

// readable resolves a path for reading a file.
func (v *View) readable(ctx context.Context, p hufu.Path) (spot, error) {
	at, err := v.at(ctx, p, access.Read)
	if err == nil && at.store == nil {
		err = &hufu.Error{Op: "read", Kind: hufu.KindWrongKind, Code: "is_a_folder"}
	}
	return at, err
}

// Stat tells what stands under p.
func (v *View) Stat(ctx context.Context, p hufu.Path) (hufu.Entry, error) {
	at, err := v.at(ctx, p, access.Read)
	if err != nil {
		return hufu.Entry{}, err
	}
	if at.store == nil {
		return hufu.Entry{Name: p.Base(), Kind: hufu.Folder, Mode: 0o755}, nil
	}
	return at.store.Stat(at.path)
}

// List gives the entries of a folder to yield, in any order.
func (v *View) List(ctx context.Context, p hufu.Path, yield func(hufu.Entry) error) error {
	at, err := v.at(ctx, p, access.Read)
	if err != nil {
		return err
	}
	if at.store != nil {
		return at.store.List(ctx, at.path, yield)
	}
	names, err := v.s.sharedNames()
	if err != nil {
		return err
	}
	for _, n := range names {
		e, err := v.Stat(ctx, sharedPlace(n))
		if k := hufu.KindOf(err); err != nil && (k == hufu.KindPermission || k == hufu.KindNotFound) {
			continue // none of the user's, or gone since
		}
		if err != nil {
			return err
		}
		e.Name = n
		if err := yield(e); err != nil {
			return err
		}
	}
	return nil
}

// Open opens a file for reading one version of it, by o.
func (v *View) Open(ctx context.Context, p hufu.Path, o *disk.Opener) (*disk.File, error) {
	at, err := v.readable(ctx, p)
	if err != nil {
		return nil, err
	}
	return o.Open(at.store, at.path)
}

// Digest reads a file and hashes it, unless ctx ends before.
func (v *View) Digest(ctx context.Context, p hufu.Path) (hufu.Entry, error) {
	at, err := v.readable(ctx, p)
	if err != nil {
		return hufu.Entry{}, err
	}
	return at.store.Digest(ctx, at.path)
}

// Space is how much room there is where p stands, in bytes.
func (v *View) Space(ctx context.Context, p hufu.Path) (free, total int64, err error) {
	at, err := v.at(ctx, p, access.Read)
	if err != nil || at.store == nil {
		return 0, 0, err
	}
	return at.store.Free()
}
