package queue_test

import (
	"os"
	"path/filepath"
	"testing"

	"hufu/internal/client"
	"hufu/internal/profile"
	"hufu/internal/queue"
	"hufu/internal/testenv"
)

// TestQueueRemembersTheWay: a transfer of the queue tells of it.
func TestQueueRemembersTheWay(t *testing.T) {
	t.Parallel()
	alice := testenv.New(t, testenv.Options{}).Person("alice")
	name := filepath.Join(alice.Dirs.State, "profiles", profile.Default, "way.json")
	const far = `{"round_trip_ns":100000000,"bytes_per_second":100000000}`
	if err := os.WriteFile(name, []byte(far), 0o600); err != nil {
		t.Fatal(err)
	}
	file := alice.Local("f")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	opened, err := queue.Open(queue.Options{Dirs: alice.Dirs, Disk: testenv.Disk{}, Remote: func(string, bool, func(error)) (*client.Remote, func(), error) {
		return alice.Remote(client.Options{}), func() {}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	q := stuck{Queue: opened}
	id, err := q.Add(queue.Spec{Put: true, Profile: profile.Default, Sources: []string{file}, To: "in"})
	if err != nil {
		t.Fatal(err)
	}
	if j := q.until(id, func(j queue.Job) bool { return j.State.Over() }); j.State != queue.Done {
		t.Errorf("%s: %v", j.State, j.Err)
	}
	if err := q.Close(); err != nil {
		t.Error(err)
	}
	if now, err := os.ReadFile(name); err != nil || string(now) == far {
		t.Errorf("still remembered: %s, %v", now, err)
	}
}
