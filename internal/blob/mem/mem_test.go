package mem_test

import (
	"testing"

	"hufu"
	"hufu/internal/blob/blobtest"
	"hufu/internal/blob/mem"
)

// TestContract holds the store to the promises of package blob, with units of a
// chunk and with larger ones.
func TestContract(t *testing.T) {
	t.Parallel()
	for name, unit := range map[string]int64{"chunks": hufu.ChunkSize, "units": 8 << 20} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			blobtest.Run(t, func(t *testing.T) blobtest.Store {
				tree := mem.New(mem.Options{Unit: unit})
				t.Cleanup(func() { tree.Close() })
				return blobtest.Store{Tree: tree, Unit: unit, Records: true, Modes: true, Times: true, Links: true, Names: true}
			})
		})
	}
}
