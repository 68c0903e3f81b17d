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
