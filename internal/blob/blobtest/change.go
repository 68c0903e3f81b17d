package blobtest

import (
	"bytes"
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/digest"
)

func changeTests() []test {
	return []test{
		{"RenamesMove", renamesMove, nil},
		{"FoldersStayAsTheyAre", foldersStayAsTheyAre, nil},
		{"FilesComeBeforeOtherChanges", filesComeBeforeOtherChanges, nil},
		{"ABatchIsUsedAgain", aBatchIsUsedAgain, nil},
		{"ARemovalEndsWithItsContext", aRemovalEndsWithItsContext, nil},
		{"ACanceledBatchChangesNothing", aCanceledBatchChangesNothing, nil},
		{"ConcurrentUsersLeaveAWholeTree", concurrentUsersLeaveAWholeTree, nil},
	}
}

func renamesMove(s *suite) {
	s.mustPut("a/b/f", "x")
	s.mustPut("g", "y")
	rename := func(from, to string, c hufu.Condition) blob.Result {
		return s.one(anyone, func(ctx context.Context, b blob.Batch) { b.Rename(ctx, s.path(from), s.path(to), c, "") })
	}
	if r := rename("a", "c", ifAbsent()); r.Err != nil || !r.Created {
		s.Errorf("rename to a free name: %+v, want it created", r)
	}
	s.absent("a/b/f")
	s.holds("c/b/f", "x")
	if r := rename("g", "c/b/f", always()); r.Err != nil || r.Created || s.Records && r.Version != s.stat("c/b/f").Version {
		s.Errorf("rename over a file: %+v, want the version of its entry and nothing created", r)
	}
	s.absent("g")
	s.holds("c/b/f", "y")
	if e := s.stat("c/b/f"); e.Name != "f" || e.Mode != s.mode(0o640) || s.Records && (e.By != "alice" || e.Digest != digest.Sum([]byte("y"))) {
		s.Errorf("it was renamed to c/b/f, and is %+v now", e)
	}
	before := s.everything()
	e := s.stat("c/b/f")
	for _, x := range []struct {
		from, to string
		c        hufu.Condition
		code     string
	}{
		{"c", "c/b/in", ifAbsent(), "rename_into_itself"},
		{"c/b", "c", always(), "folder_in_the_way"},
		{"c/b/f", "c/b", always(), "folder_in_the_way"},
		{"c", "c", always(), "folder_in_the_way"},
		{"c/b", "c/b/f", always(), "rename_into_itself"},
		{"c/b/f", "c/b/f", ifAbsent(), "target_exists"},
		{"c/b/f", "c/b/f", ifVersion("x"), "target_changed"},
		{"c/b/f", "none/f", ifAbsent(), "not_found"},
		{"none", "c/b/g", ifAbsent(), "not_found"},
	} {
		if r := rename(x.from, x.to, x.c); hufu.CodeOf(r.Err) != x.code {
			s.Errorf("%s to %s: %v", x.from, x.to, r.Err)
		}
	}
	s.same(before)
	for _, c := range []hufu.Condition{always(), ifVersion(e.Version)} { // onto itself, which changes nothing
		if r := rename("c/b/f", "c/b/f", c); r.Err != nil || r.Created {
			s.Errorf("rename onto itself: %+v, want no change", r)
		}
	}
	s.same(before)
}

func foldersStayAsTheyAre(s *suite) {
	s.made(func(ctx context.Context, b blob.Batch) {
		b.Mkdir(ctx, s.path("d/e"), blob.Meta{Mode: 0o750, By: "bob"}, true)
	})
	s.mustPut("d/e/f", "x")
	before := s.everything()
	if r := s.one(anyone, func(ctx context.Context, b blob.Batch) { b.Mkdir(ctx, s.path("d/e"), meta(), true) }); r.Err != nil || r.Created {
		s.Errorf("mkdir of an existing folder: %+v, want nothing created", r)
	}
	for _, p := range []string{"d", "d/e"} {
		r := s.one(anyone, func(ctx context.Context, b blob.Batch) { b.Remove(ctx, s.path(p), false, "") })
		s.wantErr(r.Err, hufu.KindNotEmpty, "")
	}
	s.same(before)
	if r := s.one(anyone, func(ctx context.Context, b blob.Batch) { b.Mkdir(ctx, s.path("d/n"), meta(), false) }); r.Err != nil || !r.Created {
		s.Errorf("mkdir: %+v, want it created", r)
	}
	s.made(func(ctx context.Context, b blob.Batch) { b.Remove(ctx, s.path("d/n"), false, "") })
	s.same(before)
	s.made(func(ctx context.Context, b blob.Batch) { b.Remove(ctx, s.path("d"), true, "") })
	s.same(nil)
}

func filesComeBeforeOtherChanges(s *suite) {
	s.mustPut("moved", "moved")
	r := s.change(anyone, func(ctx context.Context, b blob.Batch) {
		b.Remove(ctx, s.path("removed"), false, "")
		b.Rename(ctx, s.path("moved"), s.path("d/moved"), ifAbsent(), "")
		b.SetMeta(ctx, s.path("set"), blob.Meta{Mode: 0o600}, "")
		b.Mkdir(ctx, s.path("d"), meta(), false)
		b.Put(ctx, s.path("set"), []byte("set"), meta(), ifAbsent())
		b.Put(ctx, s.path("removed"), []byte("removed"), meta(), ifAbsent())
		b.Put(ctx, s.path("twice"), []byte("one"), meta(), ifAbsent())
		b.Put(ctx, s.path("twice"), []byte("two"), meta(), always())
		b.Rename(ctx, s.path("twice"), s.path("once"), ifAbsent(), "")
		b.Rename(ctx, s.path("once"), s.path("d/once"), ifAbsent(), "")
	})
	for i, r := range r {
		if created := i != 0 && i != 2 && i != 7; r.Err != nil || r.Created != created {
			s.Errorf("change %d: %+v", i, r)
		}
	}
	s.holds("d/moved", "moved")
	s.holds("d/once", "two")
	if got := s.names(""); !slices.Equal(got, []string{"d", "set"}) || s.stat("set").Mode != 0o600 {
		s.Errorf("there are %q", got)
	}
}

func aBatchIsUsedAgain(s *suite) {
	b := s.Tree.Batch(anyone)
	data := []byte("one")
	for i, name := range []string{"one", "two", "six"} {
		copy(data, name)
		if n := b.Put(s.Context(), s.path(name), data, of("alice", name), ifAbsent()); n != 0 {
			s.Errorf("round %d: the first slot is %d", i, n)
		}
		copy(data, "???")
		if n := b.Mkdir(s.Context(), s.path(".hufu-x"), meta(), false); n != 1 {
			s.Errorf("round %d: the second slot is %d", i, n)
		}
		r := b.Finish(s.Context()) // without Prepare
		if len(r) != 2 || r[0].Err != nil || r[1].Err == nil {
			s.Fatalf("round %d: %+v", i, r)
		}
		s.holds(name, name)
	}
}

func aRemovalEndsWithItsContext(s *suite) {
	s.made(func(ctx context.Context, b blob.Batch) {
		for i := range 40 {
			b.Put(ctx, s.path("d/"+strconv.Itoa(i)), nil, meta(), ifAbsent())
		}
	})
	ctx, cancel := context.WithCancel(s.Context())
	asked := 0
	b := s.Tree.Batch(blob.Guard{May: func(context.Context, blob.Change) error {
		if asked++; asked == 10 {
			cancel()
		}
		return nil
	}})
	b.Remove(ctx, s.path("d"), true, "")
	s.wantErr(committed(ctx, b)[0].Err, hufu.KindCanceled, "")
	if left := len(s.names("d")); left < 20 || left == 40 {
		s.Errorf("%d of 40 are left", left)
	}
}

func aCanceledBatchChangesNothing(s *suite) {
	s.mustPut("d/f", "x")
	s.mustPut("g", "x")
	before := s.everything()
	ctx, cancel := context.WithCancel(s.Context())
	b := s.Tree.Batch(anyone)
	b.Put(ctx, s.path("n"), []byte("x"), meta(), ifAbsent())
	b.Put(ctx, s.path("g"), []byte("y"), meta(), always())
	if s.Links {
		b.Symlink(ctx, s.path("l"), "x", meta(), ifAbsent())
	}
	b.SetMeta(ctx, s.path("g"), blob.Meta{Mode: 0o600, MTime: time.Unix(1, 1)}, "")
	b.Rename(ctx, s.path("d"), s.path("e"), ifAbsent(), "")
	b.Remove(ctx, s.path("d"), true, "")
	cancel()
	for i, r := range committed(ctx, b) {
		if hufu.KindOf(r.Err) != hufu.KindCanceled {
			s.Errorf("change %d: %v", i, r.Err)
		}
	}
	s.same(before)
	ctx, cancel = context.WithCancel(s.Context())
	b.Mkdir(ctx, s.path("made"), meta(), false) // the folder is made at once, but Finish reports the cancellation
	cancel()
	s.wantErr(committed(ctx, b)[0].Err, hufu.KindCanceled, "")
	s.must(s.one(anyone, func(ctx context.Context, b blob.Batch) { b.Mkdir(ctx, s.path("made"), meta(), false) }).Err)
}

func concurrentUsersLeaveAWholeTree(s *suite) {
	const users, rounds = 6, 60
	name := func(n int) string { return string(rune('a'+n%3)) + "/" + strconv.Itoa(n%7) }
	var wg sync.WaitGroup
	for user := range users {
		wg.Go(func() {
			g := blob.Guard{Deep: user%2 == 0, May: func(_ context.Context, c blob.Change) error {
				_, _ = c.Owners.Owner(), c.Owners.FolderOwner()
				return nil
			}}
			large := bytes.Repeat([]byte{'u'}, int(s.Unit)+user+1)
			for i := range rounds {
				p, q := name(user*5+i*11), name(user+i*3)
				data := strings.Repeat(string(rune('A'+user)), 1000+i)
				all := s.change(g, func(ctx context.Context, b blob.Batch) {
					switch i % 6 {
					case 0, 1, 2:
						b.Put(ctx, s.path(p), []byte(data), of("alice", data), []hufu.Condition{always(), ifAbsent()}[i%2])
						b.SetMeta(ctx, s.path(p), meta(), "")
					case 3:
						b.Rename(ctx, s.path(p), s.path(q), always(), "")
					case 4:
						b.Remove(ctx, s.path(p), true, "")
						b.Mkdir(ctx, s.path("d/"+p), meta(), true)
						b.Rename(ctx, s.path("d/a"), s.path("e"), ifAbsent(), "")
					case 5:
						b.Remove(ctx, s.path([]string{"a", "b", "c", "e"}[i/6%4]), true, "")
					}
				})
				for _, r := range all {
					s.expected(r.Err)
				}
				if i%20 == 19 {
					_, err := s.uploaded(p, large, always(), g)
					s.expected(err)
				}
				if got, err := s.read(q); err == nil && mixed(got) {
					s.Errorf("%s holds a mixture", q)
				} else {
					s.expected(err)
				}
				_, err := s.Tree.List(s.Context(), s.path("a"), blob.Page{Limit: i % 4}, func(hufu.Entry) error { return nil })
				s.expected(err)
				_, err = s.Tree.Digest(s.Context(), s.path(q))
				s.expected(err)
			}
		})
	}
	wg.Wait()
	if s.Failed() {
		return
	}
	s.everything() // each file has the bytes of its digest
	for _, p := range s.names("") {
		s.must(s.one(anyone, func(ctx context.Context, b blob.Batch) { b.Remove(ctx, s.path(p), true, "") }).Err)
	}
	s.same(nil)
}

// expected fails the test on any error that concurrent users may not cause each other.
func (s *suite) expected(err error) {
	s.Helper()
	switch hufu.KindOf(err) {
	case 0, hufu.KindNotFound, hufu.KindExists, hufu.KindNotEmpty, hufu.KindWrongKind, hufu.KindChanged:
	default:
		s.Error(err)
	}
}
