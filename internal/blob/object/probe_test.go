package object_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"hufu"
	"hufu/internal/blob/object"
)

// TestProbeNamesWhatDoesNotFit: a store that does not do one thing as it should is found out by the
// check of that thing, and leaves nothing behind.
func TestProbeNamesWhatDoesNotFit(t *testing.T) {
	t.Parallel()
	codes := map[string]string{
		"": "", "clock": "store_clock", "checksum": "store_no_checksum", "cut": "store_keeps_cut", "read": "store_reads_other", "range": "store_ranges",
		"overwrite": "store_reads_other", "delete": "store_deletes", "list": "store_lists", "writers": "store_reads_other", "versions": "store_versions",
	}
	also := map[string][]string{"read": {"overwrite", "range", "writers"}, "cut": {"checksum"}, "range": nil, "delete": {"list"}}
	for lie, code := range codes {
		t.Run(lie, func(t *testing.T) {
			t.Parallel()
			f, b := newFake(t)
			f.lies = lie
			n := 0
			must(t, b.Probe(t.Context(), func(p object.Probed) error {
				n++
				switch {
				case p.Check == lie && hufu.CodeOf(p.Err) != code, p.Check == lie && hufu.KindOf(p.Err) != hufu.KindIntegrity:
					t.Errorf("%s: %v, want %s", p.Check, p.Err, code)
				case p.Check != lie && p.Err != nil && !slices.Contains(also[lie], p.Check):
					t.Errorf("%s: %v", p.Check, p.Err)
				}
				return nil
			}))
			if n != len(codes) || lie != "delete" && len(f.keys()) > 0 {
				t.Errorf("%d checks, %q are left", n, f.keys())
			}
			err := b.Fit(t.Context())
			if unfit := lie == "checksum" || lie == "cut"; unfit != (err != nil) {
				t.Errorf("fit: %v", err)
			}
		})
	}
}

// TestProbeOfAStoreThatIsAway: one check fails, with the reason, and no other is tried.
func TestProbeOfAStoreThatIsAway(t *testing.T) {
	t.Parallel()
	f, b := newFake(t)
	f.fails(func(r *http.Request) bool { return strings.Contains(r.URL.Path, "hufu-probe") })
	n := 0
	must(t, b.Probe(t.Context(), func(p object.Probed) error {
		n++
		wantCode(t, p.Err, hufu.KindUnavailable, "store_unreachable")
		return nil
	}))
	if n != 1 {
		t.Errorf("%d checks", n)
	}
}
