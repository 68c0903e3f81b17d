package disk_test

import (
	"testing"

	"hufu/internal/blob/disk"
	"hufu/internal/testenv/rerun"
)

// TestContractAsNobody: no promise needs the rights of root.
func TestContractAsNobody(t *testing.T) {
	t.Parallel()
	if _, ok := rerun.AsNobody(t); ok {
		contract(t, true, map[string]func(*disk.Store){"server": func(*disk.Store) {}, "person": func(*disk.Store) {}})
	}
}

// TestContractWithoutAttributes: on file systems without extended attributes a server's file has
// no record and the mode 0600, and all other promises hold. A person's tree has no attributes
// anywhere.
func TestContractWithoutAttributes(t *testing.T) {
	t.Parallel()
	if rerun.WithoutAttributes(t) {
		contract(t, false, map[string]func(*disk.Store){"server": func(*disk.Store) {}})
	}
}
