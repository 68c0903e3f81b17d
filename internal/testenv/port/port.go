// Package port keeps a TCP port for a test whose server ends and starts again.
// A port that is merely released can be taken by another program, or by an
// outgoing connection, before the server has come back.
package port

import "testing"

// Keep returns an address on 127.0.0.1 whose port belongs to the test until it
// ends. Any number of servers may listen there, one after the other; while none
// does, connections are refused.
func Keep(t testing.TB) string {
	t.Helper()
	address, release, err := Hold()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	return address
}
