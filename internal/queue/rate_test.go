package queue

import (
	"math"
	"testing"
	"time"
)

// TestSpeedIsMeasuredOverATime: the bytes that fill the first buffers are not
// taken for the speed of the link.
func TestSpeedIsMeasuredOverATime(t *testing.T) {
	t.Parallel()
	begin := time.Unix(1_800_000_000, 0)
	j := &job{spool: &spool{}}
	q := &Queue{}
	q.sample(j, begin)
	j.spool.got.Store(1_000_000)
	q.sample(j, begin.Add(10*time.Millisecond))
	if j.Rate != 0 {
		t.Errorf("after 10 ms the speed is %.0f", j.Rate)
	}
	q.sample(j, begin.Add(sampleEvery))
	if j.Rate != 2_000_000 {
		t.Errorf("1 MB in half a second are %.0f", j.Rate)
	}
	for i := range 20 { // nothing moves any more
		q.sample(j, begin.Add(time.Duration(i+2)*sampleEvery))
	}
	if j.Rate < 0 || math.IsNaN(j.Rate) || j.Rate > 10_000 {
		t.Errorf("at rest the speed is %f", j.Rate)
	}
}
