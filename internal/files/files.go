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
	"strings"
	"sync"
	"time"

	"hufu"
	"hufu/internal/access"
	"hufu/internal/atomicfile"
	"hufu/internal/blob/disk"
)

// SharedName is the folder at the top under which shared folders appear.
const SharedName = "@shared"

// UploadLife is how long an unfinished upload is kept for resuming.
const UploadLife = 7 * 24 * time.Hour

// Service serves one data folder.
type Service struct {
	users, shared, uploads string
	descriptors            *disk.Descriptors // of all stores together
	log                    *slog.Logger

	mu     sync.Mutex
	stores map[string]*disk.Store // by folder
	closed bool

	pages chan struct{} // taken while a page of a listing is looked for
}

// Open serves the folders users/ and shared/ below dir, keeping the journals of
// unfinished uploads in uploads.
func Open(dir, uploads string, log *slog.Logger) (*Service, error) {
	s := &Service{
		users: filepath.Join(dir, "users"), shared: filepath.Join(dir, "shared"), uploads: uploads,
		descriptors: disk.NewDescriptors(0), log: log, stores: map[string]*disk.Store{},
		pages: make(chan struct{}, pagesAtOnce),
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
			if n, err := st.Expire(UploadLife); err != nil {
				s.log.Warn("expire uploads", "err", err)
			} else if n > 0 {
				s.log.Info("expired uploads", "count", n)
			}
		}
	}
}

// store opens a store once. Names come from the account service or from a
// listing of the shared folder; both are single safe segments.
func (s *Service) store(parent, name string, create bool) (*disk.Store, error) {
	dir := filepath.Join(parent, name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if st := s.stores[dir]; st != nil {
		return st, nil
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
	st, err := disk.Open(dir, disk.Options{Server: true, Uploads: journals, Descriptors: s.descriptors, Log: s.log})
	if err != nil {
		return nil, err
	}
	s.stores[dir] = st
	return st, nil
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
	s      *Service
	user   string
	device string
}

// For returns the view of a user. The name must be a valid user name.
func (s *Service) For(user, device string) *View { return &View{s, user, device} }

// spot is where a path stands.
type spot struct {
	place access.Place
	store *disk.Store // nil on a signpost
	path  hufu.Path   // in store
	name  string      // of a signpost: "", SharedName
}

func (v *View) resolve(p hufu.Path) (spot, error) {
	if p.Reserved() {
		return spot{}, &hufu.Error{Op: "resolve", Kind: hufu.KindInvalidPath, Code: "name_reserved"}
	}
	first, rest := p.Cut()
	if !strings.HasPrefix(first, "@") {
		st, err := v.s.store(v.s.users, v.user, true)
		return spot{place: access.Own, store: st, path: p}, err
	}
	if first != SharedName {
		return spot{}, &hufu.Error{Op: "resolve", Kind: hufu.KindInvalidPath, Code: "at_name"}
	}
	if rest.IsRoot() {
		return spot{place: access.Signpost, name: SharedName}, nil
	}
	name, rest := rest.Cut()
	if strings.HasPrefix(name, ".") || filepath.Base(name) != name || !filepath.IsLocal(name) {
		return spot{}, &hufu.Error{Op: "resolve", Kind: hufu.KindNotFound} // what sharedNames would never list
	}
	st, err := v.s.store(v.s.shared, name, false)
	return spot{place: access.Shared, store: st, path: rest}, err
}

// readable resolves a path for reading.
func (v *View) readable(p hufu.Path) (spot, error) {
	at, err := v.resolve(p)
	if err != nil {
		return at, err
	}
	if at.store == nil {
		return at, &hufu.Error{Op: "read", Kind: hufu.KindWrongKind, Code: "is_a_folder"}
	}
	return at, access.May(v.user, access.Read, at.place, "")
}

// Stat tells what stands under p.
func (v *View) Stat(p hufu.Path) (hufu.Entry, error) {
	at, err := v.resolve(p)
	if err != nil {
		return hufu.Entry{}, err
	}
	if at.store == nil {
		return signpost(at.name), nil
	}
	return at.store.Stat(at.path)
}

func signpost(name string) hufu.Entry {
	return hufu.Entry{Name: name, Kind: hufu.Folder, Mode: 0o755}
}

// List gives the entries of a folder to yield, in any order.
func (v *View) List(p hufu.Path, yield func(hufu.Entry) error) error {
	at, err := v.resolve(p)
	if err != nil {
		return err
	}
	if at.store != nil {
		return at.store.List(at.path, yield)
	}
	names, err := v.s.sharedNames()
	if err != nil {
		return err
	}
	for _, n := range names {
		st, err := v.s.store(v.s.shared, n, false)
		if err != nil {
			return err
		}
		e, err := st.Stat(hufu.Path{})
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
func (v *View) Open(p hufu.Path, o *disk.Opener) (*disk.File, error) {
	at, err := v.readable(p)
	if err != nil {
		return nil, err
	}
	return o.Open(at.store, at.path)
}

// Digest reads a file and hashes it, unless ctx ends before.
func (v *View) Digest(ctx context.Context, p hufu.Path) (hufu.Entry, error) {
	at, err := v.readable(p)
	if err != nil {
		return hufu.Entry{}, err
	}
	return at.store.Digest(ctx, at.path)
}

// Space is how much room there is where p stands, in bytes.
func (v *View) Space(p hufu.Path) (free, total int64, err error) {
	at, err := v.resolve(p)
	if err != nil {
		return 0, 0, err
	}
	if at.store == nil {
		return 0, 0, nil
	}
	return at.store.Free()
}
