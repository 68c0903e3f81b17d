//go:build unix

package gui

import (
	"slices"
	"strings"
	"testing"

	"hufu"
)

func TestPathsComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	all := slices.Clone(awkward)
	for b := 1; b < 256; b++ {
		if b != '/' && b != '.' {
			all = append(all, string([]byte{byte(b)}))
		}
	}
	for _, name := range all {
		segments := []string{"folder", name, "x"}
		p := escape(segments)
		if strings.ContainsAny(p, "\x00\n \"<>\\?#") || !strings.HasPrefix(p, "/") {
			t.Errorf("%q is written as %q", name, p)
		}
		got, err := unescape(p)
		if err != nil || !slices.Equal(got, segments) {
			t.Errorf("%q came back as %q: %v", name, got, err)
		}
		local := "/" + strings.Join(segments, "/")
		if got, err := localName(localPath(local)); err != nil || got != local {
			t.Errorf("%q came back as %q: %v", local, got, err)
		}
		if got, err := remotePath(p); err != nil || !slices.Equal(got.Segments(), segments) {
			t.Errorf("%q came back from the server's side as %v: %v", name, got, err)
		}
	}
	if escape(nil) != "/" || localPath("/") != "/" {
		t.Error("the root is not /")
	}
	for _, bad := range []string{
		"", "a", "../a", "/..", "/.", "/a/../b", "/%2e%2e", "/%2E./b", "/a%2Fb", "/a%00b", "/%", "/%zz", "/%2", "/a/%2f", "/" + strings.Repeat("a", 4*hufu.MaxPath),
	} {
		if got, err := unescape(bad); hufu.CodeOf(err) != "path_segment" {
			t.Errorf("%.40q was read as %q: %v", bad, got, err)
		}
	}
}
