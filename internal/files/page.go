package files

import (
	"context"
	"slices"
	"strings"

	"hufu"
	"hufu/internal/access"
	"hufu/internal/blob"
)

// maxListings is how many folders a view remembers between their pages.
const maxListings = 4

// listing is a folder of which not all pages were listed yet.
type listing struct {
	store  blob.Tree
	path   hufu.Path
	lister blob.Lister
}

// Page calls yield for the entries of a folder that r asks for; its Limit must not be 0. next is
// the name to continue after, or "" if there are no more. If goesOn is true, this page continues
// the view's last listing of the folder and may use the names that were read for it; otherwise the
// folder is read again.
func (v *View) Page(ctx context.Context, p hufu.Path, r blob.Page, goesOn bool, yield func(hufu.Entry) error) (next string, err error) {
	at, err := v.at(ctx, p, access.Read)
	if err != nil {
		return "", err
	}
	if at.store != nil {
		l := v.listing(at, goesOn)
		if next, err = l.List(ctx, r, yield); next == "" {
			v.endListing(at)
		}
		return next, err
	}
	var all []hufu.Entry // the shared folders: few
	if err := v.List(ctx, p, blob.Page{}, func(e hufu.Entry) error { all = append(all, e); return nil }); err != nil {
		return "", err
	}
	slices.SortFunc(all, func(a, b hufu.Entry) int { return strings.Compare(a.Name, b.Name) })
	n := 0
	for i, e := range all {
		switch {
		case e.Name <= r.After:
		case n == r.Limit:
			return all[i-1].Name, nil
		default:
			n++
			if err := yield(e); err != nil {
				return "", err
			}
		}
	}
	return "", nil
}

// listing returns the Lister for the folder of at. If goesOn is false, the Lister forgets the names
// that it remembers: so entries created before this call are listed.
func (v *View) listing(at spot, goesOn bool) blob.Lister {
	i := v.listed(at)
	if i < 0 {
		if len(v.listings) == maxListings {
			v.listings[0].lister.Close()
			v.listings = slices.Delete(v.listings, 0, 1)
		}
		v.listings = append(v.listings, listing{at.store, at.path, at.store.Lister(at.path)})
		i = len(v.listings) - 1
	}
	l := v.listings[i]
	v.listings = append(slices.Delete(v.listings, i, i+1), l) // used last
	if !goesOn {
		l.lister.Close()
	}
	return l.lister
}

func (v *View) listed(at spot) int {
	return slices.IndexFunc(v.listings, func(l listing) bool { return l.store == at.store && l.path == at.path })
}

func (v *View) endListing(at spot) {
	if i := v.listed(at); i >= 0 {
		v.listings[i].lister.Close()
		v.listings = slices.Delete(v.listings, i, i+1)
	}
}
