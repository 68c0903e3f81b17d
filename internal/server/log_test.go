package server

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

// TestLog: lines of transfers are kept, but not from what comes after them, nor
// without end.
func TestLog(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	l := NewLog(&b)
	about := l.about(slog.String("user", "alice"))
	lines := func() int { return strings.Count(b.String(), "\n") }
	about.Info("connected")
	if lines() != 1 {
		t.Fatal("a line was kept")
	}
	about.transfer(t.Context(), slog.String("path", ":/a"))
	about.transfer(t.Context(), slog.String("path", ":/b"))
	if lines() != 1 {
		t.Error("lines of transfers are written one by one")
	}
	l.Warn("refused")
	if got := strings.Split(b.String(), "\n"); len(got) != 5 || !strings.HasSuffix(got[1], "msg=transfer user=alice path=:/a") ||
		!strings.HasSuffix(got[2], "path=:/b") || !strings.HasSuffix(got[3], "msg=refused") {
		t.Errorf("not in the order of what happened:\n%s", b.String())
	}
	about.transfer(t.Context())
	l.flush()
	l.flush()
	if lines() != 5 {
		t.Error("kept over flush")
	}
	b.Reset()
	n := 0
	for ; b.Len() == 0; n++ {
		about.transfer(t.Context())
		if n > mostKept {
			t.Fatal("kept without end")
		}
	}
	if b.Len() > 2*mostKept || lines() != n {
		t.Errorf("%d lines, %d were written: %d bytes", n, lines(), b.Len())
	}
}
