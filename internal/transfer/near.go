package transfer

import (
	"context"

	"hufu"
	"hufu/internal/blob"
)

// nearStat describes the entry at s, nil if there is none.
func nearStat(ctx context.Context, s Side) (*hufu.Entry, error) {
	t, err := s.Store.Stat(ctx, s.Path)
	switch {
	case hufu.KindOf(err) == hufu.KindNotFound:
		return nil, nil
	case err != nil:
		return nil, err
	}
	return &t, nil
}

// nearTaken returns the entry called name in the folder of p on this computer, and whether
// there is one.
func nearTaken(ctx context.Context, p pair, name string) (*hufu.Entry, bool) {
	q, err := p.near.Path.Parent().Join(name)
	if err != nil {
		return nil, false
	}
	x, err := nearStat(ctx, Side{Store: p.near.Store, Path: q})
	return x, err == nil && x != nil
}

// opener opens files one after the other. It keeps one blob.Opener and replaces it when the tree
// changes.
type opener struct {
	tree blob.Tree
	in   blob.Opener // of tree
}

func (o *opener) open(ctx context.Context, t blob.Tree, p hufu.Path, version string) (blob.File, error) {
	if o.tree != t {
		o.close()
		o.tree, o.in = t, t.Opener()
	}
	return o.in.Open(ctx, p, version)
}

func (o *opener) close() {
	if o.in != nil {
		o.in.Close()
	}
}

// readWhole reads a small file, one version of it.
func readWhole(ctx context.Context, it *item, files *opener, buf []byte) ([]byte, Meta, error) {
	f, err := files.open(ctx, it.store, it.path, it.from.Version)
	if err != nil {
		return nil, Meta{}, err
	}
	defer func() { _ = f.Close() }()
	data, err := f.Whole(ctx, buf)
	if err != nil {
		return nil, Meta{}, err
	}
	m := f.Meta()
	return data, Meta{m.Mode, m.MTime}, f.Check(ctx)
}
