package blobtest

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/digest"
)

func guardTests() []test {
	return []test{
		{"AGuardSeesTheChange", aGuardSeesTheChange, nil},
		{"AGuardMayAllowOnlyReplacing", aGuardMayAllowOnlyReplacing, nil},
		{"WhatAGuardRefusesIsNotMade", whatAGuardRefusesIsNotMade, nil},
		{"AGuardIsAskedAtTheChange", aGuardIsAskedAtTheChange, records},
		{"AGuardIsAskedAgain", aGuardIsAskedAgain, records},
		{"ARecursiveRemovalStopsAtARefusal", aRecursiveRemovalStopsAtARefusal, nil},
		{"ADeepGuardLeavesTheFolderWhole", aDeepGuardLeavesTheFolderWhole, nil},
		{"WhatOthersPutStays", whatOthersPutStays, records},
		{"ParentsBelongToTheirMaker", parentsBelongToTheirMaker, records},
	}
}

// errNo is what the guards of these tests refuse with.
var errNo = &hufu.Error{Op: "guard", Kind: hufu.KindPermission, Code: "not_yours"}

// only returns a guard for a user who may change only their own entries.
func only(user string) blob.Guard {
	return blob.Guard{Deep: true, May: func(_ context.Context, c blob.Change) error {
		if c.Old != 0 && c.Owners.Owner() != user {
			return errNo
		}
		return nil
	}}
}

// shared makes the folder d of alice, in which bob has something.
func (s *suite) shared() {
	s.Helper()
	alice, bob := meta(), meta()
	alice.By, bob.By = "alice", "bob"
	s.made(func(ctx context.Context, b blob.Batch) {
		b.Mkdir(ctx, s.path("d"), alice, false)
		b.Mkdir(ctx, s.path("d/s"), alice, false)
		b.Mkdir(ctx, s.path("d/e"), bob, false)
		b.Put(ctx, s.path("d/f"), []byte("f"), of("bob", "f"), ifAbsent())
		b.Put(ctx, s.path("d/s/g"), []byte("g"), of("bob", "g"), ifAbsent())
		if s.Links {
			b.Symlink(ctx, s.path("d/l"), "x", bob, ifAbsent())
		}
	})
}

// aGuardMayAllowOnlyReplacing: a guard that refuses new entries does not stop a change of one that
// exists.
func aGuardMayAllowOnlyReplacing(s *suite) {
	g := blob.Guard{May: func(_ context.Context, c blob.Change) error {
		if c.Old == 0 {
			return errNo
		}
		return nil
	}}
	put := func() error {
		return s.one(g, func(ctx context.Context, b blob.Batch) {
			b.Put(ctx, s.path("f"), []byte("new"), of("bob", "new"), always())
		}).Err
	}
	s.wantErr(put(), hufu.KindPermission, "not_yours")
	s.absent("f")
	s.mustPut("f", "old")
	s.must(put())
	s.holds("f", "new")
}

// guarded is a change, and the questions that its guard is asked.
type guarded struct {
	make  func(g blob.Guard) error
	asked map[string]string // by path: the kinds before and after, its owner, the folder's
}

// guardeds returns all kinds of changes to the entries of shared.
func (s *suite) guardeds() map[string]guarded {
	carol := meta()
	carol.By = "carol"
	batch := func(stage func(context.Context, blob.Batch)) func(blob.Guard) error {
		return func(g blob.Guard) error { return s.one(g, stage).Err }
	}
	put := func(p string, c hufu.Condition) func(blob.Guard) error {
		return batch(func(ctx context.Context, b blob.Batch) { b.Put(ctx, s.path(p), []byte("x"), of("carol", "x"), c) })
	}
	upload := func(p string) func(blob.Guard) error {
		return func(g blob.Guard) error {
			_, err := s.uploaded(p, random(s.Unit+1, 5), always(), g)
			return err
		}
	}
	rename := func(from, to string) func(blob.Guard) error {
		return batch(func(ctx context.Context, b blob.Batch) { b.Rename(ctx, s.path(from), s.path(to), always(), "") })
	}
	remove := func(p string, recursive bool) func(blob.Guard) error {
		return batch(func(ctx context.Context, b blob.Batch) { b.Remove(ctx, s.path(p), recursive, "") })
	}
	set := func(p string) func(blob.Guard) error {
		return batch(func(ctx context.Context, b blob.Batch) {
			b.SetMeta(ctx, s.path(p), blob.Meta{Mode: 0o750, MTime: time.Unix(8, 8)}, "")
		})
	}
	link := func(p string, c hufu.Condition) func(blob.Guard) error {
		return batch(func(ctx context.Context, b blob.Batch) { b.Symlink(ctx, s.path(p), "y", carol, c) })
	}
	all := map[string]guarded{
		"put":             {put("d/n", ifAbsent()), map[string]string{"d/n": ",file,,alice"}},
		"put over":        {put("d/f", always()), map[string]string{"d/f": "file,file,bob,alice"}},
		"put, parents":    {put("d/p/q/n", ifAbsent()), map[string]string{"d/p": ",folder,,alice", "d/p/q": ",folder,,carol", "d/p/q/n": ",file,,carol"}},
		"upload":          {upload("d/n"), map[string]string{"d/n": ",file,,alice"}},
		"upload, parents": {upload("d/p/n"), map[string]string{"d/p": ",folder,,alice", "d/p/n": ",file,,alice"}},
		"upload over":     {upload("d/f"), map[string]string{"d/f": "file,file,bob,alice"}},
		"mkdir":           {batch(func(ctx context.Context, b blob.Batch) { b.Mkdir(ctx, s.path("d/n"), carol, false) }), map[string]string{"d/n": ",folder,,alice"}},
		"mkdir, parents":  {batch(func(ctx context.Context, b blob.Batch) { b.Mkdir(ctx, s.path("d/p/n"), carol, true) }), map[string]string{"d/p": ",folder,,alice", "d/p/n": ",folder,,carol"}},
		"set":             {set("d/f"), map[string]string{"d/f": "file,file,bob"}}, // it works on the open file, whose folder need not be known
		"set folder":      {set("d/e"), map[string]string{"d/e": "folder,folder,bob"}},
		"remove":          {remove("d/f", false), map[string]string{"d/f": "file,,bob,alice"}},
		"remove folder":   {remove("d/e", false), map[string]string{"d/e": "folder,,bob,alice"}},
		"remove all":      {remove("d/s", true), map[string]string{"d/s": "folder,,alice,alice", "d/s/g": "file,,bob,alice"}},
		"rename":          {rename("d/f", "d/n"), map[string]string{"d/f": "file,,bob,alice", "d/n": ",file,,alice"}},
		"rename over":     {rename("d/s/g", "d/f"), map[string]string{"d/s/g": "file,,bob,alice", "d/f": "file,file,bob,alice"}},
		"rename folder":   {rename("d/s", "n"), map[string]string{"d/s": "folder,,alice,alice", "d/s/g": "file,,bob,alice", "n": ",folder,,"}},
	}
	if s.Links {
		maps.Copy(all, map[string]guarded{
			"link":          {link("d/n", ifAbsent()), map[string]string{"d/n": ",link,,alice"}},
			"link over":     {link("d/f", always()), map[string]string{"d/f": "file,link,bob,alice"}},
			"link, parents": {link("d/p/n", ifAbsent()), map[string]string{"d/p": ",folder,,alice", "d/p/n": ",link,,carol"}},
			"put over link": {put("d/l", always()), map[string]string{"d/l": "link,file,alice,alice"}},
			"set link":      {set("d/l"), map[string]string{"d/l": "link,link,alice,alice"}},
			"remove link":   {remove("d/l", false), map[string]string{"d/l": "link,,alice,alice"}},
		})
	}
	return all
}

// clear removes everything.
func (s *suite) clear() {
	s.Helper()
	for _, p := range s.names("") {
		s.must(s.one(anyone, func(ctx context.Context, b blob.Batch) { b.Remove(ctx, s.path(p), true, "") }).Err)
	}
}

func aGuardSeesTheChange(s *suite) {
	kinds := [...]string{"", "file", "folder", "link", "other"}
	for name, c := range s.guardeds() {
		s.clear()
		s.shared()
		before := s.everything()
		asked := map[string]string{} // the last question counts: only then the change is made
		s.must(c.make(blob.Guard{Deep: true, May: func(ctx context.Context, c blob.Change) error {
			owner := ""
			if c.Old != 0 {
				owner = c.Owners.Owner()
			}
			asked[c.Path.String()] = strings.Join([]string{kinds[c.Old], kinds[c.New], owner, c.Owners.FolderOwner()}, ",")
			if ctx == nil {
				return errors.New("no context")
			}
			return nil
		}}))
		if !slices.Equal(slices.Sorted(maps.Keys(asked)), slices.Sorted(maps.Keys(c.asked))) {
			s.Errorf("%s: asked about %v, want %v", name, asked, c.asked)
		}
		for p, want := range c.asked {
			got := asked[p]
			if !s.Records { // nobody is known
				got, want = strings.Join(strings.Split(got, ",")[:2], ","), strings.Join(strings.Split(want, ",")[:2], ",")
			}
			if !strings.HasPrefix(got, want) {
				s.Errorf("%s: of %s it saw %q, want %q", name, p, got, want)
			}
		}
		// Only the mode of a folder shows in everything(), which leaves out its time.
		if slices.Equal(s.everything(), before) && (s.Modes || name != "set folder") {
			s.Errorf("%s: nothing has changed", name)
		}
	}
}

func whatAGuardRefusesIsNotMade(s *suite) {
	for name, c := range s.guardeds() {
		s.clear()
		s.shared()
		for refused := range c.asked { // everything else is allowed
			if strings.HasSuffix(name, "parents") && refused != "d/p" {
				continue // the folders above it are made
			}
			before := s.everything()
			err := c.make(blob.Guard{Deep: true, May: func(_ context.Context, c blob.Change) error {
				if c.Path.String() == refused {
					return errNo
				}
				return nil
			}})
			if !errors.Is(err, errNo) {
				s.Errorf("%s: refused at %s: %v", name, refused, err)
			}
			s.same(before)
		}
	}
}

func aGuardIsAskedAtTheChange(s *suite) {
	s.mustPut("from", "x")
	for _, owner := range []string{"alice", "bob"} { // the owner at Finish
		for _, what := range []string{"put", "link", "set", "remove", "remove all", "rename", "rename over"} {
			if what == "link" && !s.Links {
				continue
			}
			as := func(user string) {
				s.must(s.one(anyone, func(ctx context.Context, b blob.Batch) {
					b.Put(ctx, s.path("f"), []byte(user), of(user, user), always())
				}).Err)
			}
			as("alice")
			b := s.Tree.Batch(only("alice"))
			switch what {
			case "put":
				b.Put(s.Context(), s.path("f"), []byte("new"), of("alice", "new"), always())
			case "link":
				b.Symlink(s.Context(), s.path("f"), "x", meta(), always())
			case "set":
				b.SetMeta(s.Context(), s.path("f"), blob.Meta{Mode: 0o600}, "")
			case "remove":
				b.Remove(s.Context(), s.path("f"), false, "")
			case "remove all":
				b.Remove(s.Context(), s.path("f"), true, "")
			case "rename":
				b.Rename(s.Context(), s.path("f"), s.path("g"), always(), "")
			case "rename over":
				s.mustPut("from", "x")
				b.Rename(s.Context(), s.path("from"), s.path("f"), always(), "")
			}
			b.Prepare(s.Context())
			as(owner)
			before := s.everything()
			err := b.Finish(s.Context())[0].Err
			if owner == "bob" {
				if !errors.Is(err, errNo) {
					s.Errorf("%s: %v", what, err)
				}
				s.same(before)
			} else if err != nil || slices.Equal(s.everything(), before) {
				s.Errorf("%s: not made, %v", what, err)
			}
		}
	}
}

func aGuardIsAskedAgain(s *suite) {
	data := s.large(6)
	s.must(s.one(anyone, func(ctx context.Context, b blob.Batch) {
		b.Put(ctx, s.path("f"), []byte("bob's"), of("bob", "bob's"), ifAbsent())
	}).Err)
	u, err := s.Tree.OpenUpload(s.Context(), s.key("f", data), only("alice"))
	s.must(err)
	defer func() { _ = u.Close() }()
	s.sendUnits(u, data, 0, 1, 2)
	for _, c := range []hufu.Condition{always(), ifVersion(s.stat("f").Version)} {
		_, err := s.commit(u, data, c)
		if !errors.Is(err, errNo) {
			s.Error(err)
		}
		s.holds("f", "bob's")
		v, err := s.Tree.FindUpload(s.Context(), u.Info().ID, only("alice"))
		s.must(err)
		if _, err := s.commit(v, data, c); !errors.Is(err, errNo) {
			s.Error(err)
		}
		s.must(v.Close())
	}
	s.must(s.one(only("bob"), func(ctx context.Context, b blob.Batch) { b.Remove(ctx, s.path("f"), false, "") }).Err)
	_, err = s.commit(u, data, always())
	s.must(err)
	s.holds("f", string(data))
}

func aRecursiveRemovalStopsAtARefusal(s *suite) {
	for _, refused := range []string{"d/s/g", "d/s", "d/f", "d"} {
		s.clear()
		s.shared()
		err := s.one(blob.Guard{May: func(_ context.Context, c blob.Change) error {
			if c.Path.String() == refused {
				return errNo
			}
			return nil
		}}, func(ctx context.Context, b blob.Batch) { b.Remove(ctx, s.path("d"), true, "") }).Err
		if !errors.Is(err, errNo) {
			s.Errorf("%s: %v", refused, err)
		}
		s.stat(refused)
	}
}

func aDeepGuardLeavesTheFolderWhole(s *suite) {
	s.shared()
	before := s.everything()
	for _, refused := range []string{"d/s/g", "d/s", "d/f", "d/e", "d"} {
		g := blob.Guard{Deep: true, May: func(_ context.Context, c blob.Change) error {
			if c.Path.String() == refused {
				return errNo
			}
			return nil
		}}
		for _, r := range s.change(g, func(ctx context.Context, b blob.Batch) {
			b.Remove(ctx, s.path("d"), true, "")
			b.Rename(ctx, s.path("d"), s.path("n"), ifAbsent(), "")
		}) {
			if !errors.Is(r.Err, errNo) {
				s.Errorf("%s: %v", refused, r.Err)
			}
		}
		s.same(before)
	}
}

// whatOthersPutStays: bob's entries stay until bob removes them, whatever alice
// does at the same moment.
func whatOthersPutStays(s *suite) {
	alices := func(p string, c hufu.Condition) func(context.Context, blob.Batch) {
		return func(ctx context.Context, b blob.Batch) {
			b.Put(ctx, s.path(p), []byte("alice's"), of("alice", "alice's"), c)
		}
	}
	rename := func(from, to string) func(context.Context, blob.Batch) {
		return func(ctx context.Context, b blob.Batch) { b.Rename(ctx, s.path(from), s.path(to), always(), "") }
	}
	remove := func(p string, recursive bool) func(context.Context, blob.Batch) {
		return func(ctx context.Context, b blob.Batch) { b.Remove(ctx, s.path(p), recursive, "") }
	}
	for _, c := range []struct {
		bobs  []string // possible names of the file, which is put under the first
		alice []func(context.Context, blob.Batch)
	}{
		{[]string{"a/f"}, []func(context.Context, blob.Batch){
			alices("a/f", ifAbsent()), alices("a/f", always()), rename("a/f", "a/g"), rename("a/g", "a/f"), remove("a/f", false), alices("a/f", ifAbsent()), remove("a/f", true),
			func(ctx context.Context, b blob.Batch) { b.SetMeta(ctx, s.path("a/f"), blob.Meta{Mode: 0o777}, "") },
		}},
		{[]string{"d/s/f", "e/s/f"}, []func(context.Context, blob.Batch){
			alices("d/s/x", always()), rename("d", "e"), rename("e", "d"), remove("d", true), remove("e", true), remove("d/s", true),
		}},
	} {
		s.made(func(ctx context.Context, b blob.Batch) { b.Mkdir(ctx, s.path("a"), meta(), true) })
		var over atomic.Bool
		var wg sync.WaitGroup
		wg.Go(func() {
			for i := 0; !over.Load(); i++ {
				_ = s.change(only("alice"), c.alice[i%len(c.alice)])
			}
		})
		for range cmp.Or(s.Rounds, 200) {
			if s.Failed() {
				break
			}
			if s.one(only("bob"), func(ctx context.Context, b blob.Batch) {
				b.Put(ctx, s.path(c.bobs[0]), []byte("bob's"), of("bob", "bob's"), ifAbsent())
			}).Err != nil {
				continue
			}
			stands := ""
			for _, p := range c.bobs {
				if e, err := s.Tree.Stat(s.Context(), s.path(p)); err == nil && e.By == "bob" {
					stands = p
				}
			}
			if stands == "" {
				s.Error("what bob has put is gone")
				break
			}
			if e, err := s.Tree.Stat(s.Context(), s.path(stands)); err != nil || e.By != "bob" || e.Mode != 0o640 || e.Digest != digest.Sum([]byte("bob's")) {
				s.Errorf("what bob has put is %+v, %v", e, err)
			}
			for _, p := range []string{stands, "d/s", "d", "e"} { // folders made on the way are bob's too
				r := s.one(only("bob"), func(ctx context.Context, b blob.Batch) { b.Remove(ctx, s.path(p), false, "") })
				if p == stands && r.Err != nil {
					s.Errorf("bob removes his file: %v", r.Err)
				}
			}
		}
		over.Store(true)
		wg.Wait()
	}
}

func parentsBelongToTheirMaker(s *suite) {
	s.mkdir("alices")
	carol := meta()
	carol.By = "carol"
	s.made(func(ctx context.Context, b blob.Batch) {
		b.Put(ctx, s.path("alices/a/b/f"), nil, carol, ifAbsent())
		b.Mkdir(ctx, s.path("alices/c/d"), carol, true)
		if s.Links {
			b.Symlink(ctx, s.path("alices/e/l"), "x", carol, ifAbsent())
		}
	})
	for _, p := range []string{"alices/a", "alices/a/b", "alices/c", "alices/c/d", "alices/e"} {
		if p == "alices/e" && !s.Links {
			continue
		}
		if e := s.stat(p); e.By != "carol" || p != "alices/c/d" && e.Mode != 0o755 {
			s.Errorf("%s: %+v", p, e)
		}
	}
	if e := s.stat("alices"); e.By != "alice" {
		s.Errorf("alice's folder is %+v now", e)
	}
}
