package blobtest

import (
	"bytes"
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/digest"
)

func conditionTests() []test {
	return []test{
		{"NothingIsVisibleBeforeFinish", nothingIsVisibleBeforeFinish, nil},
		{"AnUploadIsInvisibleBeforeFinish", anUploadIsInvisibleBeforeFinish, nil},
		{"AReplacedFileIsOldOrNew", aReplacedFileIsOldOrNew, nil},
		{"ConditionsHold", conditionsHold, nil},
		{"AFolderReplacesNothing", aFolderReplacesNothing, nil},
		{"AConditionIsJudgedAtFinish", aConditionIsJudgedAtFinish, nil},
		{"OneOfManyWins", oneOfManyWins, nil},
		{"OneOfTwoProcessesWins", oneOfTwoProcessesWins, func(s *Store) bool { return s.Another != nil }},
		{"VersionsTellVersionsApart", versionsTellVersionsApart, nil},
		{"AChangeOfAVersionIsMadeToNoOther", aChangeOfAVersionIsMadeToNoOther, nil},
		{"AVersionIsJudgedAtFinish", aVersionIsJudgedAtFinish, nil},
	}
}

func nothingIsVisibleBeforeFinish(s *suite) {
	b := s.Tree.Batch(anyone)
	stage := func() {
		b.Put(s.Context(), s.path("file"), []byte("new"), of("alice", "new"), always())
		b.Put(s.Context(), s.path("old"), []byte("new"), of("alice", "new"), always())
		if s.Links {
			b.Symlink(s.Context(), s.path("link"), "x", meta(), ifAbsent())
		}
	}
	s.mustPut("old", "old")
	before := s.everything()
	stage()
	s.same(before)
	b.Prepare(s.Context())
	s.same(before)
	s.absent("file")
	b.Discard()
	for _, r := range b.Finish(s.Context()) {
		s.Errorf("%+v of nothing", r)
	}
	s.same(before)
	stage()
	for _, r := range committed(s.Context(), b) {
		s.must(r.Err)
	}
	s.holds("file", "new")
	s.holds("old", "new")
}

func anUploadIsInvisibleBeforeFinish(s *suite) {
	data := s.large(1)
	u := s.upload(s.key("d/f", data))
	s.sendUnits(u, data, 0, 1, 2)
	unseen := func() {
		s.Helper()
		s.absent("d/f")
		if got := s.names("d"); len(got) != 0 {
			s.Errorf("listed: %q", got)
		}
		if got, _ := s.pages("d", 1); len(got) != 0 {
			s.Errorf("listed in pages: %q", got)
		}
	}
	unseen()
	s.must(u.Prepare(s.Context(), digest.Sum(data), meta()))
	unseen()
	e, err := u.Finish(s.Context(), ifAbsent())
	s.must(err)
	s.holds("d/f", string(data))
	if got := s.names("d"); !slices.Equal(got, []string{"f"}) {
		s.Errorf("listed: %q", got)
	}
	got := s.stat("d/f")
	got.Digest = digest.Sum(data)
	if !s.Modes { // Finish answers with the mode that was given, though the store keeps none
		got.Mode, got.By, got.Upload = e.Mode, e.By, e.Upload
	}
	if got != e || e.MTime != got.MTime || e.Mode != 0o640 || s.Records && (e.Upload != u.Info().ID || e.By != "alice") {
		s.Errorf("the answer was %+v, there is %+v", e, got)
	}
}

func aReplacedFileIsOldOrNew(s *suite) {
	content := func(i int) string { return strings.Repeat(strconv.Itoa(i%10), 5000+i%10) }
	s.mustPut("f", content(0))
	var over atomic.Bool
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			whole := 0
			for !over.Load() {
				data, err := s.read("f")
				switch {
				case hufu.KindOf(err) == hufu.KindChanged:
				case err != nil:
					s.Error(err)
					return
				case mixed(data):
					s.Errorf("read a mixture of %d bytes", len(data))
					return
				default:
					whole++
				}
				e, err := s.Tree.Stat(s.Context(), s.path("f"))
				if err != nil || e.Size < 5000 {
					s.Errorf("while it is replaced it is %+v %v, want a file of 5,000 bytes or more", e, err)
					return
				}
			}
		})
	}
	for i := range 60 {
		if i%20 == 19 {
			if _, err := s.uploaded("f", bytes.Repeat([]byte("u"), int(s.Unit)+1), always(), anyone); err != nil {
				s.Error(err)
			}
		}
		if r := s.put("f", content(i), always()); r.Err != nil {
			s.Error(r.Err)
		}
	}
	over.Store(true)
	wg.Wait()
}

// maker takes a name in one of the ways there are.
type maker struct {
	name string
	take func(s *suite, p string, c hufu.Condition) error
	data string // that a file then holds
}

// makers are all ways to take a name.
func (s *suite) makers() []maker {
	all := []maker{
		{"put", func(s *suite, p string, c hufu.Condition) error { return s.put(p, "new", c).Err }, "new"},
		{"rename", func(s *suite, p string, c hufu.Condition) error {
			from := "from-" + s.number()
			if r := s.put(from, "moved", ifAbsent()); r.Err != nil {
				return r.Err
			}
			return s.one(anyone, func(ctx context.Context, b blob.Batch) { b.Rename(ctx, s.path(from), s.path(p), c, "") }).Err
		}, "moved"},
	}
	data := s.large(2)
	all = append(all, maker{"upload", func(s *suite, p string, c hufu.Condition) error {
		_, err := s.uploadedAs(s.number(), p, data, c, anyone)
		return err
	}, string(data)})
	if s.Links {
		all = append(all, maker{"link", func(s *suite, p string, c hufu.Condition) error {
			return s.one(anyone, func(ctx context.Context, b blob.Batch) { b.Symlink(ctx, s.path(p), "new", meta(), c) }).Err
		}, ""})
	}
	return all
}

func conditionsHold(s *suite) {
	for _, m := range s.makers() {
		s.mkdir(m.name + "/folder")
		free, taken, folder, nothing := m.name+"/free", m.name+"/taken", m.name+"/folder", m.name+"/nothing"
		take := func(p string, c hufu.Condition) error { return m.take(s, p, c) }
		fresh := func() hufu.Entry { return s.mustPut(taken, "old") }
		is := func(p string) {
			s.Helper()
			if e := s.stat(p); m.data == "" && e.Target != "new" {
				s.Errorf("%s: %+v", m.name, e)
			} else if m.data != "" {
				s.holds(p, m.data)
			}
		}
		stale := fresh()
		now := fresh()
		for _, c := range []struct {
			p    string
			c    hufu.Condition
			kind hufu.Kind
			code string
		}{
			{taken, ifAbsent(), hufu.KindExists, "target_exists"},
			{taken, ifVersion(stale.Version), hufu.KindChanged, "target_changed"},
			{taken, ifVersion(""), hufu.KindChanged, "target_changed"},
			{taken, ifVersion("1.2"), hufu.KindChanged, "target_changed"},
			{nothing, ifVersion(now.Version), hufu.KindChanged, "target_changed"},
			{folder, always(), hufu.KindWrongKind, "folder_in_the_way"},
			{folder, ifAbsent(), hufu.KindWrongKind, "folder_in_the_way"},
			{nothing, hufu.Condition{}, hufu.KindInvalid, "condition_form"},
		} {
			if err := take(c.p, c.c); hufu.KindOf(err) != c.kind || hufu.CodeOf(err) != c.code {
				s.Errorf("%s to %s with %+v: %v", m.name, c.p, c.c, err)
			}
			s.holds(taken, "old")
			s.absent(nothing)
		}
		s.must(take(free, ifAbsent()))
		is(free)
		s.must(take(taken, ifVersion(now.Version)))
		is(taken)
		fresh()
		s.must(take(taken, always()))
		is(taken)
		s.must(take(nothing, always()))
		is(nothing)
	}
	for r, want := range map[blob.Result]bool{s.put("c", "x", ifAbsent()): true, s.put("c", "x", always()): false, s.put("d", "x", always()): true} {
		if r.Err != nil || r.Created != want {
			s.Errorf("%+v, want created: %v", r, want)
		}
	}
}

// aFolderReplacesNothing: a folder takes a free name only, whatever the condition allows; a
// condition that does not hold is reported as that, before the kind.
func aFolderReplacesNothing(s *suite) {
	s.mustPut("d/inner", "x")
	s.mkdir("other")
	stale := s.mustPut("f", "old").Version
	now := s.mustPut("f", "old").Version
	taken := []string{"f"}
	if s.Links {
		s.made(func(ctx context.Context, b blob.Batch) { b.Symlink(ctx, s.path("l"), "f", meta(), always()) })
		taken = append(taken, "l")
	}
	before := s.everything()
	rename := func(p string, c hufu.Condition, kind hufu.Kind, code string) {
		s.Helper()
		r := s.one(anyone, func(ctx context.Context, b blob.Batch) { b.Rename(ctx, s.path("d"), s.path(p), c, "") })
		if hufu.KindOf(r.Err) != kind || hufu.CodeOf(r.Err) != code || r.Created {
			s.Errorf("to %s with %+v: %v, created %v", p, c, r.Err, r.Created)
		}
		s.same(before)
	}
	for _, p := range taken {
		rename(p, ifAbsent(), hufu.KindExists, "target_exists")
		rename(p, always(), hufu.KindWrongKind, "not_a_folder")
		rename(p, ifVersion(s.stat(p).Version), hufu.KindWrongKind, "not_a_folder")
	}
	rename("f", ifVersion(stale), hufu.KindChanged, "target_changed")
	rename("f", ifVersion("x"), hufu.KindChanged, "target_changed")
	rename("nothing", ifVersion(now), hufu.KindChanged, "target_changed")
	rename("other", always(), hufu.KindWrongKind, "folder_in_the_way")
	rename("other", ifVersion(now), hufu.KindWrongKind, "folder_in_the_way")
	s.made(func(ctx context.Context, b blob.Batch) { b.Rename(ctx, s.path("d"), s.path("free"), always(), "") })
	s.holds("free/inner", "x")
}

func aConditionIsJudgedAtFinish(s *suite) {
	e := s.mustPut("version", "old")
	s.mustPut("moved", "moved")
	s.mustPut("moved2", "moved")
	b := s.Tree.Batch(anyone)
	b.Put(s.Context(), s.path("absent"), []byte("new"), meta(), ifAbsent())
	b.Put(s.Context(), s.path("version"), []byte("new"), meta(), ifVersion(e.Version))
	b.Rename(s.Context(), s.path("moved"), s.path("absent"), ifAbsent(), "")
	b.Rename(s.Context(), s.path("moved2"), s.path("version"), ifVersion(e.Version), "")
	if s.Links {
		b.Symlink(s.Context(), s.path("absent"), "x", meta(), ifAbsent())
		b.Symlink(s.Context(), s.path("version"), "x", meta(), ifVersion(e.Version))
	}
	data := s.large(3)
	u := s.upload(s.key("absent", data))
	s.sendUnits(u, data, 0, 1, 2)
	s.must(u.Prepare(s.Context(), digest.Sum(data), meta()))
	b.Prepare(s.Context())
	s.mustPut("absent", "first")
	s.mustPut("version", "first")
	before := s.everything()
	for i, r := range b.Finish(s.Context()) {
		if k := hufu.KindOf(r.Err); k != hufu.KindExists && k != hufu.KindChanged {
			s.Errorf("change %d: %v", i, r.Err)
		}
	}
	_, err := u.Finish(s.Context(), ifAbsent())
	s.wantErr(err, hufu.KindExists, "target_exists")
	s.same(before)
	// A refused upload can be committed again.
	_, err = s.commit(u, data, always())
	s.must(err)
	s.holds("absent", string(data))
}

func oneOfManyWins(s *suite) {
	makers := s.makers()
	for round := range 8 {
		c := ifAbsent()
		if round > 0 {
			c = ifVersion(s.mustPut("f", "old").Version)
		}
		var won atomic.Int32
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				switch err := makers[i%len(makers)].take(s, "f", c); hufu.KindOf(err) {
				case 0:
					won.Add(1)
				case hufu.KindExists, hufu.KindChanged:
				default:
					s.Error(err)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 {
			s.Fatalf("round %d: %d have won", round, won.Load())
		}
		e := s.stat("f")
		s.must(s.one(anyone, func(ctx context.Context, b blob.Batch) { b.Remove(ctx, s.path("f"), false, e.Version) }).Err)
	}
}

// oneOfTwoProcessesWins: two processes that have the tree open do not see one another's locks, so
// the store itself must decide.
func oneOfTwoProcessesWins(s *suite) {
	trees := []blob.Tree{s.Tree, s.Another()}
	kinds := map[string]func(ctx context.Context, b blob.Batch, own string){
		"put": func(ctx context.Context, b blob.Batch, own string) {
			b.Put(ctx, s.path("f"), []byte(own), of("alice", own), ifAbsent())
		},
		"rename": func(ctx context.Context, b blob.Batch, own string) {
			b.Rename(ctx, s.path("own"+own), s.path("f"), ifAbsent(), "")
		},
		"folder": func(ctx context.Context, b blob.Batch, own string) {
			b.Rename(ctx, s.path("folder"+own), s.path("f"), ifAbsent(), "")
		},
	}
	if s.Links {
		kinds["link"] = func(ctx context.Context, b blob.Batch, own string) {
			b.Symlink(ctx, s.path("f"), own, meta(), ifAbsent())
		}
	}
	for name, stage := range kinds {
		s.clear()
		for i := range trees {
			own := strconv.Itoa(i)
			s.mustPut("own"+own, own)
			s.mustPut("folder"+own+"/of", own)
		}
		// Both guards wait for each other, after the store's own check.
		meet := make(chan struct{})
		g := blob.Guard{May: func(context.Context, blob.Change) error {
			select {
			case meet <- struct{}{}:
			case <-meet:
			case <-time.After(20 * time.Millisecond): // a store may let in one at a time
			}
			return nil
		}}
		var won atomic.Int32
		var wg sync.WaitGroup
		for i, t := range trees {
			wg.Go(func() {
				b := t.Batch(g)
				stage(s.Context(), b, strconv.Itoa(i))
				switch r := committed(s.Context(), b)[0]; hufu.KindOf(r.Err) {
				case 0:
					won.Add(1)
				case hufu.KindExists, hufu.KindWrongKind:
				default:
					s.Errorf("%s: %v", name, r.Err)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 {
			s.Errorf("%s: %d have won", name, won.Load())
		}
	}
}

func versionsTellVersionsApart(s *suite) {
	seen := map[string]string{}
	note := func(what string) {
		s.Helper()
		e := s.stat("f")
		if again := s.stat("f"); e != again {
			s.Fatalf("%s: %+v and then %+v", what, e, again)
		}
		if other, ok := seen[e.Version]; ok || e.Version == "" {
			s.Fatalf("%s: has the version of %s", what, other)
		}
		seen[e.Version] = what
	}
	s.mustPut("f", "x")
	note("first")
	s.mustPut("f", "x")
	note("the same again")
	s.made(func(ctx context.Context, b blob.Batch) {
		b.SetMeta(ctx, s.path("f"), blob.Meta{Mode: 0o600, MTime: time.Unix(9, 9)}, "")
	})
	note("set")
	s.made(func(ctx context.Context, b blob.Batch) { b.Remove(ctx, s.path("f"), false, "") })
	s.mustPut("f", "x")
	note("made anew")
	_, err := s.uploaded("f", s.large(4), always(), anyone)
	s.must(err)
	note("uploaded")
	if s.Links {
		s.made(func(ctx context.Context, b blob.Batch) { b.Symlink(ctx, s.path("f"), "x", meta(), always()) })
		note("link")
	}
}

// versioned are the changes that can be made to a version only.
func (s *suite) versioned(p string) map[string]func(ctx context.Context, b blob.Batch, version string) {
	return map[string]func(ctx context.Context, b blob.Batch, version string){
		"set meta": func(ctx context.Context, b blob.Batch, v string) {
			b.SetMeta(ctx, s.path(p), blob.Meta{Mode: 0o600, MTime: time.Unix(3, 3)}, v)
		},
		"remove":     func(ctx context.Context, b blob.Batch, v string) { b.Remove(ctx, s.path(p), false, v) },
		"remove all": func(ctx context.Context, b blob.Batch, v string) { b.Remove(ctx, s.path(p), true, v) },
		"rename":     func(ctx context.Context, b blob.Batch, v string) { b.Rename(ctx, s.path(p), s.path("to"), always(), v) },
	}
}

func aChangeOfAVersionIsMadeToNoOther(s *suite) {
	kinds := map[string]func(){"f": func() { s.mustPut("f", "x") }}
	if s.Links {
		kinds["l"] = func() {
			s.made(func(ctx context.Context, b blob.Batch) { b.Symlink(ctx, s.path("l"), "x", meta(), always()) })
		}
	}
	s.mkdir("d")
	for p, fresh := range kinds {
		for what, change := range s.versioned(p) {
			fresh()
			stale := s.stat(p).Version
			fresh()
			before := s.everything()
			for _, v := range []string{stale, "x"} {
				r := s.one(anyone, func(ctx context.Context, b blob.Batch) { change(ctx, b, v) })
				if hufu.CodeOf(r.Err) != "target_changed" {
					s.Errorf("%s of %s: %v", what, p, r.Err)
				}
				s.same(before)
			}
			if r := s.one(anyone, func(ctx context.Context, b blob.Batch) { change(ctx, b, s.stat(p).Version) }); r.Err != nil {
				s.Errorf("%s of %s: %v", what, p, r.Err)
			}
			if slices.Equal(s.everything(), before) {
				s.Errorf("%s of %s has changed nothing", what, p)
			}
		}
	}
	before := s.everything()
	for _, change := range s.versioned("d") { // a folder has no version
		r := s.one(anyone, func(ctx context.Context, b blob.Batch) { change(ctx, b, "x") })
		s.wantErr(r.Err, hufu.KindWrongKind, "folder_in_the_way")
	}
	s.same(before)
}

func aVersionIsJudgedAtFinish(s *suite) {
	for what, change := range s.versioned("f") {
		e := s.mustPut("f", "old")
		b := s.Tree.Batch(anyone)
		change(s.Context(), b, e.Version)
		s.mustPut("f", "new")
		before := s.everything()
		if r := committed(s.Context(), b)[0]; hufu.CodeOf(r.Err) != "target_changed" {
			s.Errorf("%s: %v", what, r.Err)
		}
		s.same(before)
	}
}
