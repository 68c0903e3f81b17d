package client_test

import (
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"hufu"
	"hufu/internal/client"
	"hufu/internal/frame"
	"hufu/internal/profile"
	"hufu/internal/testenv"
)

// both counts what a client's connections have written and read.
type both struct {
	spoken
	heard *atomic.Int64
}

func (b both) Read(p []byte) (int, error) {
	n, err := b.Conn.Read(p)
	b.heard.Add(int64(n))
	return n, err
}

// TestRemembersTheWay (on Linux, which alone is asked how far a server is): where the way was long and wide the last time the lanes
// are opened with the first connection and padded the way the bytes will go,
// until a transfer shows that it is neither.
func TestRemembersTheWay(t *testing.T) {
	t.Parallel()
	alice := testenv.New(t, testenv.Options{}).Person("alice")
	// lanes opens those of a far server, and tells what that took each way.
	lanes := func(flow client.Flow) (said, heard int64) {
		t.Helper()
		var up, down atomic.Int64
		r := alice.Remote(client.Options{Tap: func(c net.Conn) net.Conn { return both{spoken{c, &up}, &down} }})
		client.Far(r)
		r.WarmUp(flow, 0)
		if err := r.LoggedIn(t.Context()); err != nil {
			t.Fatal(err)
		}
		for range r.Lanes(t.Context(), 0) {
			lane, err := r.Lane(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			answered := make(chan struct{}) // and hello before it
			err = lane.Get(parse(t, "none"), hufu.Entry{}, func(hufu.Entry, []byte, error) { close(answered) })
			if err == nil {
				err = lane.Flush()
			}
			if err != nil {
				t.Fatal(err)
			}
			<-answered
			_ = lane.Close()
		}
		_ = r.Close()
		return up.Load(), down.Load()
	}
	const padding = 12 * frame.MaxPadding // of twelve lanes
	check := func(when string, padded bool) {
		t.Helper()
		if said, heard := lanes(client.Up); padded != (said > padding) || heard > padding {
			t.Errorf("%s, a put's lanes sent %d bytes and received %d", when, said, heard)
		}
		if said, heard := lanes(client.Down); padded != (heard > padding) || said > padding {
			t.Errorf("%s, a get's lanes sent %d bytes and received %d", when, said, heard)
		}
	}
	remember := func(far bool, sent int64, took time.Duration) {
		t.Helper()
		r := alice.Remote(client.Options{})
		r.Remember(sent, took) // of a server that was never reached: nothing
		if err := r.LoggedIn(t.Context()); err != nil {
			t.Fatal(err)
		}
		if far {
			client.Far(r)
		}
		r.Remember(sent, took)
		_ = r.Close()
	}
	check("at first", false)
	remember(true, 1<<20, time.Millisecond)
	check("after a transfer too small to tell", false)
	remember(true, 100<<20, time.Second)
	check("after a fast one", true)
	remember(true, 1<<20, time.Second)
	check("after a small one", true)
	remember(true, 100<<20, 100*time.Second)
	check("after a slow one", false)

	// A server that has come near is left alone again.
	name := filepath.Join(alice.Dirs.State, "profiles", profile.Default, "way.json")
	if err := os.WriteFile(name, []byte(`{"round_trip_ns":100000000,"bytes_per_second":100000000}`), 0o600); err != nil {
		t.Fatal(err)
	}
	check("when it was far", true)
	remember(false, 1<<20, time.Second)
	check("since it is near", false)
	for _, broken := range []string{"", "{", `{"round_trip_ns":"far"}`} {
		if err := os.WriteFile(name, []byte(broken), 0o600); err != nil {
			t.Fatal(err)
		}
		check("with a broken file", false)
	}
}
