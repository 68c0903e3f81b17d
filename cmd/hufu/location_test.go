package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestPatternsHere: what the shells of Windows leave to programs.
func TestPatternsHere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	if err := errors.Join(os.WriteFile(in("a.txt"), nil, 0o600), os.WriteFile(in("b.txt"), nil, 0o600), os.WriteFile(in("c"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		system       string
		source, want []string
	}{
		{"windows", []string{in("*.txt"), in("c")}, []string{in("a.txt"), in("b.txt"), in("c")}},
		{"windows", []string{in("?")}, []string{in("c")}},
		{"windows", []string{in("*.none"), in("[*"), in("[ab].txt"), "-"}, []string{in("*.none"), in("[*"), in("[ab].txt"), "-"}},
		{"linux", []string{in("*.txt")}, []string{in("*.txt")}},
	} {
		if got := matchesHere(c.system, c.source); !slices.Equal(got, c.want) {
			t.Errorf("%s %q: %q", c.system, c.source, got)
		}
	}
}
