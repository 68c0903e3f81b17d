package meta_test

import (
	"os"
	"path/filepath"
	"testing"

	"hufu/internal/meta/metatest"
)

func TestMain(m *testing.M) { os.Exit(metatest.Main(m)) }

func TestMeaning(t *testing.T) {
	t.Parallel()
	metatest.Run(t, func(t *testing.T) string {
		t.Helper()
		return "sqlite:" + filepath.Join(t.TempDir(), "hufu.db")
	})
}
