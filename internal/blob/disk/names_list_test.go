package disk

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/blob/disk/sys"
)

// TestNamesInLittleMemory: of more names than there is room for, the smallest are
// kept, in order, and enough of them for a page.
func TestNamesInLittleMemory(t *testing.T) {
	t.Parallel()
	for _, length := range []int{12, 255, 765} { // 765 bytes: 255 UTF-16 units, as exFAT and NTFS have them
		var all []string
		for n := range 4 * leastNames / (length + 5) {
			all = append(all, fmt.Sprintf("%07d%s", n, strings.Repeat("x", length-7)))
		}
		shuffled := slices.Clone(all)
		rand.New(rand.NewPCG(1, 2)).Shuffle(len(all), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		h := smallestNames{room: leastNames}
		for _, n := range shuffled {
			h.add(n)
		}
		if size := h.names.size(); size > 3*leastNames {
			t.Errorf("names of %d: they take %d bytes", length, size)
		}
		l := h.sorted()
		if !h.bounded || l.len() < min(1<<16, blob.PageBytes/length) {
			t.Errorf("names of %d: %d, bounded %v", length, l.len(), h.bounded)
		}
		for i := 0; l.len() > 0; i++ {
			if l.first() != all[i] {
				t.Fatalf("names of %d: the name %d is %q", length, i, l.first())
			}
			l.drop()
		}
	}
}

// TestMemoryOfPagesThatAreSent: while a page is sent, a listing holds only the names of that page, and
// all listings together hold little more than pageRoom. A page is shorter when that is used up.
func TestMemoryOfPagesThatAreSent(t *testing.T) {
	t.Parallel()
	const many, length = 500, 200
	root := t.TempDir()
	var want []string
	for i := range many {
		want = append(want, fmt.Sprintf("%04d%s", i, strings.Repeat("x", length-4)))
		if err := os.WriteFile(filepath.Join(root, want[i]), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := Open(root, Options{Server: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	k := s.o.Names
	k.sent = pageRoom - 2*leastPage - leastPage/2 // by others
	others := k.sent
	// all lists the whole folder and calls during in the first page.
	all := func(lister func() blob.Lister, during func()) (pages int) {
		l := lister()
		defer l.Close()
		var got []string
		for after, more := "", true; more; more = after != "" {
			next, err := l.List(t.Context(), blob.Page{After: after, Limit: many - 1}, func(e hufu.Entry) error {
				if len(got) == 0 {
					during()
				}
				got = append(got, e.Name)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			pages, after = pages+1, next
		}
		if !slices.Equal(got, want) {
			t.Errorf("%d names, want %d", len(got), many)
		}
		return pages
	}
	lister := func() blob.Lister { return s.Lister(hufu.Path{}) }
	pages := all(lister, func() {
		k.mu.Lock()
		if held := k.sent - others; held <= 0 || held > 3*leastPage || k.used == 0 || k.large != 0 || len(k.reads) != 0 {
			t.Errorf("while a page is sent it holds %d bytes; %d are kept; %d listings read", held, k.used, len(k.reads))
		}
		k.mu.Unlock()
		if inner := all(lister, func() {}); inner < many*length/leastPage {
			t.Errorf("%d pages when there is little memory", inner)
		}
	})
	if pages != 3 || k.sent != others || k.used != 0 {
		t.Errorf("%d pages; %d bytes of pages and %d that are kept in the end", pages, k.sent-others, k.used)
	}
}

// TestReadingNamesTakesTurns: no more than mostReads listings read names at the same time, and
// waiting for one ends with the context.
func TestReadingNamesTakesTurns(t *testing.T) {
	t.Parallel()
	k := NewKeptNames(ListingRoom)
	var done []func()
	total := 0
	for range mostReads {
		room, d, err := k.reading(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		total, done = total+room, append(done, d)
	}
	if want := largeReads*mostNames + (mostReads-largeReads)*leastNames; total != want {
		t.Errorf("they may hold %d bytes, want %d", total, want)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := k.reading(ctx); hufu.KindOf(err) != hufu.KindCanceled {
		t.Errorf("one more: %v", err)
	}
	for _, d := range done {
		d()
	}
	if k.large != 0 || len(k.reads) != 0 {
		t.Errorf("in the end %d read, %d of them much", len(k.reads), k.large)
	}
}

// TestRemoveManyNames: a folder of more names than are removed at a time goes whole,
// and everything in it is asked about before.
func TestRemoveManyNames(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	s, err := Open(root, Options{Server: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	const deep, many = 8, 2*leastBatch + 10 // below 8 levels, leastBatch names go at a time
	dir := filepath.Join(root, "top", strings.Repeat("d/", deep))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for i := range many {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint("f", i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(filepath.Join(dir, fmt.Sprint("g", i)), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	sub, err := s.k.OpenDir(s.root, "top/"+strings.Repeat("d/", deep-1)+"d", sys.ReadFlags)
	if err != nil {
		t.Fatal(err)
	}
	names, more, err := s.someNames(t.Context(), sub, hufu.Path{}, deep+1)
	sub.Close()
	if err != nil || !more || len(names) != leastBatch {
		t.Errorf("%d names, more %v, %v", len(names), more, err)
	}
	asked := map[string]int{}
	b := s.Batch(blob.Guard{Deep: true, May: func(_ context.Context, c blob.Change) error { asked[c.Path.String()]++; return nil }})
	p, err := hufu.ParsePath("top")
	if err != nil {
		t.Fatal(err)
	}
	b.Remove(t.Context(), p, true, "")
	for _, r := range b.Finish(t.Context()) {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	if left, err := os.ReadDir(root); err != nil || len(left) != 0 {
		t.Errorf("left are %v, %v", left, err)
	}
	for name, n := range asked {
		if n < 2 && name != "top" { // before anything is removed, and when it is
			t.Errorf("asked %d times about %s", n, name)
		}
	}
	if len(asked) != 2*many+deep+1 {
		t.Errorf("asked about %d names", len(asked))
	}
}
