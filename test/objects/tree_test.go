//go:build e2e && linux

package objects

import (
	"path/filepath"
	"testing"

	"hufu/internal/blob"
	"hufu/internal/blob/blobtest"
	"hufu/internal/blob/object"
	"hufu/internal/meta"
)

// TestContract holds the store to the promises of package blob: names in SQLite, bytes in a real
// S3 service. test/databases does so with other databases.
func TestContract(t *testing.T) {
	t.Parallel()
	o := object.Options{Installation: "test", Unit: 4 << 20, Inline: -1}
	blobtest.Run(t, func(t *testing.T) blobtest.Store {
		n := names(t)
		bucket := open(t, source(t))
		tree := func() blob.Tree {
			tree, err := object.NewTrees(n, bucket, o).User(t.Context(), "alice")
			must(t, err)
			return tree
		}
		return blobtest.Store{Tree: tree(), Unit: o.Unit, Records: true, Modes: true, Times: true, Links: true, Names: true, Another: tree, Reopen: tree}
	})
}

// names opens the names of a database of SQLite.
func names(t *testing.T) *meta.Names {
	t.Helper()
	db, err := meta.Open(t.Context(), meta.File(filepath.Join(t.TempDir(), "hufu.db")))
	must(t, err)
	t.Cleanup(func() { _ = db.Close() })
	n, err := db.Names()
	must(t, err)
	t.Cleanup(func() { _ = n.Close() })
	return n
}
