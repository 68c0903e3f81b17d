package gui

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hufu"
)

// TestHT41NamesAreData: names with markup, marks and bytes that are no text come
// as JSON, with a form to show that is harmless and a key that is exact.
func TestHT41NamesAreData(t *testing.T) {
	t.Parallel()
	p := sit(t)
	dir := filepath.Join(p.home, "names")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, n := range awkward {
		if err := os.WriteFile(filepath.Join(dir, n), nil, 0o600); err != nil {
			t.Fatalf("%q: %v", n, err)
		}
	}
	if err := os.Symlink("<b>\u202etarget\n", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	w := p.do(http.MethodPost, "/api/list", `{"side":"local","path":`+quoted(localPath(dir))+`}`)
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("%d %s", w.Code, w.Header().Get("Content-Type"))
	}
	if strings.ContainsAny(w.Body.String(), "<>\n\u202e\u2028") {
		t.Errorf("the answer holds markup as such: %s", w.Body)
	}
	var a struct {
		Entries []jsonEntry
		Crumbs  []jsonCrumb
	}
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
		t.Fatal(err)
	}
	left := map[string]bool{"link": true}
	for _, n := range awkward {
		left[n] = true
	}
	for _, e := range a.Entries {
		s, err := unescape("/" + e.Key)
		if err != nil || len(s) != 1 || !left[s[0]] {
			t.Errorf("the key %q is nothing that is there: %q %v", e.Key, s, err)
			continue
		}
		delete(left, s[0])
		if e.Name != hufu.Printable(s[0]) || strings.ContainsAny(e.Name+e.Target, "\n\u202e\u2028\x1b") {
			t.Errorf("%q is shown as %q → %q", s[0], e.Name, e.Target)
		}
		// By its key each can be had, whatever it is called.
		var got struct{ Entry jsonEntry }
		if problem := p.ask("properties", where{"local", localPath(dir) + "/" + e.Key}, &got); problem != nil || got.Entry.Key != e.Key {
			t.Errorf("properties of %q: %+v %+v", s[0], got, problem)
		}
	}
	if len(left) > 0 {
		t.Errorf("not listed: %v", left)
	}
}
