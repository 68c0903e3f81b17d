package client

import (
	"context"

	"hufu"
	"hufu/internal/frame"
)

// Limits of the answers that a client keeps and that have no limit of their own. See
// docs/performance.md.
const (
	// mostListing is how many bytes one listing may take: about 2 million names, or
	// one million of the longest.
	mostListing = 768 << 20
	// sharedListing is the size up to which any number of listings may come at the
	// same time, and a foreseen one is kept. Of larger listings one comes at a time.
	sharedListing = 16 << 20
	entryCost     = 256 // of an entry, beside its text
	frameCost     = 256 // of a frame, also of one with nothing in it
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

func tooLarge() error {
	return &hufu.Error{Op: "list", Kind: hufu.KindUnsupported, Code: "listing_too_large"}
}

// Kept wraps fn for a caller of ListSorted that keeps all entries. The function that
// it returns fails when they take more than one listing may.
func (r *Remote) Kept(p hufu.Path, fn func(hufu.Entry) error) func(hufu.Entry) error {
	kept := int64(0)
	return func(e hufu.Entry) error {
		if kept += entryCost + int64(len(e.Name)+len(e.Target)+len(e.By)+len(e.Version)); kept > r.mostListing {
			return at(p, tooLarge())
		}
		return fn(e)
	}
}

// gathered is a listing that is arriving.
type gathered struct {
	r       *Remote
	entries []hufu.Entry
	cost    int64
	alone   bool // it is the one that may be large
	crowded bool // it is large, and another one is: nothing is kept
}

func (g *gathered) add(m frame.Message) error {
	l, ok := m.(*frame.ListAnswer)
	if !ok {
		return &hufu.Error{Op: "list", Kind: hufu.KindProtocol}
	}
	if g.cost += cost(l); g.cost > g.r.mostListing {
		g.entries = nil
		return tooLarge()
	}
	if g.cost > g.r.sharedListing && !g.alone && !g.crowded {
		select {
		case g.r.large <- struct{}{}:
			g.alone = true
		default:
			g.crowded, g.entries = true, nil
		}
	}
	if !g.crowded {
		for i := range l.Entries {
			g.entries = append(g.entries, l.Entries[i].Entry())
		}
	}
	return nil
}

// again starts over. It keeps the right to be large.
func (g *gathered) again() { g.entries, g.cost, g.crowded = nil, 0, false }

// wait waits for the right to be large.
func (g *gathered) wait(ctx context.Context) error {
	select {
	case g.r.large <- struct{}{}:
		g.alone = true
		return nil
	case <-ctx.Done():
		return &hufu.Error{Op: "list", Kind: hufu.KindCanceled, Err: context.Cause(ctx)}
	}
}

func (g *gathered) done() {
	if g.alone {
		<-g.r.large
	}
}

// List calls fn for all entries of a folder, in any order. If the connection is lost
// in the middle, the listing starts over; fn sees no entry twice. Of large listings
// one is requested at a time, and fn is called for its entries before the next one
// is requested.
func (r *Remote) List(ctx context.Context, p hufu.Path, fn func(hufu.Entry) error) error {
	g := &gathered{r: r}
	defer g.done()
	err := r.persist(ctx, func() error {
		for {
			c, err := r.loggedIn(ctx)
			if err != nil {
				return err
			}
			g.again()
			if err := r.each(ctx, c, listRequest(p), g.add); err != nil || !g.crowded {
				return err
			}
			if err := g.wait(ctx); err != nil {
				return err
			}
		}
	})
	if err != nil {
		return at(p, err)
	}
	for i := range g.entries {
		if err := fn(g.entries[i]); err != nil {
			return err
		}
	}
	return nil
}
