package client

import (
	"context"

	"hufu"
	"hufu/internal/frame"
)

// mostEmpty is how many empty pages may follow each other.
const mostEmpty = 100

// ListSorted calls fn for the entries of a folder in the order of the bytes of their
// names. It requests one page at a time, so memory does not grow with the number of
// entries, and a lost connection costs one page.
func (r *Remote) ListSorted(ctx context.Context, p hufu.Path, fn func(hufu.Entry) error) error {
	var entries []frame.Entry
	empty := 0 // pages in a row
	for after := ""; ; {
		next, frames := "", 0
		err := r.persist(ctx, func() error {
			c, err := r.loggedIn(ctx)
			if err != nil {
				return err
			}
			entries, frames = entries[:0], 0
			return r.each(ctx, c, &frame.List{Path: frame.WirePath(p), Limit: frame.MaxPage, After: []byte(after)}, func(m frame.Message) error {
				l, ok := m.(*frame.ListAnswer)
				if frames++; !ok || len(entries)+len(l.Entries) > frame.MaxPage || frames > 1 && len(l.Entries) == 0 {
					return &hufu.Error{Op: "list", Kind: hufu.KindProtocol}
				}
				entries, next = append(entries, l.Entries...), string(l.Next)
				return nil
			})
		})
		if err != nil {
			return at(p, err)
		}
		last := after
		for i := range entries {
			e := entries[i].Entry()
			if e.Name <= last {
				return at(p, &hufu.Error{Op: "list", Kind: hufu.KindProtocol, Code: "answer_out_of_order"})
			}
			last = e.Name
			if err := fn(e); err != nil {
				return err
			}
		}
		if next == "" {
			return nil
		}
		if empty++; len(entries) > 0 {
			empty = 0
		}
		if next < last || next <= after || empty > mostEmpty {
			return at(p, &hufu.Error{Op: "list", Kind: hufu.KindProtocol, Code: "answer_out_of_order"})
		}
		after = next
	}
}
