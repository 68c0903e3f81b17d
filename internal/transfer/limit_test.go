package transfer

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"hufu"
)

// flushed is a lane that only counts how often it is flushed.
type flushed struct {
	Lane
	n int
}

func (l *flushed) Flush() error { l.n++; return nil }

// TestLimit: bytes cross at the rate of the moment, and without a bound at once.
func TestLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var now atomic.Int64
		now.Store(hufu.ChunkSize)
		l, lane := NewLimit(func(time.Time) int64 { return now.Load() }), &flushed{}
		began := time.Now()
		took := func(want time.Duration) {
			t.Helper()
			if got := time.Since(began); (got - want).Abs() > time.Millisecond {
				t.Errorf("took %v, not %v", got, want)
			}
		}
		for range 5 {
			l.Wait(t.Context(), lane, hufu.ChunkSize)
		}
		took(4 * time.Second)
		now.Store(0)
		l.Wait(t.Context(), lane, hufu.ChunkSize)
		took(4 * time.Second)
		now.Store(hufu.ChunkSize / 10)
		l.Wait(t.Context(), lane, hufu.ChunkSize/2)
		took(9 * time.Second)
		if lane.n != 5 {
			t.Errorf("flushed %d times", lane.n)
		}
		// A waiter notices a new rate soon.
		now.Store(10)
		time.AfterFunc(3*time.Second, func() { now.Store(hufu.ChunkSize) })
		began = time.Now()
		l.Wait(t.Context(), lane, hufu.ChunkSize)
		if got := time.Since(began); got > 6*time.Second {
			t.Errorf("with a higher rate after 3 s it takes %v", got)
		}
	})
}

// TestEverythingIsLimited: each small file and each chunk waits for its turn, in both directions.
func TestEverythingIsLimited(t *testing.T) {
	t.Parallel()
	w, src, dst := newWorld(), newNear(t), newNear(t)
	want := int64(0)
	for name, data := range contents() {
		if name != "empty" && name != "zeros" { // holes have no bytes
			src.write(name, data)
			want += int64((len(data) + hufu.ChunkSize - 1) / hufu.ChunkSize)
		}
	}
	var asked atomic.Int64
	o := Options{Limit: NewLimit(func(time.Time) int64 { asked.Add(1); return 1 << 50 })}
	if r, err := put(t.Context(), w, o, src.all()); err != nil || r.codes() != "" || asked.Load() < want {
		t.Errorf("put: %v %s, asked %d times for %d", err, r.codes(), asked.Load(), want)
	}
	asked.Store(0)
	if r, err := get(t.Context(), w, o, dst.all()); err != nil || r.codes() != "" || asked.Load() < want {
		t.Errorf("get: %v %s, asked %d times for %d", err, r.codes(), asked.Load(), want)
	}
}
