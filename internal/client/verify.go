package client

import (
	"context"
	"errors"
	"maps"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync/atomic"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/transfer"
)

// Verified is the result of Verify for one file.
type Verified struct {
	Path   hufu.Path
	Digest hufu.Digest // of the bytes the server has just read
	Err    error
}

// filesAhead is how many files are requested before the answer to the first has
// come, and foldersAhead how many folders of one folder are listed before their
// turn: over a far link each would take a round trip. While namesAhead names wait
// for their turn no more folders are listed ahead.
const (
	filesAhead   = 256
	foldersAhead = 8
	namesAhead   = 100_000
)

// Verify has the server read the file p, or every file below the folder p, and
// compare it with the digest that it keeps. With local, the files are also compared
// with that file or folder of this machine, and entries that are on one side only or
// of different kinds are reported. report is called in the order of the names, from
// one goroutine. Verify returns how many files were read.
func (r *Remote) Verify(ctx context.Context, p hufu.Path, local string, report func(Verified)) (files int, err error) {
	top, err := r.Stat(ctx, p)
	if err != nil {
		return 0, err
	}
	if top.Kind == hufu.Other {
		return 0, &hufu.Error{Op: "verify", Path: p.Remote(), Kind: hufu.KindWrongKind, Code: "not_a_file"}
	}
	var near transfer.Side
	if local != "" {
		c := r.newCopy()
		defer func() { _ = c.Close() }()
		s, err := c.source(local, p, How{Links: top.Kind == hufu.Link})
		if err != nil {
			return 0, err
		}
		near = s.Side
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	v := &verifier{r: r, results: make(chan (<-chan verified), filesAhead), reading: make(chan struct{}, runtime.GOMAXPROCS(0))}
	var walked error
	go func() {
		defer close(v.results)
		walked = v.visit(ctx, p, top, near, nil)
	}()
	for next := range v.results {
		one := <-next
		switch {
		case transfer.Stops(one.Err):
			cancel(one.Err)
		case ctx.Err() == nil:
			if one.read {
				files++
			}
			report(one.Verified)
		}
	}
	switch cause := context.Cause(ctx); {
	case cause == nil:
		err = walked
	case hufu.KindOf(cause) != hufu.KindInternal:
		err = cause
	default: // the caller stopped it
		err = &hufu.Error{Op: "verify", Kind: hufu.KindCanceled, Code: "verify_stopped", Err: cause}
	}
	return files, err
}

// verifier walks through the names. The result of each comes over a channel of its
// own, and results holds these channels in order.
type verifier struct {
	r       *Remote
	results chan (<-chan verified)
	reading chan struct{} // taken while a file of this machine is read
	names   atomic.Int64  // in listings that wait for their turn
}

type verified struct {
	Verified
	read bool // by the server
}

// start verifies one file in the background.
func (v *verifier) start(ctx context.Context, verify func() verified) {
	result := make(chan verified, 1)
	select {
	case v.results <- result:
		go func() { result <- verify() }()
	case <-ctx.Done():
	}
}

func (v *verifier) tell(ctx context.Context, p hufu.Path, err error) {
	v.start(ctx, func() verified { return verified{Verified: Verified{Path: p, Err: at(p, err)}} })
}

// visit verifies one name. near has no store if there is nothing to compare with.
// listed is the listing of a folder if it was requested before.
func (v *verifier) visit(ctx context.Context, p hufu.Path, e hufu.Entry, near transfer.Side, listed <-chan listing) error {
	var unlike error
	if near.Store != nil {
		unlike = sameKind(ctx, p, e, near)
	}
	switch e.Kind {
	case hufu.File:
		v.start(ctx, func() verified {
			far, err := v.r.Digest(ctx, p)
			if err == nil {
				err = unlike
			}
			if err == nil && near.Store != nil {
				v.reading <- struct{}{}
				err = sameBytes(ctx, p, far, near)
				<-v.reading
			}
			return verified{Verified{p, far.Digest, at(p, err)}, true}
		})
	case hufu.Folder:
		if unlike != nil { // all below it would be told again
			if listed != nil {
				go v.take(listed)
			}
			v.tell(ctx, p, unlike)
			return nil
		}
		if listed == nil {
			listed = v.list(ctx, p)
		}
		return v.folder(ctx, p, near, v.take(listed))
	default:
		if unlike != nil {
			v.tell(ctx, p, unlike)
		}
	}
	return nil
}

type listing struct {
	entries []hufu.Entry
	err     error
}

func (v *verifier) list(ctx context.Context, p hufu.Path) <-chan listing {
	c := make(chan listing, 1)
	go func() {
		var l listing
		l.err = v.r.ListSorted(ctx, p, v.r.Kept(p, func(e hufu.Entry) error { l.entries = append(l.entries, e); return nil }))
		if l.err != nil {
			l.entries = nil
		}
		v.names.Add(int64(len(l.entries)))
		c <- l
	}()
	return c
}

func (v *verifier) take(listed <-chan listing) listing {
	l := <-listed
	v.names.Add(-int64(len(l.entries)))
	return l
}

func (v *verifier) folder(ctx context.Context, p hufu.Path, near transfer.Side, l listing) error {
	if l.err != nil {
		return l.err
	}
	left := map[string]bool{} // on this machine, and not met at the server yet
	if near.Store != nil {
		_, err := near.Store.List(ctx, near.Path, blob.Page{}, func(e hufu.Entry) error {
			if e.Kind != hufu.Other { // put passes over it too
				left[e.Name] = true
			}
			return nil
		})
		if err != nil {
			return here(near, err)
		}
	}
	var asked []<-chan listing // of the next folders, in order
	next := 0                  // index of the first entry not yet checked for being a folder to list ahead
	for _, e := range l.entries {
		delete(left, e.Name)
		if ctx.Err() != nil {
			return nil // the reason is known
		}
		for ; next < len(l.entries) && len(asked) < foldersAhead && (len(asked) == 0 || v.names.Load() < namesAhead); next++ {
			if q, err := p.Join(l.entries[next].Name); err == nil && l.entries[next].Kind == hufu.Folder {
				asked = append(asked, v.list(ctx, q))
			}
		}
		q, err := p.Join(e.Name)
		if err != nil {
			v.tell(ctx, p, err)
			continue
		}
		var listed <-chan listing
		if e.Kind == hufu.Folder {
			listed, asked = asked[0], asked[1:]
		}
		var below transfer.Side
		if near.Store != nil {
			below, err = near.Join(e.Name)
		}
		if err == nil {
			err = v.visit(ctx, q, e, below, listed)
		} else if listed != nil {
			go v.take(listed)
		}
		if transfer.Stops(err) {
			return err
		}
		if err != nil { // a folder that cannot be read; the others may be
			v.tell(ctx, q, err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(left)) {
		q, err := p.Join(name)
		local := filepath.Join(near.Local, name)
		switch {
		case err != nil:
			q = p
		case q.Reserved():
			err = &hufu.Error{Op: "verify", Path: local, Kind: hufu.KindInvalidPath, Code: "name_reserved"}
		default:
			err = &hufu.Error{Op: "verify", Path: q.Remote(), Kind: hufu.KindNotFound, Code: "verify_not_there", Args: map[string]string{"local": local}}
		}
		v.tell(ctx, q, err)
	}
	return nil
}

// sameKind returns an error unless the entry on this machine has the same kind and,
// if it is a link, the same target.
func sameKind(ctx context.Context, p hufu.Path, far hufu.Entry, side transfer.Side) error {
	near, err := side.Store.Stat(ctx, side.Path)
	switch {
	case hufu.KindOf(err) == hufu.KindNotFound:
		return &hufu.Error{Op: "verify", Path: p.Remote(), Kind: hufu.KindNotFound, Code: "verify_not_here", Args: map[string]string{"local": side.Local}}
	case err != nil:
		return here(side, err)
	case near.Kind != far.Kind:
		return &hufu.Error{
			Op: "verify", Path: p.Remote(), Kind: hufu.KindWrongKind, Code: "verify_kind_differs",
			Args: map[string]string{"local": side.Local, "there": far.Kind.String(), "here": near.Kind.String()},
		}
	case near.Target != far.Target:
		return &hufu.Error{Op: "verify", Path: side.Local, Kind: hufu.KindChanged, Code: "verify_link_differs", Args: map[string]string{"target": far.Target}}
	}
	return nil
}

// sameBytes returns an error unless the file on this machine has the same digest.
func sameBytes(ctx context.Context, p hufu.Path, far hufu.Entry, side transfer.Side) error {
	near, err := side.Store.Digest(ctx, side.Path)
	if err != nil {
		return here(side, err)
	}
	if near.Digest != far.Digest {
		return &hufu.Error{
			Op: "verify", Path: p.Remote(), Kind: hufu.KindIntegrity, Code: "verify_differs",
			Args: map[string]string{
				"local": side.Local, "want": near.Digest.String(), "got": far.Digest.String(),
				"size_here": strconv.FormatInt(near.Size, 10), "size_there": strconv.FormatInt(far.Size, 10),
			},
		}
	}
	return nil
}

// here puts the name of the local file into an error of its store, which knows it by
// another name.
func here(side transfer.Side, err error) error {
	e, ok := errors.AsType[*hufu.Error](err)
	if !ok {
		return err
	}
	c := *e
	c.Path = side.Local
	return &c
}
