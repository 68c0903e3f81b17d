package meta_test

import (
	"path/filepath"
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
