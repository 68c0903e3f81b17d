package files

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/digest"
)

// stalling is stores whose uploads fail at chunk 2, the first time it comes, as while a service is
// away. It notes the chunks that were written.
type stalling struct {
	Stores
	failed bool
	wrote  []int64
}

func (s *stalling) User(ctx context.Context, name string) (blob.Tree, error) {
	tree, err := s.Stores.User(ctx, name)
	return stallingTree{tree, s}, err
}

type stallingTree struct {
	blob.Tree
	s *stalling
}

func (t stallingTree) OpenUpload(ctx context.Context, k blob.UploadKey, g blob.Guard) (blob.Upload, error) {
	u, err := t.Tree.OpenUpload(ctx, k, g)
	return stallingUpload{u, t.s}, err
}

type stallingUpload struct {
	blob.Upload
	s *stalling
}

func (u stallingUpload) Write(ctx context.Context, i int64, data []byte, cv digest.CV) error {
	if i == 2 && !u.s.failed {
		u.s.failed = true
		return &hufu.Error{Op: "write", Kind: hufu.KindUnavailable, Code: "store_unreachable"}
	}
	u.s.wrote = append(u.s.wrote, i)
	return u.Upload.Write(ctx, i, data, cv)
}

// TestCopyGoesOn: a copy that the store has given up for a moment continues where it was. Copies
// are logged as such, small and large.
func TestCopyGoesOn(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	s := &stalling{Stores: h.s.stores}
	var log bytes.Buffer
	v := New(s, slog.New(slog.DiscardHandler)).For("alice", "pc", func() error { return nil }, slog.NewTextHandler(&log, nil))
	defer v.Close()
	always := hufu.Condition{Kind: hufu.Always}
	data := bytes.Repeat([]byte("0123456789abcdef"), 4*hufu.ChunkSize/16)
	b := v.Batch()
	b.Put(t.Context(), at(t, "small"), data[:5], blob.Meta{Digest: digest.Sum(data[:5])}, always)
	b.Put(t.Context(), at(t, "large"), data, blob.Meta{Digest: digest.Sum(data)}, always)
	for _, r := range b.Commit(t.Context()) {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	buf := make([]byte, hufu.ChunkSize)
	if _, err := v.Copy(t.Context(), at(t, "large"), at(t, "copy"), "", always, nil, nil, buf); hufu.CodeOf(err) != "store_unreachable" {
		t.Fatalf("while the store is away: %v", err)
	}
	if e, err := v.Copy(t.Context(), at(t, "large"), at(t, "copy"), "", always, nil, nil, buf); err != nil || e.Digest != digest.Sum(data) {
		t.Fatalf("afterwards: %+v %v", e, err)
	}
	if want := []int64{0, 1, 2, 3}; !slices.Equal(s.wrote, want) {
		t.Errorf("the chunks %v were written, not %v", s.wrote, want)
	}
	if _, err := v.Copy(t.Context(), at(t, "small"), at(t, "copy of small"), "", always, nil, nil, buf); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(log.String(), "op=copy "); got != 2 {
		t.Errorf("%d copies are logged:\n%s", got, log.String())
	}
}
