package client

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"testing"
	"time"

	"hufu"
	"hufu/internal/frame"
	"hufu/internal/session"
	"hufu/internal/transfer"
)

// TestServersOfAnInstallation: a list is taken over as far as it can be used, and the order in which
// its servers are tried.
func TestServersOfAnInstallation(t *testing.T) {
	t.Parallel()
	s := servers{home: "a:1"}
	want := func(what string, got []string, want ...string) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	want("alone", s.candidates(), "a:1")
	s.learn([]string{"a:1", "b:2", "b:2", "", "b", ":1", "b:0", "b:70000", "b:x", "[::1]:3", "d:4"})
	want("learned", s.list(), "b:2", "[::1]:3", "d:4")
	want("tried", s.candidates(), "a:1", "b:2", "[::1]:3", "a:1")
	s.failed("b:2")
	s.failed("a:1")
	want("failed", s.list(), "[::1]:3", "d:4", "b:2")
	s.failed("d:4")
	s.failed("[::1]:3")
	s.move("[::1]:3")
	want("moved", s.list(), "b:2", "d:4", "a:1")
	want("tried then", s.candidates(), "[::1]:3", "b:2", "d:4", "a:1", "[::1]:3")
	s.move("[::1]:3")
	want("stayed", s.list(), "b:2", "d:4", "a:1")
	var many []string
	for i := range frame.MaxNodes {
		many = append(many, fmt.Sprint("n:", i+1))
	}
	s.learn(many)
	want("many", s.list(), many[:maxServers-1]...)
	s.learn(nil)
	want("none", s.list())
	want("the first one comes back", s.candidates(), "[::1]:3", "a:1", "[::1]:3")
	s.move("a:1")
	s.learn(nil)
	want("it is back", s.candidates(), "a:1")
}

// TestLanesOfAllServers: what the user has asked for is shared out, and what a way is worth is bounded for
// all servers together.
func TestLanesOfAllServers(t *testing.T) {
	t.Parallel()
	for jobs := range 20 {
		for n := 1; n <= maxServers; n++ {
			sum := 0
			for i := range n {
				sum += share(jobs, n, i)
			}
			if first, last := share(jobs, n, 0), share(jobs, n, n-1); sum != jobs || first-last > 1 || jobs > 0 && first == 0 {
				t.Errorf("%d lanes over %d servers: %d in all, from %d to %d", jobs, n, sum, first, last)
			}
		}
	}
	r := &Remote{farRTT: farFrom}
	for n, want := range map[int][2]int{1: {2, 12}, 3: {2, 12}, 4: {2, 12}, 6: {2, 8}, 8: {2, 6}} {
		near, far := r.lanesPerServer(session.Way{RTT: time.Millisecond}, n), r.lanesPerServer(session.Way{RTT: farFrom}, n)
		if near != want[0] || far != want[1] {
			t.Errorf("%d servers: %d lanes near, %d far", n, near, far)
		}
	}
}

// TestWhatASpareServerCannotDo: is done by others, unless the file is the reason. The own server tells
// what is really wrong.
func TestWhatASpareServerCannotDo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		spare bool
		kind  hufu.Kind
		lost  bool
	}{
		{true, hufu.KindUnavailable, true},
		{true, hufu.KindCredentials, true},
		{true, hufu.KindRefused, true},
		{true, hufu.KindQuota, true},
		{true, hufu.KindInternal, true},
		{true, hufu.KindUnreadable, true},
		{true, hufu.KindIntegrity, true},
		{true, hufu.KindPermission, false},
		{true, hufu.KindExists, false},
		{true, hufu.KindChanged, false},
		{true, hufu.KindNotFound, false},
		{true, hufu.KindInvalid, false},
		{true, hufu.KindInvalidPath, false},
		{true, hufu.KindNotEmpty, false},
		{true, hufu.KindWrongKind, false},
		{true, hufu.KindUnsupported, false},
		{false, hufu.KindUnavailable, false},
		{false, hufu.KindIntegrity, false},
	} {
		near, far := net.Pipe()
		stream := session.NewStream(near)
		l := &lane{c: session.NewClient(stream, stream, frame.NewCodec(), nil), spare: c.spare}
		why := &hufu.Error{Op: "range", Kind: c.kind, Far: true}
		err := l.lost(session.Answer{Err: why})
		if errors.Is(err, transfer.ErrLost) != c.lost || !errors.Is(err, why) || (l.c.Err() != nil) != c.lost {
			t.Errorf("%v: %v, the lane has ended: %v", c, err, l.c.Err())
		}
		if err := l.lost(session.Answer{}); err != nil {
			t.Error(err)
		}
		_, _ = l.Close(), far.Close()
	}
}
