//go:build e2e && linux

package powercut

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"hufu"
	"hufu/internal/blob/disk"
	"hufu/internal/client"
	"hufu/internal/profile"
	"hufu/internal/queue"
	"hufu/internal/testenv"
)

func (m *machine) dirs() profile.Dirs {
	return profile.Dirs{Config: filepath.Join(m.mount, "home", "config"), State: filepath.Join(m.mount, "home", "state")}
}

// TestProfileSurvives: who has enrolled and logged in still is after a power cut.
func TestProfileSurvives(t *testing.T) {
	m := start(t, disk.Options{})
	env := testenv.New(t, testenv.Options{})
	if _, err := profile.Enroll(t.Context(), m.dirs(), profile.Default, env.Invite("alice"), "password of alice"); err != nil {
		t.Fatal(err)
	}
	m.cut()
	m.boot()
	p, err := profile.Load(m.dirs(), profile.Default)
	if err != nil {
		t.Fatal(err)
	}
	r, err := client.New(p, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.LoggedIn(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestSpoolSurvives: what the page was told is taken over is whole after a power
// cut, and its transfer waits.
func TestSpoolSurvives(t *testing.T) {
	m := start(t, disk.Options{})
	options := queue.Options{Dirs: m.dirs(), Disk: testenv.Disk{}, Remote: func(string, bool, func(error)) (*client.Remote, func(), error) {
		return nil, nil, &hufu.Error{Op: "connect", Kind: hufu.KindNetwork, Code: "cannot_connect"} // away
	}}
	q, err := queue.Open(options)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]byte{"large": random(5<<20, 1)}
	for i := range 100 {
		want["folder/"+strconv.Itoa(i%7)+"/"+strconv.Itoa(i)] = random(1000+i, byte(i))
	}
	size := int64(0)
	for _, data := range want {
		size += int64(len(data))
	}
	id, err := q.Spool(t.Context(), queue.Spec{Profile: profile.Default, To: "/"}, int64(len(want)), size)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range want {
		if err := q.SpoolFile(id, m.path(name), int64(len(data)), time.Unix(1_700_000_000, 0), bytes.NewReader(data)); err != nil {
			t.Fatal(err)
		}
	}
	if err := q.SpoolDone(id); err != nil {
		t.Fatal(err)
	}
	m.cut()
	_ = q.Close()
	m.boot()
	for name, data := range want {
		got, err := os.ReadFile(filepath.Join(m.dirs().State, "spool", id, filepath.FromSlash(name)))
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s: %d bytes of %d, %v", name, len(got), len(data), err)
		}
	}
	q, err = queue.Open(options)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	jobs, _ := q.Jobs()
	if len(jobs) != 1 || jobs[0].ID != id || len(jobs[0].Sources) != 2 {
		t.Errorf("the queue holds %+v", jobs)
	}
}
