package server

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
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
		afterRunning(t.Context(), 10*time.Second, func() bool { return true }, func() { at = time.Since(start) })
		afterRunning(t.Context(), 10*time.Second, func() bool { return time.Since(start) < 9*time.Second }, wrong)
		ctx, cancel := context.WithCancel(t.Context())
		afterRunning(ctx, 10*time.Second, func() bool { return true }, wrong)
		time.Sleep(9 * time.Second)
		cancel()
		time.Sleep(time.Hour)
		synctest.Wait()
		if at != 10*time.Second {
			t.Errorf("called after %v", at)
		}
	})
}
