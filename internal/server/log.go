package server

import (
	"bytes"
	"io"
	"log/slog"
	"sync"

	"hufu"
)

// Log is the server's log, a line for each event. A line is written at once; only lines of single
// transfers may be kept until flush: there are tens of thousands in a second, and a system call
// costs as much as the line.
type Log struct {
	*slog.Logger
	transfers slog.Handler
	out       *output
}

// NewLog makes the log of a server that is written to w.
func NewLog(w io.Writer) *Log {
	out := &output{w: w}
	return &Log{slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{ReplaceAttr: hufu.PrintableAttr})), slog.NewTextHandler(keeping{out}, nil), out}
}

// about returns a log that adds attrs to each line.
func (l *Log) about(attrs ...slog.Attr) *Log {
	return &Log{slog.New(l.Handler().WithAttrs(attrs)), l.transfers.WithAttrs(attrs), l.out}
}

// flush writes the lines that were kept.
func (l *Log) flush() { _, _ = l.out.Write(nil) }

// output writes lines in the order in which they came, each of them printable.
type output struct {
	mu   sync.Mutex
	w    io.Writer
	kept []byte
}

// printable returns line with everything escaped that hufu.Printable escapes. It is
// the last to see a line, so no handler and no caller can forget it.
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

// mostKept is the limit for kept lines, in bytes.
const mostKept = 32 << 10

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

// keeping is a way into the output where lines may be kept.
type keeping struct{ *output }

func (o keeping) Write(line []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := len(line)
	line = printable(line)
	if len(o.kept)+len(line) > mostKept {
		return n, o.write(line)
	}
	o.kept = append(o.kept, line...)
	return n, nil
}
