package client

import (
	"context"
	"errors"
	"sync/atomic"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/transfer"
)

// foldersAhead is how many folders of one folder are listed before their turn: over a
// far link each would take a round trip. While namesAhead names wait for their turn no
// more folders are listed ahead.
//
// walkPage is how many names of a folder a walk lists at a time. Below walkDeep levels it is
// deepPage, because a walk holds three pages of each folder on its way down.
const (
	foldersAhead = 8
	namesAhead   = 20_000
	walkPage     = 1024
	walkDeep     = 16
	deepPage     = 64
)

// Found is one entry of a walk.
type Found struct {
	Path  hufu.Path
	Entry hufu.Entry
	Depth int   // levels below the path that the walk began at
	Last  bool  // no other entry of its folder is visited after it
	Err   error // the folder cannot be listed; it was visited once before, without Err
}

// WalkOptions say what a walk visits. The zero value is everything.
type WalkOptions struct {
	Depth   int  // how many levels below the first path are visited, if Limit is set
	Limit   bool // see Depth
	Brief   bool // mode, digest and uploader are needed of folders only
	Folders bool // only folders, and the first path
}

// ErrSkip is returned by the visit of a Walk to leave out what is in the folder that it was called for.
var ErrSkip = errors.New("skip this folder")

// Walk calls visit for the entry p and, if it is a folder, for everything below it: a folder
// before its entries, and these in the order of the bytes of their names. No link is followed.
// It holds three pages of each folder on the way down, so memory does not grow with the number of
// entries. A folder that cannot be listed is visited again with the error, and the walk
// continues. An error of visit ends the walk, but for ErrSkip.
func (r *Remote) Walk(ctx context.Context, p hufu.Path, o WalkOptions, visit func(Found) error) error {
	top, err := r.Stat(ctx, p)
	if err != nil {
		return err
	}
	f := Found{Path: p, Entry: top, Last: true}
	if err := visit(f); errors.Is(err, ErrSkip) {
		return nil
	} else if err != nil || top.Kind != hufu.Folder || o.Limit && o.Depth <= 0 {
		return err
	}
	w := &walker{ahead: ahead{r: r, brief: o.Brief, limit: walkPage}, o: o, visit: visit}
	if err = w.folder(ctx, p, 1, w.take(w.list(ctx, p))); w.listing(err) {
		f.Err = err
		return visit(f)
	}
	return err
}

// walker is a walk under way.
type walker struct {
	ahead
	o      WalkOptions
	visit  func(Found) error
	refuse error // of visit
}

// listing reports whether err is of one folder that cannot be listed.
func (w *walker) listing(err error) bool {
	return err != nil && w.refuse == nil && !transfer.Stops(err)
}

// folder visits the entries of a folder, which are depth levels below the first path.
func (w *walker) folder(ctx context.Context, p hufu.Path, depth int, l listing) error {
	defer l.close()
	if depth >= walkDeep {
		l.limit = deepPage
	}
	l.listAhead(ctx)
	page := w.page(ctx, &l)
	for len(page) > 0 {
		var following []hufu.Entry // listed first: whether an entry is the last is known by it
		if l.next != "" {
			l.page(ctx)
			following = w.page(ctx, &l)
		}
		if err := w.entries(ctx, p, depth, page, len(following) == 0 && l.err == nil); err != nil {
			return err
		}
		page = following
	}
	return l.err
}

// page returns what is visited of the page of l, or of the next one that has any such entry.
func (w *walker) page(ctx context.Context, l *listing) []hufu.Entry {
	for {
		some := l.entries
		l.entries = nil
		if w.o.Folders {
			kept := some[:0]
			for _, e := range some {
				if e.Kind == hufu.Folder {
					kept = append(kept, e)
				}
			}
			clear(some[len(kept):])
			some = kept
		}
		if len(some) > 0 || l.err != nil || l.next == "" {
			return some
		}
		l.page(ctx)
	}
}

// entries visits the entries of a page; last says that no page follows.
func (w *walker) entries(ctx context.Context, p hufu.Path, depth int, entries []hufu.Entry, last bool) error {
	turn := w.turns(p, entries, !w.o.Limit || depth < w.o.Depth)
	defer turn.close()
	for i, e := range entries {
		listed := turn.next(ctx, i)
		q, err := p.Join(e.Name)
		f := Found{Path: q, Entry: e, Depth: depth, Last: last && i == len(entries)-1}
		if err != nil { // deeper than any path can be
			f.Path, f.Err = p, err
		}
		if err := w.visit(f); errors.Is(err, ErrSkip) {
			turn.drop(listed)
			continue
		} else if err != nil {
			w.refuse = err
			turn.drop(listed)
			return err
		}
		if listed == nil {
			continue
		}
		if err = w.folder(ctx, q, depth+1, w.take(listed)); w.listing(err) {
			f.Err = err
			if err = w.visit(f); err != nil {
				w.refuse = err
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// listing is a page of a folder. The next page is requested while this one is used, once
// listAhead was called.
type listing struct {
	from    blob.Lister
	limit   int
	brief   bool
	entries []hufu.Entry
	next    string // the After of the next page, "" after the last one
	err     error

	eager  bool
	coming chan listing // delivers the next page, nil if it was not requested
	cancel context.CancelFunc
}

// listAhead requests the next page, and at each page the one after it. close must follow.
func (l *listing) listAhead(ctx context.Context) {
	l.eager = true
	if l.err != nil || l.next == "" || l.coming != nil {
		return
	}
	ctx, l.cancel = context.WithCancel(ctx)
	c, next := make(chan listing, 1), *l
	l.coming = c
	go func() { c <- next.read(ctx) }()
}

// read returns the next page.
func (l *listing) read(ctx context.Context) (p listing) {
	q := blob.Page{After: l.next, Limit: l.limit, Brief: l.brief}
	p.next, p.err = l.from.List(ctx, q, func(e hufu.Entry) error { p.entries = append(p.entries, e); return nil })
	return p
}

// page goes on to the next page.
func (l *listing) page(ctx context.Context) {
	l.entries = nil
	var p listing
	if l.coming == nil {
		p = l.read(ctx)
	} else {
		p = <-l.coming
		l.cancel()
		l.coming = nil
	}
	l.entries, l.next, l.err = p.entries, p.next, p.err
	if l.eager {
		l.listAhead(ctx)
	}
}

// close gives up a page that was requested.
func (l *listing) close() {
	if l.coming != nil {
		l.cancel()
		<-l.coming
		l.coming = nil
	}
	l.from.Close()
}

// ahead lists folders before their turn. Its zero value needs r and limit.
type ahead struct {
	r     *Remote
	limit int // names of a page
	brief bool
	names atomic.Int64 // in listings that wait for their turn
}

// list lists the first page of a folder in the background.
func (a *ahead) list(ctx context.Context, p hufu.Path) <-chan listing {
	c := make(chan listing, 1)
	go func() {
		l := listing{from: a.r.Lister(p), limit: a.limit, brief: a.brief}
		l.page(ctx)
		a.names.Add(int64(len(l.entries)))
		c <- l
	}()
	return c
}

// take returns a listing when its turn has come.
func (a *ahead) take(listed <-chan listing) listing {
	l := <-listed
	a.names.Add(-int64(len(l.entries)))
	return l
}

// turns are the listings of the folders among the entries of p, in order.
type turns struct {
	a       *ahead
	p       hufu.Path
	entries []hufu.Entry
	asked   []<-chan listing
	looked  int // entries that were checked for being a folder to list ahead
}

// turns begins with the entries of a page. Without descend no folder is listed.
func (a *ahead) turns(p hufu.Path, entries []hufu.Entry, descend bool) *turns {
	t := &turns{a: a, p: p, entries: entries}
	if !descend {
		t.looked = len(entries)
	}
	return t
}

// next returns the listing of entry i, nil if it is not to be listed, and lists some of the
// folders that follow. It must be called for every i in order.
func (t *turns) next(ctx context.Context, i int) (listed <-chan listing) {
	for ; t.looked < len(t.entries) && len(t.asked) < foldersAhead && (len(t.asked) == 0 || t.a.names.Load() < namesAhead); t.looked++ {
		if q, err := t.p.Join(t.entries[t.looked].Name); err == nil && t.entries[t.looked].Kind == hufu.Folder {
			t.asked = append(t.asked, t.a.list(ctx, q))
		}
	}
	if _, err := t.p.Join(t.entries[i].Name); err == nil && t.entries[i].Kind == hufu.Folder && i < t.looked && len(t.asked) > 0 {
		listed, t.asked = t.asked[0], t.asked[1:]
	}
	return listed
}

// drop gives up a listing.
func (t *turns) drop(listed <-chan listing) {
	if listed != nil {
		go t.a.take(listed)
	}
}

// close gives up the listings that were not taken.
func (t *turns) close() {
	for _, listed := range t.asked {
		t.drop(listed)
	}
}
