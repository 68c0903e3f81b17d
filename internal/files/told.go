package files

import (
	"context"
	"log/slog"
	"time"

	"hufu"
	"hufu/internal/blob"
)

// transfer is what a line of the log tells of one change, or of one get.
type transfer struct {
	op   string
	path hufu.Path
	size int64
}

// tell counts and logs a change of a batch that was carried out. Modes and times that
// were set, and folders that were there already, are not told.
func (v *View) tell(ctx context.Context, c transfer, r blob.Result) {
	if r.Err != nil || c.op == "setmeta" || c.op == "mkdir" && !r.Created {
		return
	}
	if c.op == "put" {
		v.s.puts.Add(1)
	}
	v.line(ctx, c)
}

// Sent counts and logs that the file at p, of that many bytes, is sent to the user.
func (v *View) Sent(ctx context.Context, p hufu.Path, size int64) {
	v.s.gets.Add(1)
	v.line(ctx, transfer{"get", p, size})
}

// line logs c. It goes to the handler itself because slog.Logger would look up the caller,
// which takes longer than the line.
func (v *View) line(ctx context.Context, c transfer, more ...slog.Attr) {
	r := slog.NewRecord(time.Now(), slog.LevelInfo, "transfer", 0)
	r.AddAttrs(slog.String("op", c.op), slog.String("path", c.path.Virtual()), slog.Int64("size", c.size))
	r.AddAttrs(more...)
	_ = v.told.Handle(ctx, r)
}

// Transfers returns how many files were put and got since the service was made.
func (s *Service) Transfers() (puts, gets int64) { return s.puts.Load(), s.gets.Load() }
