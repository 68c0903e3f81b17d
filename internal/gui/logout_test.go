package gui

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// TestConnectingWaitsForALogout: what connects while a logout is under way would be told of a login
// that ends at once.
func TestConnectingWaitsForALogout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &Server{leaving: make(chan struct{}, 1)}
		if err := s.afterLogout(t.Context()); err != nil {
			t.Errorf("no logout is under way: %v", err)
		}
		s.leaving <- struct{}{}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.afterLogout(ctx); err == nil {
			t.Error("it did not wait")
		}
		start := time.Now()
		time.AfterFunc(time.Minute, func() { <-s.leaving })
		if err := s.afterLogout(t.Context()); err != nil || time.Since(start) != time.Minute {
			t.Errorf("%v, after %v", err, time.Since(start))
		}
	})
}
