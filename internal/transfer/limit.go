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

// wait returns when n bytes, at most a chunk, may cross, or ctx ends. Before it waits, it has lane
// send what it holds.
func (l *Limit) wait(ctx context.Context, lane Lane, n int) {
	if l == nil || n == 0 {
		return
	}
	now := time.Now()
	bytes := l.at(now)
	if bytes == 0 {
		return
	}
	l.bucket.SetLimitAt(now, rate.Limit(bytes))
	if !l.bucket.AllowN(now, n) {
		_ = lane.Flush()           // the next request on the lane says what is wrong with it
		_ = l.bucket.WaitN(ctx, n) // and if ctx has ended, the lane is closed
	}
}
