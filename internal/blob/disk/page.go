package disk

import (
	"container/heap"
	"context"
	"errors"
	"slices"
	"syscall"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/blob/disk/sys"
)

// page calls yield for the entries of the folder p whose names come after the given one, in byte
// order: for at most limit of them, and for names of at most 1 MiB together. next is the name to
// continue after, or "" if there are no more. Memory is bounded by one page, however many names
// the folder has.
func (s *Store) page(ctx context.Context, p hufu.Path, after string, limit int, yield func(hufu.Entry) error) (next string, err error) {
	if err := check("list", p); err != nil {
		return "", err
	}
	d, err := s.k.OpenDir(s.root, p.String(), sys.ReadFlags)
	if err != nil {
		return "", fail("list", p, reading, err)
	}
	defer d.Close()
	sc := s.dirents.Get().(*scratch)
	defer s.dirents.Put(sc)
	var first largestFirst // the smallest names so far
	bytes, rest := 0, false
	err = d.Names(sc.dirents, func(name string) error {
		if s.hidden(name) {
			s.sweep(d, name)
			return nil
		}
		if name <= after || rest && name > first[0] {
			return nil
		}
		heap.Push(&first, name)
		bytes += len(name)
		for len(first) > limit || bytes > blob.PageBytes {
			bytes -= len(first[0])
			heap.Pop(&first)
			rest = true
		}
		return canceled(ctx, "list", p)
	})
	if err != nil {
		return "", fail("list", p, reading, err)
	}
	slices.Sort(first)
	for _, name := range first {
		if err := canceled(ctx, "list", p); err != nil {
			return "", err
		}
		e, err := s.statAt(d, name, sc.record)
		switch {
		case err == nil:
			err = yield(e)
		case errors.Is(err, syscall.ENOENT):
			err = nil // it has vanished meanwhile
		default:
			err = fail("list", p, reading, err)
		}
		if err != nil {
			return "", err
		}
	}
	if rest {
		next = first[len(first)-1]
	}
	return next, nil
}

// largestFirst is a heap of names.
type largestFirst []string

func (h largestFirst) Len() int           { return len(h) }
func (h largestFirst) Less(i, j int) bool { return h[i] > h[j] }
func (h largestFirst) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *largestFirst) Push(x any)        { *h = append(*h, x.(string)) } //nolint:forcetypeassert // a heap of strings
func (h *largestFirst) Pop() any {
	last := len(*h) - 1
	name := (*h)[last]
	*h = (*h)[:last]
	return name
}
