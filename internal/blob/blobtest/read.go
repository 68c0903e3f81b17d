package blobtest

import (
	"context"
	"errors"
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

func readTests() []test {
	return []test{
		{"PagesAreTheListing", pagesAreTheListing, nil},
		{"ABriefPageLeavesOutOnlyWhatItMay", aBriefPageLeavesOutOnlyWhatItMay, nil},
		{"PagesOfLongNamesAreShorter", pagesOfLongNamesAreShorter, nil},
		{"AListingMissesNoUntouchedName", aListingMissesNoUntouchedName, nil},
		{"AListingStopsAtAnError", aListingStopsAtAnError, nil},
		{"AListingEndsWithItsContext", aListingEndsWithItsContext, nil},
		{"ADigestEndsWithItsContext", aDigestEndsWithItsContext, nil},
		{"ADigestIsThatOfTheBytes", aDigestIsThatOfTheBytes, nil},
		{"DamageIsToldByTheDigest", damageIsToldByTheDigest, records},
		{"AChangedFileIsNoticed", aChangedFileIsNoticed, nil},
		{"AnUnchangedFilePassesCheck", anUnchangedFilePassesCheck, nil},
		{"AFileIsReadInParts", aFileIsReadInParts, nil},
		{"AnOpenerForgetsAtClose", anOpenerForgetsAtClose, nil},
		{"AKnownVersionIsNoCondition", aKnownVersionIsNoCondition, nil},
		{"SpaceIsTold", spaceIsTold, nil},
	}
}

// pages lists a folder page by page, by a Lister, and checks the pages.
func (s *suite) pages(p string, limit int) (all []string, pages []int) {
	s.Helper()
	l := s.Tree.Lister(s.path(p))
	defer l.Close()
	return s.pagesBy(l.List, limit)
}

// pagesBy is pages, with each page listed by list.
func (s *suite) pagesBy(list func(context.Context, blob.Page, func(hufu.Entry) error) (string, error), limit int) (all []string, pages []int) {
	s.Helper()
	for after, more := "", true; more; more = after != "" {
		n, bytes := 0, 0
		next, err := list(s.Context(), blob.Page{After: after, Limit: limit}, func(e hufu.Entry) error {
			all = append(all, e.Name)
			n, bytes = n+1, bytes+len(e.Name)
			return nil
		})
		s.must(err)
		if n > limit || bytes > blob.PageBytes || next != "" && (n == 0 || next != all[len(all)-1]) {
			s.Fatalf("%d names of %d bytes in a page of %d, then comes %q", n, bytes, limit, next)
		}
		after, pages = next, append(pages, n)
	}
	return all, pages
}

func pagesAreTheListing(s *suite) {
	want := []string{"a", "B", "b", "日本", "10", "9", "e\u0301"}
	for i := range 50 {
		want = append(want, "n"+strconv.Itoa(i))
	}
	s.made(func(ctx context.Context, b blob.Batch) {
		for i, n := range want {
			if i%5 == 0 {
				b.Mkdir(ctx, s.path(n), meta(), false)
			} else {
				b.Put(ctx, s.path(n), nil, meta(), ifAbsent())
			}
		}
	})
	slices.Sort(want)
	if got := s.names(""); !slices.Equal(got, want) {
		s.Fatalf("listed are %q", got)
	}
	for _, limit := range []int{1, 2, 7, len(want) - 1, len(want), len(want) + 1} {
		got, pages := s.pages("", limit)
		if !slices.Equal(got, want) || len(pages) != (len(want)+limit-1)/limit {
			s.Errorf("%d pages of %d: %q", len(pages), limit, got)
		}
		got, _ = s.pagesBy(func(ctx context.Context, r blob.Page, yield func(hufu.Entry) error) (string, error) {
			return s.Tree.List(ctx, s.path(""), r, yield)
		}, limit)
		if !slices.Equal(got, want) {
			s.Errorf("pages of %d without a Lister: %q", limit, got)
		}
	}
	// A Lister may jump to any After, and leaves out removed names.
	l := s.Tree.Lister(hufu.Path{})
	defer l.Close()
	ask := func(after string) (names []string) {
		_, err := l.List(s.Context(), blob.Page{After: after, Limit: 2}, func(e hufu.Entry) error { names = append(names, e.Name); return nil })
		s.must(err)
		return names
	}
	ask("")
	ask("b")
	if got := ask("n4"); !slices.Equal(got, []string{"n40", "n41"}) {
		s.Errorf("after n4: %q", got)
	}
	s.made(func(ctx context.Context, b blob.Batch) { b.Remove(ctx, s.path("n42"), true, "") })
	if got := ask("n41"); slices.Contains(got, "n42") || len(got) == 0 {
		s.Errorf("after n41, without n42: %q", got)
	}
	// The name to go on after need not be there any more.
	next, err := s.Tree.List(s.Context(), hufu.Path{}, blob.Page{After: "aa", Limit: 1}, func(e hufu.Entry) error {
		if e.Name != "b" {
			s.Errorf("after aa comes %q", e.Name)
		}
		return nil
	})
	if next != "b" || err != nil {
		s.Errorf("the next page begins after %q (%v), want b", next, err)
	}
}

func aBriefPageLeavesOutOnlyWhatItMay(s *suite) {
	s.mkdir("folder")
	s.mustPut("file", "some bytes")
	entries := 2
	if s.Links {
		s.made(func(ctx context.Context, b blob.Batch) { b.Symlink(ctx, s.path("link"), "file", meta(), ifAbsent()) })
		entries++
	}
	list := func(r blob.Page) (all []hufu.Entry) {
		l := s.Tree.Lister(hufu.Path{})
		defer l.Close()
		r.Limit = 10
		_, err := l.List(s.Context(), r, func(e hufu.Entry) error { all = append(all, e); return nil })
		s.must(err)
		return all
	}
	whole := list(blob.Page{})
	for _, modes := range []bool{false, true} {
		brief := list(blob.Page{Brief: true, Modes: modes})
		if len(brief) != entries || len(whole) != entries {
			s.Fatal(brief, whole)
		}
		for i, w := range whole {
			b := brief[i]
			if b.Kind != hufu.Folder {
				b.Digest, b.By = w.Digest, w.By
				if !modes {
					b.Mode = w.Mode
				}
			}
			if b.Upload = w.Upload; b != w {
				s.Errorf("modes %v, brief %+v\nwhole %+v", modes, brief[i], w)
			}
		}
	}
}

// pagesOfLongNamesAreShorter: names and targets count. Where there are links, long targets fill a
// page with few names.
func pagesOfLongNamesAreShorter(s *suite) {
	many, target := 4500, ""
	if s.Links {
		many, target = 300, strings.Repeat("t", 3760)
	}
	s.mkdir("d")
	s.made(func(ctx context.Context, b blob.Batch) {
		for i := range many {
			p := s.path("d/" + strings.Repeat("x", 236) + strconv.Itoa(1000+i))
			if s.Links {
				b.Symlink(ctx, p, target, meta(), ifAbsent())
			} else {
				b.Put(ctx, p, nil, meta(), ifAbsent())
			}
		}
	})
	all, pages := s.pages("d", 1<<16)
	if len(all) != many || !slices.IsSorted(all) || len(pages) != 2 || pages[0] != blob.PageBytes/(240+len(target)) {
		s.Errorf("%d names in pages of %v", len(all), pages)
	}
}

func aListingMissesNoUntouchedName(s *suite) {
	var want []string
	for i := range 60 {
		want = append(want, "constant"+strconv.Itoa(100+i))
		s.mustPut("d/"+want[i], "x")
	}
	var over atomic.Bool
	var wg sync.WaitGroup
	for lane := range 2 {
		wg.Go(func() {
			for i := 0; !over.Load(); i++ {
				p, q := "d/come"+strconv.Itoa(lane*10+i%7), "d/gone"+strconv.Itoa(lane*10+i%5)
				_ = s.change(anyone, func(ctx context.Context, b blob.Batch) {
					b.Put(ctx, s.path(p), nil, meta(), always())
					b.Rename(ctx, s.path(p), s.path(q), always(), "")
					b.Remove(ctx, s.path(q), false, "")
				})
			}
		})
	}
	for round := range 40 {
		all := s.names("d")
		if round%2 == 0 {
			all, _ = s.pages("d", 7)
		}
		all = slices.DeleteFunc(all, func(n string) bool { return !strings.HasPrefix(n, "constant") })
		if !slices.Equal(all, want) {
			s.Errorf("round %d: %q", round, all)
			break
		}
	}
	over.Store(true)
	wg.Wait()
}

func aListingStopsAtAnError(s *suite) {
	for i := range 5 {
		s.mustPut(strconv.Itoa(i), "x")
	}
	stop := errors.New("enough")
	for _, limit := range []int{0, 5} {
		seen := 0
		_, err := s.Tree.List(s.Context(), hufu.Path{}, blob.Page{Limit: limit}, func(hufu.Entry) error {
			if seen++; seen == 2 {
				return stop
			}
			return nil
		})
		if !errors.Is(err, stop) || seen != 2 {
			s.Errorf("%d entries and %v, want the error of the second", seen, err)
		}
	}
}

func aListingEndsWithItsContext(s *suite) {
	s.made(func(ctx context.Context, b blob.Batch) {
		for i := range 300 {
			b.Put(ctx, s.path(strconv.Itoa(i)), nil, meta(), ifAbsent())
		}
	})
	for _, limit := range []int{0, 300} {
		ctx, cancel := context.WithCancel(s.Context())
		seen := 0
		_, err := s.Tree.List(ctx, hufu.Path{}, blob.Page{Limit: limit}, func(hufu.Entry) error {
			if seen++; seen == 10 {
				cancel()
			}
			return nil
		})
		if hufu.KindOf(err) != hufu.KindCanceled || seen == 300 {
			s.Errorf("%d entries and %v, want the listing canceled before its end", seen, err)
		}
		_, err = s.Tree.List(ctx, hufu.Path{}, blob.Page{Limit: limit}, func(hufu.Entry) error { return nil })
		s.wantErr(err, hufu.KindCanceled, "")
	}
}

// ending is a context that ends at the given number of calls of Err and Done.
type ending struct {
	context.Context
	left   atomic.Int64
	cancel context.CancelFunc
}

func (s *suite) ending(looks int64) *ending {
	ctx, cancel := context.WithCancel(s.Context())
	s.Cleanup(cancel)
	e := &ending{Context: ctx, cancel: cancel}
	e.left.Store(looks)
	return e
}

func (e *ending) look() {
	if e.left.Add(-1) == 0 {
		e.cancel()
	}
}

func (e *ending) Err() error            { e.look(); return e.Context.Err() }
func (e *ending) Done() <-chan struct{} { e.look(); return e.Context.Done() }

func aDigestEndsWithItsContext(s *suite) {
	const chunks = 64
	data := make([]byte, chunks*hufu.ChunkSize)
	u := s.upload(s.key("f", data))
	for i := range int64(chunks) {
		s.must(u.Write(s.Context(), i, nil, digest.Zeros(hufu.ChunkSize, i)))
	}
	_, err := s.commit(u, data, ifAbsent())
	s.must(err)
	_, err = s.Tree.Digest(s.ending(chunks/4), s.path("f"))
	s.wantErr(err, hufu.KindCanceled, "")
	_, err = s.Tree.Digest(s.ending(1), s.path("f"))
	s.wantErr(err, hufu.KindCanceled, "")
	if e, err := s.Tree.Digest(s.Context(), s.path("f")); err != nil || e.Digest != digest.Sum(data) {
		s.Errorf("the digest is %+v %v, want that of the bytes", e, err)
	}
}

func aDigestIsThatOfTheBytes(s *suite) {
	for _, size := range []int64{0, 1, 5000, hufu.ChunkSize, hufu.ChunkSize + 1, 3*hufu.ChunkSize + 17} {
		p, data := strconv.FormatInt(size, 10), random(size, byte(size))
		if size <= hufu.ChunkSize { // without a digest to record
			s.made(func(ctx context.Context, b blob.Batch) { b.Put(ctx, s.path(p), data, meta(), ifAbsent()) })
			if e := s.stat(p); !e.Digest.IsZero() {
				s.Errorf("%s is %+v, want no digest", p, e)
			}
		} else {
			_, err := s.uploaded(p, data, ifAbsent(), anyone)
			s.must(err)
		}
		before := s.stat(p)
		e, err := s.Tree.Digest(s.Context(), s.path(p))
		if err != nil || e.Digest != digest.Sum(data) {
			s.Fatalf("%+v %v", e, err)
		}
		after := s.stat(p)
		if s.Records && after.Digest != e.Digest && !after.Digest.IsZero() || after.Version != e.Version {
			s.Errorf("afterwards %+v", after)
		}
		// Storing the digest does not count as a change of the version.
		s.must(s.one(anyone, func(ctx context.Context, b blob.Batch) { b.Remove(ctx, s.path(p), false, before.Version) }).Err)
	}
}

func damageIsToldByTheDigest(s *suite) {
	s.made(func(ctx context.Context, b blob.Batch) {
		b.Put(ctx, s.path("f"), []byte("evil"), of("alice", "good"), ifAbsent())
	})
	_, err := s.Tree.Digest(s.Context(), s.path("f"))
	s.wantErr(err, hufu.KindIntegrity, "stored_digest_differs")
}

func aChangedFileIsNoticed(s *suite) {
	for name, change := range map[string]func(context.Context, blob.Batch){
		"replaced": func(ctx context.Context, b blob.Batch) {
			b.Put(ctx, s.path("f"), []byte("0123456789"), meta(), always())
		},
		"removed": func(ctx context.Context, b blob.Batch) { b.Remove(ctx, s.path("f"), false, "") },
		"set": func(ctx context.Context, b blob.Batch) {
			b.SetMeta(ctx, s.path("f"), blob.Meta{Mode: 0o600, MTime: time.Unix(7, 0)}, "")
		},
		"moved to":  func(ctx context.Context, b blob.Batch) { b.Rename(ctx, s.path("other"), s.path("f"), always(), "") },
		"all of it": func(ctx context.Context, b blob.Batch) { b.Remove(ctx, s.path("f"), true, "") },
	} {
		s.mustPut("f", "0123456789")
		s.mustPut("other", "0123456789")
		f, err := s.open("f")
		s.must(err)
		s.must(f.Check(s.Context()))
		s.made(change)
		if err := f.Check(s.Context()); hufu.KindOf(err) != hufu.KindChanged {
			s.Errorf("%s: %v", name, err)
		}
		if _, _, _, err := f.ReadChunk(s.Context(), 0, make([]byte, hufu.ChunkSize)); hufu.KindOf(err) != hufu.KindChanged {
			s.Errorf("%s: a chunk was read: %v", name, err)
		}
		s.must(f.Close())
		s.must(f.Close())
	}
	data := s.large(9)
	s.mustPut("f", "old")
	f, err := s.open("f")
	s.must(err)
	defer func() { _ = f.Close() }()
	_, err = s.uploaded("f", data, always(), anyone)
	s.must(err)
	s.wantErr(f.Check(s.Context()), hufu.KindChanged, "file_changed")
}

func anUnchangedFilePassesCheck(s *suite) {
	s.mustPut("d/f", "0123456789")
	f, err := s.open("d/f")
	s.must(err)
	defer func() { _ = f.Close() }()
	s.mustPut("d/g", "0123456789")
	s.made(func(ctx context.Context, b blob.Batch) { b.Rename(ctx, s.path("d"), s.path("e"), ifAbsent(), "") })
	if _, err := s.Tree.Digest(s.Context(), s.path("e/f")); err != nil {
		s.Error(err)
	}
	s.must(f.Check(s.Context()))
	data, err := f.Whole(s.Context(), make([]byte, hufu.ChunkSize))
	if err != nil || string(data) != "0123456789" {
		s.Errorf("the whole file is %q %v, want 0123456789", data, err)
	}
}

func aFileIsReadInParts(s *suite) {
	data := random(3*hufu.ChunkSize+17, 3)
	_, err := s.uploaded("f", data, ifAbsent(), anyone)
	s.must(err)
	f, err := s.open("f")
	s.must(err)
	defer func() { _ = f.Close() }()
	buf := make([]byte, hufu.ChunkSize)
	var wg sync.WaitGroup
	for i := range digest.Chunks(f.Size()) {
		wg.Go(func() {
			buf := make([]byte, hufu.ChunkSize)
			got, hole, cv, err := f.ReadChunk(s.Context(), i, buf)
			if c := chunk(data, i); err != nil || hole || string(got) != string(c) || cv != digest.Chunk(c, i) {
				s.Errorf("chunk %d: %d bytes, hole %v, %v", i, len(got), hole, err)
			}
		})
	}
	wg.Wait()
	for _, i := range []int64{-1, 4} {
		_, _, _, err := f.ReadChunk(s.Context(), i, buf)
		s.wantErr(err, hufu.KindInvalid, "chunk_index")
	}
	for _, off := range []int64{0, 1, hufu.ChunkSize - 5, 3 * hufu.ChunkSize, f.Size() - 1, f.Size()} {
		b := make([]byte, 100)
		n, err := f.ReadAt(s.Context(), b, off)
		if want := data[off:min(off+100, f.Size())]; err != nil || string(b[:n]) != string(want) {
			s.Errorf("at %d: %d bytes, %v", off, n, err)
		}
	}
	_, err = f.Whole(s.Context(), buf)
	s.wantErr(err, hufu.KindChanged, "file_changed") // it is larger than a chunk
}

// A version that the caller knows saves a look at the name. It changes nothing about
// what is opened.
func aKnownVersionIsNoCondition(s *suite) {
	o := s.Tree.Opener()
	defer o.Close()
	version := s.mustPut("f", "one").Version
	read := func(version, want string) {
		s.Helper()
		f, err := o.Open(s.Context(), s.path("f"), version)
		s.must(err)
		defer func() { _ = f.Close() }()
		if got, err := f.Whole(s.Context(), make([]byte, hufu.ChunkSize)); err != nil || string(got) != want {
			s.Errorf("it holds %q, want %q: %v", got, want, err)
		}
	}
	read(version, "one")
	s.must(s.put("f", "another", always()).Err)
	read(version, "another")
	read("not a version", "another")
	s.made(func(ctx context.Context, b blob.Batch) { b.Remove(ctx, s.path("f"), false, "") })
	_, err := o.Open(s.Context(), s.path("f"), version)
	s.wantErr(err, hufu.KindNotFound, "")
	s.mkdir("f")
	_, want := o.Open(s.Context(), s.path("f"), "")
	_, err = o.Open(s.Context(), s.path("f"), version)
	s.wantErr(err, hufu.KindOf(want), hufu.CodeOf(want))
	if !s.Links {
		return
	}
	s.made(func(ctx context.Context, b blob.Batch) { b.Remove(ctx, s.path("f"), false, "") })
	s.made(func(ctx context.Context, b blob.Batch) { b.Symlink(ctx, s.path("f"), "g", blob.Meta{}, always()) })
	_, want = o.Open(s.Context(), s.path("f"), "")
	_, err = o.Open(s.Context(), s.path("f"), version)
	s.wantErr(err, hufu.KindOf(want), hufu.CodeOf(want))
}

func anOpenerForgetsAtClose(s *suite) {
	s.mustPut("d/f", "one")
	s.mustPut("d/g", "two")
	s.mustPut("f", "root")
	o := s.Tree.Opener()
	defer o.Close()
	read := func(p, want string) {
		s.Helper()
		f, err := o.Open(s.Context(), s.path(p), "")
		s.must(err)
		defer func() { _ = f.Close() }()
		if got, err := f.Whole(s.Context(), make([]byte, hufu.ChunkSize)); err != nil || string(got) != want {
			s.Errorf("%s holds %q, want %q: %v", p, got, want, err)
		}
	}
	read("d/f", "one")
	read("d/g", "two")
	read("f", "root")
	read("d/f", "one")
	for _, p := range []string{"d/none", "none/f", "d"} {
		if _, err := o.Open(s.Context(), s.path(p), ""); err == nil {
			s.Errorf("%s was opened", p)
		}
	}
	read("d/f", "one")
	s.made(func(ctx context.Context, b blob.Batch) { b.Rename(ctx, s.path("d"), s.path("e"), ifAbsent(), "") })
	s.mustPut("d/f", "new")
	o.Close()
	read("d/f", "new")
}

func spaceIsTold(s *suite) {
	free, total, err := s.Tree.Space(s.Context())
	if err != nil || free <= 0 || total < free {
		s.Errorf("%d of %d bytes are free: %v", free, total, err)
	}
}
