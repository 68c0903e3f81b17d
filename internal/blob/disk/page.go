package disk

import (
	"context"
	"errors"
	"syscall"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/blob/disk/sys"
)

// lister lists one folder page by page. It keeps the names that follow the last page, as far as
// there is memory for them. It is not for concurrent use.
type lister struct {
	s     *Store
	p     hufu.Path
	rest  rest       // guarded by kept.mu while kept holds the Lister
	kept  *KeptNames // nil while nothing is kept there
	after string     // the name before the next page
	given int        // names of the rest that come before that page
	once  bool       // there is no next page
}

// rest holds the names that follow a page of one folder.
type rest struct {
	names   nameList
	of      [2]uint64 // device and inode of the folder
	partial bool      // the folder has names that follow these
}

// Lister returns a new Lister of the folder p.
func (s *Store) Lister(p hufu.Path) blob.Lister { return &lister{s: s, p: p} }

// Close forgets the names.
func (l *lister) Close() { l.take() }

// List calls yield for the entries of the page r, in the order of their names.
// next is the name before the next page, "" if this is the last one.
func (l *lister) List(ctx context.Context, r blob.Page, yield func(hufu.Entry) error) (next string, err error) {
	s := l.s
	if err := first(canceled(ctx, "list", l.p), check("list", l.p)); err != nil {
		return "", err
	}
	d, err := s.k.OpenDir(s.root, l.p.String(), sys.ReadFlags)
	if err != nil {
		l.Close()
		return "", fail("list", l.p, reading, err)
	}
	defer d.Close()
	rest := l.take()
	rest.names.at = rest.names.at[min(l.given, rest.names.len()):]
	n, err := d.Self()
	if err == nil && (rest.names.len() == 0 || l.after != r.After || rest.of != [2]uint64{n.Dev, n.Ino}) {
		rest, err = l.read(ctx, d, r.After)
		rest.of = [2]uint64{n.Dev, n.Ino}
	}
	if err != nil {
		return "", fail("list", l.p, reading, err)
	}
	// While the page is sent, which may take as long as the client likes, only its own names are
	// held here.
	page, sent := s.o.Names.page(&rest.names, r.Limit)
	defer sent()
	more := rest.partial || page.len() < rest.names.len()
	l.after, l.given = r.After, 0
	if page.len() < rest.names.len() && !l.once {
		l.keep(rest)
	}
	rest.names = nameList{}
	record := make([]byte, maxRecord)
	bytes := 0
	for given := 0; page.len() > 0; given++ {
		if err := canceled(ctx, "list", l.p); err != nil {
			return "", err
		}
		name := page.first()
		e, err := s.statAt(d, name, record, r)
		if err != nil && !errors.Is(err, syscall.ENOENT) { // it may have vanished meanwhile
			return "", fail("list", l.p, reading, err)
		}
		if bytes += len(name) + len(e.Target); bytes > blob.PageBytes && given > 0 {
			more = true
			break
		}
		next = name
		page.drop()
		if err == nil {
			if err := yield(e); err != nil {
				return "", err
			}
		}
		l.after, l.given = name, given+1
	}
	if !more {
		return "", nil
	}
	return next, nil
}

// read reads the names in the folder d that are greater than after, or the smallest of them.
func (l *lister) read(ctx context.Context, d sys.Dir, after string) (rest, error) {
	s := l.s
	room, done, err := s.o.Names.reading(ctx)
	if err != nil {
		return rest{}, err
	}
	defer done()
	sc := s.dirents.Get().(*scratch)
	defer s.dirents.Put(sc)
	names := smallestNames{room: room}
	err = d.Names(sc.dirents, func(name string) error {
		if s.hidden(name) {
			s.sweep(d, name)
			return nil
		}
		if name > after {
			names.add(name)
		}
		return canceled(ctx, "list", l.p)
	})
	return rest{names: names.sorted(), partial: names.bounded}, err
}
