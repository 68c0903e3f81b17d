package server

import (
	"runtime"
	"testing"
	"testing/synctest"
	"time"
	"weak"
)

func TestTimeInWhichTheProcessIsFrozenDoesNotCount(t *testing.T) {
	now := time.Unix(1000, 0)
	p := newPatience(10*time.Second, now)
	for range patienceTicks - 1 {
		now = now.Add(time.Second)
		if p.over(now) {
			t.Fatal("over before ten seconds")
		}
	}
	now = now.Add(time.Minute) // frozen
	if p.over(now) {
		t.Fatal("over at the moment of waking")
	}
	if now = now.Add(time.Second); !p.over(now) {
		t.Fatal("not over after ten seconds of running")
	}
}

func TestAfterRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var at time.Duration
		wrong := func() { t.Error("called although nothing was waited for") }
		afterRunning(10*time.Second, func() bool { return true }, func() { at = time.Since(start) })
		afterRunning(10*time.Second, func() bool { return time.Since(start) < 9*time.Second }, wrong)
		stop := afterRunning(10*time.Second, func() bool { return true }, wrong)
		time.Sleep(9 * time.Second)
		stop()
		time.Sleep(time.Hour)
		synctest.Wait()
		if at != 10*time.Second {
			t.Errorf("called after %v", at)
		}
	})
}

// TestAfterRunningHoldsNothing: a connection that has ended must not stay in memory until the
// next tick.
func TestAfterRunningHoldsNothing(t *testing.T) {
	type connection struct{ buffer [64 << 10]byte }
	begin := func() weak.Pointer[connection] {
		c := new(connection)
		stop := afterRunning(time.Hour, func() bool { return c != nil }, func() { c.buffer[0] = 1 })
		stop()
		return weak.Make(c)
	}
	held := begin()
	for range 20 { // the runtime sweeps stopped timers when it next looks at them
		time.Sleep(time.Millisecond)
		runtime.GC()
		if held.Value() == nil {
			return
		}
	}
	t.Error("a stopped wait holds what its functions refer to")
}
