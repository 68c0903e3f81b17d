package disk_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"hufu"
	"hufu/internal/blob"
)

// TestPages: a folder comes page by page in the order of the names' bytes, each
// name once, whatever the size of the pages.
func TestPages(t *testing.T) {
	t.Parallel()
	eachTree(t, func(t *testing.T, tr *tree, isServer bool) {
		want := []string{"\xff", "a", "B", "b", "日本", "10", "9"}
		for i := range 50 {
			want = append(want, "n"+strconv.Itoa(i))
		}
		for _, n := range want {
			if err := os.WriteFile(filepath.Join(tr.root, n), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(tr.root, ".hufu-0123456789abcdef0123456789abcdef"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		slices.Sort(want)
		for _, limit := range []int{1, 2, 7, len(want) - 1, len(want), len(want) + 1} {
			var got []string
			for after, more := "", true; more; more = after != "" {
				n := 0
				next, err := tr.List(t.Context(), path(t, ""), blob.Page{After: after, Limit: limit}, func(e hufu.Entry) error {
					got = append(got, e.Name)
					n++
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				if n > limit || next != "" && (n < limit || next != got[len(got)-1]) {
					t.Fatalf("%d names in a page of %d, then %q", n, limit, next)
				}
				after = next
			}
			if !slices.Equal(got, want) {
				t.Errorf("pages of %d: %q", limit, got)
			}
		}
		// A name behind which to go on need not be there any more.
		next, err := tr.List(t.Context(), path(t, ""), blob.Page{After: "aa", Limit: 1}, func(e hufu.Entry) error {
			if e.Name != "b" {
				t.Errorf("behind aa comes %q", e.Name)
			}
			return nil
		})
		if next != "b" || err != nil {
			t.Error(next, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = tr.List(ctx, path(t, ""), blob.Page{After: "", Limit: 1}, func(hufu.Entry) error { return nil })
		wantErr(t, err, hufu.KindCanceled, "canceled")
	})
}

// TestPagesOfLongNames are shorter.
func TestPagesOfLongNames(t *testing.T) {
	t.Parallel()
	tr := newTree(t, server())
	if err := os.Mkdir(filepath.Join(tr.root, "zz"), 0o700); err != nil {
		t.Fatal(err)
	}
	const many = 4500 // of 240 bytes: more than a MiB
	for i := range many {
		if err := os.WriteFile(filepath.Join(tr.root, "zz", strings.Repeat("x", 236)+strconv.Itoa(1000+i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var pages []int
	total, last := 0, ""
	for after, more := "", true; more; more = after != "" {
		n := 0
		next, err := tr.List(t.Context(), path(t, "zz"), blob.Page{After: after, Limit: 1 << 16}, func(e hufu.Entry) error {
			if e.Name <= last {
				t.Fatal("out of order")
			}
			last = e.Name
			n++
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		pages, total, after = append(pages, n), total+n, next
	}
	if total != many || len(pages) != 2 || pages[0]*240 > 1<<20 || pages[0]*240 < 1<<20-500 {
		t.Errorf("%d names in pages of %v", total, pages)
	}
}
