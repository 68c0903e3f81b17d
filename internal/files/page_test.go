package files

import (
	"slices"
	"testing"

	"hufu"
)

// TestPageOfSharedFolders: the shared folders page by page are all of them, and no limit
// is all of them at once.
func TestPageOfSharedFolders(t *testing.T) {
	t.Parallel()
	v := newHouse(t, "a", "b", "c").view("alice", "pc")
	defer v.Close()
	for _, limit := range []int{0, 1, 2, 3, 4} {
		var names []string
		pages := 0
		for after := ""; ; pages++ {
			next, err := v.Page(t.Context(), at(t, "@shared"), after, limit, func(e hufu.Entry) error {
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
		if !slices.Equal(names, []string{"a", "b", "c", "common"}) || limit == 0 && pages != 0 {
			t.Errorf("limit %d: %q in %d pages", limit, names, pages+1)
		}
	}
}
