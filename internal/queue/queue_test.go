package queue_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hufu"
	"hufu/internal/client"
	"hufu/internal/profile"
	"hufu/internal/queue"
	"hufu/internal/testenv"
)

// stuck is a queue whose server answers when the test says so.
type stuck struct {
	*queue.Queue
	asked   chan struct{}
	release chan error
}

func openQueue(t *testing.T, dirs profile.Dirs) *stuck {
	t.Helper()
	return openQueueOn(t, dirs, testenv.Disk{})
}

func openQueueOn(t *testing.T, dirs profile.Dirs, d client.Disk) *stuck {
	t.Helper()
	s := &stuck{asked: make(chan struct{}, 100), release: make(chan error, 100)}
	var err error
	s.Queue, err = queue.Open(queue.Options{Dirs: dirs, Disk: d, Parallel: 1, Remote: func(string, bool, func(error)) (*client.Remote, func(), error) {
		s.asked <- struct{}{}
		if err, open := <-s.release; open {
			return nil, nil, err
		}
		// The queue is being closed, now or in a moment: a server that is away
		// ends no job.
		return nil, nil, &hufu.Error{Op: "dial", Kind: hufu.KindNetwork, Code: "cannot_connect"}
	}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *stuck) close(t *testing.T) {
	t.Helper()
	close(s.release)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// until waits for a job to be so.
func (s *stuck) until(id string, so func(queue.Job) bool) queue.Job {
	for {
		jobs, changed := s.Jobs()
		for _, j := range jobs {
			if j.ID == id && so(j) {
				return j
			}
		}
		<-changed
	}
}

func queueDirs(t *testing.T) profile.Dirs {
	t.Helper()
	return profile.Dirs{Config: filepath.Join(t.TempDir(), "config"), State: filepath.Join(t.TempDir(), "state")}
}

var errGone = &hufu.Error{Op: "dial", Kind: hufu.KindRefused, Code: "cert_revoked"}

// TestCancelWhilePausing: a pause that has not taken effect yet does not
// swallow the cancel that follows it, nor the resume.
func TestCancelWhilePausing(t *testing.T) {
	t.Parallel()
	q := openQueue(t, queueDirs(t))
	defer q.close(t)
	add := func() string {
		t.Helper()
		id, err := q.Add(queue.Spec{Put: true, Profile: "default", Sources: []string{"/x"}, To: ":/"})
		if err != nil {
			t.Fatal(err)
		}
		<-q.asked
		return id
	}
	id := add()
	if err := errors.Join(q.Pause(id), q.Cancel(id)); err != nil {
		t.Fatal(err)
	}
	q.release <- errGone
	q.until(id, func(j queue.Job) bool { return !j.Ended.IsZero() || j.State == queue.Paused })
	if j := q.until(id, func(queue.Job) bool { return true }); j.State != queue.Canceled {
		t.Errorf("paused, then canceled: %s", j.State)
	}

	id = add()
	if err := errors.Join(q.Pause(id), q.Resume(id)); err != nil {
		t.Fatal(err)
	}
	q.release <- errGone
	<-q.asked // it runs again
	q.release <- errGone
	if j := q.until(id, func(j queue.Job) bool { return j.State.Over() }); j.State != queue.Failed || j.Err.Code != "cert_revoked" {
		t.Errorf("paused, then resumed: %s %v", j.State, j.Err)
	}
}

// TestQueueIsThereAgain: what a queue knew, whatever bytes are in its paths,
// and what was being handed over when the program ended is told as lost.
func TestQueueIsThereAgain(t *testing.T) {
	t.Parallel()
	dirs := queueDirs(t)
	q := openQueue(t, dirs)
	odd := "/home/\xff\xfe\n<b>.txt"
	runs, err := q.Add(queue.Spec{Put: true, Profile: "p", Sources: []string{odd, "/b"}, To: ":/f"})
	if err != nil {
		t.Fatal(err)
	}
	<-q.asked
	waits, err := q.Add(queue.Spec{Profile: "p", Sources: []string{":/c"}, To: "/d"})
	if err != nil {
		t.Fatal(err)
	}
	stays, err := q.Add(queue.Spec{Profile: "p", Sources: []string{":/e"}, To: "/d"})
	if err != nil {
		t.Fatal(err)
	}
	taught, err := q.Add(queue.Spec{Teach: true, Profile: "p", Sources: []string{":/t"}, To: "/d"})
	if err != nil {
		t.Fatal(err)
	}
	spools, err := q.Spool(t.Context(), queue.Spec{Profile: "p", To: ":/"}, 1, 3)
	if err != nil {
		t.Fatal(err)
	}
	p, err := hufu.ParsePath("a")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(q.Pause(stays), q.SpoolFile(spools, p, 3, time.Time{}, strings.NewReader("abc"))); err != nil {
		t.Fatal(err)
	}
	if _, err := queue.Open(queue.Options{Dirs: dirs, Disk: testenv.Disk{}}); hufu.CodeOf(err) != "queue_in_use" {
		t.Errorf("a queue is opened twice: %v", err)
	}
	q.close(t)
	foreign := filepath.Join(dirs.State, "spool", "nobody")
	if err := os.MkdirAll(foreign, 0o700); err != nil {
		t.Fatal(err)
	}

	q = openQueue(t, dirs)
	defer q.close(t)
	<-q.asked // the first runs again
	got := map[string]queue.Job{}
	jobs, _ := q.Jobs()
	for _, j := range jobs {
		got[j.ID] = j
	}
	if j := got[runs]; j.State != queue.Running || len(j.Sources) != 2 || j.Sources[0] != odd || j.To != ":/f" || !j.Put {
		t.Errorf("the one that ran: %+v", j)
	}
	if j := got[waits]; j.State != queue.Waiting {
		t.Errorf("the one that waited: %+v", j)
	}
	if j := got[stays]; j.State != queue.Paused {
		t.Errorf("the paused one: %+v", j)
	}
	if j := got[spools]; j.State != queue.Failed || j.Err == nil || j.Err.Code != "spool_broken" {
		t.Errorf("the one being handed over: %+v", j)
	}
	if _, there := got[taught]; there || len(got) != 4 {
		t.Errorf("%d jobs", len(got))
	}
	if left, err := os.ReadDir(filepath.Join(dirs.State, "spool")); err != nil || len(left) > 0 {
		t.Errorf("left in the spool: %v %v", left, err)
	}
	if err := q.Resume(spools); hufu.CodeOf(err) != "spool_gone" {
		t.Errorf("what was never handed over is sent: %v", err)
	}
	if i, err := os.Stat(filepath.Join(dirs.State, "transfers.json")); err != nil || i.Mode().Perm()&0o077 != 0 {
		t.Errorf("others may read the transfers: %v %v", i.Mode(), err)
	}
}

// TestBrokenQueueIsPutAside: a journal that cannot be read stops nobody and is
// kept.
func TestBrokenQueueIsPutAside(t *testing.T) {
	t.Parallel()
	for _, data := range []string{"", "{", `{"a":1}`, `[{"id":"../../x","spool":true,"state":"waiting"},{"id":"","state":"waiting"}]`} {
		dirs := queueDirs(t)
		if err := os.MkdirAll(dirs.State, 0o700); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dirs.State, "transfers.json")
		if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
		q := openQueue(t, dirs)
		if jobs, _ := q.Jobs(); len(jobs) != 0 {
			t.Errorf("%q: %v", data, jobs)
		}
		q.close(t)
		if kept, err := os.ReadFile(path + ".broken"); !strings.HasPrefix(data, "[") && (err != nil || string(kept) != data) {
			t.Errorf("%q is kept as %q: %v", data, kept, err)
		}
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

// TestOpenWhileOthersLook: a program that looks whether the queue is in use keeps none from opening it.
func TestOpenWhileOthersLook(t *testing.T) {
	t.Parallel()
	dirs := profile.Dirs{State: t.TempDir()}
	stop, stopped := make(chan struct{}), make(chan error, 1)
	go func() {
		var err error
		for err == nil {
			select {
			case <-stop:
				stopped <- nil
				return
			default:
				_, err = queue.InUse(dirs)
			}
		}
		stopped <- err
	}()
	for range 200 {
		q, err := queue.Open(queue.Options{Dirs: dirs, Disk: testenv.Disk{}})
		if err != nil {
			t.Errorf("open: %v", err)
			break
		}
		if err := q.Close(); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}
