package blobtest

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/digest"
)

func nameTests() []test {
	return []test{
		{"EveryNameIsKept", everyNameIsKept, func(s *Store) bool { return s.Names }},
		{"LongPathsAreKept", longPathsAreKept, func(s *Store) bool { return s.Names }},
		{"ReservedNamesAreRefused", reservedNamesAreRefused, nil},
		{"TheRootIsNobodysToReplace", theRootIsNobodysToReplace, nil},
		{"WhatIsNotThereIsNotFound", whatIsNotThereIsNotFound, nil},
		{"AFileIsNoFolder", aFileIsNoFolder, nil},
		{"AFolderIsNoFile", aFolderIsNoFile, nil},
		{"LinksAreData", linksAreData, links},
		{"NoLinkIsFollowed", noLinkIsFollowed, links},
		{"TimesAreKept", timesAreKept, times},
		{"ModesAreKept", modesAreKept, modes},
		{"AnEntryTellsWhatIsKnown", anEntryTellsWhatIsKnown, nil},
	}
}

func everyNameIsKept(s *suite) {
	want := []string{strings.Repeat("\xff", 255), strings.Repeat("é", 127) + "x", " ", "...", "-rf", "CON", "a:b", "e\u0301", "\u00e9", ".hufu", "A", "a"}
	for c := 1; c < 256; c++ {
		if c != '/' {
			want = append(want, "n"+string([]byte{byte(c)}))
		}
	}
	s.made(func(ctx context.Context, b blob.Batch) {
		for _, n := range want {
			b.Put(ctx, s.path(n), []byte(n), of("alice", n), ifAbsent())
			b.Mkdir(ctx, s.path("folders/"+n), meta(), true)
		}
	})
	slices.Sort(want)
	for _, n := range want {
		if e := s.stat(n); e.Name != n || e.Size != int64(len(n)) {
			s.Fatalf("%q: %+v", n, e)
		}
		s.holds(n, n)
	}
	if got := s.names("folders"); !slices.Equal(got, want) {
		s.Errorf("%d folders are listed of %d", len(got), len(want))
	}
}

func longPathsAreKept(s *suite) {
	long := strings.Repeat(strings.Repeat("d", 240)+"/", 17)[:hufu.MaxPath-2] + "/f"
	deep := strings.Repeat("d/", hufu.MaxDepth-1) + "f"
	for _, p := range []string{long, deep} {
		s.mustPut(p, "x")
		s.holds(p, "x")
		up := s.path(p).Parent()
		if _, err := up.Join("more"); p == deep && err != nil {
			s.Fatal(err)
		}
	}
	top, _ := s.path(long).Cut()
	for _, p := range []string{top, "d"} {
		s.must(s.one(anyone, func(ctx context.Context, b blob.Batch) { b.Remove(ctx, s.path(p), true, "") }).Err)
	}
	s.same(nil)
}

func reservedNamesAreRefused(s *suite) {
	s.mustPut("x", "x")
	before := s.everything()
	for _, name := range []string{".hufu-", ".hufu-secret", "a/.hufu-x/b"} {
		p, ctx := s.path(name), s.Context()
		_, err := s.Tree.Stat(ctx, p)
		s.wantErr(err, hufu.KindInvalidPath, "name_reserved")
		_, err = s.open(name)
		s.wantErr(err, hufu.KindInvalidPath, "name_reserved")
		_, err = s.Tree.List(ctx, p, blob.Page{}, func(hufu.Entry) error { return nil })
		s.wantErr(err, hufu.KindInvalidPath, "name_reserved")
		_, err = s.Tree.Digest(ctx, p)
		s.wantErr(err, hufu.KindInvalidPath, "name_reserved")
		_, err = s.Tree.OpenUpload(ctx, blob.UploadKey{Path: p, Size: 2 << 20}, anyone)
		s.wantErr(err, hufu.KindInvalidPath, "name_reserved")
		if _, ok := s.Tree.Committed(ctx, "x", p); ok {
			s.Errorf("an upload is committed at the reserved name %q", p)
		}
		for _, r := range s.change(anyone, func(ctx context.Context, b blob.Batch) {
			b.Put(ctx, p, nil, meta(), always())
			b.Mkdir(ctx, p, meta(), true)
			b.Symlink(ctx, p, "x", meta(), always())
			b.SetMeta(ctx, p, meta(), "")
			b.Remove(ctx, p, true, "")
			b.Rename(ctx, p, s.path("y"), always(), "")
			b.Rename(ctx, s.path("x"), p, always(), "")
		}) {
			s.wantErr(r.Err, hufu.KindInvalidPath, "name_reserved")
		}
	}
	s.same(before)
}

func theRootIsNobodysToReplace(s *suite) {
	s.mustPut("x", "x")
	before, root := s.everything(), hufu.Path{}
	if e, err := s.Tree.Stat(s.Context(), root); err != nil || e.Kind != hufu.Folder || e.Name != "" {
		s.Errorf("the root is %+v %v, want a folder without a name", e, err)
	}
	for _, r := range s.change(anyone, func(ctx context.Context, b blob.Batch) {
		b.Put(ctx, root, nil, meta(), always())
		b.Mkdir(ctx, root, meta(), true)
		b.Symlink(ctx, root, "x", meta(), always())
		b.Remove(ctx, root, true, "")
		b.Rename(ctx, root, s.path("y"), always(), "")
		b.Rename(ctx, s.path("x"), root, always(), "")
	}) {
		s.wantErr(r.Err, hufu.KindInvalidPath, "root_folder")
	}
	_, err := s.Tree.OpenUpload(s.Context(), blob.UploadKey{Size: 2 << 20}, anyone)
	s.wantErr(err, hufu.KindInvalidPath, "root_folder")
	s.same(before)
}

// refusals tries every operation that needs an existing entry at p, and returns their errors.
func (s *suite) refusals(p string) map[string]error {
	ctx, q := s.Context(), s.path(p)
	all := map[string]error{}
	_, all["stat"] = s.Tree.Stat(ctx, q)
	_, all["open"] = s.open(p)
	_, all["digest"] = s.Tree.Digest(ctx, q)
	_, all["list"] = s.Tree.List(ctx, q, blob.Page{}, func(hufu.Entry) error { return nil })
	_, all["page"] = s.Tree.List(ctx, q, blob.Page{Limit: 1}, func(hufu.Entry) error { return nil })
	stage := func(what string, stage func(ctx context.Context, b blob.Batch)) { all[what] = s.one(anyone, stage).Err }
	stage("set meta", func(ctx context.Context, b blob.Batch) { b.SetMeta(ctx, q, meta(), "") })
	stage("remove", func(ctx context.Context, b blob.Batch) { b.Remove(ctx, q, false, "") })
	stage("remove all", func(ctx context.Context, b blob.Batch) { b.Remove(ctx, q, true, "") })
	stage("rename", func(ctx context.Context, b blob.Batch) { b.Rename(ctx, q, s.path("elsewhere"), always(), "") })
	return all
}

// makings tries every operation that creates an entry at p, and returns their errors; there is a
// file "source".
func (s *suite) makings(p string) map[string]error {
	q := s.path(p)
	all := map[string]error{}
	stage := func(what string, stage func(ctx context.Context, b blob.Batch)) { all[what] = s.one(anyone, stage).Err }
	stage("put", func(ctx context.Context, b blob.Batch) { b.Put(ctx, q, nil, meta(), always()) })
	stage("mkdir", func(ctx context.Context, b blob.Batch) { b.Mkdir(ctx, q, meta(), true) })
	if s.Links {
		stage("link", func(ctx context.Context, b blob.Batch) { b.Symlink(ctx, q, "x", meta(), always()) })
	}
	stage("rename to", func(ctx context.Context, b blob.Batch) { b.Rename(ctx, s.path("source"), q, always(), "") })
	_, all["upload"] = s.uploaded(p, random(hufu.ChunkSize+1, 1), always(), anyone)
	return all
}

func whatIsNotThereIsNotFound(s *suite) {
	for _, p := range []string{"nothing", "no/where"} {
		for what, err := range s.refusals(p) {
			if hufu.KindOf(err) != hufu.KindNotFound {
				s.Errorf("%s of %s: %v", what, p, err)
			}
		}
	}
	s.mustPut("file", "x")
	r := s.change(anyone, func(ctx context.Context, b blob.Batch) {
		b.Mkdir(ctx, s.path("no/where"), meta(), false)
		b.Rename(ctx, s.path("file"), s.path("no/where"), always(), "")
	})
	s.wantErr(r[0].Err, hufu.KindNotFound, "")
	s.wantErr(r[1].Err, hufu.KindNotFound, "")
	if got := s.names(""); !slices.Equal(got, []string{"file"}) {
		s.Errorf("there are %q", got)
	}
}

func aFileIsNoFolder(s *suite) {
	s.mustPut("file", "x")
	s.mustPut("source", "x")
	before := s.everything()
	for what, err := range s.refusals("file/x") {
		if hufu.CodeOf(err) != "not_a_folder" {
			s.Errorf("%s: %v", what, err)
		}
	}
	for what, err := range s.makings("file/x") {
		if hufu.CodeOf(err) != "not_a_folder" {
			s.Errorf("%s: %v", what, err)
		}
	}
	for _, limit := range []int{0, 1} {
		_, err := s.Tree.List(s.Context(), s.path("file"), blob.Page{Limit: limit}, func(hufu.Entry) error { return nil })
		s.wantErr(err, hufu.KindWrongKind, "not_a_folder")
	}
	r := s.one(anyone, func(ctx context.Context, b blob.Batch) { b.Mkdir(ctx, s.path("file"), meta(), true) })
	s.wantErr(r.Err, hufu.KindExists, "target_exists")
	s.same(before)
}

func aFolderIsNoFile(s *suite) {
	s.mkdir("d")
	for _, p := range []string{"d", ""} {
		_, err := s.open(p)
		s.wantErr(err, hufu.KindWrongKind, "is_a_folder")
		_, err = s.Tree.Digest(s.Context(), s.path(p))
		s.wantErr(err, hufu.KindWrongKind, "is_a_folder")
	}
	if e := s.stat("d"); e.Version != "" || e.Size != 0 {
		s.Errorf("the folder is %+v, want no version and no size", e)
	}
}

func linksAreData(s *suite) {
	targets := []string{"x", "../../etc/passwd", "/", "nothing/at/all", ".", "\xff\n", strings.Repeat("t", 1000)}
	s.made(func(ctx context.Context, b blob.Batch) {
		for i, target := range targets {
			b.Symlink(ctx, s.path("d/"+strconv.Itoa(i)), target, meta(), ifAbsent())
		}
	})
	for i, target := range targets {
		e := s.stat("d/" + strconv.Itoa(i))
		if e.Kind != hufu.Link || e.Target != target || e.Version == "" || e.By != "" || !e.MTime.Equal(meta().MTime) {
			s.Errorf("%+v, want a link to %q", e, target)
		}
	}
	// It is the link that is moved and removed.
	s.mustPut("x", "untouched")
	s.made(func(ctx context.Context, b blob.Batch) {
		b.Rename(ctx, s.path("d/0"), s.path("y"), ifAbsent(), "")
		b.SetMeta(ctx, s.path("y"), blob.Meta{Mode: 0o777, MTime: time.Unix(99, 0)}, "")
	})
	if e := s.stat("y"); e.Target != "x" || !e.MTime.Equal(time.Unix(99, 0)) {
		s.Errorf("the link is %+v, want its target x and the time that was set", e)
	}
	s.made(func(ctx context.Context, b blob.Batch) { b.Remove(ctx, s.path("y"), true, "") })
	s.holds("x", "untouched")
}

func noLinkIsFollowed(s *suite) {
	s.mustPut("source", "x")
	s.mustPut("file", "untouched")
	s.mustPut("folder/file", "untouched")
	s.made(func(ctx context.Context, b blob.Batch) {
		b.Symlink(ctx, s.path("to-file"), "file", meta(), ifAbsent())
		b.Symlink(ctx, s.path("to-folder"), "folder", meta(), ifAbsent())
		b.Symlink(ctx, s.path("to-itself"), "to-itself", meta(), ifAbsent())
		b.Symlink(ctx, s.path("out"), "..", meta(), ifAbsent())
	})
	before := s.everything()
	for _, p := range []string{"to-folder/file", "to-folder/new", "to-folder/new/new", "to-itself/x", "out/x"} {
		for what, err := range s.refusals(p) {
			if hufu.CodeOf(err) != "link_in_path" {
				s.Errorf("%s of %s: %v", what, p, err)
			}
		}
		for what, err := range s.makings(p) {
			if hufu.CodeOf(err) != "link_in_path" {
				s.Errorf("%s of %s: %v", what, p, err)
			}
		}
	}
	for _, p := range []string{"to-file", "to-folder", "to-itself"} {
		_, err := s.open(p)
		s.wantErr(err, hufu.KindWrongKind, "link_in_path")
		_, err = s.Tree.Digest(s.Context(), s.path(p))
		s.wantErr(err, hufu.KindWrongKind, "link_in_path")
		_, err = s.Tree.List(s.Context(), s.path(p), blob.Page{}, func(hufu.Entry) error { return nil })
		s.wantErr(err, hufu.KindWrongKind, "")
		r := s.one(anyone, func(ctx context.Context, b blob.Batch) { b.Mkdir(ctx, s.path(p), meta(), true) })
		s.wantErr(r.Err, hufu.KindExists, "target_exists")
	}
	s.same(before)
	// What replaces a link leaves its target alone.
	s.must(s.put("to-file", "new", always()).Err)
	s.holds("to-file", "new")
	s.holds("file", "untouched")
	s.made(func(ctx context.Context, b blob.Batch) { b.Remove(ctx, s.path("to-folder"), true, "") })
	s.holds("folder/file", "untouched")
}

func timesAreKept(s *suite) {
	for i, at := range []time.Time{
		time.Unix(1_700_000_000, 123456789), time.Unix(0, 0), time.Unix(-1, 1), time.Date(1901, 12, 14, 1, 2, 3, 4, time.UTC), time.Date(2200, 1, 1, 0, 0, 0, 5, time.UTC),
	} {
		n := strconv.Itoa(i)
		s.made(func(ctx context.Context, b blob.Batch) {
			m := blob.Meta{Mode: 0o644, MTime: at}
			b.Put(ctx, s.path("file"+n), nil, m, ifAbsent())
			b.Mkdir(ctx, s.path("folder"+n), m, false)
			b.SetMeta(ctx, s.path("folder"+n), blob.Meta{Mode: 0o755, MTime: at}, "")
			b.Put(ctx, s.path("set"+n), nil, meta(), ifAbsent())
			b.SetMeta(ctx, s.path("set"+n), m, "")
			if s.Links {
				b.Symlink(ctx, s.path("link"+n), "x", m, ifAbsent())
			}
		})
		for _, p := range s.names("") {
			if e := s.stat(p); strings.HasSuffix(p, n) && !e.MTime.Equal(at) {
				s.Errorf("%s has %v, want %v", p, e.MTime, at)
			}
		}
	}
	// A zero time means the time of writing for Put, and no change for SetMeta.
	s.made(func(ctx context.Context, b blob.Batch) {
		b.Put(ctx, s.path("now"), nil, blob.Meta{Mode: 0o644}, ifAbsent())
		b.SetMeta(ctx, s.path("file0"), blob.Meta{Mode: 0o600}, "")
	})
	if e := s.stat("now"); e.MTime.IsZero() || e.MTime.Year() < 2000 {
		s.Errorf("put without a time it has %v, want that of writing", e.MTime)
	}
	if e := s.stat("file0"); !e.MTime.Equal(time.Unix(1_700_000_000, 123456789)) || e.Mode != 0o600 {
		s.Errorf("set without a time it is %+v, want the time that it had and the mode 0600", e)
	}
}

func modesAreKept(s *suite) {
	for _, mode := range []uint32{0o600, 0o644, 0o777, 0o400, 0o7755} {
		n := strconv.FormatUint(uint64(mode), 8)
		s.made(func(ctx context.Context, b blob.Batch) {
			b.Put(ctx, s.path("f"+n), nil, blob.Meta{Mode: mode}, ifAbsent())
			b.Put(ctx, s.path("s"+n), nil, meta(), ifAbsent())
			b.SetMeta(ctx, s.path("s"+n), blob.Meta{Mode: mode}, "")
			b.Mkdir(ctx, s.path("d"+n), meta(), false)
			b.SetMeta(ctx, s.path("d"+n), blob.Meta{Mode: mode | 0o700}, "")
		})
		for p, want := range map[string]uint32{"f": mode & 0o777, "s": mode & 0o777, "d": (mode | 0o700) & 0o777} {
			if e := s.stat(p + n); e.Mode != want {
				s.Errorf("%s%s has %o, want %o", p, n, e.Mode, want)
			}
		}
	}
}

func anEntryTellsWhatIsKnown(s *suite) {
	data := strings.Repeat("hello ", 700)
	r := s.put("a/b/c.txt", data, ifAbsent())
	if r.Err != nil || !r.Created {
		s.Fatalf("%+v", r)
	}
	e := s.stat("a/b/c.txt")
	want := hufu.Entry{Name: "c.txt", Kind: hufu.File, Size: int64(len(data)), MTime: meta().MTime, Mode: s.mode(0o640), Version: e.Version}
	if s.Records {
		want.Digest, want.By = digest.Sum([]byte(data)), "alice"
		if r.Version != e.Version {
			s.Errorf("the batch says %s, stat says %s", r.Version, e.Version)
		}
	}
	if e != want || e.Version == "" {
		s.Errorf("got  %+v\nwant %+v", e, want)
	}
	if all := s.entries("a/b"); len(all) != 1 || all[0] != e {
		s.Errorf("a listing says %+v", all)
	}
	f, err := s.open("a/b/c.txt")
	s.must(err)
	defer func() { _ = f.Close() }()
	if m := f.Meta(); f.Entry() != e || f.Size() != e.Size || !f.Is(e.Version) || f.Is(e.Version+"x") || !m.MTime.Equal(e.MTime) {
		s.Errorf("open says %+v %+v", f.Entry(), m)
	}
	if e := s.stat("a/b"); e.Kind != hufu.Folder || s.Records && (e.By != "alice" || e.Mode != 0o755) {
		s.Errorf("the folder above it is %+v", e)
	}
	// Setting mode and time keeps the rest.
	r = s.one(anyone, func(ctx context.Context, b blob.Batch) {
		b.SetMeta(ctx, s.path("a/b/c.txt"), blob.Meta{Mode: 0o600, MTime: time.Unix(5, 0), By: "bob", Upload: "x"}, "")
	})
	s.must(r.Err)
	want.Mode, want.MTime, want.Version = 0o600, time.Unix(5, 0), s.stat("a/b/c.txt").Version
	if e := s.stat("a/b/c.txt"); e != want || s.Records && r.Version != e.Version {
		s.Errorf("got  %+v %s\nwant %+v", e, r.Version, want)
	}
}
