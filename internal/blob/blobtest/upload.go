package blobtest

import (
	"context"
	"strings"
	"sync"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/digest"
)

func uploadTests() []test {
	return []test{
		{"AnUploadGoesOn", anUploadGoesOn, nil},
		{"OpeningAnUploadCreatesNothing", openingAnUploadCreatesNothing, nil},
		{"InvalidUploadSizesAreRefused", invalidUploadSizesAreRefused, nil},
		{"InvalidChunksAreRefused", invalidChunksAreRefused, nil},
		{"AChunkIsLeftAloneOrReplaced", aChunkIsLeftAloneOrReplaced, nil},
		{"NoChunkChangesAfterPrepare", noChunkChangesAfterPrepare, nil},
		{"AFailedPrepareUnsealsNothing", aFailedPrepareUnsealsNothing, nil},
		{"TheDigestIsJudgedInPrepare", theDigestIsJudgedInPrepare, nil},
		{"FinishMayBeRepeated", finishMayBeRepeated, nil},
		{"ACommittedUploadIsKnown", aCommittedUploadIsKnown, records},
		{"AbortIsForAllHolders", abortIsForAllHolders, nil},
		{"AnotherKeySupersedes", anotherKeySupersedes, nil},
		{"HoldersShareAnUpload", holdersShareAnUpload, nil},
		{"AHolderWaitsForTheOthers", aHolderWaitsForTheOthers, nil},
		{"AnUploadGoesWithItsFolder", anUploadGoesWithItsFolder, nil},
		{"AFolderWithAnOpenUploadIsNotEmpty", aFolderWithAnOpenUploadIsNotEmpty, nil},
		{"ACanceledUploadChangesNothing", aCanceledUploadChangesNothing, nil},
		{"NothingIsOpenedForAnEndedContext", nothingIsOpenedForAnEndedContext, nil},
	}
}

func anUploadGoesOn(s *suite) {
	data := s.large(10)
	u := s.upload(s.key("a/f", data))
	id := u.Info().ID
	if i := u.Info(); len(id) != 32 || strings.Trim(id, "0123456789abcdef") != "" || i.Key != s.key("a/f", data) || i.Unit != s.Unit || i.Have != 0 {
		s.Fatalf("%+v", i)
	}
	s.sendUnits(u, data, 2, 0) // in any order
	s.missingAre(u, data, 1)
	s.must(u.Close())
	s.must(u.Close())
	for _, open := range []func() (blob.Upload, error){
		func() (blob.Upload, error) { return s.Tree.OpenUpload(s.Context(), s.key("a/f", data), anyone) },
		func() (blob.Upload, error) { return s.Tree.FindUpload(s.Context(), id, anyone) },
	} {
		u, err := open()
		s.must(err)
		if u.Info().ID != id {
			s.Fatal("it was begun anew")
		}
		s.missingAre(u, data, 1)
		s.must(u.Close())
	}
	u = s.upload(s.key("a/f", data))
	s.sendUnits(u, data, 1)
	if root, err := u.Root(); err != nil || root != digest.Sum(data) {
		s.Errorf("the root is %v (%v), want the digest of the bytes", root, err)
	}
	_, err := s.commit(u, data, ifAbsent())
	s.must(err)
	s.holds("a/f", string(data))
	s.unknown(id)
}

// unknown ends the test if there is an unfinished upload id.
func (s *suite) unknown(id string) {
	s.Helper()
	u, err := s.Tree.FindUpload(s.Context(), id, anyone)
	if err == nil {
		_ = u.Close()
	}
	s.wantErr(err, hufu.KindNotFound, "upload_unknown")
}

func openingAnUploadCreatesNothing(s *suite) {
	data := s.large(11)
	older := s.upload(s.key("d/f", data))
	s.sendUnits(older, data, 0)
	s.must(older.Close())
	s.made(func(ctx context.Context, b blob.Batch) { b.Mkdir(ctx, s.path("d"), meta(), true) })
	before := s.everything()
	k := s.key("d/f", data)
	k.Source = "v2"
	u := s.upload(k)
	v, err := s.Tree.FindUpload(s.Context(), u.Info().ID, anyone) // as another connection does
	s.must(err)
	s.must(u.Close())
	s.must(v.Close())
	s.unknown(u.Info().ID)
	far := s.key("new/folder/f", data)
	s.must(s.upload(far).Close())
	s.same(before)
	older = s.upload(s.key("d/f", data))
	s.missingAre(older, data, 1, 2)
	// Given up by another holder before anything has come.
	u, v = s.upload(k), s.upload(k)
	s.must(v.Abort())
	s.wantErr(s.send(u, data, 0), hufu.KindNotFound, "upload_gone")
	s.missingAre(older, data, 1, 2)
	s.unknown(strings.Repeat("0", 32))
	s.unknown("")
}

func invalidUploadSizesAreRefused(s *suite) {
	for _, size := range []int64{-1, 0, 1, hufu.ChunkSize, hufu.MaxFileSize + 1} {
		_, err := s.Tree.OpenUpload(s.Context(), blob.UploadKey{Path: s.path("f"), Size: size, Source: "v", Owner: "o"}, anyone)
		s.wantErr(err, hufu.KindInvalid, "upload_size")
	}
	u := s.upload(blob.UploadKey{Path: s.path("f"), Size: hufu.MaxFileSize, Source: "v", Owner: "o"})
	if n := u.Missing(1000); n != 1000 {
		s.Errorf("%d chunks are missing, want the 1,000 asked for", n)
	}
}

func invalidChunksAreRefused(s *suite) {
	data := s.large(12)
	u := s.upload(s.key("f", data))
	n := digest.Chunks(int64(len(data)))
	for i, b := range map[int64][]byte{-1: data[:hufu.ChunkSize], n: data[:hufu.ChunkSize], 0: data[:5], n - 1: data[:6], 1: data[:hufu.ChunkSize+1]} {
		s.wantErr(u.Write(s.Context(), i, b, digest.CV{}), hufu.KindInvalid, "chunk_form")
	}
	s.wantErr(u.Write(s.Context(), n, nil, digest.CV{}), hufu.KindInvalid, "chunk_form")
	if u.Info().Have != 0 {
		s.Errorf("a refused chunk counts: %+v", u.Info())
	}
	if _, err := u.Root(); hufu.CodeOf(err) != "upload_incomplete" {
		s.Error(err)
	}
	s.must(u.Close())
	if err := s.send(u, data, 0); err == nil {
		s.Error("written after Close")
	}
}

func aChunkIsLeftAloneOrReplaced(s *suite) {
	data, stale := s.large(13), s.large(14)
	clear(data[s.Unit : 2*s.Unit])
	u := s.upload(s.key("f", data))
	s.sendUnits(u, stale, 0, 1, 2)
	s.sendUnits(u, stale, 0, 1, 2) // left alone
	s.missingAre(u, stale)
	s.sendUnits(u, data, 0)
	for _, i := range s.unit(1, data) {
		s.must(u.Write(s.Context(), i, nil, digest.Zeros(hufu.ChunkSize, i)))
	}
	if _, err := s.commit(u, data, ifAbsent()); hufu.KindOf(err) != hufu.KindIntegrity {
		s.Error(err)
	}
	s.sendUnits(u, data, 2)
	s.missingAre(u, data)
	_, err := s.commit(u, data, ifAbsent())
	s.must(err)
	s.holds("f", string(data))
}

func noChunkChangesAfterPrepare(s *suite) {
	data, other := s.large(15), s.large(16)
	s.mustPut("f", "in the way")
	u := s.upload(s.key("f", data))
	s.sendUnits(u, data, 0, 1, 2)
	s.must(u.Prepare(s.Context(), digest.Sum(data), meta()))
	for _, i := range []int64{0, digest.Chunks(int64(len(data))) - 1} {
		s.wantErr(s.send(u, other, i), hufu.KindChanged, "file_changed")
		s.must(s.send(u, data, i)) // the same again is no change
	}
	v := s.upload(s.key("f", data))
	s.wantErr(s.send(v, other, 0), hufu.KindChanged, "file_changed")
	s.must(v.Close())
	_, err := u.Finish(s.Context(), ifAbsent())
	s.wantErr(err, hufu.KindExists, "target_exists")
	s.sendUnits(u, other, 0) // Finish has failed
	s.sendUnits(u, data, 0)
	_, err = s.commit(u, data, always())
	s.must(err)
	s.wantErr(s.send(u, other, 0), hufu.KindChanged, "file_changed")
	s.holds("f", string(data))
}

// aFailedPrepareUnsealsNothing: what one holder has prepared stays as it is when the Prepare of
// another fails.
func aFailedPrepareUnsealsNothing(s *suite) {
	data, other := s.large(15), s.large(16)
	u, v := s.upload(s.key("f", data)), s.upload(s.key("f", data))
	s.sendUnits(u, data, 0, 1, 2)
	s.must(u.Prepare(s.Context(), digest.Sum(data), meta()))
	s.wantErr(v.Prepare(s.Context(), digest.Sum(other), meta()), hufu.KindIntegrity, "digest_differs")
	for _, h := range []blob.Upload{u, v} {
		s.wantErr(s.send(h, other, 0), hufu.KindChanged, "file_changed")
	}
	_, err := u.Finish(s.Context(), ifAbsent())
	s.must(err)
	s.holds("f", string(data))
}

func theDigestIsJudgedInPrepare(s *suite) {
	data := s.large(17)
	u := s.upload(s.key("f", data))
	s.sendUnits(u, data, 0, 2)
	s.wantErr(u.Prepare(s.Context(), digest.Sum(data), meta()), hufu.KindInvalid, "upload_incomplete")
	s.sendUnits(u, data, 1)
	s.wantErr(u.Prepare(s.Context(), digest.Sum(data[1:]), meta()), hufu.KindIntegrity, "digest_differs")
	s.wantErr(u.Prepare(s.Context(), hufu.Digest{}, meta()), hufu.KindIntegrity, "digest_differs")
	s.absent("f")
	s.sendUnits(u, s.large(18), 1) // a refused digest seals nothing
	s.sendUnits(u, data, 1)
	_, err := s.commit(u, data, ifAbsent())
	s.must(err)
}

func finishMayBeRepeated(s *suite) {
	data := s.large(19)
	u, v := s.upload(s.key("f", data)), s.upload(s.key("f", data))
	s.sendUnits(u, data, 0, 1, 2)
	e, err := s.commit(u, data, ifAbsent())
	s.must(err)
	for _, h := range []blob.Upload{u, v} {
		if again, err := s.commit(h, data, ifAbsent()); err != nil || again != e {
			s.Errorf("committed again: %+v %v, want %+v", again, err, e)
		}
	}
	s.wantErr(u.Prepare(s.Context(), digest.Sum(data[1:]), meta()), hufu.KindIntegrity, "digest_differs")
	s.must(v.Abort()) // too late
	s.holds("f", string(data))
}

func aCommittedUploadIsKnown(s *suite) {
	data := s.large(20)
	u := s.upload(s.key("f", data))
	id := u.Info().ID
	s.sendUnits(u, data, 0, 1, 2)
	known := func(id, p string) bool {
		_, ok := s.Tree.Committed(s.Context(), id, s.path(p))
		return ok
	}
	if known(id, "f") {
		s.Error("Committed says yes before Finish")
	}
	s.must(u.Prepare(s.Context(), digest.Sum(data), meta()))
	if known(id, "f") {
		s.Error("Committed says yes before Finish")
	}
	e, err := u.Finish(s.Context(), ifAbsent())
	s.must(err)
	s.must(u.Close())
	if got, ok := s.Tree.Committed(s.Context(), id, s.path("f")); !ok || got != e || e.Upload != id {
		s.Errorf("%+v %v, want %+v", got, ok, e)
	}
	if known(strings.Repeat("0", 32), "f") || known("", "f") || known(id, "g") || known(id, "") {
		s.Error("Committed says yes for another id or path")
	}
	s.made(func(ctx context.Context, b blob.Batch) { b.SetMeta(ctx, s.path("f"), blob.Meta{Mode: 0o600}, "") })
	if !known(id, "f") {
		s.Error("forgotten with its mode")
	}
	s.mustPut("f", "another")
	if known(id, "f") || known("", "f") {
		s.Error("known although another file is there")
	}
}

func abortIsForAllHolders(s *suite) {
	data := s.large(21)
	u, v := s.upload(s.key("f", data)), s.upload(s.key("f", data))
	s.sendUnits(u, data, 0, 1)
	s.must(u.Abort())
	s.wantErr(s.send(v, data, s.unit(2, data)[0]), hufu.KindNotFound, "upload_gone")
	s.wantErr(v.Prepare(s.Context(), digest.Sum(data), meta()), hufu.KindNotFound, "upload_gone")
	s.unknown(u.Info().ID)
	s.must(v.Close())
	s.same(nil)
	w := s.upload(s.key("f", data))
	if w.Info().ID == u.Info().ID || w.Info().Have != 0 {
		s.Errorf("begun again it is %+v, want another upload without chunks", w.Info())
	}
}

func anotherKeySupersedes(s *suite) {
	data := s.large(22)
	k := s.key("f", data)
	first := s.upload(k)
	s.sendUnits(first, data, 0)
	k.Source = "v2"
	second := s.upload(k) // while the first is open, both go on
	if second.Info().ID == first.Info().ID {
		s.Fatal("two versions in one upload")
	}
	s.sendUnits(second, data, 1)
	s.sendUnits(first, data, 2)
	s.missingAre(first, data, 1)
	s.must(second.Close())
	k.Owner = "bob/phone"
	others := s.upload(k)
	if others.Info().Have != 0 {
		s.Fatal("two owners in one upload")
	}
	s.sendUnits(others, data, 0)
	s.must(others.Close())
	s.must(first.Close())
	k = s.key("f", data)
	k.Source = "v3"
	third := s.upload(k)
	found, err := s.Tree.FindUpload(s.Context(), first.Info().ID, anyone)
	s.must(err) // the third has no chunk yet, so it supersedes nothing
	s.must(found.Close())
	s.sendUnits(third, data, 0)
	s.unknown(first.Info().ID)
	s.unknown(second.Info().ID)
	found, err = s.Tree.FindUpload(s.Context(), others.Info().ID, anyone)
	s.must(err)
	s.missingAre(found, data, 1, 2)
	s.must(found.Close())
}

func holdersShareAnUpload(s *suite) {
	data := random(6*s.Unit+1, 23)
	var wg sync.WaitGroup
	for lane := range int64(4) {
		wg.Go(func() {
			u, err := s.Tree.OpenUpload(s.Context(), s.key("d/f", data), anyone)
			if err != nil {
				s.Error(err)
				return
			}
			defer func() { _ = u.Close() }()
			for k := range int64(7) {
				if s.Unit > hufu.ChunkSize && (k+lane)%4 != 0 {
					continue // a unit comes from one holder
				}
				for _, i := range s.unit((k+3*lane)%7, data) {
					if err := s.send(u, data, i); err != nil && hufu.CodeOf(err) != "unit_order" {
						s.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	u := s.upload(s.key("d/f", data))
	for k := range int64(7) { // a unit that two holders have begun at once may be incomplete
		s.sendUnits(u, data, k)
	}
	s.missingAre(u, data)
	for range 4 { // an answer may get lost
		wg.Go(func() {
			h, err := s.Tree.OpenUpload(s.Context(), s.key("d/f", data), anyone)
			if err != nil {
				s.Error(err)
				return
			}
			defer func() { _ = h.Close() }()
			if h.Info().ID != u.Info().ID {
				return // the others were faster, and it starts over
			}
			if _, err := s.commit(h, data, ifAbsent()); err != nil {
				s.Error(err)
			}
		})
	}
	wg.Wait()
	s.holds("d/f", string(data))
}

func aHolderWaitsForTheOthers(s *suite) {
	data := s.large(24)
	u, v := s.upload(s.key("f", data)), s.upload(s.key("f", data))
	ctx, cancel := context.WithCancel(s.Context())
	var wg sync.WaitGroup
	wg.Go(func() { u.Await(ctx) })
	cancel()
	wg.Wait()
	wg.Go(func() { s.sendUnits(v, data, 0, 2, 1) })
	u.Await(s.Context())
	s.missingAre(u, data)
	wg.Wait()
	_, err := s.commit(u, data, ifAbsent())
	s.must(err)
	w := s.upload(s.key("g", data))
	x := s.upload(s.key("g", data))
	wg.Go(func() { w.Await(s.Context()) })
	s.must(x.Abort())
	wg.Wait()
}

func anUploadGoesWithItsFolder(s *suite) {
	data := s.large(25)
	for what, change := range map[string]func(context.Context, blob.Batch){
		"removed": func(ctx context.Context, b blob.Batch) { b.Remove(ctx, s.path("d"), true, "") },
		"moved":   func(ctx context.Context, b blob.Batch) { b.Rename(ctx, s.path("d"), s.path("e"), ifAbsent(), "") },
	} {
		for _, again := range []bool{false, true} {
			u := s.upload(s.key("d/f", data))
			s.sendUnits(u, data, 0, 1, 2)
			s.made(change)
			if again {
				s.mkdir("d")
			}
			if _, err := s.commit(u, data, always()); hufu.KindOf(err) != hufu.KindNotFound {
				s.Errorf("%s: %v", what, err)
			}
			s.must(u.Close())
			s.absent("d/f")
			s.absent("e/f")
			v := s.upload(s.key("d/f", data)) // starts over
			s.sendUnits(v, data, 0, 1, 2)
			_, err := s.commit(v, data, always())
			s.must(err)
			s.clear()
		}
	}
}

func aFolderWithAnOpenUploadIsNotEmpty(s *suite) {
	data := s.large(26)
	u := s.upload(s.key("d/f", data))
	s.sendUnits(u, data, 0)
	remove := func() error {
		return s.one(anyone, func(ctx context.Context, b blob.Batch) { b.Remove(ctx, s.path("d"), false, "") }).Err
	}
	s.wantErr(remove(), hufu.KindNotEmpty, "")
	s.missingAre(u, data, 1, 2)
	s.must(u.Close())
	s.must(remove()) // it looks empty to everyone
	s.unknown(u.Info().ID)
}

func aCanceledUploadChangesNothing(s *suite) {
	data := s.large(28)
	ctx, cancel := context.WithCancel(s.Context())
	cancel()
	u := s.upload(s.key("f", data))
	c := chunk(data, 0)
	s.wantErr(u.Write(ctx, 0, c, digest.Chunk(c, 0)), hufu.KindCanceled, "")
	s.missingAre(u, data, 0, 1, 2)
	s.sendUnits(u, data, 0, 1, 2)
	s.wantErr(u.Prepare(ctx, digest.Sum(data), meta()), hufu.KindCanceled, "")
	s.must(u.Prepare(s.Context(), digest.Sum(data), meta()))
	_, err := u.Finish(ctx, ifAbsent())
	s.wantErr(err, hufu.KindCanceled, "")
	s.absent("f")
	s.sendUnits(u, s.large(29), 0) // Finish has failed
	s.sendUnits(u, data, 0)
	_, err = s.commit(u, data, ifAbsent())
	s.must(err)
}

// nothingIsOpenedForAnEndedContext: with a context that has ended, nothing is opened that would
// have to be closed, whether it exists or would be made.
func nothingIsOpenedForAnEndedContext(s *suite) {
	s.mustPut("f", "content")
	data := s.large(61)
	k := s.key("begun", data)
	u := s.upload(k)
	s.sendUnits(u, data, 0)
	s.must(u.Close())
	ctx, cancel := context.WithCancel(s.Context())
	cancel()
	for name, open := range map[string]func() error{
		"a new upload": func() error { _, err := s.Tree.OpenUpload(ctx, s.key("new", data), anyone); return err },
		"an upload":    func() error { _, err := s.Tree.OpenUpload(ctx, k, anyone); return err },
		"by id":        func() error { _, err := s.Tree.FindUpload(ctx, u.Info().ID, anyone); return err },
		"a file": func() error {
			o := s.Tree.Opener()
			defer o.Close()
			_, err := o.Open(ctx, s.path("f"), "")
			return err
		},
		"an entry": func() error { _, err := s.Tree.Stat(ctx, s.path("f")); return err },
		"a digest": func() error { _, err := s.Tree.Digest(ctx, s.path("f")); return err },
		"the room": func() error { _, _, err := s.Tree.Space(ctx); return err },
		"a listing": func() error {
			_, err := s.Tree.List(ctx, s.path(""), blob.Page{}, func(hufu.Entry) error { return nil })
			return err
		},
	} {
		if err := open(); hufu.KindOf(err) != hufu.KindCanceled {
			s.Errorf("%s: %v", name, err)
		}
	}
	again := s.upload(k)
	if again.Info().ID != u.Info().ID {
		s.Error("the upload is another one")
	}
	s.missingAre(again, data, 1, 2)
	s.must(again.Close())
}
