// Package files shows a user the files of the server: ":/" is the user's own folder,
// ":/@shared/NAME" a folder for all users. View.at is the only way from a path to a store; it asks
// package access. Bytes, names and durability are left to a blob.Tree. A path that a client sends
// is a claim until a function of this package has checked it; package server checks digests and the
// form of chunks.
package files

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"hufu"
	"hufu/internal/access"
	"hufu/internal/blob"
)

// UploadLife is how long an unfinished upload is kept for resuming.
const UploadLife = 7 * 24 * time.Hour

// Stores opens the trees that a Service serves. Closing a tree gives it back.
type Stores interface {
	// User opens the tree of a user, and makes it if need be. The name must be a
	// valid user name.
	User(ctx context.Context, name string) (blob.Tree, error)
	// Shared opens a shared folder. If there is none of that name, the error is
	// KindNotFound.
	Shared(ctx context.Context, name string) (blob.Tree, error)
	// SharedNames returns the names of the shared folders.
	SharedNames(ctx context.Context) ([]string, error)
	// Expire removes unfinished uploads to which nothing was added for so long,
	// and returns how many.
	Expire(ctx context.Context, olderThan time.Duration) (int, error)
	// Close closes all stores, which must not be in use.
	Close() error
}

// Service serves the files of one server.
type Service struct {
	stores     Stores
	log        *slog.Logger
	puts, gets atomic.Int64
}

// New serves the trees of stores.
func New(stores Stores, log *slog.Logger) *Service { return &Service{stores: stores, log: log} }

// Close closes the stores; nothing may be in use.
func (s *Service) Close() error { return s.stores.Close() }

// Expire removes uploads to which nothing was added for UploadLife.
func (s *Service) Expire(ctx context.Context) {
	n, err := s.stores.Expire(ctx, UploadLife)
	if err != nil {
		s.log.Warn("expire uploads", "err", err)
	}
	if n > 0 {
		s.log.Info("expired uploads", "count", n)
	}
}

// View is the files as one user on one device sees them. It is not for concurrent use,
// but its guards are: a store may call them on any goroutine.
type View struct {
	s        *Service
	sub      access.Subject
	mayAct   func() error
	last     func(context.Context) error
	opener   blob.Opener // of openerOf, nil before the first Open
	openerOf blob.Tree
	listings []listing // longest unused first
	log      slog.Handler
	stores   map[hufu.Path]blob.Tree // in use, by the place of their root
}

// For returns the view of a user. The name must be a valid user name. mayAct returns why the user
// may no longer act at all, or nil; it is asked about every change at the moment of the change. log
// gets a line for each LogGet and for each request that changed something, except changes of mode or
// time. Folders that existed already, and missing parent folders that a change created, have none.
func (s *Service) For(user, device string, mayAct func() error, log slog.Handler) *View {
	return &View{s: s, sub: access.Subject{User: user, Device: device}, mayAct: mayAct, log: log, stores: map[hufu.Path]blob.Tree{}}
}

// Fence sets a last check for stores that several processes change: such a store calls last right
// before it makes a change durable. last asks the database, and returns why the user may no longer
// act, or nil; see blob.Guard.
func (v *View) Fence(last func(context.Context) error) { v.last = last }

// Close closes the stores that the view has used. Files, uploads and batches
// of the view must be closed before.
func (v *View) Close() {
	v.LetGo()
	v.opener, v.openerOf = nil, nil
	for _, l := range v.listings {
		l.lister.Close()
	}
	v.listings = nil
	for _, t := range v.stores {
		if err := t.Close(); err != nil {
			v.s.log.Warn("close store", "err", err)
		}
	}
	clear(v.stores)
}

// store returns the tree at a place. It opens the tree at the first use and keeps it until Close.
func (v *View) store(ctx context.Context, place hufu.Path, open func(ctx context.Context, name string) (blob.Tree, error), name string) (blob.Tree, error) {
	if t := v.stores[place]; t != nil {
		return t, nil
	}
	t, err := open(ctx, name)
	if err == nil {
		v.stores[place] = t
	}
	return t, err
}

// spot is the tree and the path in it that a path of the user means.
type spot struct {
	store   blob.Tree // nil where the shared folders are listed
	place   hufu.Path // of the root of the store, as the user sees it
	path    hufu.Path // in store
	byOwner bool      // the owner of the entry matters
}

// at is the only way from a path to a store: it resolves p and checks that the user may perform the
// action a at p. Another entry may be there when the store makes the change, so here the user counts as
// the owner; guard checks the real owner when the change is made.
func (v *View) at(ctx context.Context, p hufu.Path, a access.Action) (spot, error) {
	if ctx.Err() != nil {
		return spot{}, &hufu.Error{Op: "resolve", Kind: hufu.KindCanceled, Err: context.Cause(ctx)}
	}
	if p.Reserved() {
		return spot{}, &hufu.Error{Op: "resolve", Kind: hufu.KindInvalidPath, Code: "name_reserved"}
	}
	first, rest := p.Cut()
	own := !strings.HasPrefix(first, "@")
	if !own && first != hufu.SharedName {
		return spot{}, &hufu.Error{Op: "resolve", Kind: hufu.KindInvalidPath, Code: "at_name"}
	}
	owner := ""
	if a != access.Read {
		owner = v.sub.User
	}
	if err := access.May(v.sub, a, p, owner); err != nil {
		if a != access.Read && !own && !rest.IsRoot() { // if the shared folder does not exist, the answer is not_found instead of permission
			if _, missing := v.at(ctx, p, access.Read); hufu.KindOf(missing) == hufu.KindNotFound {
				err = missing
			}
		}
		return spot{}, err
	}
	if own {
		st, err := v.store(ctx, hufu.Path{}, v.s.stores.User, v.sub.User)
		return spot{store: st, path: p}, err
	}
	if rest.IsRoot() {
		return spot{}, nil
	}
	name, below := rest.Cut()
	place := sharedPlace(name)
	st, err := v.store(ctx, place, v.s.stores.Shared, name)
	if hufu.KindOf(err) == hufu.KindNotFound {
		args := map[string]string{"folder": place.Remote()}
		return spot{}, &hufu.Error{Op: "resolve", Kind: hufu.KindNotFound, Code: "shared_missing", Args: args, Err: err}
	}
	return spot{store: st, place: place, path: below, byOwner: access.ByOwner(p)}, err
}

// sharedPlace returns the path of a shared folder; the name is a safe segment.
func sharedPlace(name string) hufu.Path {
	top, _ := hufu.Path{}.Join(hufu.SharedName)
	p, _ := top.Join(name)
	return p
}

// guard judges each change at the spot's place when the store makes it: whether
// the user may still act at all, and may do this to the entry that exists then.
func (v *View) guard(at spot) blob.Guard {
	return blob.Guard{Deep: at.byOwner, Last: v.last, May: func(_ context.Context, c blob.Change) error {
		if err := v.mayAct(); err != nil {
			return err
		}
		p, err := at.place.Append(c.Path)
		switch {
		case err != nil:
		case c.Old == 0:
			err = access.May(v.sub, access.Create, p, "")
		default:
			err = v.may(access.Change, p, c.Owners.Owner)
		}
		if err == nil && c.New == hufu.Link {
			err = v.may(access.Link, p, c.Owners.FolderOwner)
		}
		return err
	}}
}

// may looks up the owner only where it matters.
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

// Stat describes the entry at p.
func (v *View) Stat(ctx context.Context, p hufu.Path) (hufu.Entry, error) {
	at, err := v.at(ctx, p, access.Read)
	if err != nil {
		return hufu.Entry{}, err
	}
	if at.store == nil {
		return hufu.Entry{Name: p.Base(), Kind: hufu.Folder, Mode: 0o755}, nil
	}
	return at.store.Stat(ctx, at.path)
}

// List gives the entries of a folder to yield, in any order. r has no Limit.
func (v *View) List(ctx context.Context, p hufu.Path, r blob.Page, yield func(hufu.Entry) error) error {
	at, err := v.at(ctx, p, access.Read)
	if err != nil {
		return err
	}
	if at.store != nil {
		_, err := at.store.List(ctx, at.path, r, yield)
		return err
	}
	names, err := v.s.stores.SharedNames(ctx)
	if err != nil {
		return err
	}
	for _, n := range names {
		e, err := v.Stat(ctx, sharedPlace(n))
		if k := hufu.KindOf(err); err != nil && (k == hufu.KindPermission || k == hufu.KindNotFound) {
			continue // the user may not read it, or it was removed meanwhile
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

// Open opens a file for reading one version of it. The folder stays open for the
// next file in it, until LetGo.
func (v *View) Open(ctx context.Context, p hufu.Path) (blob.File, error) {
	at, err := v.readable(ctx, p)
	if err != nil {
		return nil, err
	}
	if v.opener == nil || v.openerOf != at.store {
		v.LetGo()
		v.opener, v.openerOf = at.store.Opener(), at.store
	}
	return v.opener.Open(ctx, at.path, "")
}

// Distant reports whether the tree of the last Open is a blob.Distant.
func (v *View) Distant() bool {
	_, ok := v.openerOf.(blob.Distant)
	return ok
}

// Ahead returns the tree that holds the file p, and its path there, if p may be opened and the tree
// is a blob.Distant, whose files may be opened on any goroutine, until Close.
func (v *View) Ahead(ctx context.Context, p hufu.Path) (blob.Distant, hufu.Path, error) {
	at, err := v.readable(ctx, p)
	if err != nil {
		return nil, hufu.Path{}, err
	}
	if d, ok := at.store.(blob.Distant); ok {
		return d, at.path, nil
	}
	return nil, hufu.Path{}, &hufu.Error{Op: "read ahead", Kind: hufu.KindUnsupported}
}

// LetGo closes the folder that Open has kept open.
func (v *View) LetGo() {
	if v.opener != nil {
		v.opener.Close()
	}
}

// Digest reads a file and hashes it, unless ctx ends before.
func (v *View) Digest(ctx context.Context, p hufu.Path) (hufu.Entry, error) {
	at, err := v.readable(ctx, p)
	if err != nil {
		return hufu.Entry{}, err
	}
	return at.store.Digest(ctx, at.path)
}

// Space returns the free and total space of the tree that holds p, in bytes.
func (v *View) Space(ctx context.Context, p hufu.Path) (free, total int64, err error) {
	at, err := v.at(ctx, p, access.Read)
	if err != nil || at.store == nil {
		return 0, 0, err
	}
	return at.store.Space(ctx)
}
