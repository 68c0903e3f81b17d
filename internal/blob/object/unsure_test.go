package object

import (
	"context"
	"testing"

	"hufu"
	"hufu/internal/meta"
)

// TestALostCommitIsNotCanceled: a change that may have been made is not taken for one that was not,
// although nobody waits for it any more.
func TestALostCommitIsNotCanceled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	lost := &hufu.Error{Op: "commit transaction", Kind: hufu.KindUnavailable, Code: "database_unsure"}
	wantCode(t, broken(ctx, "commit", hufu.Path{}, lost), hufu.KindUnavailable, "database_unsure")
	away := &hufu.Error{Op: "commit transaction", Kind: hufu.KindUnavailable, Code: "database_unreachable"}
	wantCode(t, broken(ctx, "commit", hufu.Path{}, away), hufu.KindCanceled, "canceled")
	// Nor are the chunks of its upload free to change: they may be those of a file.
	h := &holder{u: &upload{sealed: 1}, prepared: &prepared{}}
	wantCode(t, h.unsealed(broken(ctx, "commit", hufu.Path{}, lost)), hufu.KindUnavailable, "database_unsure")
	if h.prepared == nil || h.u.sealed != 1 {
		t.Error("the upload is not sealed any more")
	}
}

// TestAnUploadThatIsOpenedTwiceIsHeldByBoth: one of those that look for it, in another tree, does not
// find it, and the other has it all the same.
func TestAnUploadThatIsOpenedTwiceIsHeldByBoth(t *testing.T) {
	t.Parallel()
	s, id := NewTrees(nil, nil, Options{}), meta.RandomID()
	one, two := s.expect(id), s.expect(id)
	if one(); !s.held(id) {
		t.Error("the upload is open to another owner's next one")
	}
	if two(); s.held(id) || len(s.coming) > 0 {
		t.Error("nobody opens it any more")
	}
}
