package client

import (
	"context"
	"errors"
	"path/filepath"
	"runtime"
	"strconv"

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
// come: over a far link each would take a round trip. verifyPage is how many names of
// a folder are listed at a time.
const (
	filesAhead = 256
	verifyPage = 1024
)

// Verify has the server read the file p, or every file below the folder p, and
// compare it with the digest that it keeps. With local, the files are also compared
// with that file or folder of this computer, and entries that are on one side only or
// of different kinds are reported. What the filter leaves out, by its path below the folders, is not
// compared. report is called in the order of the names, from
// one goroutine. Verify returns how many files were read.
func (r *Remote) Verify(ctx context.Context, p hufu.Path, local string, filter *transfer.Filter, report func(Verified)) (files int, err error) {
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
	v := &verifier{ahead: ahead{r: r, limit: verifyPage}, top: p, filter: filter, results: make(chan (<-chan verified), filesAhead), reading: make(chan struct{}, runtime.GOMAXPROCS(0))}
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
	ahead
	top     hufu.Path // filter is for paths below it
	filter  *transfer.Filter
	results chan (<-chan verified)
	reading chan struct{} // taken while a file of this computer is read
}

// excludes reports whether the filter leaves out the entry p.
func (v *verifier) excludes(p hufu.Path, k hufu.EntryKind) bool {
	if v.filter.Empty() {
		return false
	}
	for range v.top.Segments() {
		_, p = p.Cut()
	}
	return v.filter.Excludes(p.String(), k == hufu.Folder)
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
		if unlike != nil { // otherwise everything below would be reported too
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

// folder verifies what is in a folder, page by page. listed is its first page.
func (v *verifier) folder(ctx context.Context, p hufu.Path, near transfer.Side, listed listing) error {
	defer listed.close()
	if listed.err != nil {
		return listed.err
	}
	listed.listAhead(ctx)
	here := nearNames{side: near}
	defer here.close()
	for l := &listed; ; l.page(ctx) {
		if l.err != nil {
			return l.err
		}
		if err := v.entries(ctx, p, l.entries, &here); err != nil || ctx.Err() != nil {
			return err // the reason is known
		}
		if l.next == "" {
			return here.passTo(ctx, "", func(e hufu.Entry) { v.notThere(ctx, p, near, e) })
		}
	}
}

// entries verifies the entries of a page.
func (v *verifier) entries(ctx context.Context, p hufu.Path, entries []hufu.Entry, here *nearNames) error {
	near := here.side
	turn := v.turns(p, entries, true)
	defer turn.close()
	for i, e := range entries {
		if err := here.passTo(ctx, e.Name, func(e hufu.Entry) { v.notThere(ctx, p, near, e) }); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return nil // the reason is known
		}
		listed := turn.next(ctx, i)
		q, err := p.Join(e.Name)
		if err != nil {
			v.tell(ctx, p, err)
			continue
		}
		if v.excludes(q, e.Kind) {
			if listed != nil {
				go v.take(listed)
			}
			continue
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
	return nil
}

// notThere reports an entry of the folder p that is on this computer only.
func (v *verifier) notThere(ctx context.Context, p hufu.Path, near transfer.Side, e hufu.Entry) {
	q, err := p.Join(e.Name)
	local := filepath.Join(near.Local, e.Name)
	switch {
	case err == nil && v.excludes(q, e.Kind):
		return
	case err != nil:
		q = p
	case q.Reserved():
		err = &hufu.Error{Op: "verify", Path: local, Kind: hufu.KindInvalidPath, Code: "name_reserved"}
	default:
		err = &hufu.Error{Op: "verify", Path: q.Remote(), Kind: hufu.KindNotFound, Code: "verify_not_there", Args: map[string]string{"local": local}}
	}
	v.tell(ctx, q, err)
}

// nearNames are the names of a folder of this computer, in order. Without a store
// there are none.
type nearNames struct {
	side  transfer.Side
	from  blob.Lister
	page  []hufu.Entry
	next  string
	begun bool
}

func (n *nearNames) close() {
	if n.from != nil {
		n.from.Close()
	}
}

// passTo goes on past name and calls only for each name before it. With name "" it goes to
// the end.
func (n *nearNames) passTo(ctx context.Context, name string, only func(hufu.Entry)) error {
	if n.side.Store == nil {
		return nil
	}
	if n.from == nil {
		n.from = n.side.Store.Lister(n.side.Path)
	}
	for {
		for len(n.page) > 0 {
			switch first := n.page[0]; {
			case name != "" && first.Name > name:
				return nil
			case first.Name != name:
				only(first)
			}
			n.page = n.page[1:]
		}
		if n.begun && n.next == "" || ctx.Err() != nil {
			return nil
		}
		var err error
		n.begun = true
		n.next, err = n.from.List(ctx, blob.Page{After: n.next, Limit: verifyPage}, func(e hufu.Entry) error {
			if e.Kind != hufu.Other { // put passes over it too
				n.page = append(n.page, hufu.Entry{Name: e.Name, Kind: e.Kind})
			}
			return nil
		})
		if err != nil {
			return here(n.side, err)
		}
	}
}

// sameKind returns an error unless the entry on this computer has the same kind and,
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

// sameBytes returns an error unless the file on this computer has the same digest.
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
