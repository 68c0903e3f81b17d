package transfer

import (
	"context"
	"time"

	"golang.org/x/time/rate"

	"hufu"
)

// Limit bounds how many bytes of files cross the network in a second, over all lanes together. After
// a pause a chunk may cross at once.
type Limit struct {
	at     func(time.Time) int64
	bucket *rate.Limiter
}

// NewLimit returns a Limit that is at(now) bytes in a second, or none where that is 0.
func NewLimit(at func(now time.Time) int64) *Limit {
	return &Limit{at, rate.NewLimiter(0, hufu.ChunkSize)}
}

// Wait returns when n bytes, at most a chunk, may cross, or ctx ends. Before it waits, it has lane
// send what it holds. A nil Limit does not wait.
func (l *Limit) Wait(ctx context.Context, lane Lane, n int) {
	if l == nil {
		return
	}
	for waits := false; n > 0 && ctx.Err() == nil; waits = true { // if ctx has ended, the lane is closed
		now := time.Now()
		bytes := l.at(now)
		if bytes == 0 {
			return
		}
		l.bucket.SetLimitAt(now, rate.Limit(bytes))
		if l.bucket.AllowN(now, n) {
			return
		}
		if !waits {
			_ = lane.Flush() // the next request on the lane says what is wrong with it
		}
		part := int(min(int64(n), max(bytes/20, 1))) // no more at once: dozens of lanes wait, and another rate is to be used soon
		_ = l.bucket.WaitN(ctx, part)
		n -= part
	}
}
