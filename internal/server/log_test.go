package server

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"hufu"
)

// TestLog: lines of transfers are kept, but not from what comes after them, nor
// without end.
func TestLog(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	l := NewLog(&b)
	about := l.about(slog.String("user", "alice"))
	transfer := func(attrs ...slog.Attr) {
		r := slog.NewRecord(time.Now(), slog.LevelInfo, "transfer", 0)
		r.AddAttrs(attrs...)
		if err := about.transfers.Handle(t.Context(), r); err != nil {
			t.Error(err)
		}
	}
	lines := func() int { return strings.Count(b.String(), "\n") }
	about.Info("connected")
	if lines() != 1 {
		t.Fatal("a line was kept")
	}
	transfer(slog.String("path", ":/a"))
	transfer(slog.String("path", ":/b"))
	if lines() != 1 {
		t.Error("lines of transfers are written one by one")
	}
	l.Warn("refused")
	if got := strings.Split(b.String(), "\n"); len(got) != 5 || !strings.HasSuffix(got[1], "msg=transfer user=alice path=:/a") ||
		!strings.HasSuffix(got[2], "path=:/b") || !strings.HasSuffix(got[3], "msg=refused") {
		t.Errorf("not in the order of what happened:\n%s", b.String())
	}
	transfer()
	l.flush()
	l.flush()
	if lines() != 5 {
		t.Error("kept over flush")
	}
	b.Reset()
	n := 0
	for ; b.Len() == 0; n++ {
		transfer()
		if n > mostKept {
			t.Fatal("kept without end")
		}
	}
	if b.Len() > 2*mostKept || lines() != n {
		t.Errorf("%d lines, %d were written: %d bytes", n, lines(), b.Len())
	}
}

// TestLogIsPrintable: nothing that is logged can move a cursor or hide text.
func TestLogIsPrintable(t *testing.T) {
	t.Parallel()
	for _, odd := range []string{"\x7f", "\x1b[2J", "a\u0080b", "\u202e", "\u2066", "line\nline", "\xff"} {
		var b bytes.Buffer
		l := NewLog(&b)
		about := l.about(slog.String("user", odd))
		about.Info("x"+odd, "path", odd, "err", errors.New(odd))
		r := slog.NewRecord(time.Now(), slog.LevelInfo, "transfer"+odd, 0)
		r.AddAttrs(slog.String("path", odd), slog.Any("err", errors.New(odd)), slog.Any("names", []string{odd}))
		if err := about.transfers.Handle(t.Context(), r); err != nil {
			t.Error(err)
		}
		l.flush()
		lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
		if len(lines) != 2 {
			t.Errorf("%q is logged in %d lines", odd, len(lines))
		}
		for _, line := range lines {
			if hufu.Printable(line) != line {
				t.Errorf("%q is logged as %q", odd, line)
			}
		}
	}
}
