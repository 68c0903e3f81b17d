package queue_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"hufu"
	"hufu/internal/queue"
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

// TestFirst: a job that waits is put before the others that wait, and never before one that runs.
func TestFirst(t *testing.T) {
	t.Parallel()
	q := openQueue(t, queueDirs(t))
	defer q.close(t)
	var ids []string
	for range 4 {
		id, err := q.Add(queue.Spec{Put: true, Profile: "default", Sources: []string{"/x"}, To: ":/"})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	<-q.asked // the first
	if err := errors.Join(q.First(ids[3]), q.First(ids[2]), q.First(ids[0])); err != nil {
		t.Fatal(err)
	}
	if err := q.First("none"); hufu.CodeOf(err) != "no_such_job" {
		t.Errorf("an unknown job: %v", err)
	}
	for i, want := range []string{ids[0], ids[2], ids[3], ids[1]} {
		if i > 0 {
			<-q.asked
		}
		jobs, _ := q.Jobs()
		for _, j := range jobs {
			if j.State == queue.Running && j.ID != want {
				t.Errorf("as number %d another job runs", i+1)
			}
		}
		q.release <- errGone
		q.until(want, func(j queue.Job) bool { return j.State == queue.Failed })
	}
}
