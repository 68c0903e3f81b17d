package server

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

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
		if n > maxKept {
			t.Fatal("kept without end")
		}
	}
	if b.Len() > 2*maxKept || lines() != n {
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
			if path := " path=" + hufu.Printable(odd) + " "; !strings.Contains(line, path) {
				t.Errorf("a search for %q misses %q", path, line)
			}
		}
	}
}

// TestLinesAreThoseOfSlog: a line of a transfer is the one that slog's handler writes,
// whatever is in it.
func TestLinesAreThoseOfSlog(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.StringMatching(`[!-~]{0,9}`), rapid.String(), rapid.SampledFrom([]string{"", " ", "=", `"`, `\`, "日本", "/a\x7f", "/a\xff", "/a\n"}))
		attr := func(name string) slog.Attr {
			key := rapid.OneOf(rapid.Just("path"), text).Draw(t, name)
			switch rapid.IntRange(0, 3).Draw(t, "kind") {
			case 0:
				return slog.Int64(key, rapid.Int64().Draw(t, "number"))
			case 1:
				return slog.Any(key, errors.New(text.Draw(t, "error")))
			}
			return slog.String(key, text.Draw(t, "text"))
		}
		about := []slog.Attr{attr("first"), slog.String("user", "alice")}[rapid.IntRange(0, 1).Draw(t, "plain"):]
		at := time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "seconds"), rapid.Int64Range(0, 1e9-1).Draw(t, "nanoseconds"))
		if rapid.Bool().Draw(t, "UTC") {
			at = at.UTC()
		}
		r := slog.NewRecord(at, rapid.SampledFrom([]slog.Level{slog.LevelInfo, slog.LevelWarn, 3}).Draw(t, "level"), text.Draw(t, "message"), 0)
		for range rapid.IntRange(0, 6).Draw(t, "attributes") {
			r.AddAttrs(attr("key"))
		}
		var got, want bytes.Buffer
		l, slow := NewLog(&got), &output{w: &want}
		for _, h := range []slog.Handler{l.transfers, slog.NewTextHandler(keeping{slow}, &slog.HandlerOptions{ReplaceAttr: hufu.PrintableAttr})} {
			if err := h.WithAttrs(about).Handle(t.Context(), r); err != nil {
				t.Fatal(err)
			}
		}
		l.flush()
		_, _ = slow.Write(nil)
		if got.String() != want.String() {
			t.Fatalf("%q, and slog writes %q", &got, &want)
		}
	})
}

func BenchmarkLine(b *testing.B) {
	about := NewLog(io.Discard).about(slog.String("remote", "127.0.0.1:40000"), slog.String("user", "alice"), slog.String("device", "laptop"))
	for name, h := range map[string]slog.Handler{"lines": about.transfers, "slog": about.transfers.(*lines).slow} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r := slog.NewRecord(time.Now(), slog.LevelInfo, "transfer", 0)
				r.AddAttrs(slog.String("op", "put"), slog.String("path", "/photos/2024/IMG_0001.jpg"), slog.Int64("size", 4096))
				_ = h.Handle(b.Context(), r)
			}
		})
	}
}
