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

// TestAStoreThatIsAwayHasRefusedNothing: only an answer says that a store verifies what it gets.
func TestAStoreThatIsAwayHasRefusedNothing(t *testing.T) {
	t.Parallel()
	puts := func(r *http.Request) bool { return r.Method == http.MethodPut }
	for name, c := range map[string]struct {
		lies   string
		refuse func(*http.Request) bool
		busy   int
		code   string
	}{
		"away":                {"", puts, 0, "store_unreachable"},
		"away for a moment":   {"checksum", once(puts), 0, "store_no_checksum"},
		"busy for a moment":   {"checksum", once(puts), http.StatusTooManyRequests, "store_no_checksum"},
		"cannot say no":       {"", func(r *http.Request) bool { return puts(r) && damaged(r) }, 0, ""},
		"gone after the cut":  {"", func(r *http.Request) bool { return r.Method == http.MethodHead }, 0, "store_unreachable"},
		"all is as it should": {"", nil, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, b := newFake(t)
			f.lies, f.busy = c.lies, c.busy
			f.fails(c.refuse)
			if err := b.Fit(t.Context()); c.code == "" && err != nil || c.code != "" && hufu.CodeOf(err) != c.code {
				t.Errorf("%v, want %q", err, c.code)
			}
		})
	}
}

// once returns a condition that is met once.
func once(met func(*http.Request) bool) func(*http.Request) bool {
	over := false
	return func(r *http.Request) bool {
		now := met(r) && !over
		over = over || now
		return now
	}
}

func damaged(r *http.Request) bool { return !strings.HasSuffix(r.URL.Path, "/whole") }

// TestTheQuestionAboutVersions: a store that does not know it keeps none, and one that does not say is
// not taken for one.
func TestTheQuestionAboutVersions(t *testing.T) {
	t.Parallel()
	for lie, code := range map[string]string{"unknown": "", "denied": "store_denied", "away": "store_unreachable", "versions": "store_versions"} {
		f, b := newFake(t)
		f.lies = lie
		if lie == "away" {
			f.fails(func(r *http.Request) bool { return r.URL.Query().Has("versioning") })
		}
		must(t, b.Probe(t.Context(), func(p object.Probed) error {
			want := ""
			if p.Check == "versions" {
				want = code
			}
			if want == "" && p.Err != nil || want != "" && hufu.CodeOf(p.Err) != want {
				t.Errorf("%s: %s: %v, want %q", lie, p.Check, p.Err, want)
			}
			return nil
		}))
	}
}
