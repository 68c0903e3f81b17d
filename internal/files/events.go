package files

import (
	"context"
	"log/slog"
	"time"

	"hufu"
	"hufu/internal/blob"
)

// event is one change, or one get, as a line of the log tells it.
type event struct {
	op   string
	path hufu.Path
	to   hufu.Path // of a rename
	size int64
}

// logChange counts and logs a change of a batch that was carried out. Modes and times that
// were set, and folders that were there already, are not logged.
func (v *View) logChange(ctx context.Context, c event, r blob.Result) {
	if r.Err != nil || c.op == "setmeta" || c.op == "mkdir" && !r.Created {
		return
	}
	if c.op == "put" || c.op == "copy" {
		v.s.puts.Add(1)
	}
	if c.op == "rename" {
		v.logLine(ctx, c, slog.String("to", c.to.Virtual()))
		return
	}
	v.logLine(ctx, c)
}

// LogGet counts and logs that the file at p, of that many bytes, is sent to the user.
func (v *View) LogGet(ctx context.Context, p hufu.Path, size int64) {
	v.s.gets.Add(1)
	v.logLine(ctx, event{op: "get", path: p, size: size})
}

// logLine logs c. It goes to the handler itself because slog.Logger would look up the caller,
// which takes longer than the line.
func (v *View) logLine(ctx context.Context, c event, more ...slog.Attr) {
	r := slog.NewRecord(time.Now(), slog.LevelInfo, "transfer", 0)
	r.AddAttrs(slog.String("op", c.op), slog.String("path", c.path.Virtual()), slog.Int64("size", c.size))
	r.AddAttrs(more...)
	_ = v.log.Handle(ctx, r)
}

// Transfers returns how many files were put and got since the service was made.
func (s *Service) Transfers() (puts, gets int64) { return s.puts.Load(), s.gets.Load() }
