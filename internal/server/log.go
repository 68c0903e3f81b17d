package server

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"

	"hufu"
)

// Log is the server's log, a line for each event. A line is written at once; only the lines of gets
// and changes may be kept until flush: there are tens of thousands in a second, and a system
// call costs as much as the line.
type Log struct {
	*slog.Logger
	transfers slog.Handler
	out       *output
	bounds    *bounds
}

// NewLog makes the log of a server that is written to w.
func NewLog(w io.Writer) *Log {
	out := &output{w: w}
	return &Log{slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{ReplaceAttr: hufu.PrintableAttr})), newLines(keeping{out}), out, &bounds{of: map[string]*bound{}}}
}

// about returns a log that adds attrs to each line.
func (l *Log) about(attrs ...slog.Attr) *Log {
	return &Log{slog.New(l.Handler().WithAttrs(attrs)), l.transfers.WithAttrs(attrs), l.out, l.bounds}
}

// flush writes the lines that were kept.
func (l *Log) flush() { _, _ = l.out.Write(nil) }

// output writes lines in the order in which they came, each of them printable.
type output struct {
	mu   sync.Mutex
	w    io.Writer
	kept []byte
}

// printable returns line with everything escaped that hufu.Printable escapes. Every line passes
// it except those of lines.Handle, which are plain ASCII. So no handler and no caller can forget
// it.
func printable(line []byte) []byte {
	text, ended := bytes.CutSuffix(line, []byte("\n"))
	if !bytes.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
		return line // what nearly every line is
	}
	text = []byte(hufu.Printable(string(text)))
	if ended {
		text = append(text, '\n')
	}
	return text
}

// maxKept is the limit for kept lines, in bytes.
const maxKept = 32 << 10

func (o *output) Write(line []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.kept)+len(line) == 0 {
		return 0, nil
	}
	return len(line), o.write(printable(line))
}

// write writes the kept lines and line; the caller holds mu.
func (o *output) write(line []byte) error {
	all := append(o.kept, line...)
	o.kept = all[:0]
	_, err := o.w.Write(all)
	return err
}

// keeping writes to the output, which may keep the lines until flush.
type keeping struct{ *output }

func (o keeping) Write(line []byte) (int, error) {
	return len(line), o.keep(printable(line))
}

// keep keeps a line. The caller has made it printable.
func (o keeping) keep(line []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.kept)+len(line) > maxKept {
		return o.write(line)
	}
	o.kept = append(o.kept, line...)
	return nil
}

// lines is a slog.Handler that writes what slow would write. It formats a line in which nothing
// needs quotes itself, in a quarter of the time, and passes the others to slow.
type lines struct {
	out   keeping
	attrs []byte // from WithAttrs, ready to append
	plain bool   // every attribute so far is plain, so attrs is complete
	slow  slog.Handler
}

func newLines(out keeping) *lines {
	return &lines{out: out, plain: true, slow: slog.NewTextHandler(out, &slog.HandlerOptions{ReplaceAttr: hufu.PrintableAttr})}
}

func (l *lines) Enabled(ctx context.Context, level slog.Level) bool {
	return l.slow.Enabled(ctx, level)
}

func (l *lines) WithGroup(name string) slog.Handler { return l.slow.WithGroup(name) }

func (l *lines) WithAttrs(attrs []slog.Attr) slog.Handler {
	more := &lines{out: l.out, attrs: slices.Clip(l.attrs), plain: l.plain, slow: l.slow.WithAttrs(attrs)}
	for _, a := range attrs {
		more.plain = more.plain && isPlain(a)
		more.attrs = appendAttr(more.attrs, a)
	}
	return more
}

func (l *lines) Handle(ctx context.Context, r slog.Record) error {
	plain := l.plain && isPlainText(r.Message) && r.PC == 0 && !r.Time.IsZero()
	r.Attrs(func(a slog.Attr) bool { plain = plain && isPlain(a); return plain })
	if !plain {
		return l.slow.Handle(ctx, r)
	}
	var room [512]byte
	b := append(room[:0], "time="...)
	// RFC3339Nano drops zeros at the end. A tenth of a millisecond is added so that there are
	// four digits; the fourth is cut out.
	b = r.Time.Truncate(time.Millisecond).Add(time.Millisecond/10).AppendFormat(b, time.RFC3339Nano)
	const digits = len("time=2006-01-02T15:04:05.000")
	b = append(b[:digits], b[digits+1:]...)
	b = append(append(b, " level="...), r.Level.String()...)
	b = append(append(b, " msg="...), r.Message...)
	b = append(b, l.attrs...)
	r.Attrs(func(a slog.Attr) bool { b = appendAttr(b, a); return true })
	return l.out.keep(append(b, '\n'))
}

// isPlain reports whether appendAttr writes a as a text handler does.
func isPlain(a slog.Attr) bool {
	switch a.Value.Kind() {
	case slog.KindInt64:
		return isPlainText(a.Key)
	case slog.KindString:
		return isPlainText(a.Key) && isPlainText(a.Value.String())
	}
	return false
}

// isPlainText reports whether s needs no quotes.
func isPlainText(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || c == '=' || c == '"' {
			return false
		}
	}
	return s != ""
}

// appendAttr appends a plain attribute.
func appendAttr(b []byte, a slog.Attr) []byte {
	b = append(append(append(b, ' '), a.Key...), '=')
	if a.Value.Kind() == slog.KindInt64 {
		return strconv.AppendInt(b, a.Value.Int64(), 10)
	}
	return append(b, a.Value.String()...)
}
