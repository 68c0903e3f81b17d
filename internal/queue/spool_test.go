package queue_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"hufu"
	"hufu/internal/client"
	"hufu/internal/profile"
	"hufu/internal/queue"
	"hufu/internal/testenv"
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

// spooled hands the queue a job with one file, and returns its id.
func spooled(t *testing.T, q *stuck) string {
	t.Helper()
	id, err := q.Spool(t.Context(), queue.Spec{Profile: "p", To: "/"}, 1, 6)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(q.SpoolFile(id, spoolName(t, "file"), 6, time.Time{}, strings.NewReader("abcdef")), q.SpoolDone(id)); err != nil {
		t.Fatal(err)
	}
	return id
}

func spoolName(t *testing.T, s string) hufu.Path {
	t.Helper()
	p, err := hufu.ParsePath(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestEmptySpool: a page none of whose files could be read begins no transfer, now or
// after a restart.
func TestEmptySpool(t *testing.T) {
	t.Parallel()
	q := openQueue(t, queueDirs(t))
	defer q.close(t)
	id, err := q.Spool(t.Context(), queue.Spec{Profile: "p", To: "/"}, 1, 6)
	if err != nil {
		t.Fatal(err)
	}
	if err := q.SpoolDone(id); hufu.CodeOf(err) != "spool_empty" {
		t.Errorf("done: %v", err)
	}
	if all, _ := q.Jobs(); len(all) != 1 || all[0].State != queue.Failed || all[0].Err == nil || all[0].Err.Code != "spool_empty" {
		t.Errorf("%+v", all)
	}
}

// TestJobWithoutSources: an earlier version put such jobs into the journal.
func TestJobWithoutSources(t *testing.T) {
	t.Parallel()
	alice := testenv.New(t, testenv.Options{}).Person("alice")
	for _, put := range []string{"true", "false"} {
		journal := `[{"id":"x","put":` + put + `,"profile":"default","sources":[],"to":"L3Rv","state":"waiting","created":"2026-01-01T00:00:00Z"}]`
		if err := os.WriteFile(filepath.Join(alice.Dirs.State, "transfers.json"), []byte(journal), 0o600); err != nil {
			t.Fatal(err)
		}
		opened, err := queue.Open(queue.Options{Dirs: alice.Dirs, Disk: testenv.Disk{}, Remote: func(string, bool, func(error)) (*client.Remote, func(), error) {
			return alice.Remote(client.Options{}), func() {}, nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		q := stuck{Queue: opened}
		if j := q.until("x", func(j queue.Job) bool { return j.State.Over() }); j.State != queue.Failed || j.Err == nil || j.Err.Code != "nothing_chosen" {
			t.Errorf("put %s: %s, %v", put, j.State, j.Err)
		}
		if err := q.Close(); err != nil {
			t.Error(err)
		}
	}
}

// goneAtEnd removes the file that is being written when it has been read.
type goneAtEnd struct {
	io.Reader

	name string
}

func (r goneAtEnd) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	if err != nil {
		_ = os.Remove(r.name)
	}
	return n, err
}

// TestSpoolCountsWhatItHas: a file that is refused because its time cannot be set is not
// counted and not kept.
func TestSpoolCountsWhatItHas(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("an open file cannot be removed, so setting its time does not fail")
	}
	dirs := queueDirs(t)
	q := openQueue(t, dirs)
	defer q.close(t)
	id, err := q.Spool(t.Context(), queue.Spec{Profile: "p", To: "/"}, 1, 6)
	if err != nil {
		t.Fatal(err)
	}
	from := goneAtEnd{io.LimitReader(strings.NewReader("abcdef"), 5), filepath.Join(dirs.State, "spool", id, "file")}
	if err := q.SpoolFile(id, spoolName(t, "file"), 6, time.Unix(1, 0), from); hufu.CodeOf(err) != "spool_cut" {
		t.Fatalf("the reader does not reach its end: %v", err)
	}
	from.Reader = iotest.DataErrReader(strings.NewReader("abcdef"))
	if err := q.SpoolFile(id, spoolName(t, "file"), 6, time.Unix(1, 0), from); err == nil {
		t.Fatal("a file that is gone is taken")
	}
	if all, _ := q.Jobs(); all[0].FilesDone != 0 || all[0].BytesDone != 0 {
		t.Errorf("%d files, %d bytes are counted", all[0].FilesDone, all[0].BytesDone)
	}
}

// TestBrokenQueueKeepsSpools: the files that a broken journal names are kept with it, now
// and when it happens again.
func TestBrokenQueueKeepsSpools(t *testing.T) {
	t.Parallel()
	dirs := queueDirs(t)
	for i, ending := range []string{".broken", ".broken2"} {
		q := openQueue(t, dirs)
		id := spooled(t, q)
		<-q.asked
		q.close(t)
		broken := []byte("{" + strconv.Itoa(i))
		if err := os.WriteFile(filepath.Join(dirs.State, "transfers.json"), broken, 0o600); err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second finds a journal that is whole again
			openQueue(t, dirs).close(t)
		}
		if kept, err := os.ReadFile(filepath.Join(dirs.State, "transfers.json"+ending)); string(kept) != string(broken) {
			t.Errorf("the journal: %q, %v", kept, err)
		}
		if kept, err := os.ReadFile(filepath.Join(dirs.State, "spool"+ending, id, "file")); string(kept) != "abcdef" {
			t.Errorf("the file: %q, %v", kept, err)
		}
	}
}

// TestSpoolRetriedWithoutItsFiles: the files of a canceled job are removed, so it cannot run again.
func TestSpoolRetriedWithoutItsFiles(t *testing.T) {
	t.Parallel()
	dirs := queueDirs(t)
	q := openQueue(t, dirs)
	id := spooled(t, q)
	<-q.asked
	if err := q.Cancel(id); err != nil {
		t.Fatal(err)
	}
	q.release <- errGone
	gone := func(j queue.Job) bool { return j.State == queue.Canceled && !j.Ended.IsZero() }
	for range 2 { // the second time after a restart
		if j := q.until(id, gone); j.Again || len(j.Sources) != 1 {
			t.Errorf("again %t, sources %q", j.Again, j.Sources)
		}
		if err := q.Resume(id); hufu.CodeOf(err) != "spool_gone" {
			t.Fatalf("resumed: %v", err)
		}
		q.close(t)
		q = openQueue(t, dirs)
	}
	q.close(t)
}

// TestSpoolTakesNoMoreThanAnnounced: files that come at the same time share the bytes that were
// announced.
func TestSpoolTakesNoMoreThanAnnounced(t *testing.T) {
	t.Parallel()
	q := openQueue(t, queueDirs(t))
	defer q.close(t)
	id, err := q.Spool(t.Context(), queue.Spec{Profile: "p", To: "/"}, 2, 6)
	if err != nil {
		t.Fatal(err)
	}
	r, w := io.Pipe()
	taken := make(chan error, 1)
	go func() { taken <- q.SpoolFile(id, spoolName(t, "one"), 6, time.Time{}, r) }()
	if _, err := io.WriteString(w, "a"); err != nil { // returns when it has been read
		t.Fatal(err)
	}
	two := func() error {
		return q.SpoolFile(id, spoolName(t, "two"), 5, time.Time{}, strings.NewReader("abcde"))
	}
	if err := two(); hufu.CodeOf(err) != "spool_more_than_announced" {
		t.Errorf("two files of 6 and 5 bytes of 6: %v", err)
	}
	_ = w.Close()
	if err := <-taken; hufu.CodeOf(err) != "spool_cut" {
		t.Error(err)
	}
	if err := two(); err != nil {
		t.Errorf("the bytes of a file that was cut are not free again: %v", err)
	}
}

// TestClosedQueueTakesNothing: after Close another process may hold the journal.
func TestClosedQueueTakesNothing(t *testing.T) {
	t.Parallel()
	dirs := queueDirs(t)
	q := openQueue(t, dirs)
	id, err := q.Spool(t.Context(), queue.Spec{Profile: "p", To: "/"}, 1, 6)
	if err != nil {
		t.Fatal(err)
	}
	q.close(t)
	journal := filepath.Join(dirs.State, "transfers.json")
	const other = "[ ]"
	if err := os.WriteFile(journal, []byte(other), 0o600); err != nil {
		t.Fatal(err)
	}
	_, spoolErr := q.Spool(t.Context(), queue.Spec{Profile: "p", To: "/"}, 1, 6)
	_, addErr := q.Add(queue.Spec{Profile: "p", Sources: []string{"/a"}, To: "/"})
	for name, err := range map[string]error{
		"add": addErr, "spool": spoolErr, "spool done": q.SpoolDone(id), "pause": q.Pause(id), "dismiss": q.Dismiss(""), "retry": q.RetryFailed(""),
		"spool file": q.SpoolFile(id, spoolName(t, "file"), 6, time.Time{}, strings.NewReader("abcdef")),
	} {
		if hufu.KindOf(err) != hufu.KindCanceled {
			t.Errorf("%s: %v", name, err)
		}
	}
	if kept, err := os.ReadFile(journal); string(kept) != other {
		t.Errorf("the journal of the other process: %q, %v", kept, err)
	}
	if left, err := os.ReadDir(filepath.Join(dirs.State, profile.Spools)); len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
