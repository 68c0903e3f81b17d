package transfer

import (
	"context"
	"slices"
	"strings"

	"hufu"
	"hufu/internal/blob"
)

// PageNames is how many names of a folder are requested at a time. Most folders have no more.
// Only one folder with more names is compared at a time, so memory does not grow with the number
// of such folders.
const PageNames = 4096

// firstNames is the number of names for which the first page of a folder has room before it grows:
// the names of a usual folder.
const firstNames = 128

// listed is one side of a folder, read page by page in the order of the names. The
// next page is requested while one is compared.
type listed struct {
	open  func() blob.Lister // nil if nothing is there
	from  blob.Lister
	admit func(context.Context) error // waits until more than one page may be listed
	brief func() bool                 // whether the next page is requested in brief; nil: never
	modes bool                        // a page in brief has modes, too
	keep  bool                        // the page before is kept
	ahead chan page                   // delivers the next page; nil if none was requested

	before page // the page before, if it is kept
	page        // the current one
	at     int  // the first of its entries that was not passed
	begun  bool // there is a current page
}

// page is some of the entries of a folder: all with after < name <= next.
type page struct {
	entries     []hufu.Entry
	after, next string // next is "" if nothing follows
	brief       bool
	err         error
}

// ask requests the page that follows a name.
func (l *listed) ask(ctx context.Context, after string, limit int) {
	if l.from == nil {
		l.from = l.open()
	}
	c, brief := make(chan page, 1), l.brief != nil && l.brief()
	l.ahead = c
	go func() {
		c <- readPage(ctx, l.from, blob.Page{After: after, Limit: limit, Brief: brief, Modes: brief && l.modes})
	}()
}

func readPage(ctx context.Context, from blob.Lister, r blob.Page) page {
	names := min(firstNames, r.Limit)
	if r.After != "" { // the page before was full, so this one may be
		names = r.Limit
	}
	p := page{after: r.After, brief: r.Brief, entries: make([]hufu.Entry, 0, names)}
	p.next, p.err = from.List(ctx, r, func(t hufu.Entry) error { p.entries = append(p.entries, t); return nil })
	return p
}

// begin requests the first page.
func (l *listed) begin(ctx context.Context) {
	if l.open != nil {
		l.ask(ctx, "", PageNames)
	}
}

// close waits for the request that is under way, whose context must have ended or be
// about to.
func (l *listed) close() {
	if l.ahead != nil {
		<-l.ahead
	}
	if l.from != nil {
		l.from.Close()
	}
}

// peek returns the first entry that was not passed, nil if there is none.
func (l *listed) peek(ctx context.Context) (*hufu.Entry, error) {
	for l.at == len(l.entries) {
		if l.open == nil || l.begun && l.next == "" {
			return nil, nil
		}
		if err := l.turn(ctx); err != nil {
			return nil, err
		}
	}
	return &l.entries[l.at], nil
}

// turn goes on to the next page.
func (l *listed) turn(ctx context.Context) error {
	p := <-l.ahead
	l.ahead = nil
	if p.err != nil {
		return p.err
	}
	if l.keep {
		l.before = l.page
	}
	l.page, l.at, l.begun = p, 0, true
	if p.next == "" {
		return nil
	}
	if err := l.admit(ctx); err != nil {
		return err
	}
	l.ask(ctx, p.next, PageNames)
	return nil
}

// pass passes the entries before name and returns the entry of that name, nil if
// there is none. It calls passed, if it is not nil, for each entry that it passes; the entry that it
// returns is passed by the next call.
func (l *listed) pass(ctx context.Context, name string, passed func(hufu.Entry)) (*hufu.Entry, error) {
	for {
		t, err := l.peek(ctx)
		switch {
		case err != nil:
			return nil, err
		case t == nil || t.Name > name:
			return nil, nil
		case t.Name == name:
			return t, nil
		}
		if passed != nil {
			passed(*t)
		}
		l.at++
	}
}

// rest passes the entries that are left, as pass does.
func (l *listed) rest(ctx context.Context, passed func(hufu.Entry)) error {
	for {
		t, err := l.peek(ctx)
		if t == nil || err != nil {
			return err
		}
		passed(*t)
		l.at++
	}
}

// whole requests the current page again, not in brief, and returns the entry of a
// name in it, nil if it is gone. Pages requested from now on are not brief; the next one,
// which was requested before, may be.
func (l *listed) whole(ctx context.Context, name string) (*hufu.Entry, error) {
	if l.page.brief {
		l.brief = nil
		from := l.open()
		defer from.Close()
		r := blob.Page{After: l.after, Limit: max(len(l.entries), 1)}
		p := readPage(ctx, from, r)
		last := l.next
		if last == "" && len(l.entries) > 0 {
			last = l.entries[len(l.entries)-1].Name
		}
		for p.err == nil && p.next != "" && p.next < last { // new names have pushed others out of the page
			r.After = p.next
			more := readPage(ctx, from, r)
			p.entries = append(p.entries, more.entries...)
			p.next, p.err = more.next, more.err
		}
		if p.err != nil {
			return nil, p.err
		}
		if l.next != "" { // what follows is in the next page
			i, found := p.find(l.next)
			if found {
				i++
			}
			p.entries = p.entries[:i]
		}
		p.next = l.next
		l.page = p
	}
	i, found := l.find(name)
	if l.at = i; !found {
		return nil, nil
	}
	return &l.entries[i], nil
}

// find returns the place of a name among the entries, and whether it is there.
func (p *page) find(name string) (int, bool) {
	return slices.BinarySearchFunc(p.entries, name, func(t hufu.Entry, name string) int { return strings.Compare(t.Name, name) })
}

// has looks for a name in the pages that are kept. known reports whether they decide it: t
// is then the entry, nil if there is no such name.
func (l *listed) has(name string) (t *hufu.Entry, known bool) {
	for _, p := range []*page{&l.page, &l.before} {
		if i, found := p.find(name); found {
			return &p.entries[i], true
		}
	}
	first := l.after
	if l.before.next != "" {
		first = l.before.after
	}
	known = l.open == nil || l.begun && (first == "" || name > first) && (l.next == "" || name <= l.next)
	return nil, known
}

// The next page is requested in brief after briefAfter unchanged files in a row.
const briefAfter = 1000

// inBrief reports whether the next page of a folder of the far side is requested in brief:
// without digest and user. A put needs them only of a file that is compared by the digest that the
// listing has; a get also of one that it fetches, and of all if existing files get new modes.
func (e *Engine) inBrief() bool {
	switch {
	case e.o.Ask != nil, e.gets && (e.o.Conflict != Skip || e.o.Checksum):
		return false
	case !e.gets && (e.o.Conflict == Skip || e.o.Checksum):
		return true
	}
	return e.unchanged.Load() >= briefAfter
}

// needsAll reports whether more must be known of a name at the far side than a page in brief
// tells. It also counts unchanged files in a row (see inBrief): after many of them the next ones
// are probably unchanged too.
func (e *Engine) needsAll(source, target *hufu.Entry) bool {
	switch {
	case source.Kind != hufu.File, !e.gets && (target == nil || e.o.Checksum):
		return false
	case e.gets && (target == nil || target.Kind != hufu.File || target.Size != source.Size || !sameTime(target.MTime, source.MTime)):
	case !e.gets && mustCompare(source, target, false): // a full page brings the digests, which saves a request for each file
	default:
		e.unchanged.Add(1)
		return false
	}
	e.unchanged.Store(0)
	return true
}
