package gui

import "testing"

func TestFileAddress(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/home/a/x.html": "file:///home/a/x.html", "/home/a#1/50%/x y?.html": "file:///home/a%231/50%25/x%20y%3F.html", "C:/Users/a b/x.html": "file:///C:/Users/a%20b/x.html",
	} {
		if got := fileAddress(path); got != want {
			t.Errorf("%s: %s, not %s", path, got, want)
		}
	}
}
