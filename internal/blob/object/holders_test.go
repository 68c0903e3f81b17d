package object_test

import (
	"crypto/rand"
	"testing"
	"time"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/blob/object"
	"hufu/internal/digest"
	"hufu/internal/meta"
)

// two opens the tree of alice as two processes do.
func two(t *testing.T, hold time.Duration) (trees [2]*object.Trees, alice [2]blob.Tree, n *meta.Names) {
	t.Helper()
	n = database(t)
	_, b := newFake(t)
	for i := range trees {
		trees[i] = object.NewTrees(n, b, object.Options{Installation: "test", Hold: hold})
		t.Cleanup(func() { must(t, trees[i].Close()) })
		alice[i] = tree(t, trees[i])
	}
	return trees, alice, n
}

// TestAnUploadIsOpenInAnotherProcess: what ends an upload that nobody has open leaves one alone that
// another process has open, and ends it when that has closed it or was killed.
func TestAnUploadIsOpenInAnotherProcess(t *testing.T) {
	t.Parallel()
	data := content(2<<20+1, 'd')
	for name, end := range map[string]func(t *testing.T, s *object.Trees, other blob.Tree) error{
		"expire": func(t *testing.T, s *object.Trees, _ blob.Tree) error {
			_, err := s.Expire(t.Context(), -time.Hour)
			return err
		},
		"replaced": func(t *testing.T, _ *object.Trees, other blob.Tree) error {
			u, err := other.OpenUpload(t.Context(), blob.UploadKey{Path: path(t, "d/f"), Size: int64(len(data)), Source: rand.Text(), Owner: "alice/x"}, blob.Guard{})
			must(t, err)
			must(t, send(t, u, data, 0))
			return u.Close()
		},
		"its folder": func(t *testing.T, _ *object.Trees, other blob.Tree) error {
			b := other.Batch(blob.Guard{})
			b.Remove(t.Context(), path(t, "d"), false, "")
			return b.Finish(t.Context())[0].Err
		},
	} {
		for _, killed := range []bool{false, true} {
			t.Run(map[bool]string{false: name, true: name + ", killed"}[killed], func(t *testing.T) {
				t.Parallel()
				trees, alice, n := two(t, time.Hour)
				u := open(t, alice[0], "d/f", data)
				must(t, send(t, u, data, 0))
				id, _ := meta.ParseID(u.Info().ID)
				if err := end(t, trees[1], alice[1]); (name == "its folder") != (hufu.KindOf(err) == hufu.KindNotEmpty) {
					t.Error(err)
				}
				must(t, send(t, u, data, 1))
				if killed {
					_, err := n.Hold(t.Context(), id, trees[0].Grip(), -time.Second) // as if its time were over
					must(t, err)
				} else {
					must(t, u.Close())
					trees[0].Settle()
				}
				must(t, end(t, trees[1], alice[1]))
				if killed {
					_, err := blob.CommitUpload(t.Context(), u, digest.Sum(data), blob.Meta{}, always)
					if hufu.KindOf(err) != hufu.KindNotFound && hufu.CodeOf(err) != "upload_incomplete" {
						t.Error(err)
					}
				}
				v, err := alice[1].FindUpload(t.Context(), id.String(), blob.Guard{})
				if err == nil {
					_ = v.Close()
				}
				wantCode(t, err, hufu.KindNotFound, "upload_unknown")
			})
		}
	}
}

// TestAnUploadStaysOpen: a process says again and again that it has an upload open, and says when it has
// closed it.
func TestAnUploadStaysOpen(t *testing.T) {
	t.Parallel()
	const hold = 300 * time.Millisecond
	trees, alice, n := two(t, hold)
	data := content(2<<20+1, 'd')
	u := open(t, alice[0], "f", data)
	must(t, send(t, u, data, 0))
	id, _ := meta.ParseID(u.Info().ID)
	clock := func() time.Time {
		at, err := n.Clock(t.Context())
		must(t, err)
		return at
	}
	extended := false
	for begun := clock(); !extended; time.Sleep(hold / 20) {
		asked := clock()
		idle, err := n.IdleUploads(t.Context(), trees[1].Grip(), -time.Hour, meta.ID{}, 2)
		must(t, err)
		if extended = len(idle) == 0 && asked.Sub(begun) > 2*hold; asked.Sub(begun) > time.Minute {
			t.Fatal("nothing is said any more")
		}
	}
	must(t, u.Close())
	trees[0].Settle()
	if got, err := n.DropIdle(t.Context(), id, trees[1].Grip(), -time.Hour); err != nil || !got {
		t.Errorf("%v %v", got, err)
	}
}

// TestTheFirstChunkComesElsewhere: an upload of which nothing has arrived here is not dropped when it
// is closed here while another process has it open, or has begun it.
func TestTheFirstChunkComesElsewhere(t *testing.T) {
	t.Parallel()
	_, alice, _ := two(t, time.Hour)
	data := content(2<<20+1, 'd')
	for _, begun := range []bool{false, true} {
		u := open(t, alice[0], map[bool]string{false: "a", true: "b"}[begun], data)
		v, err := alice[1].FindUpload(t.Context(), u.Info().ID, blob.Guard{})
		must(t, err)
		if begun {
			must(t, send(t, v, data, 0))
		}
		must(t, u.Close())
		for i := range int64(3) {
			must(t, send(t, v, data, i))
		}
		_, err = blob.CommitUpload(t.Context(), v, digest.Sum(data), blob.Meta{}, always)
		must(t, err)
		must(t, v.Close())
	}
	// The last of them that closes it drops it.
	u := open(t, alice[0], "c", data)
	v, err := alice[1].FindUpload(t.Context(), u.Info().ID, blob.Guard{})
	must(t, err)
	id := u.Info().ID
	must(t, u.Close())
	must(t, v.Close())
	_, err = alice[0].FindUpload(t.Context(), id, blob.Guard{})
	wantCode(t, err, hufu.KindNotFound, "upload_unknown")
}
