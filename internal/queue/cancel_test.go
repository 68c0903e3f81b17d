package queue_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"hufu"
	"hufu/internal/client"
	"hufu/internal/profile"
	"hufu/internal/queue"
	"hufu/internal/testenv"
)

// discards is a disk that records what it is asked to discard, and fails if told so.
type discards struct {
	testenv.Disk

	mu  sync.Mutex
	all []string
	err error
}

func (d *discards) Open(dir, journals string) (client.Folder, error) {
	f, err := d.Disk.Open(dir, journals)
	return &discardFolder{f, d, dir}, err
}

type discardFolder struct {
	client.Folder

	d   *discards
	dir string
}

func (f *discardFolder) Discard(p hufu.Path) error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	f.d.all = append(f.d.all, filepath.Join(f.dir, p.String()))
	return f.d.err
}

// take returns what was discarded since the last call.
func (d *discards) take() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := d.all
	d.all = nil
	return all
}

// TestCancelRemovesUnfinishedDownloads: whatever a get was doing when it was canceled.
func TestCancelRemovesUnfinishedDownloads(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	to := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(folder, to); err != nil {
		t.Fatal(err)
	}
	canonical, err := filepath.EvalSymlinks(folder)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{filepath.Join(canonical, "a"), filepath.Join(canonical, "b")}
	dirs, d := queueDirs(t), &discards{}
	q := openQueueOn(t, dirs, d)
	defer q.close(t)
	for what, do := range map[string]func(id string) error{
		"running":              q.Cancel,
		"paused meanwhile":     func(id string) error { return errors.Join(q.Pause(id), q.Cancel(id)) },
		"resumed, and running": func(id string) error { return errors.Join(q.Pause(id), q.Resume(id), q.Cancel(id)) },
		"paused after":         func(id string) error { return errors.Join(q.Cancel(id), q.Pause(id)) },
	} {
		id, err := q.Add(queue.Spec{Profile: "p", Sources: []string{"/", "/x/a", "/b"}, To: to})
		if err != nil {
			t.Fatal(err)
		}
		<-q.asked
		if err := do(id); err != nil {
			t.Error(what, err)
		}
		q.release <- errGone
		j := q.until(id, func(j queue.Job) bool { return !j.Ended.IsZero() || j.State == queue.Paused })
		if j.State != queue.Canceled || j.Err != nil {
			t.Errorf("%s: %s, %v", what, j.State, j.Err)
		}
		if got := d.take(); !slices.Equal(got, want) {
			t.Errorf("%s: %q is discarded", what, got)
		}
	}
}

// TestCancelThatCannotRemove: a job is canceled, in the journal as well, if its files
// cannot be removed. The user is told.
func TestCancelThatCannotRemove(t *testing.T) {
	t.Parallel()
	dirs := queueDirs(t)
	d := &discards{err: &hufu.Error{Op: "discard", Kind: hufu.KindUnreadable, Code: "cannot_write"}}
	q := openQueueOn(t, dirs, d)
	id, err := q.Add(queue.Spec{Profile: "p", Sources: []string{"/a"}, To: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	<-q.asked
	if err := q.Pause(id); err != nil {
		t.Fatal(err)
	}
	q.release <- errGone
	next, err := q.Add(queue.Spec{Put: true, Profile: "p", Sources: []string{"/x"}, To: "/"})
	if err != nil {
		t.Fatal(err)
	}
	<-q.asked // the first has ended
	if err := q.Cancel(id); hufu.CodeOf(err) != "cannot_write" {
		t.Errorf("canceled: %v", err)
	}
	if j := q.until(id, func(queue.Job) bool { return true }); j.State != queue.Canceled || j.Err == nil || j.Err.Code != "cannot_write" {
		t.Errorf("%s: %v", j.State, j.Err)
	}
	journal := filepath.Join(dirs.State, "transfers.json")
	data, err := os.ReadFile(journal) // as a crash would leave it
	if err != nil {
		t.Fatal(err)
	}
	q.close(t)
	if err := os.WriteFile(journal, data, 0o600); err != nil {
		t.Fatal(err)
	}
	q = openQueueOn(t, dirs, d)
	defer q.close(t)
	<-q.asked
	q.until(next, func(j queue.Job) bool { return j.State == queue.Running })
	if j := q.until(id, func(queue.Job) bool { return true }); j.State != queue.Canceled {
		t.Errorf("after a crash: %s", j.State)
	}
}

// TestCancelOutlivesTheProgram: a job that was canceled when the program was killed is
// canceled, with nothing left, when the next one opens the queue.
func TestCancelOutlivesTheProgram(t *testing.T) {
	t.Parallel()
	dirs, d := queueDirs(t), &discards{}
	to := t.TempDir()
	q := openQueueOn(t, dirs, d)
	id, err := q.Add(queue.Spec{Profile: "p", Sources: []string{"/a"}, To: to})
	if err != nil {
		t.Fatal(err)
	}
	<-q.asked
	if err := q.Cancel(id); err != nil {
		t.Fatal(err)
	}
	journal := filepath.Join(dirs.State, "transfers.json")
	data, err := os.ReadFile(journal) // as it is when the program is killed now
	if err != nil {
		t.Fatal(err)
	}
	q.close(t)
	d.take()
	if err := os.WriteFile(journal, data, 0o600); err != nil {
		t.Fatal(err)
	}
	q = openQueueOn(t, dirs, d)
	defer q.close(t)
	if j := q.until(id, func(queue.Job) bool { return true }); j.State != queue.Canceled || j.Ended.IsZero() {
		t.Errorf("%s, ended %v", j.State, j.Ended)
	}
	if got := d.take(); len(got) != 1 || filepath.Base(got[0]) != "a" {
		t.Errorf("%q is discarded", got)
	}
}

// TestResumeWhileCanceling: a job that is resumed before its cancel has taken effect
// runs again.
func TestResumeWhileCanceling(t *testing.T) {
	t.Parallel()
	q := openQueue(t, queueDirs(t))
	defer q.close(t)
	id, err := q.Add(queue.Spec{Put: true, Profile: "p", Sources: []string{"/x"}, To: "/"})
	if err != nil {
		t.Fatal(err)
	}
	<-q.asked
	if err := errors.Join(q.Cancel(id), q.Resume(id)); err != nil {
		t.Fatal(err)
	}
	q.release <- errGone
	j := q.until(id, func(j queue.Job) bool { return j.State == queue.Running || !j.Ended.IsZero() })
	if j.State != queue.Running {
		t.Fatalf("canceled, then resumed: %s", j.State)
	}
	<-q.asked
	q.release <- errGone
	q.until(id, func(j queue.Job) bool { return j.State == queue.Failed })
}

// TestPanicEndsOneJob: a defect that one job shows fails this job. The others go on, and
// the next start does not meet it again.
func TestPanicEndsOneJob(t *testing.T) {
	t.Parallel()
	dirs := queueDirs(t)
	asked := 0
	q, err := queue.Open(queue.Options{Dirs: dirs, Disk: testenv.Disk{}, Parallel: 1, Remote: func(string, bool, func(error)) (*client.Remote, func(), error) {
		if asked++; asked == 1 {
			panic("a defect")
		}
		return nil, nil, errGone
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = q.Close() }()
	s := stuck{Queue: q}
	var ids []string
	for range 2 {
		id, err := q.Add(queue.Spec{Put: true, Profile: profile.Default, Sources: []string{"/x"}, To: "/"})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	over := func(j queue.Job) bool { return j.State.Over() }
	if j := s.until(ids[0], over); j.State != queue.Failed || j.Err.Kind != hufu.KindInternal {
		t.Errorf("the first: %s, %v", j.State, j.Err)
	}
	if j := s.until(ids[1], over); j.State != queue.Failed || j.Err.Code != "cert_revoked" {
		t.Errorf("the second: %s, %v", j.State, j.Err)
	}
}
