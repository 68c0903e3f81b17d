package meta_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hufu/internal/meta/metatest"
)

func TestNames(t *testing.T) {
	t.Parallel()
	metatest.RunNames(t, func(t *testing.T) string {
		t.Helper()
		return "sqlite:" + filepath.Join(t.TempDir(), "hufu.db")
	})
}

// TestTimesOfNamesAreThoseOfTheDatabase: the clean-up compares them with its clock, so no statement
// has a time of this computer.
func TestTimesOfNamesAreThoseOfTheDatabase(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("names*.go")
	if err != nil || len(files) < 5 {
		t.Fatalf("%q %v", files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(text), "\n") {
			if strings.Contains(line, "now"+"()") {
				t.Errorf("%s:%d: %s", file, i+1, strings.TrimSpace(line))
			}
		}
	}
}
