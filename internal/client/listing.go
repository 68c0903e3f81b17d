package client

import (
	"context"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/frame"
	"hufu/internal/session"
	"hufu/internal/transfer"
)

// Limits of the answers that a client keeps and that have no limit of their own. See
// docs/performance.md.
const (
	// maxForeseenBytes is how many bytes of an answer are kept for a call that may never
	// be made.
	maxForeseenBytes = 16 << 20
	entryCost        = 256 // of an entry, beside its text
	frameCost        = 256 // of a frame, also of one with nothing in it
	// mostEmpty is how many empty pages may follow each other.
	mostEmpty = 100
)

// cost returns about how many bytes of memory a message takes.
func cost(m frame.Message) int64 {
	n := int64(frameCost)
	switch m := m.(type) {
	case *frame.ListAnswer:
		for i := range m.Entries {
			e := &m.Entries[i]
			n += entryCost + int64(len(e.Name)+len(e.Target)+len(e.By)+len(e.Version))
		}
	case *frame.OpenAnswer:
		for i := range m.Runs {
			n += frameCost + int64(len(m.Runs[i].CVs))
		}
	}
	return n
}

// lister lists a folder of the server. A lost connection costs one page.
type lister struct {
	r     *Remote
	p     hufu.Path
	by    *session.Client // carried the last page
	next  string          // the After of the next page, "" after the last one
	empty int             // pages in a row
	room  []hufu.Entry    // of the last page, to be used again
}

// Lister returns a new Lister of the folder p.
func (r *Remote) Lister(p hufu.Path) blob.Lister { return &lister{r: r, p: p} }

// Close does nothing: the server drops by itself what it keeps for a listing.
func (l *lister) Close() {}

// List calls yield for the entries of a page when all of it has come. It checks that the names
// are in order and the page is within its limits, so a hostile server cannot make it collect
// entries without end.
func (l *lister) List(ctx context.Context, q blob.Page, yield func(hufu.Entry) error) (next string, err error) {
	entries := l.room[:0]
	l.room = nil
	err = l.r.persist(ctx, func() error {
		c, err := l.r.loggedIn(ctx)
		if err != nil {
			return err
		}
		m := pageRequest(l.p, q)
		m.On = q.After != "" && l.by == c && l.next == q.After
		l.by, entries, next = nil, entries[:0], ""
		frames, bytes := 0, 0
		by, err := l.r.eachBy(ctx, c, m, func(m frame.Message) error {
			a, ok := m.(*frame.ListAnswer)
			if frames++; !ok || len(entries)+len(a.Entries) > q.Limit || frames > 1 && len(a.Entries) == 0 || bytes > blob.PageBytes {
				return &hufu.Error{Op: "list", Kind: hufu.KindProtocol}
			}
			for i := range a.Entries {
				bytes += len(a.Entries[i].Name) + len(a.Entries[i].Target)
				entries = append(entries, a.Entries[i].Entry())
			}
			next = string(a.Next)
			return nil
		})
		if err == nil {
			l.by, l.next = by, next
		}
		return err
	})
	if err != nil {
		return "", at(l.p, err)
	}
	outOfOrder := at(l.p, &hufu.Error{Op: "list", Kind: hufu.KindProtocol, Code: "answer_out_of_order"})
	last := q.After
	for i := range entries {
		if entries[i].Name <= last {
			return "", outOfOrder
		}
		last = entries[i].Name
		if err := yield(entries[i]); err != nil {
			return "", err
		}
	}
	if l.empty++; len(entries) > 0 {
		l.empty = 0
	}
	if next != "" && (next < last || next <= q.After || l.empty > mostEmpty) {
		return "", outOfOrder
	}
	if next != "" {
		clear(entries)
		l.room = entries
	}
	return next, nil
}

// List calls fn for the entries of a folder in the order of the bytes of their
// names. It requests one page while fn gets the entries of the page before, so memory
// does not grow with the number of entries.
func (r *Remote) List(ctx context.Context, p hufu.Path, fn func(hufu.Entry) error) error {
	l := listing{from: r.Lister(p), limit: transfer.PageNames, eager: true}
	defer l.close()
	for {
		l.page(ctx)
		for _, e := range l.entries {
			if err := fn(e); err != nil {
				return err
			}
		}
		if l.err != nil || l.next == "" {
			return l.err
		}
	}
}

// pageRequest asks for a page of the folder p.
func pageRequest(p hufu.Path, q blob.Page) *frame.List {
	m := &frame.List{Path: frame.WirePath(p), Limit: uint32(q.Limit), Brief: q.Brief, Modes: q.Modes}
	if q.After != "" {
		m.After = []byte(q.After)
	}
	return m
}

// listRequest asks for the first page.
func listRequest(p hufu.Path) *frame.List {
	return pageRequest(p, blob.Page{Limit: transfer.PageNames})
}
