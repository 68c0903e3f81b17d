package client

import (
	"context"

	"hufu"
	"hufu/internal/frame"
)

// What a client keeps of answers that have no bound of their own: see
// docs/performance.md.
const (
	// mostListing is what one listing may take: some 2 million names, or one
	// million of the longest.
	mostListing = 768 << 20
	// sharedListing is up to where any number of listings may come at a time, and
	// one that nobody has asked for yet is kept. Of larger ones there is one.
	sharedListing = 16 << 20
	entryCost     = 256 // of an entry, beside its text
	frameCost     = 256 // of a frame, also of one with nothing in it
)

// cost is about what a message takes.
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

// Kept is fn for a caller of ListSorted who keeps what it is told: it refuses more
// than a listing may take.
func (r *Remote) Kept(p hufu.Path, fn func(hufu.Entry) error) func(hufu.Entry) error {
	kept := int64(0)
	return func(e hufu.Entry) error {
		if kept += entryCost + int64(len(e.Name)+len(e.Target)+len(e.By)+len(e.Version)); kept > r.mostListing {
			return at(p, tooLarge())
		}
		return fn(e)
	}
}

// gathered is a listing that comes.
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

// again begins anew, keeping the right to be large.
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

// List gives all entries of a folder to fn, in any order. If the connection is
// lost in the middle the listing begins again, and fn sees no entry twice. Of
// large listings one comes at a time, and its entries are given to fn before the
// next one is asked for.
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
