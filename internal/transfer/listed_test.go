package transfer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hufu"
	"hufu/internal/blob"
)

// TestMemoryOfManyNames: the memory of a transfer does not grow with the number of
// names in a folder.
func TestMemoryOfManyNames(t *testing.T) { //nolint:paralleltest // measures the heap
	const names = 300_000
	w, dst := newWorld(), newNear(t)
	var before, now runtime.MemStats
	most := uint64(0)
	w.page = func(_ hufu.Path, r blob.Page, yield func(hufu.Entry) error) (string, error) {
		n := 0
		if r.After != "" {
			_ = must(fmt.Sscanf(r.After, "name%07d", &n))
			n++
		}
		if r.Limit > names/20 {
			t.Errorf("a page of %d names", r.Limit)
		}
		if most == 0 || n > names*9/10 {
			runtime.GC()
			runtime.ReadMemStats(&now)
			if most = max(most, now.HeapAlloc); before.HeapAlloc == 0 {
				before = now
			}
		}
		name := ""
		for end := min(n+r.Limit, names); n < end; n++ {
			name = fmt.Sprintf("name%07d", n)
			if err := yield(hufu.Entry{Name: name, Kind: hufu.Other, Version: strings.Repeat("v", 60)}); err != nil {
				return "", err
			}
		}
		if n == names {
			return "", nil
		}
		return name, nil
	}
	told := 0
	e := New(w, Options{Owner: "test", Report: func(Report) { told++ }})
	if err := e.Get(t.Context(), dst.all()); err != nil || told != names {
		t.Errorf("%d names told, %v", told, err)
	}
	if grown := int64(most) - int64(before.HeapAlloc); grown > 30<<20 {
		t.Errorf("%d bytes for %d names", grown, names)
	}
}

// TestMerge: names are compared whatever side they are on and whatever page they are
// in, in the order of their bytes.
func TestMerge(t *testing.T) {
	t.Parallel()
	same := []string{"a", "B", "ä", "a (2)", "a.b", "zz", "\xff", "日本", "a\x01"}
	for _, pageOf := range []int{1, 2, 3, 0} {
		w, n := newWorld(), newNear(t)
		w.pageOf = pageOf
		for i, name := range same {
			w.set("d/"+name, []byte(name), someTime, "")
			if i%2 == 0 {
				n.write("d/"+name, []byte(name)) // of another time: compared by digest
			}
			n.write(fmt.Sprintf("d/near%d", i), []byte("n"))
			w.set(fmt.Sprintf("d/far%d", i), []byte("f"), someTime, "")
		}
		n.write("d/folder", []byte("a file here"))
		w.set("d/folder/x", []byte("x"), someTime, "")
		asked := 0
		w.fault = func(op string, _ hufu.Path, after bool) error {
			if op == "digest" && !after {
				asked++
			}
			return nil
		}
		told, err := put(t.Context(), w, Options{}, n.all())
		if err != nil || told.codes() != "target_wrong_kind" {
			t.Fatal(err, told.codes())
		}
		if asked > 0 {
			t.Errorf("pages of %d: the server was asked for %d digests", pageOf, asked)
		}
		var wantSame, wantSent []string
		for i, name := range same {
			if i%2 == 0 {
				wantSame = append(wantSame, "d/"+name)
			}
			wantSent = append(wantSent, fmt.Sprintf("d/near%d", i))
		}
		got := func(o Outcome) (all []string) {
			for _, r := range told {
				if r.Outcome == o && r.Kind == hufu.File {
					all = append(all, r.Remote.String())
				}
			}
			slices.Sort(all)
			return all
		}
		slices.Sort(wantSame)
		slices.Sort(wantSent)
		if !slices.Equal(got(Updated), wantSame) || !slices.Equal(got(Transferred), wantSent) {
			t.Errorf("pages of %d: updated %q, sent %q", pageOf, got(Updated), got(Transferred))
		}
		w.fault = nil
		if told, err = get(t.Context(), w, Options{}, n.all()); err != nil || told.codes() != "target_wrong_kind" && told.codes() != "" {
			t.Fatal(err, told.codes())
		}
		for _, name := range same {
			if string(n.content("d/"+name)) != name {
				t.Errorf("pages of %d: %q was not got", pageOf, name)
			}
		}
	}
}

// TestGetInBrief: a get that leaves the files that are there as they are asks for little of each,
// and for all of those that it fetches.
func TestGetInBrief(t *testing.T) {
	t.Parallel()
	w, n := newWorld(), newNear(t)
	const files, pageOf = 6 * briefAfter, briefAfter / 4
	name := func(i int) string { return fmt.Sprintf("d/%05d", i) }
	for i := range files {
		w.set(name(i), []byte(name(i)), someTime, "alice")
	}
	if _, err := get(t.Context(), w, Options{}, n.all()); err != nil {
		t.Fatal(err)
	}
	changed := []int{3, files/2 + 1, files - 1}
	for _, i := range changed {
		w.set(name(i), []byte("changed "+name(i)), someTime.Add(time.Hour), "alice")
		if err := os.Remove(filepath.Join(n.dir, name(i))); err != nil {
			t.Fatal(err)
		}
	}
	var briefPages, wholePages atomic.Int64 // the next page is requested meanwhile
	w.pageOf = pageOf
	w.page = func(p hufu.Path, r blob.Page, yield func(hufu.Entry) error) (string, error) {
		if r.Brief {
			briefPages.Add(1)
		} else {
			wholePages.Add(1)
		}
		return farLister{w, p}.plain(t.Context(), r, yield)
	}
	told, err := get(t.Context(), w, Options{Conflict: Skip}, n.all())
	if err != nil || told.codes() != "" {
		t.Fatal(err, told.codes())
	}
	brief, whole := briefPages.Load(), wholePages.Load()
	if n := int64(files / pageOf); brief < n/3 || whole > n*3/4 {
		t.Errorf("%d pages in brief and %d whole", brief, whole)
	}
	for _, i := range changed {
		if got := string(n.content(name(i))); got != "changed "+name(i) {
			t.Errorf("%s holds %q", name(i), got)
		}
		if fi, err := os.Stat(filepath.Join(n.dir, name(i))); err != nil || fi.Mode() != 0o755 || !fi.ModTime().Equal(someTime.Add(time.Hour)) {
			t.Errorf("%s: %v %v", name(i), fi, err)
		}
	}
}

// TestPutInBrief: a put of many files that are there asks for little of each. It still sees a mode
// that has changed at either side, and compares by its digest what has another time only.
func TestPutInBrief(t *testing.T) {
	t.Parallel()
	w, n := newWorld(), newNear(t)
	const files, pageOf = 6 * briefAfter, briefAfter / 4
	name := func(i int) string { return fmt.Sprintf("d/%05d", i) }
	for i := range files {
		n.write(name(i), []byte(name(i)))
	}
	if _, err := put(t.Context(), w, Options{}, n.all()); err != nil {
		t.Fatal(err)
	}
	here, there, touched := name(files-30), name(files-20), name(files-10)
	if err := os.Chmod(filepath.Join(n.dir, here), 0o751); err != nil {
		t.Fatal(err)
	}
	mode := w.things[there].Mode
	w.things[there].Mode = 0o640
	w.things[touched].MTime = someTime.Add(time.Hour)
	var briefPages, wholePages atomic.Int64 // the next page is requested meanwhile
	w.pageOf = pageOf
	w.page = func(p hufu.Path, r blob.Page, yield func(hufu.Entry) error) (string, error) {
		if r.Brief {
			briefPages.Add(1)
		} else {
			wholePages.Add(1)
		}
		return farLister{w, p}.plain(t.Context(), r, yield)
	}
	told, err := put(t.Context(), w, Options{}, n.all())
	if err != nil || told.codes() != "" {
		t.Fatal(err, told.codes())
	}
	brief, whole := briefPages.Load(), wholePages.Load()
	if n := int64(files / pageOf); brief < n*2/3 || whole > n/3 {
		t.Errorf("%d pages in brief and %d whole", brief, whole)
	}
	if got := told.of(Updated); !slices.Equal(got, []string{here, there, touched}) {
		t.Errorf("updated are %q", got)
	}
	if got := told.of(Transferred); len(got) > 0 {
		t.Errorf("transferred are %q", got)
	}
	if got := w.things[here].Mode; got != 0o751 {
		t.Errorf("%s has the mode %o", here, got)
	}
	if got := w.things[there].Mode; got != mode {
		t.Errorf("%s has the mode %o, not %o", there, got, mode)
	}
}

// TestMergeUnderChange: a name that vanishes between a page in brief and the same page
// again is put as a new one, and one that has changed is judged as it is now.
func TestMergeUnderChange(t *testing.T) {
	t.Parallel()
	w, n := newWorld(), newNear(t)
	for _, name := range []string{"a", "b", "c", "d"} {
		w.set(name, []byte("one"), someTime, "")
		n.write(name, []byte("two"))
	}
	plain := farLister{w, hufu.Path{}}
	w.page = func(_ hufu.Path, r blob.Page, yield func(hufu.Entry) error) (string, error) {
		w.mu.Lock()
		if !r.Brief {
			delete(w.things, "b")
		}
		w.mu.Unlock()
		if !r.Brief {
			w.set("c", []byte("two"), someTime.Add(time.Hour), "")
			w.set("a2", []byte("new"), someTime, "")
		}
		all, err := plain.all(t.Context())
		slices.SortFunc(all, func(a, b hufu.Entry) int { return strings.Compare(a.Name, b.Name) })
		for _, e := range all {
			if r.Brief {
				e.Digest = hufu.Digest{}
			}
			err = errors.Join(err, yield(e))
		}
		return "", err
	}
	told, err := put(t.Context(), w, Options{Conflict: Replace}, n.all())
	if err != nil || told.codes() != "" {
		t.Fatal(err, told.codes())
	}
	outcomes := map[string]Outcome{}
	for _, r := range told {
		outcomes[r.Remote.String()] = r.Outcome
	}
	for name, want := range map[string]Outcome{"a": Transferred, "b": Transferred, "c": Updated, "d": Transferred} {
		if got, _ := w.content(name); outcomes[name] != want || string(got) != "two" {
			t.Errorf("%s is %s and holds %q", name, outcomes[name], got)
		}
	}
}

// TestAskedAboutBothSides: the user who decides a conflict is shown the digest of the
// target.
func TestAskedAboutBothSides(t *testing.T) {
	t.Parallel()
	w, n := newWorld(), newNear(t)
	w.set("d/a", []byte("theirs"), someTime, "bob")
	n.write("d/a", []byte("mine, longer"))
	var asked []Conflict
	told, err := put(t.Context(), w, Options{Ask: func(_ context.Context, c Conflict) (Policy, error) { asked = append(asked, c); return Skip, nil }}, n.all())
	if err != nil || told.codes() != "" && told.codes() != "target_differs" || len(asked) != 1 || asked[0].Into.Digest.IsZero() || asked[0].Into.By != "bob" {
		t.Error(err, told.codes(), asked)
	}
}

// TestRenameAcrossPages: a name is free only if neither side has it, also in pages
// that have passed or have not come yet.
func TestRenameAcrossPages(t *testing.T) {
	t.Parallel()
	for _, pageOf := range []int{1, 2, 0} {
		w, src := newWorld(), newNear(t)
		w.pageOf = pageOf
		for _, name := range []string{"x", "x (2)", "x (a)", "x (b)", "x0"} {
			w.set(name, []byte("there"), someTime, "")
		}
		src.write("x", []byte("one"))
		src.write("x (3)", []byte("three"))
		told, err := put(t.Context(), w, Options{Conflict: Rename}, src.all())
		if err != nil || told.codes() != "" {
			t.Fatal(err, told.codes())
		}
		for name, want := range map[string]string{"x": "there", "x (2)": "there", "x (3)": "three", "x (4)": "one"} {
			if got, _ := w.content(name); string(got) != want {
				t.Errorf("pages of %d: %s holds %q", pageOf, name, got)
			}
		}
	}
}

// TestListingFails: a folder whose second page cannot be listed is reported, and does
// not keep the next large folder waiting.
func TestListingFails(t *testing.T) {
	t.Parallel()
	w, dst := newWorld(), newNear(t)
	w.set("a/1", nil, someTime, "")
	w.set("b/1", nil, someTime, "")
	w.page = func(p hufu.Path, r blob.Page, yield func(hufu.Entry) error) (string, error) {
		switch {
		case p.IsRoot():
			return "", errors.Join(yield(hufu.Entry{Name: "a", Kind: hufu.Folder}), yield(hufu.Entry{Name: "b", Kind: hufu.Folder}))
		case r.After == "":
			return "1", yield(hufu.Entry{Name: "1", Kind: hufu.Other})
		}
		return "", failed(hufu.KindNotFound, "gone")
	}
	told, err := get(context.Background(), w, Options{}, dst.all())
	failures := 0
	for _, r := range told {
		if r.Outcome == Failed {
			failures++
		}
	}
	if err != nil || told.codes() != "gone" || failures != 2 {
		t.Error(err, told.codes(), failures)
	}
}

// TestWholePageEndsWhereItDid: a page that is requested again has no names of the next one,
// which would then come twice.
func TestWholePageEndsWhereItDid(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.pageOf = 2
	for _, name := range []string{"b", "d", "e", "f"} {
		w.set(name, nil, someTime, "")
	}
	l := &listed{open: func() blob.Lister { return w.Lister(hufu.Path{}) }, admit: func(context.Context) error { return nil }, brief: func() bool { return true }}
	l.begin(t.Context())
	defer l.close()
	if x, err := l.peek(t.Context()); err != nil || x.Name != "b" {
		t.Fatal(x, err)
	}
	w.mu.Lock()
	delete(w.things, "b") // so that e comes into the page
	w.mu.Unlock()
	if x, err := l.whole(t.Context(), "d"); err != nil || x == nil {
		t.Fatal(x, err)
	}
	var names []string
	for {
		x, err := l.peek(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if x == nil {
			break
		}
		names = append(names, x.Name)
		l.at++
	}
	if !slices.Equal(names, []string{"d", "e", "f"}) {
		t.Errorf("the names are %q", names)
	}
}

// TestWholePageHasNothingBrief: new names that push others out of a page that is requested
// again leave none of them in brief.
func TestWholePageHasNothingBrief(t *testing.T) {
	t.Parallel()
	for _, last := range []string{"b", "f"} { // the page is the last one, or not
		w := newWorld()
		for _, name := range []string{"a", "b", last} {
			w.set(name, []byte(name), someTime, "alice")
		}
		w.pageOf = 2
		l := &listed{open: func() blob.Lister { return w.Lister(hufu.Path{}) }, admit: func(context.Context) error { return nil }, brief: func() bool { return true }}
		l.begin(t.Context())
		defer l.close()
		if x, err := l.peek(t.Context()); err != nil || x.Name != "a" {
			t.Fatal(x, err)
		}
		for _, name := range []string{"a1", "a2", "a3"} {
			w.set(name, []byte(name), someTime, "alice")
		}
		if x, err := l.whole(t.Context(), "a"); err != nil || x == nil {
			t.Fatal(x, err)
		}
		var names []string
		for _, x := range l.entries {
			names = append(names, x.Name)
			if x.Digest.IsZero() || x.Mode == 0 {
				t.Errorf("%s is in brief", x.Name)
			}
		}
		if !slices.Equal(names, []string{"a", "a1", "a2", "a3", "b"}) {
			t.Errorf("the names are %q", names)
		}
	}
}
