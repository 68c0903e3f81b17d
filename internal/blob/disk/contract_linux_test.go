package disk_test

import (
	"testing"

	"hufu/internal/blob/disk"
	"hufu/internal/testenv/rerun"
)

// usual is the store of a server and of a person as it is made on this system.
func usual() map[string]func(*disk.Store) {
	return map[string]func(*disk.Store){"server": func(*disk.Store) {}, "person": func(*disk.Store) {}}
}

// TestContractAsNobody: no promise needs the rights of root.
func TestContractAsNobody(t *testing.T) {
	t.Parallel()
	if _, ok := rerun.AsNobody(t); ok {
		contract(t, true, usual())
	}
}

// TestContractWithoutAttributes: on file systems without extended attributes a file
// has no record and the mode 0600, and all other promises hold.
func TestContractWithoutAttributes(t *testing.T) {
	t.Parallel()
	if rerun.WithoutAttributes(t) {
		contract(t, false, usual())
	}
}
