package blobtest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/digest"
)

func durableTests() []test {
	fails := func(s *Store) bool { return s.FailSync != nil }
	reopens := func(s *Store) bool { return s.Reopen != nil }
	reboots := func(s *Store) bool { return s.Reboot != nil }
	return []test{
		{"AFailedSyncIsNotAcknowledged", aFailedSyncIsNotAcknowledged, fails},
		{"AFailedSyncOfAnUploadEndsIt", aFailedSyncOfAnUploadEndsIt, fails},
		{"AFailedSyncLeavesNothingElseInDoubt", aFailedSyncLeavesNothingElseInDoubt, fails},
		{"WhatIsAcknowledgedSurvivesAKill", func(s *suite) { whatIsAcknowledgedSurvives(s, s.Reopen) }, reopens},
		{"WhatIsAcknowledgedSurvivesAReboot", func(s *suite) { whatIsAcknowledgedSurvives(s, s.Reboot) }, reboots},
		{"StagedChangesAreLostAtAKill", stagedChangesAreLostAtAKill, reopens},
		{"AnUploadGoesOnAfterAKill", anUploadGoesOnAfterAKill, reopens},
		{"LostChunksAreMissing", lostChunksAreMissing, func(s *Store) bool { return s.Reboot != nil && s.Lose != nil }},
	}
}

// aFailedSyncIsNotAcknowledged: whichever step of making it durable fails, the change is not
// acknowledged; a repetition afterwards may succeed, and each name is old or new.
func aFailedSyncIsNotAcknowledged(s *suite) {
	type change struct {
		steps int // of making it durable, at least
		back  bool
		stage func(context.Context, blob.Batch)
	}
	put := func(p string, c hufu.Condition) change {
		return change{2, true, func(ctx context.Context, b blob.Batch) { b.Put(ctx, s.path(p), []byte("new"), of("alice", "new"), c) }}
	}
	all := map[string]change{
		"put":             put("new", ifAbsent()),
		"put, parents":    put("a/b/new", always()),
		"put over":        put("old", always()),
		"folder":          {1, true, func(ctx context.Context, b blob.Batch) { b.Mkdir(ctx, s.path("f"), meta(), false) }},
		"folder, parents": {1, true, func(ctx context.Context, b blob.Batch) { b.Mkdir(ctx, s.path("f/g"), meta(), true) }},
		"set meta":        {1, false, func(ctx context.Context, b blob.Batch) { b.SetMeta(ctx, s.path("old"), blob.Meta{Mode: 0o600}, "") }},
		"rename":          {1, false, func(ctx context.Context, b blob.Batch) { b.Rename(ctx, s.path("old"), s.path("moved"), ifAbsent(), "") }},
		"remove":          {1, false, func(ctx context.Context, b blob.Batch) { b.Remove(ctx, s.path("old"), false, "") }},
		"remove all":      {1, false, func(ctx context.Context, b blob.Batch) { b.Remove(ctx, s.path("d"), true, "") }},
	}
	if s.Links {
		all["link"] = change{1, true, func(ctx context.Context, b blob.Batch) { b.Symlink(ctx, s.path("l"), "x", meta(), ifAbsent()) }}
		all["set meta of a link"] = change{1, false, func(ctx context.Context, b blob.Batch) {
			b.SetMeta(ctx, s.path("old link"), blob.Meta{MTime: time.Unix(99, 0)}, "")
		}}
		all["link over"] = change{1, true, func(ctx context.Context, b blob.Batch) { b.Symlink(ctx, s.path("old"), "x", meta(), always()) }}
	}
	for name, c := range all {
		failed := 0
		for n := 1; ; n++ {
			s.clear()
			s.mustPut("old", "old content")
			s.mustPut("d/e", "old content")
			if s.Links {
				s.made(func(ctx context.Context, b blob.Batch) { b.Symlink(ctx, s.path("old link"), "x", meta(), ifAbsent()) })
			}
			before := s.everything()
			s.FailSync(n)
			r := s.one(anyone, c.stage)
			s.FailSync(0)
			if r.Err == nil {
				break
			}
			if failed++; n > 20 {
				s.Fatalf("%s fails for ever", name)
			}
			after := s.everything()
			if name == "put, parents" { // folders are made at once, and may stay
				after = slices.DeleteFunc(after, func(line string) bool {
					return strings.HasPrefix(line, "a folder ") || strings.HasPrefix(line, "a/b folder ")
				})
			}
			if c.back && !slices.Equal(after, before) {
				s.Errorf("%s, step %d: left %q", name, n, after)
			}
			if r := s.one(anyone, c.stage); c.back && r.Err != nil { // a retry must succeed
				s.Errorf("%s, step %d, once more: %v", name, n, r.Err)
			}
		}
		if failed < c.steps {
			s.Errorf("%s has %d steps of making it durable, want %d", name, failed, c.steps)
		}
	}
}

func aFailedSyncOfAnUploadEndsIt(s *suite) {
	data := s.large(50)
	for _, p := range []string{"new", "a/b/new", "old"} {
		failed := 0
		for n := 1; ; n++ {
			s.clear()
			s.mustPut("old", "old content")
			if p != "old" && s.path(p).Parent().String() != "" {
				s.mkdir(s.path(p).Parent().String())
			}
			before := s.everything()
			u := s.upload(s.key(p, data))
			s.sendUnits(u, data, 0, 1, 2)
			id := u.Info().ID
			s.FailSync(n)
			_, err := s.commit(u, data, always())
			s.FailSync(0)
			if err == nil {
				break
			}
			if failed++; n > 20 {
				s.Fatal("it fails for ever")
			}
			if _, err := s.commit(u, data, always()); err == nil {
				s.Errorf("%s, step %d: acknowledged when asked again", p, n)
			}
			s.must(u.Close())
			if _, ok := s.Tree.Committed(s.Context(), id, s.path(p)); ok {
				s.Errorf("%s, step %d: told as committed", p, n)
			}
			s.unknown(id)
			s.same(before)
		}
		s.holds(p, string(data))
		if failed < 2 {
			s.Errorf("%d steps make an upload durable, want data and name", failed)
		}
	}
}

// aFailedSyncLeavesNothingElseInDoubt: the result of each change in a batch says truthfully
// whether its own file is new.
func aFailedSyncLeavesNothingElseInDoubt(s *suite) {
	files := []string{"old", "m/1", "m/2", "n/1", "n/2"}
	for n := 1; ; n++ {
		s.clear()
		s.mustPut("old", "old content")
		s.FailSync(n)
		all := s.change(anyone, func(ctx context.Context, b blob.Batch) {
			for _, p := range files {
				b.Put(ctx, s.path(p), []byte("new"), of("alice", "new"), always())
			}
		})
		s.FailSync(0)
		failed := false
		for i, r := range all {
			got, err := s.read(files[i])
			if r.Err == nil != (err == nil && got == "new") {
				s.Errorf("step %d: %s: told %v, and it holds %q %v", n, files[i], r.Err, got, err)
			}
			failed = failed || r.Err != nil
		}
		if !failed {
			break
		}
		if n > 40 {
			s.Fatal("it fails for ever")
		}
		s.holds2("old", "old content", "new")
	}
}

// holds2 ends the test unless the file p has one of two contents.
func (s *suite) holds2(p, one, other string) {
	s.Helper()
	if got, err := s.read(p); err != nil || got != one && got != other {
		s.Fatalf("%s holds %.20q, %v", p, got, err)
	}
}

func whatIsAcknowledgedSurvives(s *suite, again func() blob.Tree) {
	data := s.large(51)
	s.made(func(ctx context.Context, b blob.Batch) {
		b.Mkdir(ctx, s.path("folder/deep"), meta(), true)
		b.Put(ctx, s.path("a/b/file"), []byte("file"), of("alice", "file"), ifAbsent())
		b.Put(ctx, s.path("moved"), []byte("moved"), of("alice", "moved"), ifAbsent())
		b.Put(ctx, s.path("removed"), nil, of("alice", ""), ifAbsent())
		b.Put(ctx, s.path("tree/removed"), nil, of("alice", ""), ifAbsent())
		b.Put(ctx, s.path("replaced"), []byte("old"), of("alice", "old"), ifAbsent())
		if s.Links {
			b.Symlink(ctx, s.path("link"), "to", meta(), ifAbsent())
		}
	})
	e, err := s.uploaded("c/large", data, ifAbsent(), anyone)
	s.must(err)
	s.made(func(ctx context.Context, b blob.Batch) {
		b.Put(ctx, s.path("replaced"), []byte("new"), of("alice", "new"), always())
		b.Rename(ctx, s.path("moved"), s.path("folder/moved"), ifAbsent(), "")
		b.Rename(ctx, s.path("folder/deep"), s.path("deep"), ifAbsent(), "")
		b.Remove(ctx, s.path("removed"), false, "")
		b.Remove(ctx, s.path("tree"), true, "")
		b.SetMeta(ctx, s.path("a/b/file"), blob.Meta{Mode: 0o600, MTime: meta().MTime.Add(5)}, "")
	})
	before := s.everything()
	for range 2 {
		s.Tree = again()
		s.same(before)
	}
	s.holds("c/large", string(data))
	if _, ok := s.Tree.Committed(s.Context(), e.Upload, s.path("c/large")); ok != s.Records {
		s.Errorf("known as committed: %v", ok)
	}
}

func stagedChangesAreLostAtAKill(s *suite) {
	s.mustPut("old", "old")
	before := s.everything()
	b := s.Tree.Batch(anyone)
	b.Put(s.Context(), s.path("new"), []byte("new"), meta(), ifAbsent())
	b.Put(s.Context(), s.path("old"), []byte("new"), meta(), always())
	b.Prepare(s.Context())
	s.Tree = s.Reopen()
	s.same(before)
}

func anUploadGoesOnAfterAKill(s *suite) {
	data, stale := s.large(52), s.large(53)
	u := s.upload(s.key("d/f", data))
	id := u.Info().ID
	s.sendUnits(u, stale, 0)
	s.sendUnits(u, data, 2, 0)
	s.must(u.Close())
	s.Tree = s.Reopen()
	s.absent("d/f")
	u, err := s.Tree.FindUpload(s.Context(), id, anyone)
	s.must(err)
	s.missingAre(u, data, 1)
	s.must(u.Close())
	u = s.upload(s.key("d/f", data))
	if i := u.Info(); i.ID != id || i.Key != s.key("d/f", data) {
		s.Fatalf("begun anew: %+v", i)
	}
	s.missingAre(u, data, 1)
	s.sendUnits(u, data, 1)
	_, err = s.commit(u, data, ifAbsent())
	s.must(err)
	s.must(u.Close())
	s.Tree = s.Reopen()
	s.holds("d/f", string(data))
	s.unknown(id)
}

func lostChunksAreMissing(s *suite) {
	data := random(3*s.Unit+5, 54)
	clear(data[s.Unit : 2*s.Unit])
	u := s.upload(s.key("f", data))
	id := u.Info().ID
	s.sendUnits(u, data, 0)
	for _, i := range s.unit(1, data) {
		s.must(u.Write(s.Context(), i, nil, digest.Zeros(hufu.ChunkSize, i)))
	}
	s.sendUnits(u, data, 3)
	s.must(u.Close())
	s.Lose(id)
	s.Tree = s.Reboot()
	u = s.upload(s.key("f", data))
	s.missingAre(u, data, 0, 2, 3) // zeros are not lost
	s.sendUnits(u, data, 3)
	s.must(u.Close())
	s.Tree = s.Reopen()
	u = s.upload(s.key("f", data))
	s.missingAre(u, data, 0, 2)
	s.sendUnits(u, data, 0, 2)
	_, err := s.commit(u, data, ifAbsent())
	if err = errors.Join(err, u.Close()); err != nil {
		s.Fatal(err)
	}
	s.holds("f", string(data))
}
