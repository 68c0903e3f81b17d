package files

import (
	"slices"
	"testing"

	"hufu"
	"hufu/internal/blob"
)

// TestPageOfSharedFolders: the shared folders page by page are all of them.
func TestPageOfSharedFolders(t *testing.T) {
	t.Parallel()
	v := newHouse(t, "a", "b", "c").view("alice", "pc")
	defer v.Close()
	for _, limit := range []int{1, 2, 3, 4} {
		var names []string
		pages := 0
		for after := ""; ; pages++ {
			next, err := v.Page(t.Context(), at(t, "@shared"), blob.Page{After: after, Limit: limit}, after != "", func(e hufu.Entry) error {
				names = append(names, e.Name)
				return nil
			})
			if err != nil {
				t.Fatal(limit, err)
			}
			if after = next; next == "" {
				break
			}
		}
		if !slices.Equal(names, []string{"a", "b", "c", "common"}) {
			t.Errorf("limit %d: %q in %d pages", limit, names, pages+1)
		}
	}
}

// TestPagesGoOn: what is remembered between the pages of one listing is not used for
// another one, which must have the names that were made before it began.
func TestPagesGoOn(t *testing.T) {
	t.Parallel()
	v := newHouse(t).view("alice", "pc")
	defer v.Close()
	for _, n := range []string{"d/a", "d/b", "d/c", "e/a", "f/a", "g/a", "h/a"} {
		ok(t, put(t, v, n, "x", hufu.IfAbsent))
	}
	page := func(folder, after string, on bool) string {
		var names string
		_, err := v.Page(t.Context(), at(t, folder), blob.Page{After: after, Limit: 1}, on, func(e hufu.Entry) error { names += e.Name; return nil })
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	page("d", "", false)
	ok(t, put(t, v, "d/a2", "x", hufu.IfAbsent))
	page("d", "", false)
	if got := page("d", "a", true); got != "a2" {
		t.Errorf("after a comes %q", got)
	}
	ok(t, put(t, v, "d/a3", "x", hufu.IfAbsent))
	if got := page("d", "a2", false); got != "a3" {
		t.Errorf("after a2 comes %q", got)
	}
	for _, folder := range []string{"", "e", "f", "g", "h"} {
		page(folder, "", false)
	}
	if got := page("d", "a3", true); len(v.listings) > maxListings || got != "b" {
		t.Errorf("after a3 comes %q, with %d listings", got, len(v.listings))
	}
}
