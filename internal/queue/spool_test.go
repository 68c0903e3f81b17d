package queue_test

import (
	"io"
	"os"
	"testing"
	"time"

	"hufu"
	"hufu/internal/profile"
	"hufu/internal/queue"
)

// TestSpoolDoneWaitsForAFile: a file that is still being taken over when all are
// said to be is whole in the transfer.
func TestSpoolDoneWaitsForAFile(t *testing.T) {
	t.Parallel()
	q := openQueue(t, profile.Dirs{Config: t.TempDir(), State: t.TempDir()})
	id, err := q.Spool(t.Context(), queue.Spec{Profile: "p", To: "/"}, 1, 6)
	if err != nil {
		t.Fatal(err)
	}
	name, err := hufu.ParsePath("file")
	if err != nil {
		t.Fatal(err)
	}
	r, w := io.Pipe()
	taken, done := make(chan error, 1), make(chan error, 1)
	go func() { taken <- q.SpoolFile(id, name, 6, time.Time{}, r) }()
	if _, err := io.WriteString(w, "abc"); err != nil { // returns when it has been read
		t.Fatal(err)
	}
	go func() { done <- q.SpoolDone(id) }()
	if _, err := io.WriteString(w, "def"); err != nil {
		t.Fatal(err)
	}
	if err := <-taken; err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	all, _ := q.Jobs()
	if b, err := os.ReadFile(all[0].Sources[0]); string(b) != "abcdef" {
		t.Errorf("the transfer has %q, %v", b, err)
	}
}
