package server

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestLinesOfOnePeerAreBounded: one that is refused again and again does not fill the log, hides
// nobody else's lines, and the log says how many are missing.
func TestLinesOfOnePeerAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		l := NewLog(&b)
		lines := func(msg string) int { return strings.Count(b.String(), "msg="+msg) }
		for range 10_000 {
			l.about(slog.String("user", "eve")).bounded("eve", slog.LevelInfo, "failed", "why", "not_found")
		}
		l.bounded("alice", slog.LevelWarn, "refused")
		if n := lines("failed"); n != boundBurst || lines("refused") != 1 {
			t.Errorf("%d lines of eve, %d of alice", n, lines("refused"))
		}
		time.Sleep(10 * time.Second)
		for range 1000 {
			l.bounded("eve", slog.LevelInfo, "again")
		}
		if n := lines("again"); n != 10*boundRate || !strings.Contains(b.String(), fmt.Sprintf("msg=again left_out=%d\n", 10_000-boundBurst)) {
			t.Errorf("%d lines after ten seconds:\n%s", n, b.String()[max(0, b.Len()-500):])
		}
	})
}

// TestBoundsOfMany: who is remembered takes a bounded room, and one who floods is not forgotten for
// those who do not.
func TestBoundsOfMany(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &bounds{of: map[string]*bound{}}
		for range 2 * boundBurst {
			b.pass("eve")
		}
		for i := range maxBounds - 1 {
			b.pass(fmt.Sprint("once ", i))
		}
		time.Sleep(2 * time.Second)
		for i := range maxBounds / 2 {
			b.pass(fmt.Sprint("more ", i))
		}
		if len(b.of) > maxBounds || b.of["eve"] == nil || b.of["eve"].left != boundBurst {
			t.Errorf("%d are remembered; eve: %v", len(b.of), b.of["eve"])
		}
		for i := range 3 * maxBounds {
			b.pass(fmt.Sprint("at once ", i))
		}
		if len(b.of) > maxBounds {
			t.Errorf("%d are remembered", len(b.of))
		}
	})
}
