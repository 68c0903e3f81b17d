package blobtest

import (
	"context"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/digest"
)

func resumeTests() []test {
	return []test{
		{"APreparedUploadGoesOnWithAnyMode", aPreparedUploadGoesOnWithAnyMode, nil},
		{"AMovedUploadStartsOverBesideItsHolders", aMovedUploadStartsOverBesideItsHolders, nil},
		{"ARefusedUploadSupersedesNothing", aRefusedUploadSupersedesNothing, nil},
	}
}

// aPreparedUploadGoesOnWithAnyMode: Prepare may give the bytes a mode that keeps their owner from
// writing. The upload still goes on after its last holder has closed it, and after a kill.
func aPreparedUploadGoesOnWithAnyMode(s *suite) {
	data := s.large(27)
	for name, mode := range map[string]uint32{"read-only": 0o444, "write-only": 0o222, "without rights": 0} {
		m := meta()
		m.Mode = mode
		u := s.upload(s.key(name, data))
		id := u.Info().ID
		s.sendUnits(u, data, 0, 1, 2)
		s.must(u.Prepare(s.Context(), digest.Sum(data), m))
		s.must(u.Close())
		u, err := s.Tree.FindUpload(s.Context(), id, anyone)
		s.must(err)
		s.must(u.Prepare(s.Context(), digest.Sum(data), m))
		_, err = u.Finish(s.Context(), ifVersion("another"))
		s.wantErr(err, hufu.KindChanged, "")
		s.must(u.Close())
		if s.Reopen != nil {
			s.Tree = s.Reopen()
		}
		u = s.upload(s.key(name, data))
		if u.Info().ID != id {
			s.Fatalf("%s: it was begun anew", name)
		}
		s.sendUnits(u, s.large(28), 1)
		s.sendUnits(u, data, 1)
		_, err = blob.CommitUpload(s.Context(), u, digest.Sum(data), m, ifAbsent())
		s.must(err)
		s.must(u.Close())
		s.must(s.one(anyone, func(ctx context.Context, b blob.Batch) { b.Put(ctx, s.path("small"), nil, m, always()) }).Err)
		if got, want := s.stat(name).Mode, s.stat("small").Mode; got != want {
			s.Errorf("%s: the mode is %o, want %o", name, got, want)
		}
		if mode == 0o444 {
			s.holds(name, string(data))
		}
	}
}

// aMovedUploadStartsOverBesideItsHolders: an upload whose Finish has found that its folder was moved
// is given up for all its holders. Otherwise the next OpenUpload would return it again.
func aMovedUploadStartsOverBesideItsHolders(s *suite) {
	data := s.large(29)
	for _, again := range []bool{true, false} {
		u, other := s.upload(s.key("d/f", data)), s.upload(s.key("d/f", data))
		s.sendUnits(u, data, 0, 1, 2)
		s.made(func(ctx context.Context, b blob.Batch) { b.Rename(ctx, s.path("d"), s.path("e"), ifAbsent(), "") })
		if again {
			s.mkdir("d")
		}
		_, err := s.commit(u, data, always())
		s.wantErr(err, hufu.KindNotFound, "upload_gone")
		s.must(u.Close())
		s.wantErr(s.send(other, data, 0), hufu.KindNotFound, "upload_gone")
		v := s.upload(s.key("d/f", data))
		if v.Info().ID == u.Info().ID || v.Info().Have != 0 {
			s.Fatalf("begun again it is %+v, want another upload without chunks", v.Info())
		}
		s.sendUnits(v, data, 0, 1, 2)
		_, err = s.commit(v, data, always())
		s.must(err)
		s.holds("d/f", string(data))
		s.must(other.Close())
		s.clear()
	}
}

// aRefusedUploadSupersedesNothing: an older upload to the same path stays until the first chunk of
// the newer one is accepted.
func aRefusedUploadSupersedesNothing(s *suite) {
	data := s.large(30)
	older := s.upload(s.key("d/f", data))
	s.sendUnits(older, data, 0)
	s.must(older.Close())
	s.made(func(ctx context.Context, b blob.Batch) { b.Rename(ctx, s.path("d"), s.path("e"), ifAbsent(), "") })
	k := s.key("d/f", data)
	k.Source = "v2"
	no := blob.Guard{May: func(context.Context, blob.Change) error { return errNo }}
	u, err := s.Tree.OpenUpload(s.Context(), k, no)
	s.must(err)
	s.wantErr(s.send(u, data, 0), hufu.KindPermission, "not_yours")
	s.must(u.Close())
	s.made(func(ctx context.Context, b blob.Batch) { b.Rename(ctx, s.path("e"), s.path("d"), ifAbsent(), "") })
	found, err := s.Tree.FindUpload(s.Context(), older.Info().ID, anyone)
	s.must(err)
	s.missingAre(found, data, 1, 2)
	s.must(found.Close())
	s.sendUnits(s.upload(k), data, 0)
	s.unknown(older.Info().ID)
}
