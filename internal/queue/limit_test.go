package queue_test

import (
	"os"
	"path/filepath"
	"testing"

	"hufu"
)

// TestLimit: the limit of the speed is there again after a restart; what is no limit is refused,
// and as good as none in the file.
func TestLimit(t *testing.T) {
	t.Parallel()
	dirs := queueDirs(t)
	q := openQueue(t, dirs)
	if got := q.Limit(); got != 0 {
		t.Errorf("at first: %d", got)
	}
	if err := q.SetLimit(1 << 20); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int64{-1, 1, 16<<10 - 1} {
		if err := q.SetLimit(n); hufu.CodeOf(err) != "limit_low" {
			t.Errorf("%d: %v", n, err)
		}
	}
	q.close(t)
	if err := q.SetLimit(0); hufu.KindOf(err) != hufu.KindCanceled {
		t.Errorf("closed: %v", err)
	}
	q = openQueue(t, dirs)
	if got := q.Limit(); got != 1<<20 {
		t.Errorf("opened again: %d", got)
	}
	q.close(t)
	for _, text := range []string{"", "much", "-5", "12"} {
		if err := os.WriteFile(filepath.Join(dirs.State, "speed-limit"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		q = openQueue(t, dirs)
		if got := q.Limit(); got != 0 {
			t.Errorf("%q: %d", text, got)
		}
		q.close(t)
	}
}

// TestLanes: the same of the number of lanes.
func TestLanes(t *testing.T) {
	t.Parallel()
	dirs := queueDirs(t)
	q := openQueue(t, dirs)
	if err := q.SetLanes(64); err != nil || q.Lanes() != 64 {
		t.Fatal(q.Lanes(), err)
	}
	for _, n := range []int{-1, 65, 1 << 40} {
		if err := q.SetLanes(n); hufu.CodeOf(err) != "lanes_range" || q.Lanes() != 64 {
			t.Errorf("%d: %v", n, err)
		}
	}
	q.close(t)
	q = openQueue(t, dirs)
	if got := q.Lanes(); got != 64 {
		t.Errorf("opened again: %d", got)
	}
	q.close(t)
	if err := os.WriteFile(filepath.Join(dirs.State, "lanes"), []byte("65"), 0o600); err != nil {
		t.Fatal(err)
	}
	q = openQueue(t, dirs)
	if got := q.Lanes(); got != 0 {
		t.Errorf("of a damaged file: %d", got)
	}
	q.close(t)
}
