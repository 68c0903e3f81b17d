package server

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"hufu/internal/frame"
)

// TestNodesThatClientsAreTold: only addresses that are some, and no more than an answer holds.
func TestNodesThatClientsAreTold(t *testing.T) {
	t.Parallel()
	good := []string{"[2001:db8::1]:9999", "a.example.org:1", strings.Repeat("h", frame.MaxAddress-5) + ":9999"}
	bad := []string{"", ":9999", "0.0.0.0:9999", "[::]:9999", "example.org", "\xff:1", strings.Repeat("h", frame.MaxAddress-4) + ":9999"}
	at := slices.Concat(bad, good)
	got := reachable(at)
	if slices.Sort(got); !slices.Equal(got, good) || at[1] != ":9999" {
		t.Errorf("%q", got)
	}
	for n := frame.MaxNodes; n <= frame.MaxNodes+1; n++ {
		at = nil
		for i := range n {
			at = append(at, fmt.Sprintf("10.0.0.%d:9999", i))
		}
		got = reachable(at)
		slices.Sort(got)
		if len(slices.Compact(got)) != frame.MaxNodes {
			t.Errorf("of %d: %q", n, got)
		}
	}
}
